/* What the rule finds in one answer, before it is known what that earns: for calibration. */
#ifndef OPENLORA_ATTRIBUTION_SCORE_H
#define OPENLORA_ATTRIBUTION_SCORE_H

#include "attribution/gradient.h"
#include "attribution/span_rule.h"

struct scorer { /* all borrowed but the scratch, which is zeroed and released by the caller */
    const struct span_index *index;
    const struct surprisal *surprisal;
    uint32_t tau_millibits;
    const struct vectors *vectors; /* NULL: spans alone */
    struct lora_model *model;      /* with the adapter; NULL without vectors */
    struct span_scratch scratch;
};

struct scored_answer { /* one choice */
    const int32_t *prompt, *answer;
    size_t n_prompt, n;
};

struct score {
    uint32_t tokens, span_tokens, open_tokens;
    bool has_query; /* false: no open token, or no vectors */
    uint32_t cosine_ppb; /* the largest over the contributors; 0 without query */
    int16_t query[SKETCH_MAX_DIMENSIONS];
};

int score_answer(struct scorer *, const struct scored_answer *, struct score *out, struct err *)
    __attribute__((warn_unused_result));

#endif
