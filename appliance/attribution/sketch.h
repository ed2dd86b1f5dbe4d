/* CountSketch: gradients of any length as few numbers whose dot products estimate the gradients' (docs/attribution.md
 * §3). Each block, a layer of the model, has its own dimensions: parameter i of block l adds ± its value to one of
 * them, sign and place drawn by a counter-based integer hash of (seed, l, i). No table, no state, no libm: every
 * program gets the same sketch, and sums are formed in the order of i. */
#ifndef OPENLORA_ATTRIBUTION_SKETCH_H
#define OPENLORA_ATTRIBUTION_SKETCH_H

#include <stddef.h>
#include <stdint.h>

enum { SKETCH_MAX_DIMENSIONS = 4096, SKETCH_MAX_BLOCKS = 1024 };

struct sketch {
    uint64_t seed;
    uint32_t n_blocks;
    uint32_t dimensions;                       /* of all blocks */
    uint32_t block_dimensions[SKETCH_MAX_BLOCKS]; /* n_blocks, each ≥ 1 */
};

/* Equal dimensions for 1 … SKETCH_MAX_BLOCKS blocks, as many as `budget` (n_blocks … SKETCH_MAX_DIMENSIONS) allows. */
void sketch_init(struct sketch *, uint64_t seed, uint32_t n_blocks, uint32_t budget);

/* Adds n parameters, `first` and following of the block, to out (its dimensions, from sketch_offset on in a whole
 * sketch). */
void sketch_add(const struct sketch *, uint32_t block, uint64_t first, const float *values, size_t n, double *out);

/* Where the block's dimensions begin. */
uint32_t sketch_offset(const struct sketch *, uint32_t block);

#endif
