/* silu_mul: the gate of SwiGLU, quantized for the product that follows.
 *
 *   out (rows, cols) = g / (1 + exp_(−g)) · u,   g = gu[:, :cols],   u = gu[:, cols : 2 · cols]
 *
 * out is written as float32 and, where out.q8 is set, as int8 blocks of 32 with their metas.
 *
 * TILING: a block takes 1,024 columns of one row, a thread 4 of them; grid (⌈cols / 1024⌉, rows):
 *
 *   gu row  │ g: t0 t1 … t255 │ next block …          │ u: t0 t1 … t255 │ next block … │
 *                 │ 4 columns a thread                       │ the same 4
 *                 └───────────────► out 4 columns ◄──────────┘
 *                                     └─► 8 lanes: one int8 block of 32 (quantize.cuh)
 *
 * Loads are 128 bits wide where cols is a multiple of 4, so that u begins at such a boundary; else one by one.
 *
 * WHO WAITS: nobody, but for the shuffles of quantize.cuh within a warp. No shared memory.
 * RESOURCES: ≤ 40 registers.
 * TRAFFIC, bytes a row: reads 8 · cols, writes 4 · cols + 1.5 · cols (int8 with metas). L2 to SM: the same reads.
 * MACHINE CODE: LDG.128, STG.128, FFMA (exp_ and the division), SHFL.BFLY, F2I. */
#include "kernels/cuda/math.cuh"
#include "kernels/cuda/quantize.cuh"
#include "kernels/cuda/step.cuh"

enum { SILU_THREADS = 256, SILU_COLS = 4 * SILU_THREADS };

struct silu_args {
    const float *gu;
    float *out;
    void *q8; /* or NULL */
    int64_t ld, cols;
    struct step_view step;
};

DEVICE float silu_mul(float g, float u) { return (g / (1.0f + gpu_exp(-g))) * u; }

KERNEL(SILU_THREADS, 4) k_silu_mul(struct silu_args a)
{
    const int64_t row = blockIdx.y, c = (int64_t)blockIdx.x * SILU_COLS + (int64_t)threadIdx.x * 4;
    if (row >= step_rows(a.step) || c - lane_id() * 4 >= a.cols) /* a warp stays while one of its lanes has columns */
        return;
    const float *gate = a.gu + row * a.ld + c, *up = gate + a.cols;
    float *out = a.out + row * pad_cols(a.cols) + c;
    float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (a.cols % 4 == 0) {
        if (c < a.cols) {
            float4 g = ldg_stream((const float4 *)gate), u = ldg_stream((const float4 *)up);
            v[0] = silu_mul(g.x, u.x);
            v[1] = silu_mul(g.y, u.y);
            v[2] = silu_mul(g.z, u.z);
            v[3] = silu_mul(g.w, u.w);
            st((float4 *)out, make_float4(v[0], v[1], v[2], v[3]));
        }
    } else {
        for (int i = 0; i < 4 && c + i < a.cols; i++)
            st(out + i, silu_mul(ldg_stream(gate + i), ldg_stream(up + i)));
    }
    if (a.q8)
        quantize_store(q8_row_at(a.q8, row, a.cols), c, a.cols, v);
}

extern "C" cudaError_t gpu_silu_mul(const struct op_silu_mul *op, const struct gpu_bucket *b, cudaStream_t stream)
{
    struct silu_args a = {GPU_POINTER(const float, op->gu), GPU_POINTER(float, op->out.f32),
                          GPU_POINTER(void, op->out.q8), op->ld, op->cols, step_view_of(op->step, b)};
    unsigned across = (unsigned)((op->cols + SILU_COLS - 1) / SILU_COLS);
    return LAUNCH(k_silu_mul, dim3(across, (unsigned)b->rows), dim3(SILU_THREADS), 0, stream, a);
}
