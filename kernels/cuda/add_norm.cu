/* add_norm: the residual stream takes up what the last product gave, and is normalized for the next one.
 *
 *   x (rows, cols) += y (rows, cols);   out (rows, cols) = (x · r) · gain,   r = 1 / sqrtf(dot16(x, x) / cols + eps)
 *
 * out is written as float32 and, where out.q8 is set, as int8 blocks of 32 with their metas, in the same launch.
 * With logit_rows, out row i comes from x row logit_row[i], and only those rows are touched.
 *
 * TILING: one block a row, a row's threads 4 columns each, T = threads · 4 columns at a time:
 *
 *   x, y  │ t0   t1   t2  …  │ t0   t1  …  │       128-bit loads, x + y back to memory and into shared memory
 *         └──── T columns ───┘
 *   shared x[cols] ──► warp 0: lane j of 16 walks columns j, j + 16, j + 32, …   (the fmaf chains of dot16)
 *                      tree16 ──► r in shared memory
 *   out   │ t0   t1   t2  …  │ t0   t1  …  │       each thread its own columns again, then quantize.cuh
 *
 * WHO WAITS: everybody for x in shared memory (barrier 1); everybody for r (barrier 2). Between the two only warp 0
 * works: cols / 16 dependent fmaf, 4 cycles each (0.6 µs at 4,096 columns); meanwhile the gain is on its way into the
 * other warps' registers. The chain's order is the contract's; that is why no more lanes can help.
 *
 * RESOURCES: ≤ 48 registers; shared memory 4 · pad16(cols) + 16 bytes (64 KiB at 16,384 columns).
 * TRAFFIC, bytes a row: reads 4 · cols (x) + 4 · cols (y) + 4 · cols (gain, from L2 after the first row); writes
 * 4 · cols (x) + 4 · cols (out) + 1.5 · cols (int8 with metas). L2 to SM: the same.
 * MACHINE CODE: LDG.128, STG.128, LDS.128, STS.128, FFMA, SHFL.BFLY, BAR. */
#include "kernels/cuda/math.cuh"
#include "kernels/cuda/quantize.cuh"
#include "kernels/cuda/step.cuh"

enum { NORM_THREADS = 512, GAIN_AHEAD = 2 /* quads of the gain that a thread loads early */ };

struct norm_args {
    float *x;
    const float *y; /* or NULL */
    const float *gain;
    float *out;
    void *q8; /* or NULL */
    int64_t ldx, ldy, cols;
    float eps;
    bool logit_rows;
    struct step_view step;
};

/* x += y for the 4 columns from c on, some of which may lie beyond the row; copied to shared memory. */
DEVICE void add_quad(const struct norm_args &a, float *x, const float *y, float *kept, int64_t c)
{
    if (c + 4 <= a.cols) {
        float4 v = ld((const float4 *)(x + c));
        if (y) {
            float4 w = ldg((const float4 *)(y + c));
            v = make_float4(v.x + w.x, v.y + w.y, v.z + w.z, v.w + w.w);
            st((float4 *)(x + c), v);
        }
        sts((float4 *)(kept + c), v);
        return;
    }
    for (int i = 0; i < 3; i++)
        if (c + i < a.cols) {
            float v = ld(x + c + i);
            if (y) {
                v = v + ldg(y + c + i);
                st(x + c + i, v);
            }
            sts(kept + c + i, v);
        }
}

/* By one warp: both halves walk the same 16 chains. */
DEVICE float mean_square(const float *kept, int64_t cols)
{
    float s = 0.0f;
#pragma unroll 16
    for (int64_t k = lane_id() % 16; k < cols; k += 16) {
        float v = lds(kept + k);
        s = fmaf(v, v, s);
    }
    return tree16(s) / (float)cols;
}

DEVICE float4 gain_quad(const float *gain, int64_t c, int64_t cols)
{
    if (c + 4 <= cols)
        return ldg((const float4 *)(gain + c));
    return make_float4(c < cols ? ldg(gain + c) : 0.0f, c + 1 < cols ? ldg(gain + c + 1) : 0.0f,
                       c + 2 < cols ? ldg(gain + c + 2) : 0.0f, 0.0f);
}

/* Whole warps come here; a lane without columns brings zeros. */
DEVICE void finish_quad(const struct norm_args &a, const float *kept, float r, int64_t out_row, int64_t c, float4 gain)
{
    float *out = a.out + out_row * pad_cols(a.cols);
    float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (c + 4 <= a.cols) {
        float4 x = lds((const float4 *)(kept + c));
        v[0] = (x.x * r) * gain.x;
        v[1] = (x.y * r) * gain.y;
        v[2] = (x.z * r) * gain.z;
        v[3] = (x.w * r) * gain.w;
        st((float4 *)(out + c), make_float4(v[0], v[1], v[2], v[3]));
    } else {
        const float g[4] = {gain.x, gain.y, gain.z, gain.w};
        for (int i = 0; i < 3; i++)
            if (c + i < a.cols)
                st(out + c + i, (lds(kept + c + i) * r) * g[i]);
    }
    if (a.q8)
        quantize_store(q8_row_at(a.q8, out_row, a.cols), c, a.cols, v);
}

KERNEL(NORM_THREADS, 2) k_add_norm(struct norm_args a)
{
    int64_t i = blockIdx.x;
    if (i >= (a.logit_rows ? step_logits(a.step) : step_rows(a.step)))
        return;
    SHARED(float, kept, 0);
    SHARED(float, shared_r, pad_cols(a.cols) * 4);
    int64_t row = a.logit_rows ? ldg(view_logit_row(a.step) + i) : i;
    float *x = a.x + row * a.ldx;
    const float *y = a.y ? a.y + row * a.ldy : NULL;
    const int64_t stride = (int64_t)blockDim.x * 4, mine = (int64_t)threadIdx.x * 4;
    for (int64_t c = mine; c < a.cols; c += stride)
        add_quad(a, x, y, kept, c);
    float4 gain[GAIN_AHEAD];
#pragma unroll
    for (int k = 0; k < GAIN_AHEAD; k++)
        gain[k] = gain_quad(a.gain, mine + k * stride, a.cols);
    syncthreads();
    if (warp_id() == 0) {
        float r = 1.0f / sqrtf(mean_square(kept, a.cols) + a.eps);
        if (lane_id() == 0)
            sts(shared_r, r);
    }
    syncthreads();
    float r = lds(shared_r);
    const int64_t warp_first = mine - lane_id() * 4; /* a warp goes on while one of its lanes has columns */
#pragma unroll
    for (int k = 0; k < GAIN_AHEAD; k++)
        if (warp_first + k * stride < a.cols)
            finish_quad(a, kept, r, i, mine + k * stride, gain[k]);
    for (int64_t at = GAIN_AHEAD * stride; warp_first + at < a.cols; at += stride)
        finish_quad(a, kept, r, i, mine + at, gain_quad(a.gain, mine + at, a.cols));
}

extern "C" cudaError_t gpu_add_norm(const struct op_add_norm *op, const struct gpu_bucket *b, cudaStream_t stream)
{
    struct norm_args a = {GPU_POINTER(float, op->x), GPU_POINTER(const float, op->y), GPU_POINTER(const float, op->gain),
                          GPU_POINTER(float, op->out.f32), GPU_POINTER(void, op->out.q8), op->ldx, op->ldy, op->cols,
                          op->eps, op->logit_rows, step_view_of(op->step, b)};
    int rows = op->logit_rows ? b->logits : b->rows;
    int64_t threads = (op->cols + 127) / 128 * 32; /* whole warps of 4 columns a lane */
    if (threads > NORM_THREADS)
        threads = NORM_THREADS;
    if (!rows)
        return cudaSuccess;
    return LAUNCH(k_add_norm, dim3((unsigned)rows), dim3((unsigned)threads), (size_t)pad_cols(op->cols) * 4 + 16, stream,
                  a);
}
