/* Buckets: what step sizes are rounded up to, so that few different launches serve all steps. The engine warms a device
 * up bucket by bucket; a device's streams look their step's bucket up. */
#ifndef OPENLORA_KERNELS_BUCKET_H
#define OPENLORA_KERNELS_BUCKET_H

#include <stdint.h>

/* Rows, sequences, logits: 1, 2, 4, 8, … and `most`. 0 stays 0. */
static inline int32_t bucket_rows(int32_t n, int32_t most)
{
    int32_t b = 1;
    while (b < n)
        b *= 2;
    return n == 0 ? 0 : b < most ? b : most;
}

/* Splits of context: 1, 4, 16, 64, … */
static inline int32_t bucket_splits(int32_t n)
{
    int32_t b = 1;
    while (b < n)
        b *= 4;
    return b;
}

#endif
