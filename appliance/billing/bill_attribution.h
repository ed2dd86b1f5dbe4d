/* What the attribution of an answer tells its bill (docs/attribution.md §2, §6), in the words of chainlited's API. */
#ifndef OPENLORA_BILLING_BILL_ATTRIBUTION_H
#define OPENLORA_BILLING_BILL_ATTRIBUTION_H

#include "chainlite/core/shares.h"

#include <jansson.h>

struct bill_attribution { /* of a delivered answer; all borrowed */
    uint8_t policy[32];                  /* id of the policy's version row */
    uint32_t answer_tokens, open_tokens; /* T and U; T is at most the bill's output tokens */
    const struct receipt_span *spans;    /* by start (core/spans.h: spans_check) */
    size_t n_spans;
};

/* The `attribution` of POST /v1/receipts: null without one. Owned; NULL without memory. */
json_t *bill_attribution_json(const struct bill_attribution *);
/* An item of POST /v1/statements, for chain_statement. gradient: by beneficiary (core/shares.h: gradients_check). */
json_t *bill_gradients_json(const uint8_t receipt_id[32], const uint8_t query_hash[32],
                            const struct gradient_units *gradient, size_t n);

#endif
