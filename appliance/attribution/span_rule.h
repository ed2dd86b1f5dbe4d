/* Which tokens of an answer are owned by which document: rules 1 to 5 of docs/attribution.md §2, to the integer. */
#ifndef OPENLORA_ATTRIBUTION_SPAN_RULE_H
#define OPENLORA_ATTRIBUTION_SPAN_RULE_H

#include "attribution/span_index.h"
#include "attribution/surprisal.h"

enum {
    SPAN_ECHO_TOKENS = 8,      /* a match of so many with the prompt is an echo */
    SPAN_MAX_ANSWER = 1 << 16, /* tokens of all choices: their surprisal fits 32 bits */
    SPAN_MAX_PROMPT = 1 << 22,
};

struct span {
    uint32_t start, tokens;    /* in the answer: the tokens that it owns */
    uint32_t document, offset; /* and the place of the first of them */
    uint32_t millibits;        /* surprisal of the whole match */
};

/* Working memory, proportional to prompt and answer: zero it, use it from one thread at a time, release it. */
struct span_scratch {
    void *memory; /* owned */
    size_t bytes;
};
void span_scratch_deinit(struct span_scratch *);

struct span_query {
    const int32_t *prompt; /* ids, as the model read them */
    size_t prompt_tokens;
    const int32_t *answer; /* ids of all choices, one choice after the other */
    size_t answer_tokens;
    const uint32_t *choices; /* (n_choices) tokens of each; their sum is answer_tokens. NULL: one choice */
    size_t n_choices;
    uint32_t tau_millibits;
};

/* The spans, by start, into out (cap of them; answer_tokens always suffices), *n of them. *open_tokens: the answer's
 * tokens that no span owns and that are no echo. Ids that the index does not know match nothing. OL_EINVAL: an id below
 * 0, choices that are not the answer, an index and a table of different vocabularies. OL_ELIMIT: too long, cap too
 * small. OL_EFORMAT: the index is damaged. */
int span_attribute(const struct span_index *, const struct surprisal *, const struct span_query *,
                   struct span_scratch *, struct span *out, size_t cap, size_t *n, uint32_t *open_tokens, struct err *)
    __attribute__((warn_unused_result));

/* Which tokens those open ones are: open (answer_tokens). Errors as above. */
int span_open_tokens(const struct span_index *, const struct surprisal *, const struct span_query *,
                     struct span_scratch *, bool *open, struct err *) __attribute__((warn_unused_result));

/* Calibration: the least τ with which answers that owe nothing to the documents have at most `max_paid_ppm` millionths
 * of their tokens paid, counted over the tokens of all answers. `nulls` are n queries; their own τ is not read. */
struct span_calibration {
    uint32_t tau_millibits;
    uint32_t paid_ppm;     /* of the tokens at that τ, rounded up */
    uint32_t any_paid_ppm; /* answers of which any token is paid, rounded up */
};
int span_calibrate_tau(const struct span_index *, const struct surprisal *, const struct span_query *nulls, size_t n,
                       uint32_t max_paid_ppm, struct span_calibration *out, struct err *)
    __attribute__((warn_unused_result));

#endif
