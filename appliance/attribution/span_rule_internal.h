/* An answer under the rule, shared by paying (span_rule.c) and calibration (span_tau.c). */
#ifndef OPENLORA_ATTRIBUTION_SPAN_RULE_INTERNAL_H
#define OPENLORA_ATTRIBUTION_SPAN_RULE_INTERNAL_H

#include "attribution/span_match.h"
#include "attribution/span_rule.h"

#define SPAN_NOBODY UINT32_MAX

struct span_answer { /* all inside a span_scratch */
    uint32_t tokens;
    bool *echo;                 /* (tokens) */
    uint32_t n_matches;         /* by start; ends ascend too */
    struct span_match *matches; /* (tokens); start: in the answer */
    uint32_t *worth;            /* (tokens) millibits of each match */
    uint32_t *payer;            /* (tokens) the match that each token belongs to, or SPAN_NOBODY */
    uint32_t *queue;            /* (tokens) */
};

/* Rules 1 and 2 and the surprisal of each match. */
int span_answer_match(const struct span_index *, const struct surprisal *, const struct span_query *,
                      struct span_scratch *, struct span_answer *, struct err *) __attribute__((warn_unused_result));
/* Rules 3 and 4: fills payer. */
void span_answer_pay(struct span_answer *, uint32_t tau_millibits);

#endif
