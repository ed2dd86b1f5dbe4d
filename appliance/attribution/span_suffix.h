/* Suffix sorting in linear time over integer alphabets, by induced sorting (SA-IS: Nong, Zhang, Chan, "Two Efficient
 * Algorithms for Linear Time Suffix Array Construction", 2011). The end of the text sorts below every symbol. */
#ifndef OPENLORA_ATTRIBUTION_SPAN_SUFFIX_H
#define OPENLORA_ATTRIBUTION_SPAN_SUFFIX_H

#include "base/err.h"

#include <stdint.h>

/* How far a long build is; `report` may be NULL. */
struct span_tally {
    void (*report)(void *context, uint64_t done, uint64_t total);
    void *context;
    uint64_t done, total;
};
void span_tally_add(struct span_tally *, uint64_t steps); /* never past total */

enum { SPAN_SUFFIX_STEPS = 9 }; /* that sorting adds to the tally per symbol, about */

/* Fills sa (n): the starts of the suffixes of text (n symbols, each below `alphabet`), in their order.
 * n < 2^31. Memory beyond the two arrays: n/8 bytes and 8 per symbol of the alphabets, about 3 n in all. OL_ENOMEM. */
int span_suffix_sort(const uint32_t *text, uint32_t *sa, uint32_t n, uint32_t alphabet, struct span_tally *,
                     struct err *) __attribute__((warn_unused_result));

#endif
