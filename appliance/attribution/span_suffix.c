/* SA-IS. A suffix is of type S if it is smaller than the next one and of type L if it is larger; LMS are the S whose
 * predecessor is L. Sorting the LMS suffixes decides all others: they are induced by one scan in each direction. The
 * LMS suffixes themselves are sorted by naming the stretches between them and sorting the text of names, at most half
 * as long; so the recursion is at most 31 deep. All of that happens inside `sa`. */
#include "attribution/span_suffix.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY UINT32_MAX

enum { AHEAD = 24 /* entries: their text is fetched before it is needed; scans hop through the text at random */ };

struct level {
    const uint32_t *text;
    uint32_t *sa;
    uint32_t n, alphabet;
    uint64_t *small;  /* bit i: suffix i is of type S; owned */
    uint32_t *counts; /* (alphabet) of each symbol; owned */
    uint32_t *edge;   /* (alphabet) the next free place of each bucket; owned */
    struct span_tally *tally;
};

void span_tally_add(struct span_tally *t, uint64_t steps)
{
    if (!t || !t->report)
        return;
    t->done = steps < t->total - t->done ? t->done + steps : t->total;
    t->report(t->context, t->done, t->total);
}

static inline bool is_small(const struct level *v, uint32_t i) { return v->small[i >> 6] >> (i & 63) & 1; }
static inline bool is_lms(const struct level *v, uint32_t i) { return i && is_small(v, i) && !is_small(v, i - 1); }

/* Types from the right: the last suffix is larger than the end that follows it. */
static void classify(struct level *v)
{
    bool small = false;
    for (uint32_t i = v->n - 1; i-- > 0;) {
        small = v->text[i] < v->text[i + 1] || (v->text[i] == v->text[i + 1] && small);
        v->small[i >> 6] |= (uint64_t)small << (i & 63);
    }
    for (uint32_t i = 0; i < v->n; i++)
        v->counts[v->text[i]]++;
    span_tally_add(v->tally, v->n);
}

static void edges_to_starts(struct level *v)
{
    for (uint32_t c = 0, sum = 0; c < v->alphabet; sum += v->counts[c++])
        v->edge[c] = sum;
}

static void edges_to_ends(struct level *v)
{
    for (uint32_t c = 0, sum = 0; c < v->alphabet; c++)
        v->edge[c] = sum += v->counts[c];
}

static inline void fetch_ahead(const struct level *v, uint32_t entry)
{
    if (entry - 1 < v->n)
        __builtin_prefetch(&v->text[entry - 1]);
}

/* From the LMS suffixes at the ends of their buckets to all L, then from the L to all S, which overwrite the LMS. */
static void induce(struct level *v)
{
    const uint32_t *text = v->text;
    uint32_t *sa = v->sa, n = v->n, step = 1u << 22;
    edges_to_starts(v);
    sa[v->edge[text[n - 1]]++] = n - 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = sa[i];
        if (i + AHEAD < n)
            fetch_ahead(v, sa[i + AHEAD]);
        /* j is L or LMS here, so its predecessor is L exactly if it is not smaller. */
        if (j != EMPTY && j && text[j - 1] >= text[j])
            sa[v->edge[text[j - 1]]++] = j - 1;
        if ((i & (step - 1)) == step - 1)
            span_tally_add(v->tally, step);
    }
    edges_to_ends(v);
    for (uint32_t i = n; i-- > 0;) {
        uint32_t j = sa[i];
        if (i >= AHEAD)
            fetch_ahead(v, sa[i - AHEAD]);
        if (j != EMPTY && j && (text[j - 1] < text[j] || (text[j - 1] == text[j] && is_small(v, j))))
            sa[--v->edge[text[j - 1]]] = j - 1;
        if ((i & (step - 1)) == step - 1)
            span_tally_add(v->tally, step);
    }
}

static void induce_from_unsorted(struct level *v)
{
    memset(v->sa, 0xff, (size_t)v->n * sizeof *v->sa);
    edges_to_ends(v);
    for (uint32_t i = v->n - 1; i > 0; i--)
        if (is_lms(v, i))
            v->sa[--v->edge[v->text[i]]] = i;
    induce(v);
}

/* Are the stretches from LMS a and from LMS b up to their next LMS equal, in symbols and types? One that runs into the
 * end of the text is equal to no other. */
static bool same_stretch(const struct level *v, uint32_t a, uint32_t b)
{
    for (uint32_t d = 0; a + d < v->n && b + d < v->n; d++) {
        if (v->text[a + d] != v->text[b + d] || is_small(v, a + d) != is_small(v, b + d))
            return false;
        if (d && is_lms(v, a + d)) /* and b + d too: the types before are equal as well */
            return true;
    }
    return false;
}

/* Leaves the m LMS, sorted by their stretches, in sa[0 .. m) and the text of their names in sa[n-m .. n); returns the
 * number of names. LMS are at least two apart, so that pos / 2 is a place of its own. */
static uint32_t name_stretches(struct level *v, uint32_t *lms)
{
    uint32_t *sa = v->sa, m = 0, names = 0;
    for (uint32_t i = 0; i < v->n; i++)
        if (is_lms(v, sa[i]))
            sa[m++] = sa[i];
    memset(sa + m, 0xff, (size_t)(v->n - m) * sizeof *sa);
    for (uint32_t i = 0; i < m; i++) {
        if (!i || !same_stretch(v, sa[i - 1], sa[i]))
            names++;
        sa[m + sa[i] / 2] = names - 1;
    }
    for (uint32_t i = v->n, to = v->n; i-- > m;)
        if (sa[i] != EMPTY)
            sa[--to] = sa[i];
    span_tally_add(v->tally, v->n);
    *lms = m;
    return names;
}

/* sa[0 .. m) holds the order of the LMS by their number in the text. */
static void induce_from_sorted(struct level *v, uint32_t m)
{
    uint32_t *sa = v->sa, *place = sa + (v->n - m);
    for (uint32_t i = 1, k = 0; i < v->n; i++)
        if (is_lms(v, i))
            place[k++] = i;
    for (uint32_t i = 0; i < m; i++)
        sa[i] = place[sa[i]];
    memset(sa + m, 0xff, (size_t)(v->n - m) * sizeof *sa);
    edges_to_ends(v);
    for (uint32_t i = m; i-- > 0;) {
        uint32_t at = sa[i];
        sa[i] = EMPTY;
        sa[--v->edge[v->text[at]]] = at;
    }
    induce(v);
}

static int sort_level(const uint32_t *text, uint32_t *sa, uint32_t n, uint32_t alphabet, struct span_tally *tally)
{
    struct level v = {.text = text, .sa = sa, .n = n, .alphabet = alphabet, .tally = tally};
    v.small = calloc((size_t)n / 64 + 1, sizeof *v.small);
    v.counts = calloc(alphabet, sizeof *v.counts);
    v.edge = malloc((size_t)alphabet * sizeof *v.edge);
    int rc = v.small && v.counts && v.edge ? 0 : OL_ENOMEM;
    if (!rc) {
        classify(&v);
        induce_from_unsorted(&v);
        uint32_t m = 0, names = name_stretches(&v, &m);
        const uint32_t *reduced = sa + (n - m);
        if (names < m)
            rc = sort_level(reduced, sa, m, names, tally);
        else
            for (uint32_t i = 0; i < m; i++)
                sa[reduced[i]] = i;
        if (!rc)
            induce_from_sorted(&v, m);
    }
    free(v.small);
    free(v.counts);
    free(v.edge);
    return rc;
}

int span_suffix_sort(const uint32_t *text, uint32_t *sa, uint32_t n, uint32_t alphabet, struct span_tally *tally,
                     struct err *e)
{
    CHECK(n < 1u << 31);
    if (!n)
        return 0;
    if (sort_level(text, sa, n, alphabet, tally))
        return err_set(e, OL_ENOMEM, "spans", "no memory to sort %u suffixes; about %u MiB more are needed", n,
                       n / 8 * 3 / 1024 / 128 + 64);
    return 0;
}
