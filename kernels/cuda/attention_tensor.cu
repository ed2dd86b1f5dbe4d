/* attention_tensor: sequences with several rows in the step, as attention_prefill computes them, but on tensor cores:
 * F16 products with float32 sums, online softmax. Its numerics are its own (NUMERICS_ID_FAST).
 *
 *   S (64 × 64) = Q Kᵀ        m' = max(m, max S)   P = e^(S − m')   l = l · e^(m − m') + Σ P   O = O · e^(m − m') + P V
 *
 *                 64 tokens a tile →                     a block: 64 query vectors (R = 64 / heads rows × the query heads
 *            ┌ tile 0 ┬ tile 1 ┬ …                       of one kv head), 4 warps of 16 vectors; it walks the tiles up to
 *   warp 0   │ 16 × 64│        │                         the last position of its rows
 *   warp 1   │        │        │   S in registers → P in  grid: (⌈rows of the bucket / R⌉, kv heads · parts), last rows
 *   warp 2   │        │        │   registers → O          first; sequences with one row belong to attention_decode
 *   warp 3   │        │        │
 *            └────────┴────────┘
 *
 * A warp's S is, as mma leaves it, what the next mma wants P as: columns 2t, 2t + 1 of two neighbouring 8-column tiles are
 * the k pairs of one A fragment. Both K pages (d, token) and V pages (token, d) have the k of their product as rows, so
 * ldmatrix transposes them on the way.
 *
 *   K tile  row d: 8 chunks of 8 tokens      chunk c lies at c ^ (row % 8): 8 rows of one chunk, which ldmatrix reads at
 *   V tile  row t: DIMS / 8 chunks           once, are in 8 different groups of banks; Q tile likewise
 *
 * Who waits for whom: K of tile i + 1 sets out when everybody has S of tile i, V of tile i + 1 when everybody has added
 * tile i's; so K travels while V is multiplied and the other way round. Four barriers a tile. A warp's softmax is its own:
 * the 4 lanes that share a row exchange maxima, and sums at the end.
 *
 * What no token wrote may be a NaN, which no product with 0 removes: keys' scores are masked, values' rows are filled
 * with 0, and so are dimensions beyond head_dim.
 *
 * Shared memory: (64 + 64 + 64) · DIMS · 2: 48 KiB for heads of 128. Registers: DIMS / 2 of O, 32 of S; tiles of 32 tokens
 * for heads of more than 128 leave room for their O.
 * Traffic: DRAM as attention_prefill; L2 to SM that times ⌈rows / R⌉ · parts, half as often.
 * Machine code: HMMA.16816.F32, LDSM.16.MT88.4, LDSM.16.M88.4, LDGSTS.E.BYPASS.128. */
#include "kernels/cuda/attention.cuh"

enum { THREADS = 128, VECTORS = TENSOR_QUERIES, CHUNK = 8 };

template <int DIMS> struct tensor_tile {
    static constexpr int TOKENS = DIMS > 128 ? 32 : 64; /* so that O and S fit the registers */
    static constexpr int Q = 0; /* bytes; (VECTORS, DIMS) F16 */
    static constexpr int K = Q + VECTORS * DIMS * 2;
    static constexpr int V = K + DIMS * TOKENS * 2;
    static constexpr int BYTES = V + TOKENS * DIMS * 2;
};

/* Rows of one sequence, and the block's heads of it; vector i is row i / heads, head i % heads. */
struct block_rows {
    int first, n, pos0; /* of the step; pos0: position of the first */
    const int32_t *pages;
    int kv_head, head0, heads;
};

/* What a lane knows of its rows g and g + 8: the softmax so far. */
struct softmax {
    float m[2], l[2];
    int pos[2];
};

/* Element (row, chunk) of a tile with CHUNKS chunks of 8 halves a row. */
template <int CHUNKS> DEVICE uint16_t *chunk_at(uint16_t *tile, int row, int chunk)
{
    constexpr int SHARE = CHUNKS < 8 ? 8 / CHUNKS : 1; /* rows in 128 bytes */
    return tile + (row * CHUNKS + (chunk ^ row / SHARE % (8 / SHARE))) * CHUNK;
}

template <int DIMS> DEVICE void load_keys(const struct attention_args &a, const struct block_rows &r, int first, int end)
{
    using T = tensor_tile<DIMS>;
    SHARED(uint16_t, keys, T::K);
    for (int i = (int)threadIdx.x; i < T::TOKENS / 16 * a.padded * 2; i += THREADS) { /* (d, half) of a page are consecutive */
        int page = i / (a.padded * 2), word = i % (a.padded * 2), d = word / 2, token = first + page * STEP_PAGE_TOKENS;
        bool exists = d < a.head_dim && token < end;
        const uint16_t *from = kv_keys(a.kv, exists ? ldg(r.pages + token / STEP_PAGE_TOKENS) : 0, r.kv_head);
        cp_async<16>(chunk_at<T::TOKENS / CHUNK>(keys, d, page * 2 + word % 2), exists ? from + word * CHUNK : from,
                     exists ? 16 : 0);
    }
}

template <int DIMS>
DEVICE void load_values(const struct attention_args &a, const struct block_rows &r, int first, int end)
{
    SHARED(uint16_t, values, tensor_tile<DIMS>::V);
    int words = a.padded / CHUNK; /* of a token */
    for (int i = (int)threadIdx.x; i < tensor_tile<DIMS>::TOKENS * words; i += THREADS) {
        int t = i / words, word = i % words, token = first + t;
        bool exists = token < end;
        const uint16_t *from = kv_values(a.kv, exists ? ldg(r.pages + token / STEP_PAGE_TOKENS) : 0, r.kv_head);
        cp_async<16>(chunk_at<DIMS / CHUNK>(values, t, word),
                     exists ? from + (token % STEP_PAGE_TOKENS * words + word) * CHUNK : from, exists ? 16 : 0);
    }
}

/* Queries times scale as F16; vectors beyond the last one repeat it. */
template <int DIMS> DEVICE void load_queries(const struct attention_args &a, const struct block_rows &r)
{
    SHARED(uint16_t, queries, tensor_tile<DIMS>::Q);
    for (int i = warp_id(); i < VECTORS; i += THREADS / WARP) {
        int v = i < r.n * r.heads ? i : r.n * r.heads - 1;
        const float *q = a.qkv + (r.first + v / r.heads) * a.ld + (r.head0 + v % r.heads) * a.head_dim;
        for (int d = lane_id(); d < a.padded; d += WARP)
            sts(chunk_at<DIMS / CHUNK>(queries, i, d / CHUNK) + d % CHUNK,
                d < a.head_dim ? float_to_half(ldg(q + d) * a.scale) : (uint16_t)0);
    }
}

/* S of this warp's 16 vectors and the tile's 64 tokens. */
template <int DIMS, int TILE> DEVICE void score(float (&s)[TILE / 8][4], int padded)
{
    SHARED(uint16_t, queries, tensor_tile<DIMS>::Q);
    SHARED(uint16_t, keys, tensor_tile<DIMS>::K);
    int lane = lane_id();
#pragma unroll
    for (int j = 0; j < TILE / 8; j++)
        s[j][0] = s[j][1] = s[j][2] = s[j][3] = 0.0f;
#pragma unroll 2
    for (int d = 0; d < padded; d += 16) {
        uint32_t q[4], k[4]; /* q: matrices (rows 0‥7, 8‥15) × (d, d + 8); k: (d, d + 8) × (two chunks of tokens) */
        ldmatrix_x4(q, chunk_at<DIMS / CHUNK>(queries, warp_id() * 16 + lane % 16, d / CHUNK + lane / 16));
#pragma unroll
        for (int j = 0; j < TILE / 8; j += 2) {
            ldmatrix_x4_trans(k, chunk_at<TILE / CHUNK>(keys, d + lane % 16, j + lane / 16));
            mma_f16_k16(s[j], q, k, s[j]);
            mma_f16_k16(s[j + 1], q, k + 2, s[j + 1]);
        }
    }
}

/* S becomes P; m and l move on; returns by what O shrinks. `first`: position of the tile's first token. */
template <int TILE> DEVICE void weigh(float (&s)[TILE / 8][4], struct softmax &x, int first, float (&shrink)[2])
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float m = x.m[h], sum = 0.0f;
#pragma unroll
        for (int j = 0; j < TILE / 8; j++)
#pragma unroll
            for (int i = 2 * h; i < 2 * h + 2; i++) {
                s[j][i] = first + j * 8 + lane_id() % 4 * 2 + i % 2 <= x.pos[h] ? s[j][i] : -INFINITY;
                m = fmaxf(m, s[j][i]);
            }
        m = fmaxf(m, shfl_xor(m, 1));
        m = fmaxf(m, shfl_xor(m, 2));
        shrink[h] = gpu_exp(x.m[h] - m);
        x.m[h] = m;
#pragma unroll
        for (int j = 0; j < TILE / 8; j++)
#pragma unroll
            for (int i = 2 * h; i < 2 * h + 2; i++) {
                s[j][i] = gpu_exp(s[j][i] - m);
                sum = sum + s[j][i];
            }
        x.l[h] = fmaf(x.l[h], shrink[h], sum);
    }
}

DEVICE uint32_t pack_halves(float low, float high)
{
    return (uint32_t)float_to_half(low) | (uint32_t)float_to_half(high) << 16;
}

/* O = O · shrink + P V. */
template <int DIMS, int TILE>
DEVICE void add_values(float (&o)[DIMS / 8][4], const float (&p)[TILE / 8][4], const float (&shrink)[2], int padded)
{
    SHARED(uint16_t, values, tensor_tile<DIMS>::V);
    int lane = lane_id();
#pragma unroll
    for (int j = 0; j < DIMS / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            o[j][i] = o[j][i] * shrink[i / 2];
#pragma unroll
    for (int t = 0; t < TILE; t += 16) {
        const float(&low)[4] = p[t / 8], (&high)[4] = p[t / 8 + 1];
        const uint32_t a[4] = {pack_halves(low[0], low[1]), pack_halves(low[2], low[3]), pack_halves(high[0], high[1]),
                               pack_halves(high[2], high[3])};
#pragma unroll
        for (int j = 0; j < DIMS / 8; j += 2) {
            if (j * 8 >= padded)
                break;
            uint32_t v[4];
            ldmatrix_x4_trans(v, chunk_at<DIMS / CHUNK>(values, t + lane % 16, j + lane / 16));
            mma_f16_k16(o[j], a, v, o[j]);
            mma_f16_k16(o[j + 1], a, v + 2, o[j + 1]);
        }
    }
}

template <int DIMS>
DEVICE void write_out(const struct attention_args &a, const struct block_rows &r, const float (&o)[DIMS / 8][4],
                      const struct softmax &x)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float l = x.l[h] + shfl_xor(x.l[h], 1);
        l = l + shfl_xor(l, 2);
        int v = warp_id() * 16 + h * 8 + lane_id() / 4;
        float *out = a.out + (r.first + v / r.heads) * a.out_ld + (r.head0 + v % r.heads) * a.head_dim;
#pragma unroll
        for (int j = 0; j < DIMS / 8; j++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int d = j * 8 + lane_id() % 4 * 2 + i;
                if (v < r.n * r.heads && d < a.head_dim)
                    st(out + d, o[j][2 * h + i] / l);
            }
    }
}

template <int DIMS> DEVICE void attend_rows(const struct attention_args &a, const struct block_rows &r)
{
    constexpr int TILE = tensor_tile<DIMS>::TOKENS;
    float s[TILE / 8][4], o[DIMS / 8][4] = {}, shrink[2];
    struct softmax x;
    for (int h = 0; h < 2; h++) {
        int v = warp_id() * 16 + h * 8 + lane_id() / 4, most = r.n * r.heads - 1;
        x.m[h] = -INFINITY;
        x.l[h] = 0.0f;
        x.pos[h] = r.pos0 + (v < most ? v : most) / r.heads;
    }
    int end = r.pos0 + r.n;
    load_queries<DIMS>(a, r);
    load_keys<DIMS>(a, r, 0, end);
    cp_async_commit();
    load_values<DIMS>(a, r, 0, end);
    cp_async_commit();
    for (int first = 0; first < end; first += TILE) {
        cp_async_wait<1>(); /* this thread's part of the keys has landed, the values may be on their way */
        syncthreads();      /* the keys are everybody's */
        score<DIMS, TILE>(s, a.padded);
        syncthreads(); /* nobody reads these keys any more */
        load_keys<DIMS>(a, r, first + TILE, end);
        cp_async_commit();
        weigh<TILE>(s, x, first, shrink);
        cp_async_wait<1>(); /* this thread's part of the values has landed, the next keys may be on their way */
        syncthreads();      /* the values are everybody's */
        add_values<DIMS, TILE>(o, s, shrink, a.padded);
        syncthreads(); /* nobody reads these values any more, nor, at the end, the queries */
        load_values<DIMS>(a, r, first + TILE, end);
        cp_async_commit();
    }
    cp_async_wait<0>();
    write_out<DIMS>(a, r, o, x);
    syncthreads(); /* the outputs are written */
    if (a.q8)
        for (int i = 0; i < r.n; i++)
            attention_quantize(a, r.first + i, r.head0 * a.head_dim, r.heads * a.head_dim);
}

template <int DIMS> KERNEL(THREADS, 1) k_attention_tensor(struct attention_args a)
{
    int tile_rows = VECTORS / a.heads, n_rows = step_rows(a.step);
    int row = (int)(gridDim.x - 1 - blockIdx.x) * tile_rows; /* the last rows see most: they go first */
    int end = row + tile_rows < n_rows ? row + tile_rows : n_rows;
    int kv_head = (int)blockIdx.y / a.parts, in_group = (int)blockIdx.y % a.parts * a.heads;
    int heads = a.group - in_group < a.heads ? a.group - in_group : a.heads;
    while (row < end) {
        const struct step_seq *seq = view_seqs(a.step) + ldg(view_row_seq(a.step) + row);
        int row0 = ldg(&seq->row0), seq_rows = ldg(&seq->n_rows);
        int next = row0 + seq_rows < end ? row0 + seq_rows : end;
        if (seq_rows > 1)
            attend_rows<DIMS>(a, {row, next - row, ldg(&seq->pos0) + row - row0, view_pages(a.step) + ldg(&seq->page0),
                                  kv_head, kv_head * a.group + in_group, heads});
        row = next;
    }
}

template <int DIMS> static cudaError_t start(const struct attention_args &a, dim3 grid, cudaStream_t stream)
{
    auto attention_tensor = k_attention_tensor<DIMS>;
    return LAUNCH(attention_tensor, grid, dim3(THREADS), tensor_tile<DIMS>::BYTES, stream, a);
}

cudaError_t attention_tensor_start(struct attention_args a, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    attention_cut(&a, VECTORS);
    int tile_rows = VECTORS / a.heads;
    dim3 grid((unsigned)((bucket->rows + tile_rows - 1) / tile_rows), (unsigned)(a.n_kv_heads * a.parts));
    return a.padded <= 64    ? start<64>(a, grid, stream)
           : a.padded <= 128 ? start<128>(a, grid, stream)
                             : start<256>(a, grid, stream);
}
