/* The Attribution Statement (docs/attribution.md §5): what a node says of who shares a receipt's data part. Signed once
 * per receipt, in the domain of proofs, when the batch closes that posts the data part. Pure. */
#ifndef OPENLORA_CORE_STATEMENT_H
#define OPENLORA_CORE_STATEMENT_H

#include "chainlite/core/shares.h"

enum statement_kind {
    STATEMENT_SPANS = 1,     /* spans alone */
    STATEMENT_GRADIENTS = 2, /* and this answer's gradients */
    STATEMENT_MEAN = 3,      /* and the mean of the policy's earlier ones */
};

struct attribution_statement { /* in the order of the EIP-712 type */
    uint8_t receipt_id[32];
    uint8_t node[ADDRESS_BYTES];
    uint64_t epoch, sequence;
    uint8_t policy[32];
    uint8_t kind; /* enum statement_kind */
    uint32_t answer_tokens, open_tokens;
    uint8_t span_root[32];
    uint8_t query_hash[32]; /* 0 unless STATEMENT_GRADIENTS */
    uint8_t shares_root[32];
    uint32_t shares_count, shares_total;
};
extern const struct schema attribution_statement_schema;

void statement_struct_hash(const struct attribution_statement *, uint8_t out[HASH_BYTES]);
void statement_digest(const struct attribution_statement *, const struct domains *, uint8_t out[HASH_BYTES]);
/* OL_EFORMAT with the name of the field unless the statement is of this proof and its own figures agree. Not its shares
 * and not its signature. */
int statement_check(const struct attribution_statement *, const struct proof *, struct err *);

#endif
