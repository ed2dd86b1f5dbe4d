/* How a product is cut into tiles: the same for all instruction sets. A tile is a run of groups of 16 outputs for
 * a run of rows; every output is computed by one tile alone. */
#ifndef OPENLORA_KERNELS_CPU_MATMUL_H
#define OPENLORA_KERNELS_CPU_MATMUL_H

#include "kernels/cpu/pack.h"

/* Rows of activations that are worked on together: few enough that they stay in the second-level cache while the
 * weights of a tile pass by. */
enum { MATMUL_ROW_BLOCK = 96 };

/* Sanitizers instrument every access of the unrolled tiles, which takes minutes to compile: smaller tiles then, of
 * the same code and the same results. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MATMUL_SMALL_TILES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MATMUL_SMALL_TILES 1
#endif
#endif

struct matmul_range {
    int64_t group0, group1;
    int row0, row1; /* at most MATMUL_ROW_BLOCK apart */
};

int matmul_tiles(const void *op, int threads);
struct matmul_range matmul_range(const struct op_matmul *op, int tile, int tiles);

#endif
