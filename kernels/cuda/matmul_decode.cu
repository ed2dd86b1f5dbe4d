/* y[m][n] = Σ_k w[n][k] · a[m][k] (+ bias[n]) for quantized weights and 1 .. 16 rows m: a decode step, which waits for
 * the weights to come out of memory. They are read once, and everything else is arranged so that they keep coming.
 *
 * Tiling. A block computes TILES × 16 outputs of all rows. Its W warps share the columns: they are cut into chunks of
 * BLOCKS blocks of 32, and warp v takes chunks v, v + W, v + 2W, …
 *
 *                        chunk 0   chunk 1   chunk 2   chunk 3   chunk 4          W = 3
 *      TILES × 16 rows ┌─────────┬─────────┬─────────┬─────────┬─────────┬─ …
 *      of weights      │ warp 0  │ warp 1  │ warp 2  │ warp 0  │ warp 1  │
 *                      └────┬────┴────┬────┴────┬────┴────┬────┴────┬────┴─ …
 *      accumulators    0 ───┴────────►┴────────►┴────────►┴────────►┴──── … ──► y
 *
 * The contract folds block after block into one float32, ascending, so K cannot be split and added up. What can be
 * shared is all but the fold: each warp fetches its chunk, unpacks it, has the tensor cores sum it (int32, exact), and
 * multiplies the scales, all in registers; then it takes the accumulators from the warp before it, does nothing but
 * the chain of fmaf, and hands them on. While one warp folds, the others are at their next chunks.
 *
 * Who waits for whom. Stages are a warp's own: cp_async_wait and syncwarp, no barrier of the block. Accumulators go
 * through shared memory, one slot per receiving warp; barrier 1 + v is met by warp v (which syncs) and the warp before
 * it (which arrives after writing). A slot is written again only by a warp that itself got what came of reading it.
 *
 *   warp v:   copy chunk c + (STAGES − 1) · W …   dots of chunk c   bar_sync(1 + v)   fold   bar_arrive(1 + next)
 *
 * Registers: BLOCKS · TILES · ROW_TILES · (8 + …) floats wait for the fold, at most 64 + 64 and the minima. Shared
 * memory: per warp STAGES · (TILES · (head + BLOCKS / 2 · pair) + rows · (48 · BLOCKS + 16)), and 512 · TILES ·
 * ROW_TILES for its slot. A row of activations in a stage is 32 · BLOCKS values, BLOCKS metas and 16 bytes more, which
 * spread the 8 rows of a B fragment over all banks.
 *
 * Traffic. DRAM: the packed weights once, rows · cols · 1.5 bytes of activations once, 4 · n · rows of results. L2 to
 * SM: the weights once (K-quants with BLOCKS = 4: heads twice) and the activations n / (16 · TILES) times.
 *
 * Machine code: LDGSTS (16 bytes), LDS.128, IMMA.16832 (Q6_K: IMMA.16816), FFMA, BAR.SYNC and BAR.ARV. */
#include "kernels/cuda/matmul.cuh"
#include "kernels/cuda/matmul.h"

enum { MOST_WARPS = 8, MOST_BYTES = 96 * 1024, GRID_FULL = 264 /* blocks that give each SM of a large GPU two */ };

/* TILES of 16 outputs and ROW_TILES of 8 rows a block, BLOCKS of 32 columns a chunk. */
template <enum dtype TYPE, int TILES_, int ROW_TILES_, int BLOCKS_, int STAGES_> struct decode {
    static constexpr enum dtype T = TYPE;
    static constexpr int TILES = TILES_, ROW_TILES = ROW_TILES_, BLOCKS = BLOCKS_, STAGES = STAGES_;
    static constexpr int TILE_BYTES = quant<T>::HEAD + BLOCKS / 2 * quant<T>::PAIR;
    static constexpr int ROW_BYTES = 48 * BLOCKS + 16;
    static constexpr int SLOT_BYTES = TILES * ROW_TILES * WARP * 16;
    HOST_DEVICE int stage_bytes(int rows) { return TILES * TILE_BYTES + rows * ROW_BYTES; }
};

/* Begins to copy chunk c into a stage: the weights first, which do not depend on how many rows the step has; they are
 * read once, while the activations stay in L2 for all blocks. */
template <class S>
DEVICE void copy_chunk(const matmul_args &p, const unsigned char *const tile[], int c, int rows, unsigned char *stage)
{
    constexpr enum dtype T = S::T;
    int lane = lane_id(), left = p.cols / BLOCK_COLS - c * S::BLOCKS, blocks = left < S::BLOCKS ? left : S::BLOCKS;
    int copies = (blocks + 1) / 2 * quant<T>::PAIR / 16;
#pragma unroll
    for (int j = 0; j < S::TILES; j++) {
        const unsigned char *pairs = tile[j] + quant_pair_at(T, (int64_t)c * (S::BLOCKS / 2));
        unsigned char *to = stage + j * S::TILE_BYTES;
        if (lane < quant<T>::HEAD / 16)
            cp_async_stream(to + 16 * lane, tile[j] + quant_head_at(T, (int64_t)c * (S::BLOCKS / 2)) + 16 * lane);
        for (int i = lane; i < copies; i += WARP)
            cp_async_stream(to + quant<T>::HEAD + 16 * i, pairs + 16 * i);
    }
    unsigned char *to = stage + S::TILES * S::TILE_BYTES;
    for (int i = lane; i < rows * 3 * S::BLOCKS; i += WARP) { /* per block: 32 bytes of values, 16 of meta */
        int row = i / (3 * S::BLOCKS), k = i % (3 * S::BLOCKS), meta = k - 2 * S::BLOCKS;
        const unsigned char *from = p.a + row * p.a_stride;
        if (k < 2 * blocks)
            cp_async<16>(to + row * S::ROW_BYTES + 16 * k, from + c * (S::BLOCKS * 32) + 16 * k);
        else if (meta >= 0 && meta < blocks)
            cp_async<16>(to + row * S::ROW_BYTES + 16 * k, from + p.cols + c * (S::BLOCKS * 16) + 16 * meta);
    }
}

/* What a chunk leaves to be folded. */
template <class S> struct chunk {
    float x[S::BLOCKS][S::TILES][S::ROW_TILES][4], scale[S::BLOCKS][S::TILES][S::ROW_TILES][4];
    float m[S::BLOCKS][S::TILES][2], ds[S::BLOCKS][S::ROW_TILES][2];
};

/* The products of pair `pair` of the stage. */
template <class S>
DEVICE void multiply_pair(const unsigned char *stage, int pair, const int b_row[], const int meta_row[][2],
                          chunk<S> *out)
{
    constexpr enum dtype T = S::T;
    int lane = lane_id(), g = lane / 4, t = lane % 4;
    const unsigned char *act = stage + S::TILES * S::TILE_BYTES;
    uint32_t b[2][S::ROW_TILES][2];
    column_meta meta[2][S::ROW_TILES];
#pragma unroll
    for (int k = 0; k < 2; k++)
#pragma unroll
        for (int r = 0; r < S::ROW_TILES; r++) {
            const unsigned char *values = act + b_row[r] * S::ROW_BYTES + 32 * (2 * pair + k) + 4 * t;
            b[k][r][0] = lds((const uint32_t *)values);
            b[k][r][1] = lds((const uint32_t *)(values + 16));
#pragma unroll
            for (int i = 0; i < 2; i++) {
                load_meta(act + meta_row[r][i] * S::ROW_BYTES + 32 * S::BLOCKS + 16 * (2 * pair + k), i, &meta[k][r]);
                out->ds[2 * pair + k][r][i] = meta[k][r].ds[i];
            }
        }
#pragma unroll
    for (int j = 0; j < S::TILES; j++) {
        const unsigned char *head = stage + j * S::TILE_BYTES, *at = head + quant<T>::HEAD + pair * quant<T>::PAIR;
        uint32_t a[2][4];
        row_numbers w[2];
        load_fragments<T>(at, lane, a);
        load_numbers<T>(head, at, g, w);
#pragma unroll
        for (int k = 0; k < 2; k++)
#pragma unroll
            for (int r = 0; r < S::ROW_TILES; r++) {
                block_products<T>(a[k], b[k][r], w[k], meta[k][r], out->x[2 * pair + k][j][r]);
#pragma unroll
                for (int i = 0; i < 4; i++)
                    out->scale[2 * pair + k][j][r][i] = w[k].d[i / 2] * meta[k][r].d[i % 2];
#pragma unroll
                for (int i = 0; i < 2; i++)
                    out->m[2 * pair + k][j][i] = quant<T>::HAS_MIN ? w[k].m[i] : 0.0f;
            }
    }
}

/* Accumulators in a slot: lane after lane, so that a warp's 16-byte accesses are one run. */
template <class S> DEVICE void take(float acc[][S::ROW_TILES][4], const unsigned char *slot)
{
#pragma unroll
    for (int i = 0; i < S::TILES * S::ROW_TILES; i++) {
        words4 v = lds((const words4 *)(slot + 16 * (WARP * i + lane_id())));
#pragma unroll
        for (int k = 0; k < 4; k++)
            acc[i / S::ROW_TILES][i % S::ROW_TILES][k] = bits_to_float(v.w[k]);
    }
}

template <class S> DEVICE void give(const float acc[][S::ROW_TILES][4], unsigned char *slot)
{
#pragma unroll
    for (int i = 0; i < S::TILES * S::ROW_TILES; i++) {
        words4 v;
#pragma unroll
        for (int k = 0; k < 4; k++)
            v.w[k] = float_to_bits(acc[i / S::ROW_TILES][i % S::ROW_TILES][k]);
        sts((words4 *)(slot + 16 * (WARP * i + lane_id())), v);
    }
}

template <class S> DEVICE void fold(const chunk<S> &c, int blocks, float acc[][S::ROW_TILES][4])
{
#pragma unroll
    for (int k = 0; k < S::BLOCKS; k++) {
        if (k >= blocks)
            break;
#pragma unroll
        for (int j = 0; j < S::TILES; j++)
#pragma unroll
            for (int r = 0; r < S::ROW_TILES; r++)
                block_fold<S::T>(c.x[k][j][r], c.scale[k][j][r], c.m[k][j], c.ds[k][r], acc[j][r]);
    }
}

template <class S> DEVICE void store_tiles(const matmul_args &p, int rows, const float acc[][S::ROW_TILES][4])
{
    int lane = lane_id(), n0 = (int)blockIdx.x * S::TILES * TILE_ROWS + lane / 4;
#pragma unroll
    for (int j = 0; j < S::TILES; j++)
#pragma unroll
        for (int r = 0; r < S::ROW_TILES; r++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int n = n0 + j * TILE_ROWS + i / 2 * 8, row = 8 * r + lane % 4 * 2 + i % 2;
                if (n < p.n && row < rows)
                    store_output(p, n, row, acc[j][r][i]);
            }
}

/* stage_rows: rows that a stage has room for, at least those of the step. */
template <class S> KERNEL(MOST_WARPS * WARP, 1) k_matmul_decode(matmul_args p, int stage_rows)
{
    SHARED(unsigned char, memory, 0);
    const int step = step_row_count(p.step, p.rows), rows = step < 1 ? 1 : step; /* read what is there in any case */
    const int lane = lane_id(), warp = warp_id(), warps = (int)blockDim.x / WARP, next = (warp + 1) % warps;
    const int blocks = p.cols / BLOCK_COLS, chunks = (blocks + S::BLOCKS - 1) / S::BLOCKS;
    const int stage_bytes = S::stage_bytes(stage_rows), last_tile = (p.n + TILE_ROWS - 1) / TILE_ROWS - 1;
    unsigned char *slots = memory, *stages = memory + warps * S::SLOT_BYTES + warp * S::STAGES * stage_bytes;
    const unsigned char *tile[S::TILES];
    int b_row[S::ROW_TILES], meta_row[S::ROW_TILES][2];
#pragma unroll
    for (int j = 0; j < S::TILES; j++) { /* beyond the last tile: it again, and nothing of it is stored */
        int i = (int)blockIdx.x * S::TILES + j;
        tile[j] = p.w + (i < last_tile ? i : last_tile) * p.w_stride;
    }
#pragma unroll
    for (int r = 0; r < S::ROW_TILES; r++) { /* the same for rows */
        int row = 8 * r + lane / 4, column = 8 * r + lane % 4 * 2;
        b_row[r] = row < rows ? row : rows - 1;
        meta_row[r][0] = column < rows ? column : rows - 1;
        meta_row[r][1] = column + 1 < rows ? column + 1 : rows - 1;
    }
#pragma unroll
    for (int s = 0; s < S::STAGES - 1; s++) {
        if (warp + s * warps < chunks)
            copy_chunk<S>(p, tile, warp + s * warps, rows, stages + s * stage_bytes);
        cp_async_commit();
    }
    float acc[S::TILES][S::ROW_TILES][4] = {};
    for (int c = warp, s = 0; c < chunks; c += warps, s = (s + 1) % S::STAGES) {
        cp_async_wait<S::STAGES - 2>();
        syncwarp(); /* all lanes' copies have landed, and nobody reads the stage that is filled next */
        int ahead = c + (S::STAGES - 1) * warps;
        if (ahead < chunks)
            copy_chunk<S>(p, tile, ahead, rows, stages + (s + S::STAGES - 1) % S::STAGES * stage_bytes);
        cp_async_commit();

        chunk<S> products;
        int here = blocks - c * S::BLOCKS;
#pragma unroll
        for (int pair = 0; pair < S::BLOCKS / 2; pair++)
            if (2 * pair < here)
                multiply_pair<S>(stages + s * stage_bytes, pair, b_row, meta_row, &products);
        if (c > 0 && warps > 1) {
            bar_sync(1 + warp, 2 * WARP);
            take<S>(acc, slots + warp * S::SLOT_BYTES);
        }
        fold<S>(products, here, acc);
        if (c + 1 == chunks) {
            store_tiles<S>(p, step, acc);
        } else if (warps > 1) {
            give<S>(acc, slots + next * S::SLOT_BYTES);
            bar_arrive(1 + next, 2 * WARP);
        }
    }
}

template <class S> static cudaError_t start(const matmul_args &p, int32_t rows, cudaStream_t stream)
{
    int tiles = (p.n + TILE_ROWS - 1) / TILE_ROWS, grid = (tiles + S::TILES - 1) / S::TILES;
    int blocks = p.cols / BLOCK_COLS, chunks = (blocks + S::BLOCKS - 1) / S::BLOCKS;
    int warp_bytes = S::STAGES * S::stage_bytes(rows) + S::SLOT_BYTES;
    int warps = grid < GRID_FULL ? MOST_WARPS : MOST_WARPS / 2; /* few blocks: each has more copies under way */
    while (warps > chunks || warps * warp_bytes > MOST_BYTES)
        warps--;
    return LAUNCH(k_matmul_decode<S>, dim3(grid), dim3(warps * WARP), (size_t)(warps * warp_bytes), stream, p, rows);
}

template <enum dtype T> static cudaError_t start_rows(const matmul_args &p, int32_t rows, cudaStream_t stream)
{
    if (rows <= 2)
        return start<decode<T, 1, 1, 8, 4>>(p, rows, stream);
    if (rows <= 8)
        return start<decode<T, 2, 1, 4, 4>>(p, rows, stream);
    return start<decode<T, T == DTYPE_Q6_K ? 1 : 2, 2, 4, 3>>(p, rows, stream); /* Q6_K: for want of registers */
}

cudaError_t gpu_matmul_decode(const struct op_matmul *op, const struct gpu_bucket *bucket, int32_t rows,
                              cudaStream_t stream)
{
    struct matmul_args p = matmul_args_of(op, bucket);
    switch (op->w->dtype) {
    case DTYPE_Q4_0: return start_rows<DTYPE_Q4_0>(p, rows, stream);
    case DTYPE_Q4_1: return start_rows<DTYPE_Q4_1>(p, rows, stream);
    case DTYPE_Q5_0: return start_rows<DTYPE_Q5_0>(p, rows, stream);
    case DTYPE_Q8_0: return start_rows<DTYPE_Q8_0>(p, rows, stream);
    case DTYPE_Q4_K: return start_rows<DTYPE_Q4_K>(p, rows, stream);
    case DTYPE_Q6_K: return start_rows<DTYPE_Q6_K>(p, rows, stream);
    default: return cudaErrorInvalidValue;
    }
}
