/* Same, near and overlapping rows; see duplicates.h. */
#include "attribution/duplicates.h"

#include "attribution/duplicate_words.h"
#include "model/map64.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "duplicates"

enum { MAX_COMPARED = 256, COMPARISONS_PER_WORD = 200, NONE = -1 };
static const double NEAR_JACCARD = 0.8;

_Static_assert(sizeof((struct duplicate_row *)0)->band == MINHASH_BANDS * sizeof(uint64_t), "one key per band");

struct place { /* where a fingerprint stands; places of one fingerprint are a chain, the earliest first */
    uint32_t row, word;
    int64_t next;
};

struct kept_row {
    struct duplicate_row is;
    int64_t next[MINHASH_BANDS]; /* the next row with the same band */
};

struct chain_ends {
    struct map64 first, last; /* key → first and last element */
};

struct duplicates {
    struct kept_row *rows;
    struct place *places;
    size_t n_rows, rows_cap, n_places, places_cap;
    struct map64 same; /* hash of all words → the first row */
    struct chain_ends bands, fingerprints;
};

static int no_memory(struct err *e) { return err_set(e, OL_ENOMEM, MODULE, "no memory to look for duplicates"); }

int duplicate_row_init(struct duplicate_row *row, const char *said, size_t said_bytes, const char *taught,
                       size_t taught_bytes, struct err *e)
{
    memset(row, 0, sizeof *row);
    row->n_said = words_hash(said, said_bytes, NULL);
    row->n_taught = words_hash(taught, taught_bytes, NULL);
    size_t n = row->n_said + row->n_taught;
    uint64_t *set = malloc((row->n_said + 1) * sizeof *set);
    row->said = malloc((n + 1) * sizeof *row->said);
    if (!row->said || !set) {
        free(set);
        duplicate_row_free(row);
        return no_memory(e);
    }
    row->taught = row->said + row->n_said;
    words_hash(said, said_bytes, row->said);
    words_hash(taught, taught_bytes, row->taught);
    if (row->n_said)
        minhash_bands(set, shingles(row->said, row->n_said, set), row->band);
    free(set);
    return 0;
}

void duplicate_row_free(struct duplicate_row *row)
{
    free(row->said);
    memset(row, 0, sizeof *row);
}

struct duplicates *duplicates_open(void) { return calloc(1, sizeof(struct duplicates)); }

void duplicates_close(struct duplicates *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_rows; i++)
        duplicate_row_free(&d->rows[i].is);
    map64_deinit(&d->same);
    map64_deinit(&d->bands.first);
    map64_deinit(&d->bands.last);
    map64_deinit(&d->fingerprints.first);
    map64_deinit(&d->fingerprints.last);
    free(d->rows);
    free(d->places);
    free(d);
}

/* ---- adding */

/* Room for one more of `bytes` each. */
static bool grow(void **array, size_t n, size_t *cap, size_t bytes)
{
    if (n < *cap)
        return true;
    size_t more = *cap ? 2 * *cap : 64;
    void *at = realloc(*array, more * bytes);
    if (!at)
        return false;
    *array = at;
    *cap = more;
    return true;
}

/* Puts an element behind its chain's last, whose link is then *link_of_last; false without memory. */
static bool chain(struct chain_ends *ends, uint64_t key, size_t element, uint64_t *last)
{
    *last = map64_get(&ends->last, key);
    return map64_set(&ends->last, key, element) && (*last != MAP64_ABSENT || map64_set(&ends->first, key, element));
}

static int add_place(void *user, size_t word, uint64_t fingerprint)
{
    struct duplicates *d = user;
    uint64_t last;
    if (!grow((void **)&d->places, d->n_places, &d->places_cap, sizeof *d->places) ||
        !chain(&d->fingerprints, fingerprint, d->n_places, &last))
        return OL_ENOMEM;
    d->places[d->n_places] = (struct place){(uint32_t)(d->n_rows - 1), (uint32_t)word, NONE};
    if (last != MAP64_ABSENT)
        d->places[last].next = (int64_t)d->n_places;
    d->n_places++;
    return 0;
}

int duplicates_add(struct duplicates *d, struct duplicate_row *row, struct err *e)
{
    if (d->n_rows == UINT32_MAX || !grow((void **)&d->rows, d->n_rows, &d->rows_cap, sizeof *d->rows)) {
        duplicate_row_free(row);
        return no_memory(e);
    }
    struct kept_row *kept = &d->rows[d->n_rows];
    size_t number = d->n_rows++;
    kept->is = *row;
    memset(row, 0, sizeof *row);
    uint64_t all = run_hash(kept->is.said, kept->is.n_said), last;
    bool ok = map64_get(&d->same, all) != MAP64_ABSENT || map64_set(&d->same, all, number);
    for (int b = 0; b < MINHASH_BANDS && ok && kept->is.n_said; b++) {
        kept->next[b] = NONE;
        ok = chain(&d->bands, kept->is.band[b], number, &last);
        if (ok && last != MAP64_ABSENT)
            d->rows[last].next[b] = (int64_t)number;
    }
    return ok && winnow(kept->is.taught, kept->is.n_taught, add_place, d) == 0 ? 0 : no_memory(e);
}

/* ---- finding */

/* Of two sorted sets. */
static double jaccard(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
    size_t i = 0, k = 0, both = 0;
    while (i < n_a && k < n_b) {
        both += a[i] == b[k];
        uint64_t least = a[i] < b[k] ? a[i] : b[k];
        i += a[i] == least;
        k += b[k] == least;
    }
    return (double)both / (double)(n_a + n_b - both);
}

static int near(const struct duplicate_row *a, const struct duplicate_row *b, bool *out, struct err *e)
{
    uint64_t *sets = malloc((a->n_said + b->n_said + 2) * sizeof *sets);
    if (!sets)
        return no_memory(e);
    size_t n_a = shingles(a->said, a->n_said, sets);
    size_t n_b = shingles(b->said, b->n_said, sets + n_a);
    *out = jaccard(sets, n_a, sets + n_a, n_b) >= NEAR_JACCARD;
    free(sets);
    return 0;
}

/* The earliest near row; *of stays when there is none. */
static int find_near(const struct duplicates *d, const struct duplicate_row *row, struct duplicate *out, struct err *e)
{
    for (int b = 0; b < MINHASH_BANDS; b++) {
        uint64_t first = map64_get(&d->bands.first, row->band[b]);
        int64_t at = first == MAP64_ABSENT ? NONE : (int64_t)first;
        for (int compared = 0; at != NONE && compared < MAX_COMPARED; compared++, at = d->rows[at].next[b]) {
            const struct duplicate_row *other = &d->rows[at].is;
            bool is_near = false;
            if (out->kind == DUPLICATE_NEAR && (size_t)at >= out->of)
                break; /* chains go from early to late */
            int rc = near(row, other, &is_near, e);
            if (rc != 0)
                return rc;
            if (is_near)
                *out = (struct duplicate){.kind = DUPLICATE_NEAR, .of = (size_t)at};
        }
    }
    return 0;
}

struct overlap {
    const struct duplicates *d;
    const struct duplicate_row *row;
    struct duplicate *out;
    bool *in;      /* of each word taught: whether it stands in a run */
    size_t budget; /* word comparisons left; without any, words that stand in a run already are not looked at again */
};

/* The whole run that two rows share around a common place. */
static size_t shared_run(const struct duplicate_row *a, size_t *at, const struct duplicate_row *b, size_t place)
{
    size_t from = *at, before = place, end = *at, after = place;
    while (from && before && a->taught[from - 1] == b->taught[before - 1])
        from--, before--;
    while (end < a->n_taught && after < b->n_taught && a->taught[end] == b->taught[after])
        end++, after++;
    *at = from;
    return end - from;
}

static int overlap_at(void *user, size_t word, uint64_t fingerprint)
{
    struct overlap *o = user;
    uint64_t first = map64_get(&o->d->fingerprints.first, fingerprint);
    int64_t at = first == MAP64_ABSENT ? NONE : (int64_t)first;
    for (int compared = 0; at != NONE && compared < MAX_COMPARED; compared++, at = o->d->places[at].next) {
        const struct place *p = &o->d->places[at];
        size_t from = word;
        if (!o->budget && o->in[word])
            return 0;
        size_t n = shared_run(o->row, &from, &o->d->rows[p->row].is, p->word);
        o->budget -= n < o->budget ? n : o->budget;
        if (n < OVERLAP_WORDS)
            continue;
        if (o->out->kind == DUPLICATE_NONE || p->row < o->out->of)
            o->out->of = p->row;
        o->out->kind = DUPLICATE_OVERLAP;
        memset(o->in + from, true, n);
    }
    return 0;
}

static int find_overlap(const struct duplicates *d, const struct duplicate_row *row, struct duplicate *out,
                        struct err *e)
{
    if (row->n_taught < OVERLAP_WORDS)
        return 0;
    struct overlap o = {.d = d, .row = row, .out = out, .budget = COMPARISONS_PER_WORD * row->n_taught};
    o.in = calloc(row->n_taught, sizeof *o.in);
    if (!o.in)
        return no_memory(e);
    winnow(row->taught, row->n_taught, overlap_at, &o);
    for (size_t i = 0; i < row->n_taught; i++)
        out->words += o.in[i];
    free(o.in);
    return 0;
}

int duplicates_find(const struct duplicates *d, const struct duplicate_row *row, struct duplicate *out, struct err *e)
{
    *out = (struct duplicate){0};
    if (row->n_said == 0)
        return 0;
    uint64_t same = map64_get(&d->same, run_hash(row->said, row->n_said));
    if (same != MAP64_ABSENT) {
        *out = (struct duplicate){.kind = DUPLICATE_SAME, .of = (size_t)same};
        return 0;
    }
    int rc = find_near(d, row, out, e);
    if (rc != 0 || out->kind != DUPLICATE_NONE)
        return rc;
    return find_overlap(d, row, out, e);
}
