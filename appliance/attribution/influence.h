/* From the published vectors û and an answer's v̂ to units of its data part: integers only (docs/attribution.md §3), so
 * that everybody gets the same units from the same files, whatever the processor and the compiler. */
#ifndef OPENLORA_ATTRIBUTION_INFLUENCE_H
#define OPENLORA_ATTRIBUTION_INFLUENCE_H

#include "attribution/vectors.h"

struct influence_rule { /* of the policy */
    uint32_t kappa_ppb; /* at most 10^9 */
    uint64_t s0;        /* ≥ 1 */
};

struct influence_answer {
    const int16_t *query;         /* (dimensions) v̂ */
    uint32_t tokens, open_tokens; /* T ≥ 1, U ≤ T */
};

struct influence_row { /* of one contributor in one Datanet */
    int64_t influence; /* I: above zero its data made the answer likelier */
    uint64_t floor;
    uint64_t earned; /* x = max(0, I − floor) */
    uint32_t units;
};

struct influence_result {
    struct influence_row *rows; /* (vectors.n), owned, in the vectors' order */
    uint64_t total;             /* X */
    uint32_t units;             /* G: the sum of the rows' units */
};

/* ⌊√x⌋ */
uint64_t influence_root(unsigned __int128 x);

/* cos(v̂, û of contributor c) in ppb, rounded up: the least κ with which c earns nothing by it. 0 unless I > 0.
 * Calibration takes κ from it. */
uint32_t influence_cosine_ppb(const struct vectors *, const int16_t *query, uint32_t c);

/* OL_EINVAL: a rule or counts out of range, OL_ENOMEM; then *out owns nothing. */
int influence_units(const struct vectors *, const struct influence_rule *, const struct influence_answer *,
                    struct influence_result *out, struct err *) __attribute__((warn_unused_result));
void influence_result_deinit(struct influence_result *);

#endif
