/* Quantization of activations (contract: quantize in kernels/ops.h), by lanes that hold a row's values.
 *
 *   q[i] = rint(x[i] · (127 / max|x|)) over blocks of 32 columns; d = max|x| / 127, sums of q beside it
 *
 * N consecutive values lie in each lane, so 32 / N lanes hold a block, and a warp holds N of them:
 *
 *   N = 4   lane  0     1     2  …  7   │  8  …              N = 1   lane  0  1  2  …  31
 *           col   0‥3   4‥7   …   28‥31 │  32 ‥                      col   0  1  2  …  31
 *           └──────── block 0 ──────────┘                            └─── block 0 ────┘
 *
 * All lanes of a warp take part (lanes without columns bring zeros). Steps between lanes: log2(32 / N) for the maximum,
 * as many for the sums. A lane writes its N values as one word, the first lane of a block the block's 16 bytes of
 * struct q8_meta. No shared memory; no waiting but for the shuffles. */
#ifndef OPENLORA_KERNELS_CUDA_QUANTIZE_CUH
#define OPENLORA_KERNELS_CUDA_QUANTIZE_CUH

#include "kernels/cuda/dialect.cuh"
#include "kernels/ops.h"

#include <float.h>

/* −128 for a NaN. 127.5 would round to 128, which is −128 in 8 bits, as in the reference. */
DEVICE int8_t quantize_value(float v)
{
    return v >= -128.0f && v <= 127.5f ? (int8_t)float_to_int_rn(v) : (int8_t)-128;
}

/* q gets this lane's values; every lane of the block gets the block's meta. */
template <int N> DEVICE struct q8_meta quantize_lanes(const float (&x)[N], int8_t (&q)[N])
{
    struct q8_meta meta;
    float most = 0.0f; /* fmaxf passes over a NaN */
#pragma unroll
    for (int i = 0; i < N; i++)
        most = fmaxf(most, fabsf(x[i]));
#pragma unroll
    for (int mask = 16 / N; mask; mask /= 2)
        most = fmaxf(most, shfl_xor(most, mask));
    float inverse = 127.0f / most;
    if (!(inverse <= FLT_MAX)) /* all 0, or so small that the inverse is not finite */
        inverse = 0.0f;
    int sum = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
        q[i] = quantize_value(x[i] * inverse);
        sum += q[i];
    }
#pragma unroll
    for (int mask = 8 / N; mask; mask /= 2)
        sum += shfl_xor(sum, mask);
    int other = shfl_xor(sum, 16 / N); /* the other 16 columns of the block */
    meta.sum = sum + other;
    meta.sum_lo = lane_id() & (16 / N) ? other : sum;
    meta.d = most / 127.0f;
    meta.ds = meta.d * (float)meta.sum;
    return meta;
}

/* An int8 row: the values of all columns, then the blocks' metas (q8_row_bytes). */
struct q8_row {
    int8_t *values;
    struct q8_meta *metas;
};

DEVICE struct q8_row q8_row_at(void *q8, int64_t row, int64_t cols)
{
    int8_t *values = (int8_t *)q8 + row * (int64_t)q8_row_bytes(cols);
    return {values, (struct q8_meta *)(values + cols)};
}

/* Quantizes and stores columns col .. col + N − 1 of each lane; col is a multiple of N, cols of 32. */
template <int N> DEVICE void quantize_store(const struct q8_row &row, int64_t col, int64_t cols, const float (&x)[N])
{
    static_assert(N == 1 || N == 4, "one value or one word a lane");
    int8_t q[N];
    struct q8_meta meta = quantize_lanes(x, q);
    if (col >= cols)
        return;
    if constexpr (N == 4)
        st((uint32_t *)(row.values + col), (uint32_t)(uint8_t)q[0] | (uint32_t)(uint8_t)q[1] << 8 |
                                               (uint32_t)(uint8_t)q[2] << 16 | (uint32_t)(uint8_t)q[3] << 24);
    else
        st(row.values + col, q[0]);
    if (col % 32 == 0)
        st((uint4 *)(row.metas + col / 32), make_uint4(float_to_bits(meta.d), float_to_bits(meta.ds),
                                                       (uint32_t)meta.sum, (uint32_t)meta.sum_lo));
}

#endif
