/* rope_kv: for every row of the step and every head of (q | k | v):
 *   q, k:  x = rmsnorm(x) · gain (if there is a gain);  (x[j], x[j + half]) = (a·c − b·s, b·c + a·s)
 *   q back into qkv; k and v as F16 into the sequence's pages: K (head_dim, 16 tokens), V (16 tokens, padded head_dim).
 *
 *           heads: q 0 … n_heads−1 │ k 0 … n_kv−1 │ v 0 … n_kv−1
 *          ┌────────────────────────────────────────────────────┐
 *   row    │ 16 lanes │ 16 lanes │ …                            │  one half warp per head, 8 warps, so 16 heads a block;
 *          └────────────────────────────────────────────────────┘  grid: (rows of the bucket, blocks for all heads)
 *
 * Lane j of a half warp owns elements j, j + 16, …: the 16 partial sums of dot16 as the contract has them, joined by a
 * butterfly. Where half is no multiple of 16, the partner of a rotation lies in another lane, so heads pass through
 * shared memory; a half warp reads only what it wrote, so that a syncwarp is all the waiting there is.
 *
 * Registers: 16 elements a lane. Shared memory: 16 heads · 256 · 4 bytes = 16 KiB.
 * Traffic: DRAM reads rows · (n_heads + 2·n_kv) · hd · 4, writes rows · (n_heads · 4 + n_kv · 4) · hd bytes. K lies
 * transposed: a row writes 2 bytes into each of hd sectors of 32, which L2 gathers before DRAM sees them.
 * Machine code: SHFL.BFLY, F2F.F16.F32 or F2FP.F16.F32. */
#include "kernels/cuda/kv.cuh"
#include "kernels/cuda/math.cuh"
#include "kernels/cuda/step.cuh"

enum { THREADS = 256, LANES = 16, HEADS = THREADS / LANES, MOST = MAX_HEAD_DIM / LANES };

struct rope_kv_args {
    struct step_view step;
    struct kv_view kv;
    float *qkv;
    int64_t ld;
    const float *table, *q_gain, *k_gain;
    float eps;
    int n_heads, n_kv_heads, head_dim;
};

/* x of one head, spread over 16 lanes, normalized. */
DEVICE void norm_head(float x[MOST], const float *gain, int j, int n, float eps)
{
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < MOST; i++)
        if (j + i * LANES < n)
            sum = fmaf(x[i], x[i], sum);
    float r = 1.0f / sqrtf(tree16(sum) / (float)n + eps);
#pragma unroll
    for (int i = 0; i < MOST; i++)
        if (gain && j + i * LANES < n)
            x[i] = (x[i] * r) * ldg(gain + j + i * LANES);
}

/* Element d of a head after rotation; `head` holds it before. */
DEVICE float rotated(const float *head, const float2 *table, int d, int half)
{
    bool first = d < half;
    int j = first ? d : d - half;
    float a = lds(head + j), b = lds(head + j + half);
    float2 t = ldg(table + j);
    return first ? a * t.x - b * t.y : b * t.x + a * t.y;
}

KERNEL(THREADS, 3) k_rope_kv(struct rope_kv_args o)
{
    SHARED(float, staged, 0);
    int row = (int)blockIdx.x, head = (int)(blockIdx.y * HEADS + threadIdx.x / LANES), j = (int)threadIdx.x % LANES;
    if (row >= step_rows(o.step)) /* the bucket has more rows than the step */
        return;
    int hd = o.head_dim, total = o.n_heads + 2 * o.n_kv_heads;
    bool exists = head < total, is_q = head < o.n_heads, is_v = exists && head >= o.n_heads + o.n_kv_heads;
    float *in = o.qkv + row * o.ld + (int64_t)head * hd, *mine = staged + threadIdx.x / LANES * MAX_HEAD_DIM;
    float x[MOST];
#pragma unroll
    for (int i = 0; i < MOST; i++)
        x[i] = exists && j + i * LANES < hd ? ld(in + j + i * LANES) : 0.0f;
    /* Both halves of a warp take part in the sums, whatever their heads are. */
    norm_head(x, is_v || !exists ? nullptr : is_q ? o.q_gain : o.k_gain, j, hd, o.eps);
#pragma unroll
    for (int i = 0; i < MOST; i++)
        if (j + i * LANES < hd)
            sts(mine + j + i * LANES, x[i]);
    syncwarp();
    if (!exists)
        return;

    const float2 *table = (const float2 *)(o.table + (int64_t)row * hd);
    if (is_q) {
        for (int d = j; d < hd; d += LANES)
            st(in + d, rotated(mine, table, d, hd / 2));
        return;
    }
    int pos = ldg(view_pos(o.step) + row), slot = pos % STEP_PAGE_TOKENS;
    const struct step_seq *seq = view_seqs(o.step) + ldg(view_row_seq(o.step) + row);
    int32_t page = ldg(view_pages(o.step) + ldg(&seq->page0) + pos / STEP_PAGE_TOKENS);
    if (!is_v) {
        uint16_t *k = kv_keys(o.kv, page, head - o.n_heads);
        for (int d = j; d < hd; d += LANES)
            st(k + d * STEP_PAGE_TOKENS + slot, float_to_half(rotated(mine, table, d, hd / 2)));
    } else {
        int padded = (int)pad_cols(hd);
        uint16_t *v = kv_values(o.kv, page, head - o.n_heads - o.n_kv_heads) + slot * padded;
        for (int d = j; d < padded; d += LANES)
            st(v + d, d < hd ? float_to_half(lds(mine + d)) : (uint16_t)0);
    }
}

cudaError_t gpu_rope_kv(const struct op_rope_kv *op, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    struct rope_kv_args args = {step_view_of(op->step, bucket),
                                kv_view_of(&op->kv, op->pool, op->layer),
                                GPU_POINTER(float, op->qkv),
                                op->ld,
                                GPU_POINTER(const float, op->table),
                                GPU_POINTER(const float, op->q_gain),
                                GPU_POINTER(const float, op->k_gain),
                                op->eps,
                                op->kv.n_heads,
                                op->kv.n_kv_heads,
                                op->kv.head_dim};
    unsigned blocks = (unsigned)(op->kv.n_heads + 2 * op->kv.n_kv_heads + HEADS - 1) / HEADS;
    return LAUNCH(k_rope_kv, dim3((unsigned)bucket->rows, blocks), dim3(THREADS), HEADS * MAX_HEAD_DIM * sizeof(float),
                  stream, args);
}
