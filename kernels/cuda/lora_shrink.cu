/* LoRA, first half: t[row][r] = dot16(A[r], x[row]) · scale, for every rank r of the row's adapter.
 *
 *   A: slabs of (≤ 16 ranks, in) F16 or F32, in pages     x: (rows, in) F32     t: (rows, 3, LORA_MAX_RANK) F32
 *
 * A block makes the t of one row block (lora.cuh), one target and, tile by tile, some of the ranks:
 *
 *          in: chunks of 512 or 256 bytes of A
 *        ┌─────┬─────┬─────┬─────┬──┐
 *   A    │ 0   │ 1   │ 2   │ 3   │  │  8 or 16 ranks     a ring of 3 to 8 chunks lies in shared memory; while the
 *        ├─────┼─────┼─────┼─────┼──┤                    threads fold chunk c, those up to c + ring − 1 are on
 *   x    │     │     │     │     │  │  1, 4 or 16 rows   their way by cp.async (16 bytes a thread, past L1)
 *        └─────┴─────┴─────┴─────┴──┘
 *
 *   grid: x = row blocks of the bucket, y = targets, z = tiles of ranks; a block of more tiles than z walks on by z.
 *
 * dot16 has 16 chains of fmaf, column k in chain k % 16, and those are the threads:
 *
 *   up to 4 rows (decode): a thread is one chain of one rank and of every row. Half a warp is a dot: 128 threads are 8
 *   ranks. Few ranks a block, so that one sequence's adapter is fetched by many SMs.
 *       warp 0: | rank 0: chain 0 … 15 | rank 1: chain 0 … 15 |   warp 1: | rank 2 | rank 3 | …
 *   up to 16 rows (prompts): a thread is 2 chains of ranks g and g + 8 and of 8 rows: 32 sums, each element of A
 *   converted once for 8 rows, each of x read once for 2 ranks. Quarter warps are dots.
 *       warps 0, 1: rows 0 … 7, g = 0 … 7          warps 2, 3: rows 8 … 15 (idle when there are none)
 *
 * In shared memory a rank's chunk is followed by 16 elements of nothing, so that the ranks that a warp reads together
 * lie in different banks.
 *
 * Who waits for whom: a thread for its own copies of chunk c (cp.async.wait_group), then all for all (one barrier a
 * chunk); behind that barrier chunk c − 1 is done with, and its place is filled again.
 *
 * Past `in`, rows of A and x have padding: it is copied (whole 16 bytes) and never used, since fmaf(0, 0, −0) is +0.
 *
 * Registers: ≤ 128 (4 blocks an SM). Shared memory: 48 KiB; in flight 26 to 36 KiB a block.
 * Bytes, per row block, target and tile: A: ranks · pad(in) · size; x: rows · pad(in) · 4 (from L2 after the first
 *   tile); t: ranks · rows · 4. DRAM: each adapter's A once per step, if its row blocks run together.
 * Machine code must contain: LDGSTS.E.BYPASS.128 (the copies), LDGDEPBAR, FFMA; no local memory. */
#include "kernels/cuda/lora.cuh"
#include "kernels/cuda/math.cuh"

enum { SHRINK_SHARED = 48 * 1024, MAX_STAGES = 8, NARROW_ROWS = 4 };

/* How a tile is shared out. A thread computes CHAINS neighbouring chains of RANKS ranks and ROWS rows; 8 groups of
 * threads are different ranks, ROW_GROUPS different rows. Chunks are RANK_BYTES of each rank. */
template <class E_, int CHAINS_, int RANKS_, int ROWS_, int RANK_BYTES> struct shrink_tiling {
    using E = E_;
    static constexpr int CHAINS = CHAINS_, RANKS = RANKS_, ROWS = ROWS_;
    static constexpr int DOT_THREADS = 16 / CHAINS, RANK_GROUPS = 8;
    static constexpr int ROW_GROUPS = LORA_THREADS / DOT_THREADS / RANK_GROUPS;
    static constexpr int TILE_RANKS = RANK_GROUPS * RANKS, TILE_ROWS = ROW_GROUPS * ROWS;
    static constexpr int COLS = RANK_BYTES / (int)sizeof(E), A_STRIDE = COLS + 16;
    static constexpr int A_BYTES = TILE_RANKS * A_STRIDE * (int)sizeof(E);
    static constexpr int STAGE_BYTES = A_BYTES + TILE_ROWS * COLS * 4, FIT = SHRINK_SHARED / STAGE_BYTES;
    static constexpr int STAGES = FIT < MAX_STAGES ? FIT : MAX_STAGES;
    static constexpr int UNROLLED = ROWS == 1 ? 8 : ROWS <= NARROW_ROWS ? 4 : 1; /* columns at once, by 16 */
};

/* What a tile reads. */
template <class E> struct shrink_source {
    const E *a;      /* its first rank's row of the slab */
    const float *x;  /* its first row */
    int64_t a_ld, ldx;
    int in, ranks, rows;
};

/* `rows` rows of `ROW_BYTES` each, of which only those before `valid_bytes` exist, from global to shared memory. */
template <int ROW_BYTES> DEVICE void copy_rows(unsigned char *to, int to_stride, const unsigned char *from,
                                               int64_t from_stride, int rows, int valid_bytes)
{
    constexpr int PER_ROW = ROW_BYTES / 16;
#pragma unroll 2
    for (int i = (int)threadIdx.x; i < rows * PER_ROW; i += LORA_THREADS) {
        int row = i / PER_ROW, byte = i % PER_ROW * 16;
        if (byte < valid_bytes)
            cp_async<16>(to + row * to_stride + byte, from + row * from_stride + byte);
    }
}

/* Starts the copies of chunk c, if there is one; a group in any case, so that waiting counts chunks. */
template <class T> DEVICE void fetch_chunk(unsigned char *ring, const shrink_source<typename T::E> &s, int c)
{
    constexpr int E_BYTES = (int)sizeof(typename T::E);
    int k = c * T::COLS, left = (int)pad_cols(s.in) - k;
    if (left > 0) {
        unsigned char *stage = ring + c % T::STAGES * T::STAGE_BYTES;
        copy_rows<T::COLS * E_BYTES>(stage, T::A_STRIDE * E_BYTES, (const unsigned char *)(s.a + k),
                                     s.a_ld * E_BYTES, s.ranks, left * E_BYTES);
        copy_rows<T::COLS * 4>(stage + T::A_BYTES, T::COLS * 4, (const unsigned char *)(s.x + k), s.ldx * 4, s.rows,
                               left * 4);
    }
    cp_async_commit();
}

/* N neighbouring elements out of shared memory, as floats, by one load. */
DEVICE void load_floats(const float *p, float (&out)[1]) { out[0] = lds(p); }
DEVICE void load_floats(const uint16_t *p, float (&out)[1]) { out[0] = half_to_float(lds(p)); }
DEVICE void load_floats(const float *p, float (&out)[2])
{
    float2 v = lds((const float2 *)p);
    out[0] = v.x, out[1] = v.y;
}
DEVICE void load_floats(const uint16_t *p, float (&out)[2])
{
    uint32_t v = lds((const uint32_t *)p);
    out[0] = half_to_float((uint16_t)v), out[1] = half_to_float((uint16_t)(v >> 16));
}

template <class T> using shrink_sums = float[T::RANKS][T::ROWS][T::CHAINS];

/* One element of each chain of this thread; a and x stand at its first chain. Columns from `left` on do not exist. */
template <class T>
DEVICE void fold_columns(shrink_sums<T> &sum, const typename T::E *a, const float *x, int left)
{
    float av[T::RANKS][T::CHAINS];
#pragma unroll
    for (int r = 0; r < T::RANKS; r++)
        load_floats(a + r * T::RANK_GROUPS * T::A_STRIDE, av[r]);
#pragma unroll
    for (int i = 0; i < T::ROWS; i++) {
        float xv[T::CHAINS];
        load_floats(x + i * T::COLS, xv);
#pragma unroll
        for (int r = 0; r < T::RANKS; r++)
#pragma unroll
            for (int c = 0; c < T::CHAINS; c++)
                if (c < left)
                    sum[r][i][c] = fmaf(av[r][c], xv[c], sum[r][i][c]);
    }
}

/* The columns of one chunk, 16 at a time; `left` columns are left of the row. */
template <class T>
DEVICE void fold_chunk(shrink_sums<T> &sum, const typename T::E *a, const float *x, int chain, int left)
{
    if (left >= T::COLS) {
#pragma unroll T::UNROLLED
        for (int k = 0; k < T::COLS; k += 16)
            fold_columns<T>(sum, a + k, x + k, 16);
        return;
    }
    int k = 0;
#pragma unroll 1
    for (; k + 16 <= left; k += 16)
        fold_columns<T>(sum, a + k, x + k, 16);
    if (k + chain < left)
        fold_columns<T>(sum, a + k, x + k, left - k - chain);
}

/* The tree of dot16 over the 16 chains, which lie CHAINS to a thread: the same additions as tree16. */
DEVICE float sum_chains(const float (&s)[1]) { return tree16(s[0]); }
DEVICE float sum_chains(const float (&s)[2])
{
    float v[2] = {s[0], s[1]};
#pragma unroll
    for (int by = 4; by; by /= 2)
#pragma unroll
        for (int c = 0; c < 2; c++)
            v[c] = v[c] + shfl_xor(v[c], by);
    return v[0] + v[1];
}

/* One tile: sums of all chunks, then t. to: t of the tile's first row and rank. */
template <class T> DEVICE void shrink_tile(const shrink_source<typename T::E> &s, float scale, float *to)
{
    SHARED(unsigned char, ring, 0);
    int thread = (int)threadIdx.x % T::DOT_THREADS, group = (int)threadIdx.x / T::DOT_THREADS;
    int chain = thread * T::CHAINS, rank = group % T::RANK_GROUPS, row = group / T::RANK_GROUPS * T::ROWS;
    bool busy = rank < s.ranks && row < s.rows;
    shrink_sums<T> sum = {};
    for (int c = 0; c < T::STAGES - 1; c++)
        fetch_chunk<T>(ring, s, c);
    for (int c = 0; c * T::COLS < s.in; c++) {
        cp_async_wait<T::STAGES - 2>();
        syncthreads();
        fetch_chunk<T>(ring, s, c + T::STAGES - 1);
        const unsigned char *stage = ring + c % T::STAGES * T::STAGE_BYTES;
        const typename T::E *a = (const typename T::E *)stage + rank * T::A_STRIDE + chain;
        const float *x = (const float *)(stage + T::A_BYTES) + row * T::COLS + chain;
        if (busy)
            fold_chunk<T>(sum, a, x, chain, s.in - c * T::COLS);
    }
#pragma unroll
    for (int r = 0; r < T::RANKS; r++)
#pragma unroll
        for (int i = 0; i < T::ROWS; i++) {
            float dot = sum_chains(sum[r][i]);
            int to_rank = rank + r * T::RANK_GROUPS, to_row = row + i;
            if (chain == 0 && to_rank < s.ranks && to_row < s.rows)
                st(to + to_row * LORA_T_STRIDE + to_rank, dot * scale);
        }
    syncthreads(); /* the ring is free for the next tile */
}

/* Every gridDim.z-th tile of the site. A tile lies in one slab: 16 ranks are one or two tiles. */
template <class T> DEVICE void shrink(const struct op_lora &o, const struct step_view &v, const struct lora_work &w)
{
    for (int rank0 = (int)blockIdx.z * T::TILE_RANKS; rank0 < w.site.rank; rank0 += (int)gridDim.z * T::TILE_RANKS) {
        int left = w.site.rank - rank0;
        struct shrink_source<typename T::E> s;
        s.in = w.in;
        s.a_ld = pad_cols(s.in);
        s.a = (const typename T::E *)lora_slab(o, v, w, rank0 / LORA_SLAB_RANKS) + rank0 % LORA_SLAB_RANKS * s.a_ld;
        s.ldx = o.ldx;
        s.x = GPU_POINTER(const float, o.x) + w.row0 * o.ldx;
        s.ranks = left < T::TILE_RANKS ? left : T::TILE_RANKS;
        s.rows = w.n_rows;
        shrink_tile<T>(s, w.site.scale, lora_t(o, w) + rank0);
    }
}

template <class E> DEVICE void shrink_rows(const struct op_lora &o, const struct step_view &v,
                                           const struct lora_work &w)
{
    if (w.n_rows == 1)
        shrink<shrink_tiling<E, 1, 1, 1, 512>>(o, v, w);
    else if (w.n_rows <= NARROW_ROWS)
        shrink<shrink_tiling<E, 1, 1, NARROW_ROWS, 512>>(o, v, w);
    else
        shrink<shrink_tiling<E, 2, 2, 8, 256>>(o, v, w);
}

KERNEL(LORA_THREADS, 4) k_lora_shrink(struct op_lora o, struct step_view v, int most_segments)
{
    struct lora_work w;
    lora_find_target(o, (int)blockIdx.y, &w);
    if (!lora_find_rows(v, most_segments, (int)blockIdx.x, &w) || !lora_find_site(o, v, &w))
        return;
    if (w.site.dtype == DTYPE_F16)
        shrink_rows<uint16_t>(o, v, w);
    else
        shrink_rows<float>(o, v, w);
}

/* Tiles in z: of 32 ranks at least, and of more while the grid is too small to fill a GPU anyway. */
static unsigned tiles_beside(unsigned blocks)
{
    unsigned z = 4;
    while (z * blocks < 512 && z < LORA_MAX_RANK / 8)
        z *= 2;
    return z;
}

extern "C" cudaError_t gpu_lora_shrink(const struct op_lora *o, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    if (!bucket->segments)
        return cudaSuccess;
    unsigned rows = lora_row_blocks(bucket), targets = (unsigned)o->n_targets;
    return LAUNCH(k_lora_shrink, dim3(rows, targets, tiles_beside(rows * targets)), dim3(LORA_THREADS), SHRINK_SHARED,
                  stream, *o, step_view_of(o->step, bucket), bucket->segments);
}
