/* Warp operations as kernels call them (simt.h gives them the dialect's names). */
#ifndef SIMT_WARP_H
#define SIMT_WARP_H

#include "tests/simt/machine.h"

namespace simt {

/* The value that lane `source` hands over; a source outside 0 .. 31 is this lane itself. */
uint64_t shuffle(uint64_t value, int source, place at);
uint32_t ballot(bool vote, place at);
/* The address that each lane brings, as lane `from[i]` brought it. */
void gather_addresses(const void *mine, const void *of[], const int *from, int n, place at);
/* d = a · b + c; fragments as in dialect.cuh, of a_words and b_words words a lane; c and d are 4 words. */
void mma(warp_op op, void *d, const uint32_t *a, int a_words, const uint32_t *b, int b_words, const void *c, place at);

} // namespace simt

#endif
