/* What cuBLASLt (cublaslt.c) needs beside its product: activations in the weight's type, and y filled with the bias.
 *
 *   to (rows, pitch) F16 or BF16 = round(a (rows, cols)), to nearest even;   y (rows, n) = bias (n)
 *
 * TILING, both: a block takes 1,024 columns of one row, a thread 4 of them.
 *
 *   row   │ t0 t1 … t255 │ next block …    4 float32 → 4 values of 16 bits, 8 bytes
 *
 * Columns between cols and pitch and rows beyond the step's become 0: padding may be NaN, and the product reads it all.
 * A value beyond 65,504 becomes infinite in F16; what norms and SwiGLU give lies far below in the models served.
 *
 * WHO WAITS: nobody. No shared memory. RESOURCES: ≤ 32 registers.
 * TRAFFIC, bytes a row: 4 · cols + 2 · pitch; the bias: 8 · n.
 * MACHINE CODE: k_round_rows: LDG, STG.64; k_fill_bias: LDG, STG. */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/dialect.cuh"
#include "kernels/cuda/step.cuh"
#include "kernels/cuda/weight.h"

enum { ROUND_THREADS = 256, ROUND_COLS = 4 * ROUND_THREADS };

DEVICE uint16_t float_to_bf16(float f)
{
    uint32_t u = float_to_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40); /* a NaN stays one */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

template <enum dtype T>
KERNEL(ROUND_THREADS, 4) k_round_rows(const float *a, uint16_t *to, int32_t row0, int32_t cols, int32_t pitch,
                                      struct step_view step, enum op_rows which)
{
    const int row = (int)blockIdx.y, c = (int)blockIdx.x * ROUND_COLS + (int)threadIdx.x * 4;
    if (c >= pitch)
        return;
    const bool there = row0 + row < step_row_count(step, which);
    const float *from = a + (row0 + row) * pad_cols(cols) + c;
    uint16_t v[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float x = there && c + i < cols ? ldg(from + i) : 0.0f;
        v[i] = T == DTYPE_F16 ? float_to_half(x) : float_to_bf16(x);
    }
    st((uint2 *)(to + (int64_t)row * pitch + c), make_uint2(v[0] | (uint32_t)v[1] << 16, v[2] | (uint32_t)v[3] << 16));
}

KERNEL(ROUND_THREADS, 4) k_fill_bias(float *y, const float *bias, int64_t ldy, int32_t n)
{
    const int c = (int)blockIdx.x * ROUND_COLS + (int)threadIdx.x * 4;
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (c + i < n)
            st(y + blockIdx.y * ldy + c + i, ldg(bias + c + i));
}

static unsigned blocks_across(int32_t cols) { return (unsigned)((cols + ROUND_COLS - 1) / ROUND_COLS); }

cudaError_t gpu_round_rows(const struct op_matmul *op, const struct gpu_bucket *bucket, void *to, int32_t row0, int32_t rows,
                           int32_t pitch, cudaStream_t stream)
{
    return LAUNCH(op->w->dtype == DTYPE_F16 ? k_round_rows<DTYPE_F16> : k_round_rows<DTYPE_BF16>,
                  dim3(blocks_across(pitch), (unsigned)rows), dim3(ROUND_THREADS), 0, stream,
                  GPU_POINTER(const float, op->a.f32), (uint16_t *)to, row0, (int32_t)op->w->cols, pitch,
                  step_view_of(op->step, bucket), op->rows);
}

cudaError_t gpu_fill_bias(const struct op_matmul *op, int32_t row0, int32_t rows, cudaStream_t stream)
{
    const int32_t n = (int32_t)op->w->rows;
    return LAUNCH(k_fill_bias, dim3(blocks_across(n), (unsigned)rows), dim3(ROUND_THREADS), 0, stream,
                  GPU_POINTER(float, op->y) + row0 * op->ldy, GPU_POINTER(const float, op->bias), op->ldy, n);
}
