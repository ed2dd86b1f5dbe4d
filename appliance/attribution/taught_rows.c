/* Canonical rows of Datanet versions; see taught_rows.h. */
#include "attribution/taught_rows.h"

#include "base/sha256.h"
#include "model/map64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "rows"

struct place { /* of a contribution */
    const struct contribution *contribution;
    uint32_t datanet;
};

struct kept {
    struct gradient_row row; /* tokens and flags owned */
    const struct place *place;
    uint32_t number;
    uint8_t hash[SHA256_BYTES];
};

struct loading {
    const struct row_encoder *encoder;
    struct place *places; /* document order */
    size_t n_places;
    const struct place *place; /* being read */
    struct row_tokens tokens;
    struct kept *kept;
    size_t n, cap;
    struct map64 seen; /* first bytes of a row's hash → index of the last row that begins so */
    struct taught_rows *out;
    struct err *e;
};

static int document_order(const void *a, const void *b)
{
    return contribution_order(((const struct place *)a)->contribution, ((const struct place *)b)->contribution);
}

static int list_places(struct loading *l, struct datanet_version *const *versions, uint32_t n_versions)
{
    size_t n = 0;
    for (uint32_t d = 0; d < n_versions; d++)
        n += versions[d]->n;
    l->places = calloc(n + 1, sizeof *l->places);
    if (!l->places)
        return err_set(l->e, OL_ENOMEM, MODULE, "no memory for %zu contributions", n);
    for (uint32_t d = 0; d < n_versions; d++)
        for (size_t i = 0; i < versions[d]->n; i++)
            l->places[l->n_places++] = (struct place){&versions[d]->contributions[i], d};
    qsort(l->places, l->n_places, sizeof *l->places, document_order);
    return OL_OK;
}

static void hash_row(const struct row_tokens *t, uint8_t out[SHA256_BYTES])
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, t->tokens, t->n * sizeof *t->tokens);
    sha256_add(&h, t->taught, t->n * sizeof *t->taught);
    sha256_end(&h, out);
}

/* Two rows whose hashes begin alike are compared whole; a third of that kind would only be looked up against the later.
 */
static bool is_copy(const struct loading *l, const uint8_t hash[SHA256_BYTES])
{
    uint64_t key, at;
    memcpy(&key, hash, sizeof key);
    at = map64_get(&l->seen, key);
    return at != MAP64_ABSENT && memcmp(l->kept[at].hash, hash, SHA256_BYTES) == 0;
}

static int keep(struct loading *l, uint32_t number, const uint8_t hash[SHA256_BYTES])
{
    uint64_t key;
    if (l->n == TAUGHT_MAX_ROWS)
        return err_set(l->e, OL_ELIMIT, MODULE, "more than %d rows", TAUGHT_MAX_ROWS);
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct kept *grown = realloc(l->kept, cap * sizeof *grown);
        if (!grown)
            return err_set(l->e, OL_ENOMEM, MODULE, "no memory for %zu rows", cap);
        l->kept = grown;
        l->cap = cap;
    }
    struct kept *k = &l->kept[l->n];
    memcpy(&key, hash, sizeof key);
    if (!map64_set(&l->seen, key, l->n))
        return err_set(l->e, OL_ENOMEM, MODULE, "no memory for %zu rows", l->n);
    *k = (struct kept){.row = {l->tokens.tokens, l->tokens.taught, l->tokens.n}, .place = l->place, .number = number};
    memcpy(k->hash, hash, SHA256_BYTES);
    l->n++;
    l->tokens = (struct row_tokens){0}; /* the row has them now */
    return OL_OK;
}

static int add_row(void *user, const struct training_row *row)
{
    struct loading *l = user;
    uint8_t hash[SHA256_BYTES];
    int rc = row_encode(l->encoder, row, &l->tokens, l->e);
    if (rc)
        return err_prefix(l->e, "row %u", row->row);
    bool teaches = false;
    for (size_t i = 1; i < l->tokens.n && !teaches; i++)
        teaches = l->tokens.taught[i];
    if (!teaches) {
        l->out->empty++;
        return OL_OK;
    }
    hash_row(&l->tokens, hash);
    if (is_copy(l, hash)) {
        l->out->copies++;
        return OL_OK;
    }
    return keep(l, row->row, hash);
}

static int read_rows(struct loading *l)
{
    for (size_t i = 0; i < l->n_places; i++) {
        l->place = &l->places[i];
        if (!l->place->contribution->text) {
            l->out->withdrawn++;
            continue;
        }
        int rc = contribution_rows(l->place->contribution, add_row, l, l->e);
        if (rc) {
            const uint8_t *id = l->place->contribution->id;
            return err_prefix(l->e, "contribution 0x%02x%02x%02x%02x…", id[0], id[1], id[2], id[3]);
        }
    }
    return OL_OK;
}

static int by_id_and_row(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    int order = memcmp(x->place->contribution->id, y->place->contribution->id, 32);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

static int owner_order(const void *a, const void *b) { return vectors_owner_order(a, b); }

static struct vectors_owner owner_of(const struct kept *k)
{
    struct vectors_owner o = {.datanet = k->place->datanet};
    memcpy(o.address, k->place->contribution->contributor, ADDRESS_BYTES);
    return o;
}

static void list_owners(const struct loading *l)
{
    struct taught_rows *out = l->out;
    for (size_t i = 0; i < l->n; i++)
        out->owner[i] = owner_of(&l->kept[i]);
    qsort(out->owner, l->n, sizeof *out->owner, owner_order);
    for (size_t i = 0; i < l->n; i++)
        if (i == 0 || vectors_owner_order(&out->owner[out->n_owners - 1], &out->owner[i]) != 0)
            out->owner[out->n_owners++] = out->owner[i];
}

static int finish(struct loading *l)
{
    struct taught_rows *out = l->out;
    qsort(l->kept, l->n, sizeof *l->kept, by_id_and_row);
    out->rows = calloc(l->n + 1, sizeof *out->rows);
    out->owners = calloc(l->n + 1, sizeof *out->owners);
    out->owner = calloc(l->n + 1, sizeof *out->owner);
    if (!out->rows || !out->owners || !out->owner)
        return err_set(l->e, OL_ENOMEM, MODULE, "no memory for %zu rows", l->n);
    list_owners(l);
    for (; out->n < l->n; out->n++) {
        struct kept *k = &l->kept[out->n];
        struct vectors_owner o = owner_of(k), *found;
        found = bsearch(&o, out->owner, out->n_owners, sizeof *out->owner, owner_order);
        out->owners[out->n] = (uint32_t)(found - out->owner);
        out->rows[out->n] = k->row;
        out->tokens += k->row.n;
        k->row = (struct gradient_row){0};
    }
    return out->n_owners <= VECTORS_MAX ? OL_OK
                                        : err_set(l->e, OL_ELIMIT, MODULE,
                                                  "%u contributors; gradients are shared by %d at "
                                                  "most: make the policy without them",
                                                  out->n_owners, VECTORS_MAX);
}

static void free_row(struct gradient_row *row)
{
    free((void *)(uintptr_t)row->tokens);
    free((void *)(uintptr_t)row->taught);
}

int taught_rows_load(const struct row_encoder *encoder, struct datanet_version *const *versions, uint32_t n_versions,
                     struct taught_rows *out, struct err *e)
{
    struct err own;
    struct loading l = {.encoder = encoder, .out = out, .e = e ? e : &own};
    memset(out, 0, sizeof *out);
    int rc = list_places(&l, versions, n_versions);
    if (!rc)
        rc = read_rows(&l);
    if (!rc)
        rc = finish(&l);
    for (size_t i = 0; i < l.n; i++)
        free_row(&l.kept[i].row);
    free(l.kept);
    free(l.places);
    map64_deinit(&l.seen);
    row_tokens_deinit(&l.tokens);
    if (rc)
        taught_rows_deinit(out);
    return rc;
}

void taught_rows_deinit(struct taught_rows *t)
{
    for (size_t i = 0; i < t->n; i++)
        free_row(&t->rows[i]);
    free(t->rows);
    free(t->owners);
    free(t->owner);
    memset(t, 0, sizeof *t);
}
