/* LoRA, second half: y[row][col0 + n] = fmaf(B[n][r], t[row][r], y[row][col0 + n]) for r = 0, 1, … in this order.
 *
 *   B: slabs of (≤ 16 ranks, out) F16 or F32, transposed     t: (rows, 3, LORA_MAX_RANK) F32, of lora_shrink
 *
 * A block adds to the y of one row block (lora.cuh) and 512 columns of one target:
 *
 *                    n →  512 columns, 4 a thread
 *                  ┌─────────────────────────────┐
 *   B      rank r  │ ▤▤▤▤ ▤▤▤▤ ▤▤▤▤ …            │  8 (F16) or 16 bytes a thread and rank, side by side: a warp reads
 *            ↓     │                             │  256 or 512 bytes in a row, straight into registers; the
 *                  ├─────────────────────────────┤  loads of 4 to 16 ranks start together
 *   y    1, 4, 16  │                             │  in registers from the first rank to the last
 *          rows    └─────────────────────────────┘
 *
 *   grid: x = row blocks of the bucket, y = blocks of 512 columns of all targets, one target after the other.
 *
 * A thread owns its columns of y: nothing is shared but t and the addresses of the slabs, which the block brings to
 * shared memory first. Who waits for whom: all for all, once, at the barrier behind that.
 *
 * Registers: ≤ 168 (3 blocks an SM): 64 sums, and 16 or 32 of B on their way. Shared memory: 16 KiB of t, 128 bytes of
 * addresses.
 * Bytes, per row block: B: rank · out · size, to the end of a thread's four columns; y: rows · out · 4, read and
 *   written; t: rows · rank · 4 for every 512 columns. DRAM: each adapter's B once per step, if its row blocks run
 *   together; y and t are in L2 from the kernels before.
 * Machine code must contain: LDG.E.64.CONSTANT and LDG.E.128.CONSTANT (B), FFMA; no local memory. */
#include "kernels/cuda/lora.cuh"

enum {
    THREAD_COLS = 4, BLOCK_COLS = LORA_THREADS * THREAD_COLS,
    T_BYTES = LORA_ROWS * LORA_MAX_RANK * 4, EXPAND_SHARED = T_BYTES + LORA_MAX_SLABS * 8
};

/* Four neighbouring elements of B as they lie, and as floats. */
template <class E> struct four;
template <> struct four<uint16_t> { using raw = uint2; };
template <> struct four<float> { using raw = float4; };

DEVICE void to_floats(uint2 v, float (&out)[4])
{
    out[0] = half_to_float((uint16_t)v.x), out[1] = half_to_float((uint16_t)(v.x >> 16));
    out[2] = half_to_float((uint16_t)v.y), out[3] = half_to_float((uint16_t)(v.y >> 16));
}
DEVICE void to_floats(float4 v, float (&out)[4]) { out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w; }

/* Columns n .. n + 3 of one row of y. Whole and aligned, or one by one; `left` of them exist. */
DEVICE void load_y(const float *y, bool whole, int left, float (&out)[4])
{
    if (whole) {
        to_floats(ld((const float4 *)y), out);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        out[i] = i < left ? ld(y + i) : 0.0f;
}

DEVICE void store_y(float *y, bool whole, int left, const float (&v)[4])
{
    if (whole) {
        st((float4 *)y, float4{v[0], v[1], v[2], v[3]});
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (i < left)
            st(y + i, v[i]);
}

/* t of all rows and the addresses of the slabs of B, to shared memory. */
DEVICE void fetch_t(const struct op_lora &o, const struct step_view &v, const struct lora_work &w)
{
    SHARED(float, t, 0);
    SHARED(const unsigned char *, slab, T_BYTES);
    int thread = (int)threadIdx.x, per_row = (w.site.rank + 3) / 4, slabs = lora_slab_count(w);
    for (int i = thread; i < w.n_rows * per_row; i += LORA_THREADS) {
        int row = i / per_row, r = i % per_row * 4;
        cp_async<16>(t + row * LORA_MAX_RANK + r, lora_t(o, w) + row * LORA_T_STRIDE + r);
    }
    if (thread < slabs)
        sts(slab + thread, lora_slab(o, v, w, slabs + thread));
    cp_async_commit();
    cp_async_wait<0>();
    syncthreads();
}

/* Folds rank `rank`, whose B is b, into ROWS rows of y. */
template <int ROWS> DEVICE void fold_rank(float (&y)[ROWS][4], const float (&b)[4], int rank)
{
    SHARED(const float, t, 0);
#pragma unroll
    for (int row = 0; row < ROWS; row++) {
        float tv = lds(t + row * LORA_MAX_RANK + rank);
#pragma unroll
        for (int c = 0; c < 4; c++)
            y[row][c] = fmaf(b[c], tv, y[row][c]);
    }
}

/* The same for 4 ranks, with a quarter of the loads from shared memory. */
template <int ROWS> DEVICE void fold_four_ranks(float (&y)[ROWS][4], const float (&b)[4][4], int rank)
{
    SHARED(const float, t, 0);
#pragma unroll
    for (int row = 0; row < ROWS; row++) {
        float4 tv = lds((const float4 *)(t + row * LORA_MAX_RANK + rank));
#pragma unroll
        for (int c = 0; c < 4; c++) {
            y[row][c] = fmaf(b[0][c], tv.x, y[row][c]);
            y[row][c] = fmaf(b[1][c], tv.y, y[row][c]);
            y[row][c] = fmaf(b[2][c], tv.z, y[row][c]);
            y[row][c] = fmaf(b[3][c], tv.w, y[row][c]);
        }
    }
}

/* Up to 4 ranks, as they came from memory. */
template <class E, int ROWS>
DEVICE void fold_ranks(float (&y)[ROWS][4], const typename four<E>::raw *raw, int rank, int n_ranks)
{
    float b[4][4];
#pragma unroll
    for (int r = 0; r < 4; r++)
        to_floats(raw[r], b[r]);
    if (n_ranks >= 4) {
        fold_four_ranks<ROWS>(y, b, rank);
        return;
    }
#pragma unroll
    for (int r = 0; r < 3; r++)
        if (r < n_ranks)
            fold_rank<ROWS>(y, b[r], rank + r);
}

/* All ranks into this thread's columns of ROWS rows; those from n_rows on are computed and forgotten. */
template <class E, int ROWS> DEVICE void expand(const struct op_lora &o, const struct lora_work &w, int n)
{
    using raw = typename four<E>::raw;
    constexpr int AHEAD = (ROWS > 4 ? 64 : 128) / (int)sizeof(raw); /* ranks whose loads start together */
    SHARED(const unsigned char *const, slab, T_BYTES);
    int left = w.out - n;
    bool whole = left >= 4 && w.col0 % 4 == 0;
    float *at = GPU_POINTER(float, o.y) + w.row0 * o.ldy + w.col0 + n;
    float y[ROWS][4];
#pragma unroll
    for (int row = 0; row < ROWS; row++)
        if (row < w.n_rows)
            load_y(at + row * o.ldy, whole, left, y[row]);
        else
            y[row][0] = y[row][1] = y[row][2] = y[row][3] = 0.0f;
    for (int first = 0; first < w.site.rank; first += AHEAD) {
        const E *b = (const E *)lds(slab + first / LORA_SLAB_RANKS) + first % LORA_SLAB_RANKS * pad_cols(w.out) + n;
        raw bv[AHEAD];
#pragma unroll
        for (int r = 0; r < AHEAD; r++)
            bv[r] = first + r < w.site.rank ? ldg((const raw *)(b + r * pad_cols(w.out))) : raw{};
#pragma unroll
        for (int r = 0; r < AHEAD; r += 4)
            if (first + r < w.site.rank)
                fold_ranks<E, ROWS>(y, bv + r, first + r, w.site.rank - first - r);
    }
#pragma unroll
    for (int row = 0; row < ROWS; row++)
        if (row < w.n_rows)
            store_y(at + row * o.ldy, whole, left, y[row]);
}

template <class E> DEVICE void expand_rows(const struct op_lora &o, const struct lora_work &w, int n)
{
    if (w.n_rows == 1)
        expand<E, 1>(o, w, n);
    else if (w.n_rows <= 4)
        expand<E, 4>(o, w, n);
    else
        expand<E, LORA_ROWS>(o, w, n);
}

HOST_DEVICE int column_blocks(int out) { return (out + BLOCK_COLS - 1) / BLOCK_COLS; }

KERNEL(LORA_THREADS, 3) k_lora_expand(struct op_lora o, struct step_view v, int most_segments)
{
    struct lora_work w;
    int block = (int)blockIdx.y;
    lora_find_target(o, 0, &w);
    while (block >= column_blocks(w.out)) {
        block -= column_blocks(w.out);
        lora_find_target(o, w.number + 1, &w);
    }
    if (!lora_find_rows(v, most_segments, (int)blockIdx.x, &w) || !lora_find_site(o, v, &w))
        return;
    fetch_t(o, v, w);
    int n = block * BLOCK_COLS + (int)threadIdx.x * THREAD_COLS;
    if (n >= w.out)
        return;
    if (w.site.dtype == DTYPE_F16)
        expand_rows<uint16_t>(o, w, n);
    else
        expand_rows<float>(o, w, n);
}

extern "C" cudaError_t gpu_lora_expand(const struct op_lora *o, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    if (!bucket->segments)
        return cudaSuccess;
    unsigned columns = 0;
    for (int i = 0; i < o->n_targets; i++)
        columns += (unsigned)column_blocks(o->targets[i].out);
    return LAUNCH(k_lora_expand, dim3(lora_row_blocks(bucket), columns), dim3(LORA_THREADS), EXPAND_SHARED, stream, *o,
                  step_view_of(o->step, bucket), bucket->segments);
}
