/* Spans of a receipt (docs/attribution.md §2): which tokens of an answer stand in which contribution, their check, their
 * tree. A span owns the `tokens` from `start` on; no token has two owners. Pure. */
#ifndef OPENLORA_CORE_SPANS_H
#define OPENLORA_CORE_SPANS_H

#include "chainlite/core/sumtree.h"

enum { RECEIPT_MAX_SPANS = 4096 };

struct receipt_span { /* in JSON an array in this order */
    uint32_t start, tokens;           /* of the answer: position and number of the tokens it owns */
    uint8_t contribution[32];
    uint32_t row, offset;             /* in the contribution: row, and in it the token that `start` is */
    uint32_t millibits;               /* surprisal of the whole match */
    uint8_t beneficiary[ADDRESS_BYTES]; /* 0: this source may not earn */
};
extern const struct schema span_schema;

/* What of the answer the spans own. OL_EFORMAT with the span's number: no tokens, starts that do not ascend, an overlap,
 * or more than the answer_tokens that it has; OL_ELIMIT: more than RECEIPT_MAX_SPANS. open_tokens are owned by nobody
 * and were not cut out as echo, so both together stay within the answer, too. */
int spans_check(const struct receipt_span *, size_t n, uint32_t answer_tokens, uint32_t open_tokens,
                uint32_t *span_tokens, struct err *);

void span_leaf(const struct receipt_span *, struct sumnode *out);
/* The proof's spanRoot; nodes: room for n. The spans were checked, so the sum fits. n = 0: zero. */
void spans_root(const struct receipt_span *, size_t n, struct sumnode *nodes, uint8_t root[HASH_BYTES]);

#endif
