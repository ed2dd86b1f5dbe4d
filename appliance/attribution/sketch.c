/* CountSketch with drawn integers; see sketch.h. */
#include "attribution/sketch.h"

#include "base/err.h"

#include <string.h>

/* The finalizer of SplitMix64: a bijection that changes about half of the bits for each bit of its input. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15); /* 2⁶⁴ / golden ratio: spreads counters over the range */

void sketch_init(struct sketch *s, uint64_t seed, uint32_t n_blocks, uint32_t budget)
{
    CHECK(n_blocks >= 1 && n_blocks <= SKETCH_MAX_BLOCKS && budget >= n_blocks && budget <= SKETCH_MAX_DIMENSIONS);
    memset(s, 0, sizeof *s);
    s->seed = seed;
    s->n_blocks = n_blocks;
    s->dimensions = budget / n_blocks * n_blocks;
    for (uint32_t l = 0; l < n_blocks; l++)
        s->block_dimensions[l] = budget / n_blocks;
}

void sketch_add(const struct sketch *s, uint32_t block, uint64_t first, const float *values, size_t n, double *out)
{
    uint64_t key = mix(s->seed + odd * (block + 1)), dimensions = s->block_dimensions[block];
    for (size_t i = 0; i < n; i++) {
        uint64_t h = mix(key + odd * (first + i + 1));
        double value = values[i];
        /* The upper half scaled to the range is the place, the lowest bit the sign. */
        out[(h >> 32) * dimensions >> 32] += h & 1 ? -value : value;
    }
}

uint32_t sketch_offset(const struct sketch *s, uint32_t block)
{
    uint32_t offset = 0;
    for (uint32_t l = 0; l < block; l++)
        offset += s->block_dimensions[l];
    return offset;
}
