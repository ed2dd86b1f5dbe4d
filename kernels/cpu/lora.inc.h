/* lora_shrink and lora_expand by vectors; compiled once per instruction set.
 *
 * A's and B's elements are converted once for several rows: a prompt of one adapter reads each of them once per
 * LORA_TILE_ROWS rows. With one row per adapter the work is reading A and B, in order, from memory. */
#include "kernels/cpu/lora_blocks.h"
#include "kernels/cpu/phases.h"
#include "kernels/cpu/vec.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { LORA_TILE_ROWS = 4, SHRINK_RANKS = VEC_REGISTERS == 32 ? 4 : 2, EXPAND_VECTORS = VEC_REGISTERS == 32 ? 4 : 1 };

ALWAYS_INLINE vf load_element(const void *slab, int64_t i, bool f16)
{
    return f16 ? v_load_f16((const uint16_t *)slab + i) : v_load((const float *)slab + i);
}

/* t[row][rank] of nr ranks and nx rows; A rows lie `stride` apart. */
ALWAYS_INLINE void dot_tile(const struct op_lora *o, const struct lora_block *b, const void *slab, int rank0, int row0,
                            int target, bool f16, int nr, int nx)
{
    int in = o->targets[target].in;
    int64_t stride = pad_cols(in), a = rank0 % LORA_SLAB_RANKS * stride;
    const float *x = (const float *)host(o->x) + row0 * o->ldx;
    vf sum[8][8];
    UNROLL for (int i = 0; i < nr; i++)
        UNROLL for (int j = 0; j < nx; j++)
            sum[i][j] = v_zero();
    int k = 0;
    for (; k + LANES <= in; k += LANES) {
        vf input[8];
        UNROLL for (int j = 0; j < nx; j++)
            input[j] = v_load(x + j * o->ldx + k);
        UNROLL for (int i = 0; i < nr; i++) {
            vf weight = load_element(slab, a + i * stride + k, f16);
            UNROLL for (int j = 0; j < nx; j++)
                sum[i][j] = v_fma(weight, input[j], sum[i][j]);
        }
    }
    UNROLL for (int i = 0; i < nr; i++)
        UNROLL for (int j = 0; j < nx; j++) {
            if (k < in)
                sum[i][j] = v_fma_n(load_element(slab, a + i * stride + k, f16), v_load_n(x + j * o->ldx + k, in - k),
                                    sum[i][j], in - k);
            lora_t(o, row0 + j, target)[rank0 + i] = v_tree(sum[i][j]) * b->site->scale;
        }
}

ALWAYS_INLINE void shrink(const struct op_lora *o, const struct lora_block *b, int target, bool f16)
{
    int rank = b->site->rank, end = b->row0 + b->n_rows;
    for (int slab0 = 0; slab0 < rank; slab0 += LORA_SLAB_RANKS) {
        const void *slab = lora_slab_data(o, b, slab0 / LORA_SLAB_RANKS);
        int last = rank - slab0 < LORA_SLAB_RANKS ? rank : slab0 + LORA_SLAB_RANKS, row = b->row0;
        for (; row + LORA_TILE_ROWS <= end; row += LORA_TILE_ROWS) {
            int r = slab0;
            for (; r + SHRINK_RANKS <= last; r += SHRINK_RANKS)
                dot_tile(o, b, slab, r, row, target, f16, SHRINK_RANKS, LORA_TILE_ROWS);
            for (; r < last; r++)
                dot_tile(o, b, slab, r, row, target, f16, 1, LORA_TILE_ROWS);
        }
        for (; row < end; row++) {
            int r = slab0;
            for (; r + 8 <= last; r += 8)
                dot_tile(o, b, slab, r, row, target, f16, 8, 1);
            for (; r + 4 <= last; r += 4)
                dot_tile(o, b, slab, r, row, target, f16, 4, 1);
            for (; r < last; r++)
                dot_tile(o, b, slab, r, row, target, f16, 1, 1);
        }
    }
}

/* Tiles of both phases: (row block, target), expand also cut along the columns of its widest target. */
static int lora_shrink_tiles(const void *op, int threads)
{
    (void)threads;
    const struct op_lora *o = op;
    return lora_row_blocks(host(o->step)) * o->n_targets;
}

static void lora_shrink_run(const void *op, int tile, int tiles, int worker)
{
    (void)tiles, (void)worker;
    const struct op_lora *o = op;
    int target = tile % o->n_targets;
    struct lora_block b = lora_block_at(o, tile / o->n_targets, target);
    if (b.site->dtype == DTYPE_F16)
        shrink(o, &b, target, true);
    else
        shrink(o, &b, target, false);
}

/* y of nx rows and nv vectors from column n; only `left` columns exist. */
ALWAYS_INLINE void expand_tile(const struct op_lora *o, const struct lora_block *b, int row0, int target, int n,
                               int left, bool f16, int nx, int nv)
{
    int rank = b->site->rank, slabs = lora_slab_count(b->site);
    int64_t stride = pad_cols(o->targets[target].out);
    float *y = (float *)host(o->y) + row0 * o->ldy + o->targets[target].col0 + n;
    vf sum[8][8];
    UNROLL for (int j = 0; j < nx; j++)
        UNROLL for (int i = 0; i < nv; i++)
            sum[j][i] = left < LANES ? v_load_n(y + j * o->ldy, left) : v_load(y + j * o->ldy + i * LANES);
    for (int slab = 0; slab < slabs; slab++) {
        const void *data = lora_slab_data(o, b, slabs + slab);
        const float *t = lora_t(o, row0, target) + slab * LORA_SLAB_RANKS;
        int ranks = rank - slab * LORA_SLAB_RANKS < LORA_SLAB_RANKS ? rank - slab * LORA_SLAB_RANKS : LORA_SLAB_RANKS;
        for (int r = 0; r < ranks; r++)
            UNROLL for (int i = 0; i < nv; i++) {
                vf weight = load_element(data, r * stride + n + i * LANES, f16);
                UNROLL for (int j = 0; j < nx; j++)
                    sum[j][i] = v_fma(weight, v_set1(t[j * 3 * LORA_MAX_RANK + r]), sum[j][i]);
            }
    }
    UNROLL for (int j = 0; j < nx; j++)
        UNROLL for (int i = 0; i < nv; i++) {
            if (left < LANES)
                v_store_n(y + j * o->ldy, sum[j][i], left);
            else
                v_store(y + j * o->ldy + i * LANES, sum[j][i]);
        }
}

/* Columns n .. end−1 of nx rows, `wide` vectors side by side. */
ALWAYS_INLINE void expand_rows(const struct op_lora *o, const struct lora_block *b, int row0, int target, int n,
                               int end, bool f16, int nx, int wide)
{
    UNROLL for (int nv = wide; nv; nv /= 2)
        for (; n + nv * LANES <= end; n += nv * LANES)
            expand_tile(o, b, row0, target, n, nv * LANES, f16, nx, nv);
    if (n < end)
        expand_tile(o, b, row0, target, n, end - n, f16, nx, 1);
}

ALWAYS_INLINE void expand(const struct op_lora *o, const struct lora_block *b, int target, int n, int end, bool f16)
{
    int row = b->row0, last = b->row0 + b->n_rows;
    for (; row + LORA_TILE_ROWS <= last; row += LORA_TILE_ROWS)
        expand_rows(o, b, row, target, n, end, f16, LORA_TILE_ROWS, EXPAND_VECTORS);
    for (; row < last; row++)
        expand_rows(o, b, row, target, n, end, f16, 1, VEC_REGISTERS == 32 ? 8 : 4);
}

static int col_blocks(const struct op_lora *o)
{
    int widest = 0;
    for (int i = 0; i < o->n_targets; i++)
        if (o->targets[i].out > widest)
            widest = o->targets[i].out;
    return (widest + LORA_BLOCK_COLS - 1) / LORA_BLOCK_COLS;
}

static int lora_expand_tiles(const void *op, int threads)
{
    return lora_shrink_tiles(op, threads) * col_blocks(op);
}

static void lora_expand_run(const void *op, int tile, int tiles, int worker)
{
    (void)tiles, (void)worker;
    const struct op_lora *o = op;
    int cols = col_blocks(o), n = tile % cols * LORA_BLOCK_COLS, target = tile / cols % o->n_targets;
    int out = o->targets[target].out, end = out - n < LORA_BLOCK_COLS ? out : n + LORA_BLOCK_COLS;
    if (n >= out)
        return;
    struct lora_block b = lora_block_at(o, tile / cols / o->n_targets, target);
    if (!b.site->rank)
        return;
    if (b.site->dtype == DTYPE_F16)
        expand(o, &b, target, n, end, true);
    else
        expand(o, &b, target, n, end, false);
}

const struct cpu_phase VEC(lora_shrink) = {lora_shrink_tiles, lora_shrink_run};
const struct cpu_phase VEC(lora_expand) = {lora_expand_tiles, lora_expand_run};
