/* Shares of an answer's data part; see shares.h. */
#include "chainlite/core/shares.h"

#include <string.h>

enum { TAG_SHARE = 6 };

static const uint8_t nobody[ADDRESS_BYTES];

static const struct field gradient_fields[] = {
    FIELD(gradient_units, ADDRESS, "beneficiary", beneficiary),
    FIELD(gradient_units, U32, "units", units),
};
const struct schema gradient_schema = SCHEMA_AS(ARRAY, "gradient", gradient_units, gradient_fields);

static const struct field share_fields[] = {
    FIELD(share, ADDRESS, "beneficiary", beneficiary),
    FIELD(share, U32, "span_units", span_units),
    FIELD(share, U32, "gradient_units", gradient_units),
};
const struct schema share_schema = SCHEMA_AS(ARRAY, "share", share, share_fields);

static int too_many(struct err *e)
{
    return err_set(e, OL_ELIMIT, "shares", "more than %d beneficiaries share one answer", RECEIPT_MAX_SHARES);
}

/* ---- the rule of division */

static size_t count_from(const struct division *d, size_t n, wei_t least)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += d[i].remainder >= least;
    return count;
}

/* The largest remainder that at least `count` reach, by halving: no order, no memory. */
static wei_t threshold(const struct division *d, size_t n, size_t count, wei_t above)
{
    wei_t low = 0, high = above; /* `low` is reached by enough, `high` by nobody */
    while (high - low > 1) {
        wei_t middle = low + (high - low) / 2;
        if (count_from(d, n, middle) >= count)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void units_divide(uint32_t units, struct division *d, size_t n)
{
    wei_t total = 0;
    uint64_t given = 0;
    for (size_t i = 0; i < n; i++) {
        total += d[i].weight;
        d[i].units = 0;
    }
    if (total == 0)
        return;
    for (size_t i = 0; i < n; i++) { /* below 2⁹⁶: 32 bits times 64 */
        wei_t product = (wei_t)units * d[i].weight;
        d[i].units = (uint32_t)(product / total);
        d[i].remainder = product % total;
        given += d[i].units;
    }
    size_t left = (size_t)(units - given); /* fewer than those who have a remainder */
    if (left == 0)
        return;
    wei_t least = threshold(d, n, left, total);
    size_t at_least = left - count_from(d, n, least + 1); /* how many of those with exactly `least` */
    for (size_t i = 0; i < n; i++) {
        bool more = d[i].remainder > least;
        if (!more && (d[i].remainder < least || at_least == 0))
            continue;
        at_least -= !more;
        d[i].units++;
    }
}

uint32_t units_of_tokens(uint32_t tokens, uint32_t answer_tokens)
{
    return answer_tokens ? (uint32_t)((uint64_t)UNITS * tokens / answer_tokens) : 0;
}

/* ---- spans */

/* Where the address stands, or would stand, among n sorted ones. */
static size_t place_of(const struct share *shares, size_t n, const uint8_t address[ADDRESS_BYTES], bool *there)
{
    size_t low = 0, high = n;
    *there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(shares[middle].beneficiary, address, ADDRESS_BYTES);
        if (order == 0) {
            *there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(struct share *shares, size_t *n, size_t at, const uint8_t address[ADDRESS_BYTES])
{
    memmove(&shares[at + 1], &shares[at], (*n - at) * sizeof *shares);
    shares[at] = (struct share){0};
    memcpy(shares[at].beneficiary, address, ADDRESS_BYTES);
    ++*n;
}

int shares_of_spans(const struct receipt_span *spans, size_t n, uint32_t answer_tokens, struct share *out,
                    struct division *scratch, size_t *n_out, struct err *e)
{
    size_t owners = 0, kept = 0;
    uint32_t tokens = 0;
    for (size_t i = 0; i < n; i++) { /* tokens by owner, in span_units for now */
        bool there;
        size_t at = place_of(out, owners, spans[i].beneficiary, &there);
        if (!there && owners == RECEIPT_MAX_SHARES + 1)
            return too_many(e);
        if (!there)
            insert(out, &owners, at, spans[i].beneficiary);
        out[at].span_units += spans[i].tokens;
        tokens += spans[i].tokens;
    }
    for (size_t i = 0; i < owners; i++)
        scratch[i].weight = out[i].span_units;
    units_divide(units_of_tokens(tokens, answer_tokens), scratch, owners);
    for (size_t i = 0; i < owners; i++) {
        if (scratch[i].units == 0 || memcmp(out[i].beneficiary, nobody, ADDRESS_BYTES) == 0)
            continue;
        out[kept] = out[i];
        out[kept++].span_units = scratch[i].units;
    }
    *n_out = kept;
    return kept > RECEIPT_MAX_SHARES ? too_many(e) : 0;
}

/* ---- gradients */

int gradients_check(const struct gradient_units *g, size_t n, uint32_t open_tokens, uint32_t answer_tokens,
                    struct err *e)
{
    const uint32_t most = units_of_tokens(open_tokens, answer_tokens);
    const uint8_t *before = nobody;
    uint64_t sum = 0;
    if (n > RECEIPT_MAX_SHARES)
        return too_many(e);
    for (size_t i = 0; i < n; before = g[i++].beneficiary) {
        sum += g[i].units;
        if (memcmp(before, g[i].beneficiary, ADDRESS_BYTES) >= 0)
            return err_set(e, OL_EFORMAT, "shares", "gradient units %zu: beneficiaries ascend strictly, from above the "
                           "zero address", i);
        if (g[i].units == 0 || sum > most)
            return err_set(e, OL_EFORMAT, "shares", "gradient units %zu: %llu units in all; from 1 to %u are open", i,
                           (unsigned long long)sum, most);
    }
    return 0;
}

void gradients_mean(const struct gradient_sum *sums, size_t n, uint64_t sum_open, uint32_t open_tokens,
                    uint32_t answer_tokens, struct gradient_units *out, struct division *scratch, size_t *n_out)
{
    wei_t sum = 0;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        sum += sums[i].units;
        scratch[i].weight = sums[i].units;
    }
    CHECK(sum <= sum_open);
    wei_t units = sum_open ? (wei_t)units_of_tokens(open_tokens, answer_tokens) * sum / sum_open : 0;
    units_divide((uint32_t)units, scratch, n);
    for (size_t i = 0; i < n; i++) {
        if (scratch[i].units == 0)
            continue;
        memcpy(out[kept].beneficiary, sums[i].beneficiary, ADDRESS_BYTES);
        out[kept++].units = scratch[i].units;
    }
    *n_out = kept;
}

int shares_merge(struct share *shares, size_t *n, const struct gradient_units *g, size_t n_gradients, struct err *e)
{
    for (size_t i = 0; i < n_gradients; i++) {
        bool there;
        size_t at = place_of(shares, *n, g[i].beneficiary, &there);
        if (!there && *n == RECEIPT_MAX_SHARES)
            return too_many(e);
        if (!there)
            insert(shares, n, at, g[i].beneficiary);
        shares[at].gradient_units += g[i].units;
    }
    return 0;
}

/* ---- what is signed, and paid */

static void add_u32(struct keccak *k, uint32_t value)
{
    uint8_t bytes[16];
    wei_to_be16(value, bytes);
    keccak_add(k, bytes + 12, 4);
}

void share_leaf(const struct share *s, struct sumnode *out)
{
    struct keccak k;
    uint8_t tag = TAG_SHARE;
    keccak_init(&k);
    keccak_add(&k, &tag, 1);
    keccak_add(&k, s->beneficiary, ADDRESS_BYTES);
    add_u32(&k, s->span_units);
    add_u32(&k, s->gradient_units);
    keccak_end(&k, out->hash);
    out->sum_wei = (wei_t)s->span_units + s->gradient_units;
}

int shares_root(const struct share *shares, size_t n, struct sumnode *nodes, uint8_t root[HASH_BYTES], uint32_t *total,
                struct err *e)
{
    const uint8_t *before = nobody;
    struct sumnode top;
    if (n > RECEIPT_MAX_SHARES)
        return too_many(e);
    for (size_t i = 0; i < n; before = shares[i++].beneficiary) {
        share_leaf(&shares[i], &nodes[i]);
        if (memcmp(before, shares[i].beneficiary, ADDRESS_BYTES) >= 0 || nodes[i].sum_wei == 0)
            return err_set(e, OL_EFORMAT, "shares", "share %zu: beneficiaries ascend strictly, from above the zero "
                           "address, and each has units", i);
    }
    CHECK(sumtree_root(nodes, n, &top, NULL) == 0); /* at most 1,024 · 2³³ */
    if (top.sum_wei > UNITS)
        return err_set(e, OL_EFORMAT, "shares", "the shares are more than the whole");
    memcpy(root, top.hash, HASH_BYTES);
    *total = (uint32_t)top.sum_wei;
    return 0;
}

size_t shares_postings(const struct share *shares, size_t n, wei_t data_wei, const uint8_t pool[ADDRESS_BYTES],
                       uint64_t sequence, struct posting *out)
{
    size_t n_out = 0;
    uint32_t until = 0;
    wei_t paid = 0;
    for (size_t i = 0; i <= n; i++) {
        until = i < n ? until + shares[i].span_units + shares[i].gradient_units : UNITS;
        wei_t amount = wei_part(data_wei, until) - paid;
        if (amount == 0)
            continue;
        struct posting *p = &out[n_out++];
        memcpy(p->beneficiary, i < n ? shares[i].beneficiary : pool, ADDRESS_BYTES);
        p->sequence = sequence;
        p->role = i < n ? ROLE_DATA : ROLE_UNATTRIBUTED;
        p->amount_wei = amount;
        paid += amount;
    }
    return n_out;
}
