/* One answer under its policy, from its evidence: spans, the open tokens, v̂ over them, the units that follow. The node
 * that answered and whoever audits it run the same code. */
#ifndef OPENLORA_ATTRIBUTION_ANSWER_H
#define OPENLORA_ATTRIBUTION_ANSWER_H

#include "attribution/evidence.h"
#include "attribution/gradient.h"
#include "attribution/policy.h"
#include "attribution/span_rule.h"

/* Prompts and choices of an answer in a row, as the span engine wants them. */
struct answer_tokens {
    int32_t *ids;      /* owned: the prompts', then the answer's */
    uint32_t *choices; /* owned: tokens of each choice */
    size_t prompt_tokens, answer_tokens, n_choices;
};
int answer_tokens_of(const struct evidence *, struct answer_tokens *out, struct err *) __attribute__((warn_unused_result));
void answer_tokens_deinit(struct answer_tokens *);
/* Borrows from tokens and policy. */
struct span_query answer_span_query(const struct answer_tokens *, const struct policy *);

/* The spans as a receipt has them: spans and open_tokens of the evidence are filled anew from its tokens. OL_ELIMIT: too
 * many. */
int answer_spans(const struct policy *, struct span_scratch *, struct evidence *, struct err *)
    __attribute__((warn_unused_result));

/* v̂ over the open tokens; the model has the adapter's parameters. query: vectors.sketch.dimensions of the policy, which has
 * gradients. Errors as gradient_query. */
int answer_query(const struct policy *, struct lora_model *, const struct evidence *, int16_t *query, struct err *)
    __attribute__((warn_unused_result));

/* Puts v̂ and the units it gives into the evidence, in place of what was there. */
int answer_set_gradients(const struct policy *, const int16_t *query, struct evidence *, struct err *)
    __attribute__((warn_unused_result));

#endif
