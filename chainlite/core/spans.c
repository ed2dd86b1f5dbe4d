/* Spans of a receipt; see spans.h. */
#include "chainlite/core/spans.h"

#include <string.h>

enum { TAG_SPAN = 7 };

static const struct field span_fields[] = {
    FIELD(receipt_span, U32, "start", start),
    FIELD(receipt_span, U32, "tokens", tokens),
    FIELD(receipt_span, HASH, "contribution", contribution),
    FIELD(receipt_span, U32, "row", row),
    FIELD(receipt_span, U32, "offset", offset),
    FIELD(receipt_span, U32, "millibits", millibits),
    FIELD(receipt_span, ADDRESS, "beneficiary", beneficiary),
};
const struct schema span_schema = SCHEMA_AS(ARRAY, "span", receipt_span, span_fields);

int spans_check(const struct receipt_span *spans, size_t n, uint32_t answer_tokens, uint32_t open_tokens,
                uint32_t *span_tokens, struct err *e)
{
    uint64_t end = 0, owned = 0;
    if (n > RECEIPT_MAX_SPANS)
        return err_set(e, OL_ELIMIT, "spans", "%zu spans; %d at most", n, RECEIPT_MAX_SPANS);
    for (size_t i = 0; i < n; i++) {
        const struct receipt_span *s = &spans[i];
        if (s->tokens == 0)
            return err_set(e, OL_EFORMAT, "spans", "span %zu owns no token", i);
        if (s->start < end)
            return err_set(e, OL_EFORMAT, "spans", "span %zu starts at %u, before the end of the one before it at %llu",
                           i, s->start, (unsigned long long)end);
        end = (uint64_t)s->start + s->tokens;
        owned += s->tokens;
        if (end > answer_tokens)
            return err_set(e, OL_EFORMAT, "spans", "span %zu ends at %llu of an answer of %u tokens", i,
                           (unsigned long long)end, answer_tokens);
    }
    if (owned + open_tokens > answer_tokens)
        return err_set(e, OL_EFORMAT, "spans", "%llu tokens of spans and %u open ones of an answer of %u",
                       (unsigned long long)owned, open_tokens, answer_tokens);
    *span_tokens = (uint32_t)owned;
    return 0;
}

static void add_u32(struct keccak *k, uint32_t value)
{
    uint8_t bytes[16];
    wei_to_be16(value, bytes);
    keccak_add(k, bytes + 12, 4);
}

void span_leaf(const struct receipt_span *s, struct sumnode *out)
{
    struct keccak k;
    uint8_t tag = TAG_SPAN;
    keccak_init(&k);
    keccak_add(&k, &tag, 1);
    add_u32(&k, s->start);
    add_u32(&k, s->tokens);
    keccak_add(&k, s->contribution, sizeof s->contribution);
    add_u32(&k, s->row);
    add_u32(&k, s->offset);
    add_u32(&k, s->millibits);
    keccak_add(&k, s->beneficiary, ADDRESS_BYTES);
    keccak_end(&k, out->hash);
    out->sum_wei = s->tokens;
}

void spans_root(const struct receipt_span *spans, size_t n, struct sumnode *nodes, uint8_t root[HASH_BYTES])
{
    struct sumnode top;
    for (size_t i = 0; i < n; i++)
        span_leaf(&spans[i], &nodes[i]);
    CHECK(sumtree_root(nodes, n, &top, NULL) == 0);
    memcpy(root, top.hash, HASH_BYTES);
}
