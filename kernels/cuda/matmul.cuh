/* What the products with quantized weights share: a pair of packed blocks (weight.h) from shared memory to registers,
 * its tensor core products, and the fold into float accumulators that the numerical contract (kernels/ops.h) fixes.
 *
 * One warp, 16 rows of weights × 8 rows of activations, one block of 32 columns; g = lane / 4, t = lane % 4:
 *
 *                  columns of the block                     rows of activations
 *                 0 ……………………… 31                             0 1 2 3 4 5 6 7
 *     weight   0 ┌──────────────┐         weight rows      0 ┌───────────────┐
 *     rows     : │  A: 16 × 32  │    ×   B: 32 × 8    =    g │      x[0] x[1]│   columns 2t, 2t + 1
 *              : │     int8     │                          : │               │
 *              8 │              │                      8 + g │      x[2] x[3]│
 *             15 └──────────────┘                         15 └───────────────┘
 *
 * Every lane then folds its four int32 sums, each with one fmaf (and one more for a minimum): no other lane is asked.
 *
 * Three things save instructions and change no bit:
 *  - The offset of the symmetric types (8, 16, 32) stays in the values; what it adds, offset · Σq of the activations,
 *    is taken off by beginning the int32 sum at −offset · Σq.
 *  - int32 to float32 conversion runs at a quarter of the speed of additions or less. |idot| < 2^22, so the sum begins
 *    at 0x4b400000 too, the bits of 1.5 · 2^23: read as a float it is 1.5 · 2^23 + idot exactly, and a subtraction
 *    leaves (float)idot. Q6_K multiplies its sums by its scales first and converts.
 *  - dw · da, (float)idot are computed before the accumulator is needed: what remains in the chain is the fmaf. */
#ifndef OPENLORA_KERNELS_CUDA_MATMUL_CUH
#define OPENLORA_KERNELS_CUDA_MATMUL_CUH

#include "kernels/cuda/dialect.cuh"
#include "kernels/cuda/step.cuh"
#include "kernels/cuda/weight.h"

struct alignas(8) words2 { uint32_t w[2]; };
struct alignas(16) words4 { uint32_t w[4]; };

/* What the compiler must know of a type. */
template <enum dtype T> struct quant {
    static constexpr int VALUES = T == DTYPE_Q8_0 ? BYTES_BYTES : NIBBLES_BYTES;
    static constexpr int HIGH = T == DTYPE_Q5_0 ? BITS_BYTES : T == DTYPE_Q6_K ? PAIRS_BYTES : 0;
    static constexpr int NUMBERS = T == DTYPE_Q4_1 ? 128 : 64;
    static constexpr int PAIR = VALUES + HIGH + NUMBERS;
    static constexpr int HEAD = T == DTYPE_Q4_K ? 64 : T == DTYPE_Q6_K ? 32 : 0;
    static constexpr int OFFSET = T == DTYPE_Q4_0 ? 8 : T == DTYPE_Q5_0 ? 16 : T == DTYPE_Q6_K ? 32 : 0;
    static constexpr bool HAS_MIN = T == DTYPE_Q4_1 || T == DTYPE_Q4_K;
};

/* --- Weights. --- */

/* The A fragments of both blocks of the pair at `pair` in shared memory. */
template <enum dtype T> DEVICE void load_fragments(const unsigned char *pair, int lane, uint32_t a[2][4])
{
    if constexpr (T == DTYPE_Q8_0) {
#pragma unroll
        for (int b = 0; b < 2; b++) {
            words4 v = lds((const words4 *)(pair + BYTES_BYTES / 2 * b + 16 * lane));
#pragma unroll
            for (int i = 0; i < 4; i++)
                a[b][i] = v.w[i];
        }
    } else {
        words4 v = lds((const words4 *)(pair + 16 * lane));
#pragma unroll
        for (int i = 0; i < 4; i++) {
            a[i / 2][i % 2] = v.w[i] & 0x0f0f0f0fu;
            a[i / 2][2 + i % 2] = v.w[i] >> 4 & 0x0f0f0f0fu;
        }
    }
    if constexpr (T == DTYPE_Q5_0) {
        uint32_t bits = lds((const uint32_t *)(pair + NIBBLES_BYTES + 4 * lane));
#pragma unroll
        for (int i = 0; i < 8; i++) /* bit i of each byte to bit 4 */
            a[i / 4][i % 4] |= (i < 4 ? bits << (4 - i) : bits >> (i - 4)) & 0x10101010u;
    }
    if constexpr (T == DTYPE_Q6_K) {
        words2 pairs = lds((const words2 *)(pair + NIBBLES_BYTES + 8 * lane));
#pragma unroll
        for (int i = 0; i < 8; i++) /* bits 2i and 2i + 1 to bits 4 and 5 */
            a[i / 4][i % 4] |= (i % 4 < 2 ? pairs.w[i / 4] << (4 - i % 4 * 2) : pairs.w[i / 4] >> (i % 4 * 2 - 4)) &
                               0x30303030u;
    }
}

/* A lane's numbers of one block: rows g (0) and g + 8 (1). */
struct row_numbers {
    float d[2], m[2];
    int sc[2][2]; /* Q6_K: [row][sub-block of 16] */
};

DEVICE float low_half(uint32_t v) { return half_to_float((uint16_t)v); }
DEVICE float high_half(uint32_t v) { return half_to_float((uint16_t)(v >> 16)); }

/* Of both blocks of a pair; `head` is that of its super-blocks. */
template <enum dtype T>
DEVICE void load_numbers(const unsigned char *head, const unsigned char *pair, int g, row_numbers out[2])
{
    const unsigned char *numbers = pair + quant<T>::VALUES + quant<T>::HIGH;
    if constexpr (T == DTYPE_Q4_1) {
        words4 v = lds((const words4 *)(numbers + 16 * g));
#pragma unroll
        for (int i = 0; i < 4; i++) {
            out[i / 2].d[i % 2] = low_half(v.w[i]);
            out[i / 2].m[i % 2] = high_half(v.w[i]);
        }
    } else {
        words2 v = lds((const words2 *)(numbers + 8 * g));
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t both = i % 2 ? v.w[i / 2] >> 16 : v.w[i / 2] & 0xffff;
            if constexpr (T == DTYPE_Q4_K) {
                uint32_t h = lds((const uint32_t *)(head + 8 * g + 4 * (i % 2)));
                out[i / 2].d[i % 2] = low_half(h) * (float)(both & 255);
                out[i / 2].m[i % 2] = -(high_half(h) * (float)(both >> 8));
            } else if constexpr (T == DTYPE_Q6_K) {
                out[i / 2].d[i % 2] = half_to_float(lds((const uint16_t *)(head + 4 * g + 2 * (i % 2))));
                out[i / 2].sc[i % 2][0] = (int8_t)both;
                out[i / 2].sc[i % 2][1] = (int8_t)(both >> 8);
            } else {
                out[i / 2].d[i % 2] = half_to_float((uint16_t)both);
            }
        }
    }
}

/* --- One block of products, and its fold. --- */

/* A lane's metas of one block: rows 2t (0) and 2t + 1 (1) of activations. */
struct column_meta {
    float d[2], ds[2];
    int sum[2], sum_lo[2];
};

/* `meta`: of row 2t + i in shared memory. */
DEVICE void load_meta(const unsigned char *meta, int i, column_meta *out)
{
    words4 v = lds((const words4 *)meta); /* struct q8_meta */
    out->d[i] = bits_to_float(v.w[0]);
    out->ds[i] = bits_to_float(v.w[1]);
    out->sum[i] = (int)v.w[2];
    out->sum_lo[i] = (int)v.w[3];
}

/* x = (float)idot of the four outputs. */
template <enum dtype T>
DEVICE void block_products(const uint32_t a[4], const uint32_t b[2], const row_numbers &w, const column_meta &m,
                           float x[4])
{
    constexpr int OFFSET = quant<T>::OFFSET, MAGIC = 0x4b400000;
    int c[4], d[4];
    if constexpr (T == DTYPE_Q6_K) {
        int e[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            c[i] = -OFFSET * m.sum_lo[i % 2];
            e[i] = -OFFSET * (m.sum[i % 2] - m.sum_lo[i % 2]);
        }
        mma_s8_k16(d, a, b[0], c);
        mma_s8_k16(c, a + 2, b[1], e);
#pragma unroll
        for (int i = 0; i < 4; i++)
            x[i] = (float)(w.sc[i / 2][0] * d[i] + w.sc[i / 2][1] * c[i]);
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            c[i] = MAGIC - OFFSET * m.sum[i % 2];
        mma_s8_k32(d, a, b, c);
#pragma unroll
        for (int i = 0; i < 4; i++)
            x[i] = bits_to_float((uint32_t)d[i]) - bits_to_float(MAGIC);
    }
}

/* acc of the four outputs: the order of the contract. scale[i] = dw · da. */
template <enum dtype T>
DEVICE void block_fold(const float x[4], const float scale[4], const float m[2], const float ds[2], float acc[4])
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        acc[i] = fmaf(x[i], scale[i], acc[i]);
        if constexpr (quant<T>::HAS_MIN)
            acc[i] = fmaf(m[i / 2], ds[i % 2], acc[i]);
    }
}

/* --- What the launchers agree on. --- */

struct matmul_args {
    const unsigned char *w, *a; /* packed weights; rows of activations: q8 or float32 */
    const float *bias;          /* or NULL */
    float *y;
    int64_t ldy;
    size_t w_stride, a_stride;  /* bytes of a tile (floats: a row) of weights, of a row of activations */
    int32_t n, cols;            /* outputs, inputs */
    struct step_view step;
    enum op_rows rows;
};

static inline struct matmul_args matmul_args_of(const struct op_matmul *op, const struct gpu_bucket *bucket)
{
    const struct weight *w = op->w;
    bool quantized = dtype_is_quantized(w->dtype);
    return {GPU_POINTER(const unsigned char, w->data),
            GPU_POINTER(const unsigned char, quantized ? op->a.q8 : op->a.f32),
            GPU_POINTER(const float, op->bias), GPU_POINTER(float, op->y), op->ldy, w->stride,
            quantized ? q8_row_bytes(w->cols) : (size_t)pad_cols(w->cols) * sizeof(float),
            (int32_t)w->rows, (int32_t)w->cols, step_view_of(op->step, bucket), op->rows};
}

/* acc + bias of output n for row `row` of activations. */
DEVICE void store_output(const matmul_args &p, int32_t n, int32_t row, float acc)
{
    st(p.y + row * p.ldy + n, p.bias ? acc + ldg(p.bias + n) : acc);
}

#endif
