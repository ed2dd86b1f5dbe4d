/* attention_decode: sequences with one row in the step; out[row][head] = Σ_t softmax(q · k[t] · scale)[t] · v[t], exact.
 *
 *                        context of a sequence
 *               ├ split 0 ┼ split 1 ┼ … ┤ 256 tokens each, at fixed positions
 *   kv head 0   │ block   │ block   │       grid: (splits of the bucket, kv heads · parts, sequences of the bucket)
 *   kv head 1   │ block   │ block   │       a block: up to 8 query heads of the kv head, 128 threads
 *
 * Inside a block: attention.cuh, with one group of QUERIES = 1, 2, 4 or 8 query heads: a thread owns 2 tokens of the
 * keys, then one or two dimensions of the values. A group of more than 8 heads is cut into parts, which find K and V in
 * L2.
 *
 * Who waits for whom: a block of a longer context leaves (o, m, l) in the workspace and counts itself; the one that
 * counts last has thereby acquired what the others released, folds the splits in ascending order, and sets the counter
 * back to 0 for the next launch. Whoever finishes writes the heads' outputs and, after a barrier, their int8 blocks.
 *
 * Shared memory: 4 stages of 8 KiB, QUERIES · (DIMS + 256) · 4 for queries and weights: 45 KiB for 8 heads of 128.
 * Registers: 2 · QUERIES scores, up to 4 · QUERIES of queries on the way; at most 128, for 4 blocks on an SM.
 * Traffic: DRAM Σ context · n_kv · (head_dim + padded) · 2, whole pages of 16 tokens, and 8 · n_heads · (padded + 16)
 * for each split of the sequences that have several; L2 to SM the same, times parts.
 * Machine code: LDGSTS.E.BYPASS.128, HADD2.F32 (F16 to F32), FFMA, ATOMG. */
#include "kernels/cuda/attention.cuh"

enum { THREADS = 128 };

template <int QUERIES, int DIMS> using decode_tile = attention_tile<QUERIES, 1, THREADS, DIMS, 4>;

/* Where a block's part of a sequence's partials begins: split 0, the block's first head. */
struct partial_view {
    float *first;
    size_t head, split; /* floats from one to the next */
};

DEVICE int splits_of(const struct step_seq *seq)
{
    return ldg(&seq->n_rows) == 1 ? (ldg(&seq->pos0) + SPLIT) / SPLIT : 0;
}

/* Sequences lie behind one another, each with as many splits as its context has. Whole warps. */
DEVICE struct partial_view partials_of(const struct attention_args &o, int seq, int head0)
{
    int before = 0;
    for (int i = lane_id(); i < seq; i += WARP)
        before += splits_of(view_seqs(o.step) + i);
    for (int mask = 16; mask; mask /= 2)
        before += shfl_xor(before, mask);
    size_t head = (size_t)o.padded + 16, split = head * (size_t)o.n_heads;
    return {o.partials + (size_t)before * split + (size_t)head0 * head, head, split};
}

/* The result of one head and dimension from the partials of all splits, which lie `stride` apart. */
DEVICE float fold_splits(const float *partial, size_t stride, int n, int padded, int d)
{
    float m = ld(partial + padded), l = ld(partial + padded + 1), o = ld(partial + d);
#pragma unroll 4
    for (int split = 1; split < n; split++) {
        const float *next = partial + (size_t)split * stride;
        float m1 = ld(next + padded), l1 = ld(next + padded + 1), o1 = ld(next + d);
        float most = m1 > m ? m1 : m, a = gpu_exp(m - most), b = gpu_exp(m1 - most);
        m = most;
        l = fmaf(l1, b, l * a);
        o = fmaf(o1, b, o * a);
    }
    return o / l;
}

/* Queries, the last one again where there are fewer than QUERIES; all stand at the same position. */
template <class T> DEVICE void load_queries(const float *q, int n, int head_dim, int pos)
{
    SHARED(float, queries, T::Q);
    SHARED(int, last, T::LAST);
    for (int i = 0; i < T::ALL; i++)
        for (int d = (int)threadIdx.x; d < head_dim; d += THREADS)
            sts(queries + i * T::DIMS + d, ldg(q + (i < n ? i : n - 1) * head_dim + d));
    if (threadIdx.x < T::ALL)
        sts(last + threadIdx.x, pos);
}

/* This block's o, m, l into the workspace. True in all threads of the block that was the last one to. */
template <class T>
DEVICE bool leave_partial(const struct attention_args &a, const float (&o)[T::V_QUERIES][T::DIM],
                          const struct attention_place &me, int n, const struct partial_view &to, int seq, int splits)
{
    SHARED(float, sum, T::SUM);
    SHARED(uint32_t, counted, T::FOLDED);
    float *mine = to.first + blockIdx.x * to.split;
    if (!me.idle)
#pragma unroll
        for (int i = 0; i < T::V_QUERIES; i++)
#pragma unroll
            for (int d = 0; d < T::DIM; d++)
                if (me.query0 + i < n)
                    st(mine + (me.query0 + i) * to.head + me.dim + d, o[i][d]);
    if ((int)threadIdx.x < n) {
        st(mine + threadIdx.x * to.head + a.padded, attention_maximum<T>((int)threadIdx.x));
        st(mine + threadIdx.x * to.head + a.padded + 1, lds(sum + threadIdx.x));
    }
    syncthreads(); /* all of this block's part is written before it is counted */
    if (threadIdx.x == 0)
        sts(counted, atomic_add(a.counters + (size_t)seq * gridDim.y + blockIdx.y, 1));
    syncthreads();
    return lds(counted) == (uint32_t)splits - 1;
}

template <int QUERIES, int DIMS> KERNEL(THREADS, 4) k_attention_decode(struct attention_args a)
{
    using T = decode_tile<QUERIES, DIMS>;
    SHARED(float, sum, T::SUM);
    int index = (int)blockIdx.z, split = (int)blockIdx.x;
    if (index >= ldg(&step_head(a.step)->n_seqs))
        return;
    const struct step_seq *seq = view_seqs(a.step) + index;
    int splits = splits_of(seq), pos = ldg(&seq->pos0), row = ldg(&seq->row0);
    if (split >= splits)
        return;
    int kv_head = (int)blockIdx.y / a.parts, in_group = (int)blockIdx.y % a.parts * a.heads;
    int head0 = kv_head * a.group + in_group, n = a.group - in_group < a.heads ? a.group - in_group : a.heads;
    struct attention_split at = attention_split_at(a, ldg(&seq->page0), kv_head, split, pos + 1);
    struct attention_place me = attention_place_of<T>(a.padded);
    float o[T::V_QUERIES][T::DIM];
    load_queries<T>(a.qkv + row * a.ld + head0 * a.head_dim, n, a.head_dim, pos);
    attention_gather<T>(o, a, at, me, at.n_tokens);

    float *out = a.out + row * a.out_ld + head0 * a.head_dim;
    int cols = n * a.head_dim;
    if (splits == 1) {
        if (!me.idle)
#pragma unroll
            for (int i = 0; i < T::V_QUERIES; i++)
#pragma unroll
                for (int d = 0; d < T::DIM; d++)
                    if (me.query0 + i < n && me.dim + d < a.head_dim)
                        st(out + (me.query0 + i) * a.head_dim + me.dim + d, o[i][d] / lds(sum + me.query0 + i));
    } else {
        struct partial_view partials = partials_of(a, index, head0);
        if (!leave_partial<T>(a, o, me, n, partials, index, splits))
            return;
        for (int head = 0; head < n; head++)
            for (int d = (int)threadIdx.x; d < a.head_dim; d += THREADS)
                st(out + head * a.head_dim + d,
                   fold_splits(partials.first + head * partials.head, partials.split, splits, a.padded, d));
        if (threadIdx.x == 0)
            st(a.counters + (size_t)index * gridDim.y + blockIdx.y, 0u);
    }
    if (!a.q8)
        return;
    syncthreads(); /* the outputs are written */
    attention_quantize(a, row, head0 * a.head_dim, cols);
}

template <int QUERIES, int DIMS>
static cudaError_t start(const struct attention_args &a, dim3 grid, cudaStream_t stream)
{
    auto attention_decode = k_attention_decode<QUERIES, DIMS>;
    return LAUNCH(attention_decode, grid, dim3(THREADS), (decode_tile<QUERIES, DIMS>::BYTES), stream, a);
}

template <int DIMS> static cudaError_t start_heads(const struct attention_args &a, dim3 grid, cudaStream_t stream)
{
    return a.heads == 1   ? start<1, DIMS>(a, grid, stream)
           : a.heads == 2 ? start<2, DIMS>(a, grid, stream)
           : a.heads <= 4 ? start<4, DIMS>(a, grid, stream)
                          : start<8, DIMS>(a, grid, stream);
}

cudaError_t attention_decode_start(struct attention_args a, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    attention_cut(&a, DECODE_QUERIES);
    dim3 grid((unsigned)bucket->splits, (unsigned)(a.n_kv_heads * a.parts), (unsigned)bucket->seqs);
    return a.padded <= 64    ? start_heads<64>(a, grid, stream)
           : a.padded <= 128 ? start_heads<128>(a, grid, stream)
                             : start_heads<256>(a, grid, stream);
}
