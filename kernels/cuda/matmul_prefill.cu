/* y[m][n] = Σ_k w[n][k] · a[m][k] (+ bias[n]) for quantized weights and many rows m: a prompt. What is fetched is used
 * often enough that arithmetic is what takes the time.
 *
 * Tiling. A block of 8 warps computes 64 · MI outputs of 16 · NI rows, a warp MI × NI tiles of 16 × 8, walking all of K
 * in pairs of blocks (64 columns): K is not split, so each accumulator is folded in the order of the contract without
 * asking anyone.
 *
 *                          16 · NI rows of activations
 *                        ┌──────────┬──────────┐
 *          64 · MI       │  warp 0  │  warp 4  │      warp w: tiles MI · (w % 4) .. of weights,
 *          rows of       ├──────────┼──────────┤              tiles NI · (w / 4) .. of activations
 *          weights       │  warp 1  │  warp 5  │
 *                        ├──────────┼──────────┤      pair p ─► stage p % STAGES of shared memory:
 *          (64 columns   │  warp 2  │  warp 6  │        64 · MI rows of packed weights, as they are
 *          at a time)    ├──────────┼──────────┤        16 · NI rows of 64 int8, swizzled
 *                        │  warp 3  │  warp 7  │        their metas of two blocks
 *                        └──────────┴──────────┘
 *
 * Weights are packed as A fragments (weight.h), so a lane's 16 bytes are its operands of both blocks. B fragments come
 * by ldmatrix: 8 rows of 16 bytes each, which lie 64 bytes apart; piece c of row r is kept at place c ^ (r / 2 % 4), so
 * that the 8 rows are in 8 different groups of 4 banks.
 *
 * Who waits for whom. All copy pair p + STAGES − 1 while all compute pair p; before it, cp_async_wait and one barrier
 * say that pair p has landed for all, and that the stage to fill is no longer read.
 *
 * Per block of 32 and tile of 16 × 8, the tensor cores take one instruction, the fold 4 · (FADD, FMUL, FFMA; with a
 * minimum 2 FFMA) per lane: the exact order costs more than the products, and is what bounds this kernel.
 *
 * Registers: 4 · MI · NI accumulators and 16 · MI of weights: 128 at most, so that two blocks fit an SM. Shared memory:
 * STAGES · (4 · MI · (head + pair) + 16 · NI · 96).
 *
 * Traffic. DRAM: weights once (the blocks of all rows for the same weights run side by side), 1.5 · cols bytes per row
 * and results once. L2 to SM: the weights rows / (16 · NI) times, with the head of a K-quant for every pair; the
 * activations n / (64 · MI) times.
 *
 * Machine code: LDGSTS (16 bytes), LDSM, LDS.128, IMMA.16832 (Q6_K: IMMA.16816), FFMA. */
#include "kernels/cuda/matmul.cuh"
#include "kernels/cuda/matmul.h"

enum { PREFILL_THREADS = 256, WARPS_DOWN = 4, STAGES = 3, FEW_BLOCKS = 132 /* leave SMs of a large GPU idle */ };

template <enum dtype TYPE, int MI_, int NI_> struct prefill {
    static constexpr enum dtype T = TYPE;
    static constexpr int MI = MI_, NI = NI_;
    static constexpr int TILES = WARPS_DOWN * MI, ROWS = 2 * 8 * NI; /* of a block */
    static constexpr int TILE_BYTES = quant<T>::HEAD + quant<T>::PAIR;
    static constexpr int VALUES_AT = TILES * TILE_BYTES, METAS_AT = VALUES_AT + ROWS * PAIR_COLS;
    static constexpr int STAGE_BYTES = METAS_AT + ROWS * 2 * (int)sizeof(struct q8_meta);
};

/* Where piece c (16 bytes) of row r of the activations lies. */
DEVICE int swizzled(int r, int c) { return r * PAIR_COLS + (c ^ (r / 2 % 4)) * 16; }

/* Begins to copy pair `pair` into a stage. What is beyond the weights, the rows or the columns becomes 0. */
template <class S> DEVICE void copy_pair(const matmul_args &p, int pair, int rows, unsigned char *stage)
{
    constexpr enum dtype T = S::T;
    constexpr int COPIES = S::TILE_BYTES / 16;
    const int tile0 = (int)blockIdx.y * S::TILES, tiles = (p.n + TILE_ROWS - 1) / TILE_ROWS;
    const int row0 = (int)blockIdx.x * S::ROWS, blocks = p.cols / BLOCK_COLS;
    for (int i = (int)threadIdx.x; i < S::TILES * COPIES; i += PREFILL_THREADS) {
        int j = i / COPIES, at = i % COPIES * 16;
        bool there = tile0 + j < tiles;
        const unsigned char *tile = p.w + (there ? tile0 + j : 0) * p.w_stride;
        const unsigned char *from = at < quant<T>::HEAD ? tile + quant_head_at(T, pair) + at
                                                        : tile + quant_pair_at(T, pair) + at - quant<T>::HEAD;
        cp_async<16>(stage + j * S::TILE_BYTES + at, from, there ? 16 : 0);
    }
    for (int i = (int)threadIdx.x; i < S::ROWS * 6; i += PREFILL_THREADS) { /* 4 pieces of values, 2 metas */
        int r = i / 6, c = i % 6, block = 2 * pair + (c < 4 ? c / 2 : c - 4);
        bool there = row0 + r < rows && block < blocks;
        const unsigned char *row = p.a + (there ? row0 + r : 0) * p.a_stride;
        int at = c < 4 ? block * BLOCK_COLS + c % 2 * 16 : p.cols + block * 16;
        int to = c < 4 ? S::VALUES_AT + swizzled(r, c) : S::METAS_AT + ((c - 4) * S::ROWS + r) * 16;
        cp_async<16>(stage + to, row + (there ? at : 0), there ? 16 : 0);
    }
}

/* Folds block `block` of the pair in a stage: NI tiles of activations from row `row0` of the stage on. */
template <class S>
DEVICE void multiply_block(const unsigned char *stage, int block, int row0, const uint32_t a[][2][4],
                           const row_numbers w[][2], float acc[][S::NI][4])
{
    constexpr enum dtype T = S::T;
    const int lane = lane_id(), matrix = lane / 8;
#pragma unroll
    for (int n = 0; n < S::NI; n += 2) {
        uint32_t b[4]; /* matrices: both halves of the block for tile n, then for tile n + 1 */
        int r = row0 + 8 * n + matrix / 2 * 8 + lane % 8, c = 2 * block + matrix % 2;
        ldmatrix_x4(b, stage + S::VALUES_AT + swizzled(r, c));
#pragma unroll
        for (int k = 0; k < 2; k++) {
            column_meta meta;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int row = row0 + 8 * (n + k) + lane % 4 * 2 + i;
                load_meta(stage + S::METAS_AT + (block * S::ROWS + row) * 16, i, &meta);
            }
#pragma unroll
            for (int m = 0; m < S::MI; m++) {
                float x[4], scale[4];
                block_products<T>(a[m][block], b + 2 * k, w[m][block], meta, x);
#pragma unroll
                for (int i = 0; i < 4; i++)
                    scale[i] = w[m][block].d[i / 2] * meta.d[i % 2];
                block_fold<T>(x, scale, w[m][block].m, meta.ds, acc[m][n + k]);
            }
        }
    }
}

template <class S> KERNEL(PREFILL_THREADS, 2) k_matmul_prefill(matmul_args p)
{
    SHARED(unsigned char, stages, 0);
    const int rows = step_row_count(p.step, p.rows), row0 = (int)blockIdx.x * S::ROWS;
    if (row0 >= rows)
        return;
    const int lane = lane_id(), down = warp_id() % WARPS_DOWN, across = warp_id() / WARPS_DOWN * 8 * S::NI;
    const int blocks = p.cols / BLOCK_COLS, pairs = (blocks + 1) / 2;
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < pairs)
            copy_pair<S>(p, s, rows, stages + s * S::STAGE_BYTES);
        cp_async_commit();
    }
    float acc[S::MI][S::NI][4] = {};
    for (int pair = 0, s = 0; pair < pairs; pair++, s = (s + 1) % STAGES) {
        cp_async_wait<STAGES - 2>();
        syncthreads();
        if (pair + STAGES - 1 < pairs)
            copy_pair<S>(p, pair + STAGES - 1, rows, stages + (s + STAGES - 1) % STAGES * S::STAGE_BYTES);
        cp_async_commit();

        const unsigned char *stage = stages + s * S::STAGE_BYTES;
        uint32_t a[S::MI][2][4];
        row_numbers w[S::MI][2];
#pragma unroll
        for (int m = 0; m < S::MI; m++) {
            const unsigned char *tile = stage + (down * S::MI + m) * S::TILE_BYTES;
            load_fragments<S::T>(tile + quant<S::T>::HEAD, lane, a[m]);
            load_numbers<S::T>(tile, tile + quant<S::T>::HEAD, lane / 4, w[m]);
        }
        multiply_block<S>(stage, 0, across, a, w, acc);
        if (2 * pair + 1 < blocks)
            multiply_block<S>(stage, 1, across, a, w, acc);
    }
    const int n0 = ((int)blockIdx.y * S::TILES + down * S::MI) * TILE_ROWS + lane / 4;
#pragma unroll
    for (int m = 0; m < S::MI; m++)
#pragma unroll
        for (int k = 0; k < S::NI; k++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int n = n0 + m * TILE_ROWS + i / 2 * 8, row = row0 + across + 8 * k + lane % 4 * 2 + i % 2;
                if (n < p.n && row < rows)
                    store_output(p, n, row, acc[m][k][i]);
            }
}

template <class S> static cudaError_t start(const matmul_args &p, int32_t rows, cudaStream_t stream)
{
    int tiles = (p.n + TILE_ROWS - 1) / TILE_ROWS;
    dim3 grid((unsigned)((rows + S::ROWS - 1) / S::ROWS), (unsigned)((tiles + S::TILES - 1) / S::TILES));
    return LAUNCH(k_matmul_prefill<S>, grid, dim3(PREFILL_THREADS), (size_t)STAGES * S::STAGE_BYTES, stream, p);
}

/* Large tiles fetch less; small ones keep more of the GPU busy when there are few. Q6_K, with two scales and two sums a
 * block, has registers for half as many accumulators. */
template <enum dtype T> static cudaError_t start_size(const matmul_args &p, int32_t rows, cudaStream_t stream)
{
    typedef prefill<T, T == DTYPE_Q6_K ? 1 : 2, 4> large;
    int64_t blocks = ((int64_t)p.n / (large::TILES * TILE_ROWS) + 1) * ((rows + large::ROWS - 1) / large::ROWS);
    return blocks < FEW_BLOCKS ? start<prefill<T, 1, 2>>(p, rows, stream) : start<large>(p, rows, stream);
}

cudaError_t gpu_matmul_prefill(const struct op_matmul *op, const struct gpu_bucket *bucket, int32_t rows,
                               cudaStream_t stream)
{
    struct matmul_args p = matmul_args_of(op, bucket);
    switch (op->w->dtype) {
    case DTYPE_Q4_0: return start_size<DTYPE_Q4_0>(p, rows, stream);
    case DTYPE_Q4_1: return start_size<DTYPE_Q4_1>(p, rows, stream);
    case DTYPE_Q5_0: return start_size<DTYPE_Q5_0>(p, rows, stream);
    case DTYPE_Q8_0: return start_size<DTYPE_Q8_0>(p, rows, stream);
    case DTYPE_Q4_K: return start_size<DTYPE_Q4_K>(p, rows, stream);
    case DTYPE_Q6_K: return start_size<DTYPE_Q6_K>(p, rows, stream);
    default: return cudaErrorInvalidValue;
    }
}
