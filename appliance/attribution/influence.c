/* The integer side of gradients; see influence.h.
 *
 * Bounds: |I| ≤ 4,096·2^30 = 2^42 and so are the norms' product's root, floor and x; of at most 2^16 contributors the
 * sums stay below 2^58. */
#include "attribution/influence.h"

#include "chainlite/core/shares.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "influence"

uint64_t influence_root(unsigned __int128 x)
{
    unsigned __int128 root = 0;
    /* Bit by bit from the highest: root² ≤ x throughout. */
    for (int bit = 63; bit >= 0; bit--) {
        unsigned __int128 next = root | (unsigned __int128)1 << bit;
        if (next <= x / next)
            root = next;
    }
    return (uint64_t)root;
}

static int64_t dot(const int16_t *a, const int16_t *b, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (int32_t)a[i] * b[i];
    return sum;
}

static uint64_t norms(const struct vectors *v, uint64_t query_square, uint32_t c)
{
    return influence_root((unsigned __int128)query_square * v->squares[c]);
}

uint32_t influence_cosine_ppb(const struct vectors *v, const int16_t *query, uint32_t c)
{
    size_t k = v->sketch.dimensions;
    int64_t influence = dot(query, v->values + c * k, k);
    uint64_t product = norms(v, (uint64_t)dot(query, query, k), c);
    if (influence <= 0 || product == 0)
        return 0;
    unsigned __int128 cosine = ((unsigned __int128)PPB * (uint64_t)influence + product - 1) / product;
    return cosine < PPB ? (uint32_t)cosine : PPB; /* the rounded root may be a little below I */
}

static void measure(const struct vectors *v, uint32_t kappa_ppb, const int16_t *query, struct influence_row *rows)
{
    size_t k = v->sketch.dimensions;
    uint64_t query_square = (uint64_t)dot(query, query, k);
    for (uint32_t c = 0; c < v->n; c++) {
        struct influence_row *r = &rows[c];
        unsigned __int128 floor = (unsigned __int128)kappa_ppb * norms(v, query_square, c);
        r->influence = dot(query, v->values + c * k, k);
        r->floor = (uint64_t)((floor + PPB - 1) / PPB);
        r->earned = r->influence > (int64_t)r->floor ? (uint64_t)r->influence - r->floor : 0;
    }
}

/* One Datanet's contributors stand together. Returns behind the last of the Datanet that begins at `first`. */
static uint32_t datanet_end(const struct vectors *v, uint32_t first)
{
    uint32_t end = first;
    while (end < v->n && v->owners[end].datanet == v->owners[first].datanet)
        end++;
    return end;
}

/* X_D: what its contributors earned, but no more than helpful and harmful data of the Datanet leave together. */
static uint64_t datanet_total(const struct influence_row *rows, uint32_t first, uint32_t end)
{
    uint64_t earned = 0;
    int64_t net = 0;
    for (uint32_t c = first; c < end; c++) {
        earned += rows[c].earned;
        net += rows[c].influence;
    }
    return net <= 0 ? 0 : earned < (uint64_t)net ? earned : (uint64_t)net;
}

/* `room`: for v->n of each. */
static void divide(const struct vectors *v, struct influence_result *out, struct division *datanets,
                   struct division *room)
{
    uint32_t n = 0, first = 0;
    for (uint32_t at = 0; at < v->n; at = datanet_end(v, at))
        datanets[n++].weight = datanet_total(out->rows, at, datanet_end(v, at));
    units_divide(out->units, datanets, n);
    for (uint32_t datanet = 0; datanet < n; datanet++) {
        uint32_t end = datanet_end(v, first);
        for (uint32_t c = first; c < end; c++)
            room[c - first].weight = out->rows[c].earned;
        units_divide(datanets[datanet].units, room, end - first);
        for (uint32_t c = first; c < end; c++)
            out->rows[c].units = room[c - first].units;
        first = end;
    }
}

int influence_units(const struct vectors *v, const struct influence_rule *rule, const struct influence_answer *a,
                    struct influence_result *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    if (rule->kappa_ppb > PPB || rule->s0 < 1 || a->tokens < 1 || a->open_tokens > a->tokens)
        return err_set(e, OL_EINVAL, MODULE, "kappa of %u ppb, S0 of %llu or %u open of %u tokens are out of range",
                       rule->kappa_ppb, (unsigned long long)rule->s0, a->open_tokens, a->tokens);
    struct division *room = calloc(2 * (size_t)v->n, sizeof *room);
    out->rows = calloc(v->n, sizeof *out->rows);
    if (!out->rows || !room) {
        free(room);
        influence_result_deinit(out);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %u contributors", v->n);
    }
    measure(v, rule->kappa_ppb, a->query, out->rows);
    for (uint32_t first = 0; first < v->n; first = datanet_end(v, first))
        out->total += datanet_total(out->rows, first, datanet_end(v, first));
    /* 10⁹·U·min(X, S₀): less than 30 + 32 + 58 bits; T·S₀ less than 32 + 64 */
    unsigned __int128 credited = out->total < rule->s0 ? out->total : rule->s0;
    out->units = (uint32_t)(credited * PPB * a->open_tokens / ((unsigned __int128)a->tokens * rule->s0));
    divide(v, out, room, room + v->n);
    free(room);
    return OL_OK;
}

void influence_result_deinit(struct influence_result *r)
{
    free(r->rows);
    memset(r, 0, sizeof *r);
}
