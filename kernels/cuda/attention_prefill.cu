/* attention_prefill: sequences with several rows in the step (a chunk of a prompt); causal, exact, on CUDA cores.
 *
 *                    context →
 *               ┌ split 0 ┬ split 1 ┬ …
 *   rows 0‥R−1  │ ▓▓▓▓▓▓▓▓│▓▙       │           a block: R = 32 / heads rows of the step × the query heads of one kv
 *   rows R‥2R−1 │ ▓▓▓▓▓▓▓▓│▓▓▓▙     │           head, at most 32 query vectors, 256 threads; it walks the splits
 *               └─────────┴─────────┴           grid: (⌈rows of the bucket / R⌉, kv heads · parts), last rows first
 *
 * Inside a block: attention.cuh, with 4 groups of 8 query vectors: 64 threads per group own 4 tokens each while they walk
 * the keys (32 multiply-adds for 2 loads of K and 2 of q), then 1, 2 or 4 dimensions of the values. Every split is folded
 * into o, m, l of those before; a row that does not reach a split leaves its own as they are. Rows of a block that belong
 * to several sequences are taken sequence by sequence; those of sequences with one row belong to attention_decode.
 *
 * Who waits for whom: the stages of attention.cuh; one thread per query vector folds m and l, then a barrier, then every
 * thread folds its dimensions. That barrier also tells that nobody reads the ring any more, before the next split fills it.
 *
 * Shared memory: 3 stages of 8 KiB, 32 · (DIMS + 256) · 4: 73 KiB for heads of 128.
 * Registers: 32 scores and 16 of queries on the way, or twice V_QUERIES · DIM sums and 32 weights; at most 128, for two
 * blocks on an SM, with heads of up to 128.
 * Traffic: DRAM Σ context · n_kv · (head_dim + padded) · 2; L2 to SM that times ⌈rows / R⌉ · parts.
 * Multiply-adds: Σ over rows of position · n_heads · (head_dim + padded); they are what it waits for.
 * Machine code: LDGSTS.E.BYPASS.128, HADD2.F32 (F16 to F32), FFMA, LDS.128. */
#include "kernels/cuda/attention.cuh"

enum { THREADS = 256 };

template <int DIMS> using prefill_tile = attention_tile<PREFILL_QUERIES / 4, 4, THREADS, DIMS, 3>;

/* Rows of one sequence, and the block's heads of it. */
struct rows {
    int first, n, pos0; /* of the step; pos0: position of the first */
    int32_t page0;
};

/* Query vector i is row i / heads, head i % heads; beyond the last one, that one again. */
template <class T> DEVICE void load_queries(const struct attention_args &a, const struct rows &r, int head0, int heads)
{
    SHARED(float, queries, T::Q);
    SHARED(int, last, T::LAST);
    for (int i = (int)threadIdx.x / WARP; i < T::ALL; i += THREADS / WARP) {
        int v = i < r.n * heads ? i : r.n * heads - 1;
        const float *q = a.qkv + (r.first + v / heads) * a.ld + (head0 + v % heads) * a.head_dim;
        for (int d = lane_id(); d < a.head_dim; d += WARP)
            sts(queries + i * T::DIMS + d, ldg(q + d));
        if (lane_id() == 0)
            sts(last + i, r.pos0 + v / heads);
    }
}

/* all = fold(all, o) for the queries that reach this split. */
template <class T>
DEVICE void fold_split(float (&all)[T::V_QUERIES][T::DIM], const float (&o)[T::V_QUERIES][T::DIM],
                       const struct attention_place &me, int first)
{
    SHARED(float4, folded, T::FOLDED);
    SHARED(float, sum, T::SUM);
    int i = (int)threadIdx.x;
    if (i < T::ALL && attention_seen<T>(i, first) > 0) {
        float4 f = lds(folded + i);
        float m = attention_maximum<T>(i), l = lds(sum + i);
        if (first) {
            float most = m > f.x ? m : f.x, a = gpu_exp(f.x - most), b = gpu_exp(m - most);
            f = make_float4(most, fmaf(l, b, f.y * a), a, b);
        } else {
            f = make_float4(m, l, 0.0f, 1.0f);
        }
        sts(folded + i, f);
    }
    syncthreads(); /* the weights of both sides are everybody's */
    if (me.idle)
        return;
#pragma unroll
    for (int q = 0; q < T::V_QUERIES; q++) {
        float4 f = lds(folded + me.query0 + q);
        bool sees = attention_seen<T>(me.query0 + q, first) > 0;
#pragma unroll
        for (int d = 0; d < T::DIM; d++) {
            float with = first ? fmaf(o[q][d], f.w, all[q][d] * f.z) : o[q][d];
            all[q][d] = sees ? with : all[q][d];
        }
    }
}

template <class T> DEVICE void attend_rows(const struct attention_args &a, const struct rows &r, int kv_head, int head0,
                                           int heads)
{
    SHARED(float4, folded, T::FOLDED);
    struct attention_place me = attention_place_of<T>(a.padded);
    float all[T::V_QUERIES][T::DIM] = {};
    load_queries<T>(a, r, head0, heads);
    int context = r.pos0 + r.n;
    for (int split = 0; split * SPLIT < context; split++) {
        struct attention_split at = attention_split_at(a, r.page0, kv_head, split, context);
        float o[T::V_QUERIES][T::DIM];
        attention_gather<T>(o, a, at, me, r.pos0 + 1 - at.first);
        fold_split<T>(all, o, me, at.first);
    }
    if (!me.idle)
#pragma unroll
        for (int q = 0; q < T::V_QUERIES; q++) {
            int v = me.query0 + q;
            float *out = a.out + (r.first + v / heads) * a.out_ld + (head0 + v % heads) * a.head_dim + me.dim;
#pragma unroll
            for (int d = 0; d < T::DIM; d++)
                if (v < r.n * heads && me.dim + d < a.head_dim)
                    st(out + d, all[q][d] / lds(folded + v).y);
        }
    syncthreads(); /* before the outputs are read again, and the queries overwritten */
    if (a.q8)
        for (int i = 0; i < r.n; i++)
            attention_quantize(a, r.first + i, head0 * a.head_dim, heads * a.head_dim);
}

template <int DIMS> KERNEL(THREADS, DIMS > 128 ? 1 : 2) k_attention_prefill(struct attention_args a)
{
    int tile_rows = PREFILL_QUERIES / a.heads, n_rows = step_rows(a.step);
    int row = (int)(gridDim.x - 1 - blockIdx.x) * tile_rows; /* the last rows see most: they go first */
    int end = row + tile_rows < n_rows ? row + tile_rows : n_rows;
    int kv_head = (int)blockIdx.y / a.parts, in_group = (int)blockIdx.y % a.parts * a.heads;
    int heads = a.group - in_group < a.heads ? a.group - in_group : a.heads;
    while (row < end) {
        const struct step_seq *seq = view_seqs(a.step) + ldg(view_row_seq(a.step) + row);
        int row0 = ldg(&seq->row0), seq_rows = ldg(&seq->n_rows);
        int next = row0 + seq_rows < end ? row0 + seq_rows : end;
        if (seq_rows > 1)
            attend_rows<prefill_tile<DIMS>>(a, {row, next - row, ldg(&seq->pos0) + row - row0, ldg(&seq->page0)},
                                            kv_head, kv_head * a.group + in_group, heads);
        row = next;
    }
}

template <int DIMS> static cudaError_t start(const struct attention_args &a, dim3 grid, cudaStream_t stream)
{
    auto attention_prefill = k_attention_prefill<DIMS>;
    return LAUNCH(attention_prefill, grid, dim3(THREADS), prefill_tile<DIMS>::BYTES, stream, a);
}

cudaError_t attention_prefill_start(struct attention_args a, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    attention_cut(&a, PREFILL_QUERIES);
    int tile_rows = PREFILL_QUERIES / a.heads;
    dim3 grid((unsigned)((bucket->rows + tile_rows - 1) / tile_rows), (unsigned)(a.n_kv_heads * a.parts));
    return a.padded <= 64    ? start<64>(a, grid, stream)
           : a.padded <= 128 ? start<128>(a, grid, stream)
                             : start<256>(a, grid, stream);
}
