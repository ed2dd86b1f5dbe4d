/* Building blocks of the reference: plain C from the contract in ops.h, no cleverness. */
#ifndef OPENLORA_KERNELS_CPU_REF_H
#define OPENLORA_KERNELS_CPU_REF_H

#include "kernels/cpu/math.h"
#include "kernels/cpu/tile.h"
#include "kernels/ops.h"

/* The contract's tree over 16 partial sums. */
static inline float tree16_ref(float s[16])
{
    for (int width = 8; width; width /= 2)
        for (int j = 0; j < width; j++)
            s[j] += s[j + width];
    return s[0];
}

static inline float dot16_ref(const float *a, const float *b, int64_t n)
{
    float s[16] = {0};
    for (int64_t k = 0; k < n; k++)
        s[k % 16] = fmaf(a[k], b[k], s[k % 16]);
    return tree16_ref(s);
}

/* Quantizes one row of cols values (a multiple of 32) into the layout of q8_row_bytes. */
void quantize_row_ref(const float *x, int64_t cols, void *q8);

#endif
