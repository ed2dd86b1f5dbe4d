/* Matches between a segment of an answer and the index (docs/attribution.md §2, rules 2 and 5): per start the longest,
 * without those contained in another, each with the earliest place that holds it.
 *
 * Time: per start one descent of the suffix array, whose comparisons go on where the last ones stopped: about
 * length of the match + log2(symbols) steps. No memory beyond the caller's. */
#ifndef OPENLORA_ATTRIBUTION_SPAN_MATCH_H
#define OPENLORA_ATTRIBUTION_SPAN_MATCH_H

#include "attribution/span_index.h"

struct span_match {
    uint32_t start, tokens;    /* in the segment */
    uint32_t document, offset; /* the earliest document that holds it, and where in it, in tokens */
};

/* Finds the next match whose end lies behind `*end`, trying starts from `*start` on; advances both. 1: *out is filled.
 * 0: there are no more. Negative: the index is damaged (OL_EFORMAT). Begin with *start = *end = 0. */
int span_match_next(const struct span_index *, const int32_t *segment, uint32_t tokens, uint32_t *start, uint32_t *end,
                    struct span_match *out, struct err *) __attribute__((warn_unused_result));

#endif
