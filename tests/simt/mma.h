/* Tensor core products of a whole warp, from fragments that lie as [word][lane]. */
#ifndef SIMT_MMA_H
#define SIMT_MMA_H

#include <stdint.h>

namespace simt {

enum { MMA_A = 0, MMA_B = 4, MMA_C = 6, MMA_D = 10 }; /* first words */

/* m16n8k(16 · halves), s8, int32 sums (they wrap). */
void mma_s8(uint32_t (*f)[32], int halves);
/* m16n8k16, float32 sums: products exact, added in ascending order of k. Hardware adds in an order of its own. */
void mma_f16(uint32_t (*f)[32]);
void mma_bf16(uint32_t (*f)[32]);

} // namespace simt

#endif
