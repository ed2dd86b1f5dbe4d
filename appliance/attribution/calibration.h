/* What calibration finds for one adapter version (docs/attribution.md §7): figures of the rule, and how often it pays
 * for answers that owe nothing to the data. In calibration.json of the policy's folder; policy.json is made from it. */
#ifndef OPENLORA_ATTRIBUTION_CALIBRATION_H
#define OPENLORA_ATTRIBUTION_CALIBRATION_H

#include "chainlite/json/notation_file.h"

enum { CALIBRATION_VERSION = 1, CALIBRATION_MAX_BYTES = 1 << 16 };

#define POLICY_CALIBRATION_FILE "calibration.json"

/* Paid for nothing: answers of the base alone to prompts outside the data, scored with the adapter. */
struct null_test {
    uint32_t prompts;
    uint32_t paid_ppm;             /* of an answer on average, by spans and gradients, rounded up */
    uint32_t any;                  /* answers of which anything was paid */
    uint32_t any_low_ppm, any_high_ppm; /* their share: 95 % interval of Clopper and Pearson */
    uint32_t largest_ppm;          /* of one answer */
};

struct calibration {
    uint8_t version;
    uint32_t tau_millibits;
    bool has_gradients; /* false: they do not tell the adapter's answers from others; the policy has spans alone */
    struct calibration_gradients {
        uint32_t kappa_ppb;
        uint64_t s0;              /* median X of the adapter's own answers, at least 1 */
        uint32_t domain_prompts;  /* how many these were */
        uint32_t domain_paid_ppm; /* of them those with X > 0 */
    } gradients;
    uint32_t null_prompts;     /* that τ and κ were taken from */
    uint32_t answer_tokens;    /* longest answer */
    struct null_test fresh;    /* on other prompts; prompts 0: not made */
};
extern const struct schema calibration_schema;

/* κ from each null answer's largest cosine: the ⌈(n + 1)·0.995⌉-th smallest, so that a further null answer is above it
 * at most once in 200 on average (conformal prediction); the largest where there are fewer than 199. Sorts. n ≥ 1. */
uint32_t calibration_kappa(uint32_t *cosines_ppb, size_t n);
/* The lower middle one. Sorts. n ≥ 1. */
uint64_t calibration_median(uint64_t *totals, size_t n);

/* The 95 % interval of Clopper and Pearson for `hits` of n, in millionths, rounded outwards. */
void calibration_interval(uint32_t hits, uint32_t n, uint32_t *low_ppm, uint32_t *high_ppm);

#endif
