/* y[m][n] = Σ_k w[n][k] · a[m][k] (+ bias[n]) for weights in F32, F16 or BF16: the contract's chain, one fmaf per
 * column, ascending, in float32. Tensor cores add in an order of their own and cannot give it.
 *
 * Tiling. A block takes 32 outputs, a lane one of them, and its warps share what it fetches: warp v computes RT rows of
 * activations, so that a lane has RT independent chains.
 *
 *          256 bytes of each row of weights at a time
 *     n  ┌─────────────────────┐           rows of activations, float32
 *   lane │ w[n][k] …  lane 0   │         ┌─────────────────────┐ warp 0: rows 0 .. RT−1
 *     :  │            lane 1   │    ×    ├─────────────────────┤ warp 1
 *     31 │            lane 31  │         ├─────────────────────┤ …
 *        └─────────────────────┘         └─────────────────────┘
 *
 * A lane reads 16 bytes of its row at a time; rows lie 272 bytes apart, so that any 8 lanes meet all banks. What it
 * multiplies them with is the same for all lanes: a broadcast.
 *
 * Who waits for whom. The ring of the prefill kernel: all copy chunk c + STAGES − 1 while all compute chunk c; one
 * barrier per chunk.
 *
 * Why that is fast enough. A chain of K fmaf takes 4 K cycles whatever one does, in which a block fetches 32 rows of K
 * elements: 16 bytes a cycle in F16, about an SM's share of an H100's memory; other blocks on the SM come on top.
 *
 * Registers: 40 to 128 with RT. Shared memory: STAGES · (32 · 272 + rows · 256 / size · 4). Traffic. DRAM: weights,
 * activations and results once. L2 to SM: weights rows / (4 · RT) times, activations n / 32 times.
 *
 * Machine code: LDGSTS (16 bytes), LDS.128, FFMA; no HMMA. */
#include "kernels/cuda/matmul.cuh"
#include "kernels/cuda/matmul.h"

enum { STAGES = 4, MOST_WARPS = 4 };
enum { CHUNK_BYTES = 256, CHUNK_PITCH = CHUNK_BYTES + 16, WEIGHTS_BYTES = WARP * CHUNK_PITCH };

/* RT rows of activations a warp. */
template <enum dtype TYPE, int RT_> struct product {
    static constexpr enum dtype T = TYPE;
    static constexpr int RT = RT_, SIZE = T == DTYPE_F32 ? 4 : 2;
    static constexpr int COLS = CHUNK_BYTES / SIZE, PIECE = 16 / SIZE; /* columns of a chunk, of 16 bytes */
    HOST_DEVICE int stage_bytes(int warps) { return WEIGHTS_BYTES + warps * RT * COLS * (int)sizeof(float); }
};

/* Begins to copy chunk c into a stage. What is beyond the weights, the rows or the columns becomes 0. */
template <class S> DEVICE void copy_chunk(const matmul_args &p, int c, int row0, int rows, unsigned char *stage)
{
    const int threads = (int)blockDim.x, at = c * CHUNK_BYTES, n0 = (int)blockIdx.y * WARP;
    for (int i = (int)threadIdx.x; i < WARP * CHUNK_BYTES / 16; i += threads) {
        int n = i / (CHUNK_BYTES / 16), k = i % (CHUNK_BYTES / 16) * 16;
        bool there = n0 + n < p.n && (size_t)(at + k) < p.w_stride;
        cp_async<16>(stage + n * CHUNK_PITCH + k, there ? p.w + (n0 + n) * p.w_stride + at + k : p.w, there ? 16 : 0);
    }
    constexpr int PIECES = S::COLS / 4; /* 16 bytes of float32 */
    const size_t from = (size_t)c * S::COLS * sizeof(float);
    for (int i = (int)threadIdx.x; i < threads / WARP * S::RT * PIECES; i += threads) {
        int r = i / PIECES, k = i % PIECES * 16;
        bool there = row0 + r < rows && from + (size_t)k < p.a_stride;
        const unsigned char *source = there ? p.a + (row0 + r) * p.a_stride + from + k : p.a;
        cp_async<16>(stage + WEIGHTS_BYTES + i * 16, source, there ? 16 : 0);
    }
}

/* The values of 16 bytes of weights. */
template <class S> DEVICE void load_piece(const unsigned char *at, float v[])
{
    words4 both = lds((const words4 *)at);
#pragma unroll
    for (int i = 0; i < 4; i++)
        if constexpr (S::T == DTYPE_F32) {
            v[i] = bits_to_float(both.w[i]);
        } else if constexpr (S::T == DTYPE_F16) {
            v[2 * i] = low_half(both.w[i]);
            v[2 * i + 1] = high_half(both.w[i]);
        } else {
            v[2 * i] = bits_to_float(both.w[i] << 16);
            v[2 * i + 1] = bits_to_float(both.w[i] & 0xffff0000u);
        }
}

/* The first `here` columns of a chunk; WHOLE: all of them. x: this warp's rows of activations. */
template <class S, bool WHOLE>
DEVICE void fold_chunk(const unsigned char *weights, const float *x, int here, float acc[])
{
#pragma unroll 2
    for (int k = 0; k < (WHOLE ? S::COLS : here); k += S::PIECE) {
        float v[S::PIECE];
        load_piece<S>(weights + k * S::SIZE, v);
#pragma unroll
        for (int r = 0; r < S::RT; r++)
#pragma unroll
            for (int i = 0; i < S::PIECE; i += 4) {
                words4 four = lds((const words4 *)(x + r * S::COLS + k + i));
#pragma unroll
                for (int j = 0; j < 4; j++)
                    if (WHOLE || k + i + j < here)
                        acc[r] = fmaf(v[i + j], bits_to_float(four.w[j]), acc[r]);
            }
    }
}

template <class S> KERNEL(MOST_WARPS * WARP, 2) k_matmul_float(matmul_args p)
{
    SHARED(unsigned char, stages, 0);
    const int warps = (int)blockDim.x / WARP, row0 = (int)blockIdx.x * warps * S::RT;
    const int rows = step_row_count(p.step, p.rows);
    if (row0 >= rows)
        return;
    const int chunks = (p.cols + S::COLS - 1) / S::COLS, stage_bytes = S::stage_bytes(warps);
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < chunks)
            copy_chunk<S>(p, s, row0, rows, stages + s * stage_bytes);
        cp_async_commit();
    }
    float acc[S::RT] = {};
    for (int c = 0, s = 0; c < chunks; c++, s = (s + 1) % STAGES) {
        cp_async_wait<STAGES - 2>();
        syncthreads(); /* chunk c has landed for all, and nobody reads the stage that is filled next */
        if (c + STAGES - 1 < chunks)
            copy_chunk<S>(p, c + STAGES - 1, row0, rows, stages + (s + STAGES - 1) % STAGES * stage_bytes);
        cp_async_commit();

        const unsigned char *weights = stages + s * stage_bytes + lane_id() * CHUNK_PITCH;
        const float *x = (const float *)(stages + s * stage_bytes + WEIGHTS_BYTES) + warp_id() * S::RT * S::COLS;
        int here = p.cols - c * S::COLS;
        if (here >= S::COLS)
            fold_chunk<S, true>(weights, x, S::COLS, acc);
        else
            fold_chunk<S, false>(weights, x, here, acc);
    }
    int n = (int)blockIdx.y * WARP + lane_id();
#pragma unroll
    for (int r = 0; r < S::RT; r++) {
        int row = row0 + warp_id() * S::RT + r;
        if (n < p.n && row < rows)
            store_output(p, n, row, acc[r]);
    }
}

template <class S> static cudaError_t start(const matmul_args &p, int32_t rows, cudaStream_t stream)
{
    int warps = (rows + S::RT - 1) / S::RT;
    warps = warps < MOST_WARPS ? warps : MOST_WARPS;
    dim3 grid((unsigned)((rows + warps * S::RT - 1) / (warps * S::RT)), (unsigned)((p.n + WARP - 1) / WARP));
    size_t shared = (size_t)STAGES * S::stage_bytes(warps);
    return LAUNCH(k_matmul_float<S>, grid, dim3((unsigned)(warps * WARP)), shared, stream, p);
}

template <enum dtype T> static cudaError_t start_rows(const matmul_args &p, int32_t rows, cudaStream_t stream)
{
    if (rows <= MOST_WARPS)
        return start<product<T, 1>>(p, rows, stream);
    if (rows <= 2 * MOST_WARPS)
        return start<product<T, 2>>(p, rows, stream);
    if (rows <= 4 * MOST_WARPS)
        return start<product<T, 4>>(p, rows, stream);
    return start<product<T, 8>>(p, rows, stream);
}

cudaError_t gpu_matmul_float(const struct op_matmul *op, const struct gpu_bucket *bucket, int32_t rows,
                             cudaStream_t stream)
{
    struct matmul_args p = matmul_args_of(op, bucket);
    switch (op->w->dtype) {
    case DTYPE_F32: return start_rows<DTYPE_F32>(p, rows, stream);
    case DTYPE_F16: return start_rows<DTYPE_F16>(p, rows, stream);
    case DTYPE_BF16: return start_rows<DTYPE_BF16>(p, rows, stream);
    default: return cudaErrorInvalidValue;
    }
}
