/* rope_table: out[i][j] = (cos, sin)((float)pos[i] · inv_freq[j]) · mscale, for the rows of the step and half
 * frequencies. Once per step; every layer's rope_kv reads it.
 *
 *            j: frequencies
 *        ┌──────────────────┐
 *   i    │ thread (i, j)    │   one thread per pair; a block is 256 consecutive pairs of the flat (rows, half) array
 *        └──────────────────┘
 *
 * Nobody waits for anybody; registers only. The arithmetic is sincos_ (kernels/sincos.h), which the CPU runs too: some
 * forty additions and products of float64, which even a GPU with one float64 unit in 64 does in a microsecond.
 * Traffic: rows · half · 8 bytes written; pos and inv_freq come from L2.
 * Machine code: DMUL, DADD, and no DFMA. */
#include "kernels/cuda/step.cuh"
#include "kernels/sincos.h"

enum { THREADS = 256 };

KERNEL(THREADS, 4) k_rope_table(struct step_view step, float2 *out, const float *inv_freq, int half, float mscale)
{
    int at = (int)(blockIdx.x * THREADS + threadIdx.x), row = at / half, j = at % half;
    if (row >= step_rows(step))
        return;
    float sine, cosine;
    sincos_((float)ldg(view_pos(step) + row) * ldg(inv_freq + j), &sine, &cosine);
    float2 pair = {cosine * mscale, sine * mscale};
    st(out + at, pair);
}

cudaError_t gpu_rope_table(const struct op_rope_table *op, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    unsigned blocks = (unsigned)(((int64_t)bucket->rows * op->half + THREADS - 1) / THREADS);
    return LAUNCH(k_rope_table, dim3(blocks), dim3(THREADS), 0, stream, step_view_of(op->step, bucket),
                  GPU_POINTER(float2, op->out), GPU_POINTER(const float, op->inv_freq), (int)op->half, op->mscale);
}
