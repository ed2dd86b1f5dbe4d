/* y[i][k] = w[token[i]][k] dequantized, for the rows i of a step; columns that pad the row are 0.
 *
 * Tiling. A block takes one row of the step, a thread four neighbouring columns: for quantized types one register of
 * a lane's A fragment (weight.h), found by arithmetic on the column.
 *
 *     y[i]: ┌────┬────┬────┬─ … ─┬────┬────┐
 *           │ T0 │ T1 │ T2 │     │T127│ T0 │ …        4 columns each, one 16-byte store
 *           └────┴────┴────┴─ … ─┴────┴────┘
 *
 * Nobody waits for anybody; no shared memory; few registers. Traffic: the row of weights (of quantized ones, sectors in
 * which 15 other rows lie too: 2 to 4 times its own bytes) and 4 · cols bytes of results, per row: next to nothing
 * beside the products. Every value is dequantized as dequantize_row does, each product and sum rounded by itself.
 *
 * Machine code: LDG, STG.128, no FFMA. */
#include "kernels/cuda/dialect.cuh"
#include "kernels/cuda/step.cuh"
#include "kernels/cuda/weight.h"

enum { EMBED_THREADS = 128 };

struct alignas(16) floats4 { float v[4]; };

/* Weights: rows of floats. */
template <enum dtype T> DEVICE float float_at(const unsigned char *row, int k)
{
    if constexpr (T == DTYPE_F32)
        return ldg((const float *)row + k);
    else if constexpr (T == DTYPE_F16)
        return half_to_float(ldg((const uint16_t *)row + k));
    else
        return bf16_to_float(ldg((const uint16_t *)row + k));
}

/* The numbers of one row in one block: `numbers` begins at the pair's, `head` at its head. */
template <enum dtype T>
DEVICE void row_scale(const unsigned char *head, const unsigned char *numbers, int row, int block, int high, float *d,
                      float *m)
{
    int g = row % 8, half = row / 8;
    const uint16_t *own = (const uint16_t *)numbers + (4 * g + 2 * block + half) * (T == DTYPE_Q4_1 ? 2 : 1);
    uint16_t first = ldg(own);
    *m = 0;
    if constexpr (T == DTYPE_Q4_K) {
        const uint16_t *h = (const uint16_t *)(head + 8 * g + 4 * half);
        *d = half_to_float(ldg(h)) * (float)(first & 255);
        *m = -(half_to_float(ldg(h + 1)) * (float)(first >> 8));
    } else if constexpr (T == DTYPE_Q6_K) {
        int8_t sc = (int8_t)(high ? first >> 8 : first);
        *d = half_to_float(ldg((const uint16_t *)(head + 4 * g + 2 * half))) * (float)sc;
    } else {
        *d = half_to_float(first);
        if constexpr (T == DTYPE_Q4_1)
            *m = half_to_float(ldg(own + 1));
    }
}

/* Columns 4 · quad .. of row `row` of a tile. */
template <enum dtype T> DEVICE floats4 quant_at(const unsigned char *tile, int row, int quad)
{
    int block = quad / 8 % 2, high = quad % 8 / 4; /* in the pair; columns 16 .. 31 of the block */
    int lane = 4 * (row % 8) + quad % 4, half = row / 8, i = half + 2 * high; /* register i */
    const unsigned char *head = tile + quant_head_at(T, quad / 16), *pair = tile + quant_pair_at(T, quad / 16);
    uint32_t q;
    int offset = T == DTYPE_Q4_0 ? 8 : T == DTYPE_Q5_0 ? 16 : T == DTYPE_Q6_K ? 32 : 0;
    if constexpr (T == DTYPE_Q8_0) {
        q = ldg((const uint32_t *)(pair + BYTES_BYTES / 2 * block + 16 * lane + 4 * i));
    } else {
        q = ldg((const uint32_t *)(pair + 16 * lane + 8 * block + 4 * half)) >> 4 * high & 0x0f0f0f0fu;
        if constexpr (T == DTYPE_Q5_0)
            q |= (ldg((const uint32_t *)(pair + NIBBLES_BYTES + 4 * lane)) >> (4 * block + i) & 0x01010101u) << 4;
        if constexpr (T == DTYPE_Q6_K)
            q |= (ldg((const uint32_t *)(pair + NIBBLES_BYTES + 8 * lane + 4 * block)) >> 2 * i & 0x03030303u) << 4;
    }
    float d, m;
    row_scale<T>(head, pair + quant_pair_bytes(T) - (T == DTYPE_Q4_1 ? 128 : 64), row, block, high, &d, &m);
    floats4 out;
#pragma unroll
    for (int c = 0; c < 4; c++) {
        uint32_t byte = q >> 8 * c & 255;
        float value = d * (float)(T == DTYPE_Q8_0 ? (int)(int8_t)byte : (int)byte - offset);
        out.v[c] = T == DTYPE_Q4_1 || T == DTYPE_Q4_K ? value + m : value; /* adding 0 would lose the sign of −0 */
    }
    return out;
}

template <enum dtype T>
KERNEL(EMBED_THREADS, 1)
k_embed(struct step_view step, const unsigned char *w, size_t stride, int32_t cols, float *y, int64_t ldy)
{
    int row = (int)blockIdx.x;
    if (row >= step_rows(step))
        return;
    int32_t token = ldg(view_token(step) + row);
    for (int quad = (int)threadIdx.x; quad < pad_cols(cols) / 4; quad += EMBED_THREADS) {
        floats4 out;
        if constexpr (T == DTYPE_F32 || T == DTYPE_F16 || T == DTYPE_BF16) {
#pragma unroll
            for (int c = 0; c < 4; c++)
                out.v[c] = 4 * quad + c < cols ? float_at<T>(w + token * stride, 4 * quad + c) : 0.0f;
        } else { /* cols is a multiple of 32: no padding */
            out = quant_at<T>(w + token / TILE_ROWS * stride, token % TILE_ROWS, quad);
        }
        st((floats4 *)(y + row * ldy + 4 * quad), out);
    }
}

cudaError_t gpu_embed(const struct op_embed *op, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    typedef void kernel_type(struct step_view, const unsigned char *, size_t, int32_t, float *, int64_t);
    static kernel_type *const kernel[DTYPE_COUNT] = {
        k_embed<DTYPE_F32>, k_embed<DTYPE_F16>, k_embed<DTYPE_BF16>, k_embed<DTYPE_Q4_0>, k_embed<DTYPE_Q4_1>,
        k_embed<DTYPE_Q5_0>, k_embed<DTYPE_Q8_0>, k_embed<DTYPE_Q4_K>, k_embed<DTYPE_Q6_K>,
    };
    const struct weight *w = op->w;
    return LAUNCH(kernel[w->dtype], dim3((unsigned)bucket->rows), dim3(EMBED_THREADS), 0, stream,
                  step_view_of(op->step, bucket), GPU_POINTER(const unsigned char, w->data), w->stride,
                  (int32_t)w->cols, GPU_POINTER(float, op->y), op->ldy);
}
