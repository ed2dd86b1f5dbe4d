/* lora_shrink and lora_expand by vectors; compiled once per instruction set.
 *
 * A's and B's elements are converted once for several rows: a prompt of one adapter reads each of them once per
 * LORA_TILE_ROWS rows. With one row per adapter the work is reading A and B from memory, a few KB here and there: each
 * load also begins to fetch the same place of the slab that comes FETCH_AHEAD blocks later. */
#include "kernels/cpu/lora_blocks.h"
#include "kernels/cpu/phases.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vec.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum {
    LORA_TILE_ROWS = 4,
    LORA_TILE_RANKS = VEC_REGISTERS == 32 ? 4 : 1, /* shrink: accumulators are ranks × rows */
    LORA_TILE_VECTORS = VEC_REGISTERS == 32 ? 4 : 1, /* expand: accumulators are rows × vectors */
    LORA_ROW_VECTORS = VEC_REGISTERS == 32 ? 8 : 4,  /* the same for a row alone */
    LORA_PART_COLS = 1024, /* columns of y of one expand tile */
    BATCH_BLOCKS = 32,
    FETCH_AHEAD = 2,
};

/* Some elements of A or B, and how far away the same place of a later slab is (0: there is none). */
struct slab {
    const char *data;
    ptrdiff_t ahead;
};

/* 16 elements from i on; fetches those ahead if told to. */
ALWAYS_INLINE vf load_elements(struct slab slab, int64_t i, bool f16, bool fetch)
{
    const char *p = slab.data + i * (f16 ? 2 : 4);
    if (fetch)
        _mm_prefetch(p + slab.ahead, _MM_HINT_T1);
    return f16 ? v_load_f16((const uint16_t *)p) : v_load((const float *)p);
}

/* Slab `ordinal` of A (side 0) or B (side 1) of b; later: a block after it, or NULL. */
static struct slab slab_at(const struct op_lora *o, const struct lora_block *b, const struct lora_block *later,
                           int side, int ordinal)
{
    int count = lora_slab_count(b->site);
    struct slab slab = {lora_slab_data(o, b, side * count + ordinal), 0};
    int later_count = later ? lora_slab_count(later->site) : 0;
    if (ordinal < later_count)
        slab.ahead = (const char *)lora_slab_data(o, later, side * later_count + ordinal) - slab.data;
    return slab;
}

/* Blocks from *index to end−1 that have anything to do, as many as a batch holds; *index moves on. All at once, so
 * that the cache misses on their tables overlap. */
static int locate_blocks(const struct op_lora *o, int *index, int end, struct lora_block *batch)
{
    struct lora_block b = lora_block_at(o, *index);
    int n = 0;
    for (;;) {
        if (b.site->rank) {
            _mm_prefetch((const char *)b.slabs, _MM_HINT_T0);
            batch[n++] = b;
        }
        if (++*index == end || n == BATCH_BLOCKS)
            return n;
        b = lora_block_after(o, &b);
    }
}

/* Work on one block: columns `part` of it (expand only). `later` as in slab_at. */
typedef void block_work(const struct op_lora *, const struct lora_block *, const struct lora_block *later, int part);

static void for_blocks(const struct op_lora *o, struct span blocks, int part, block_work *f16, block_work *f32)
{
    struct lora_block batch[BATCH_BLOCKS];
    while (blocks.first < blocks.end) {
        int n = locate_blocks(o, &blocks.first, blocks.end, batch);
        for (int i = 0; i < n; i++) {
            const struct lora_block *later = i + FETCH_AHEAD < n ? &batch[i + FETCH_AHEAD] : NULL;
            (batch[i].site->dtype == DTYPE_F16 ? f16 : f32)(o, &batch[i], later, part);
        }
    }
}

/* --- Shrink: t = (A x) · scale --- */

/* nr ranks from rank0 on, all in one slab, and nx rows from row0 on. */
ALWAYS_INLINE void shrink_tile(const struct op_lora *o, const struct lora_block *b, struct slab slab, int rank0,
                               int row0, bool f16, int nr, int nx)
{
    int in = o->targets[b->target].in, k = 0;
    int64_t stride = pad_cols(in), a = rank0 % LORA_SLAB_RANKS * stride;
    const float *x = (const float *)host(o->x) + row0 * o->ldx;
    vf sum[8][8];
    UNROLL for (int i = 0; i < nr; i++)
        UNROLL for (int j = 0; j < nx; j++)
            sum[i][j] = v_zero();
    for (; k + LANES <= in; k += LANES)
        UNROLL for (int i = 0; i < nr; i++) {
            vf weight = load_elements(slab, a + i * stride + k, f16, nx == 1);
            UNROLL for (int j = 0; j < nx; j++)
                sum[i][j] = v_fma(weight, v_load(x + j * o->ldx + k), sum[i][j]);
        }
    UNROLL for (int i = 0; i < nr; i++)
        UNROLL for (int j = 0; j < nx; j++) {
            if (k < in)
                sum[i][j] = v_fma_n(load_elements(slab, a + i * stride + k, f16, false),
                                    v_load_n(x + j * o->ldx + k, in - k), sum[i][j], in - k);
            lora_t(o, row0 + j, b->target)[rank0 + i] = v_tree(sum[i][j]) * b->site->scale;
        }
}

/* Ranks first .. last−1 of nx rows, `wide` at a time and then fewer. */
ALWAYS_INLINE void shrink_rows(const struct op_lora *o, const struct lora_block *b, struct slab slab, int first,
                               int last, int row0, bool f16, int nx, int wide)
{
    UNROLL for (int nr = wide; nr; nr /= 2)
        for (; first + nr <= last; first += nr)
            shrink_tile(o, b, slab, first, row0, f16, nr, nx);
}

ALWAYS_INLINE void shrink(const struct op_lora *o, const struct lora_block *b, const struct lora_block *later, bool f16)
{
    for (int first = 0; first < b->site->rank; first += LORA_SLAB_RANKS) {
        struct slab slab = slab_at(o, b, later, 0, first / LORA_SLAB_RANKS);
        int last = b->site->rank - first < LORA_SLAB_RANKS ? b->site->rank : first + LORA_SLAB_RANKS;
        int row = b->row0, end = b->row0 + b->n_rows;
        for (; row + LORA_TILE_ROWS <= end; row += LORA_TILE_ROWS)
            shrink_rows(o, b, slab, first, last, row, f16, LORA_TILE_ROWS, LORA_TILE_RANKS);
        for (; row < end; row++)
            shrink_rows(o, b, slab, first, last, row, f16, 1, LORA_ROW_VECTORS);
    }
}

static void shrink_f16(const struct op_lora *o, const struct lora_block *b, const struct lora_block *later, int part)
{
    (void)part;
    shrink(o, b, later, true);
}

static void shrink_f32(const struct op_lora *o, const struct lora_block *b, const struct lora_block *later, int part)
{
    (void)part;
    shrink(o, b, later, false);
}

static int lora_shrink_tiles(const void *op, int threads) { return row_tiles(lora_block_count(op), threads); }

static void lora_shrink_run(const void *op, int tile, int tiles, int worker)
{
    (void)worker;
    for_blocks(op, tile_span(lora_block_count(op), tile, tiles), 0, shrink_f16, shrink_f32);
}

/* --- Expand: y += B t --- */

/* nx rows and nv vectors of y from column n on; only `left` columns exist. */
ALWAYS_INLINE void expand_tile(const struct op_lora *o, const struct lora_block *b, const struct lora_block *later,
                               int row0, int n, int left, bool f16, int nx, int nv)
{
    int rank = b->site->rank;
    int64_t stride = pad_cols(o->targets[b->target].out);
    float *y = (float *)host(o->y) + row0 * o->ldy + o->targets[b->target].col0 + n;
    vf sum[8][8];
    UNROLL for (int j = 0; j < nx; j++)
        UNROLL for (int i = 0; i < nv; i++)
            sum[j][i] = left < LANES ? v_load_n(y + j * o->ldy, left) : v_load(y + j * o->ldy + i * LANES);
    for (int first = 0; first < rank; first += LORA_SLAB_RANKS) {
        struct slab slab = slab_at(o, b, later, 1, first / LORA_SLAB_RANKS);
        const float *t = lora_t(o, row0, b->target) + first;
        int ranks = rank - first < LORA_SLAB_RANKS ? rank - first : LORA_SLAB_RANKS;
        for (int r = 0; r < ranks; r++)
            UNROLL for (int i = 0; i < nv; i++) {
                vf weight = load_elements(slab, r * stride + n + i * LANES, f16, nx == 1);
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

/* Columns n .. end−1 of nx rows, `wide` vectors at a time and then fewer. */
ALWAYS_INLINE void expand_rows(const struct op_lora *o, const struct lora_block *b, const struct lora_block *later,
                               int row0, int n, int end, bool f16, int nx, int wide)
{
    UNROLL for (int nv = wide; nv; nv /= 2)
        for (; n + nv * LANES <= end; n += nv * LANES)
            expand_tile(o, b, later, row0, n, nv * LANES, f16, nx, nv);
    if (n < end)
        expand_tile(o, b, later, row0, n, end - n, f16, nx, 1);
}

/* Part `part` of the columns; none if this target is narrower than the widest. */
ALWAYS_INLINE void expand(const struct op_lora *o, const struct lora_block *b, const struct lora_block *later, int part,
                          bool f16)
{
    int n = part * LORA_PART_COLS, out = o->targets[b->target].out;
    int end = out - n < LORA_PART_COLS ? out : n + LORA_PART_COLS, row = b->row0, last = b->row0 + b->n_rows;
    for (; row + LORA_TILE_ROWS <= last; row += LORA_TILE_ROWS)
        expand_rows(o, b, later, row, n, end, f16, LORA_TILE_ROWS, LORA_TILE_VECTORS);
    for (; row < last; row++)
        expand_rows(o, b, later, row, n, end, f16, 1, LORA_ROW_VECTORS);
}

static void expand_f16(const struct op_lora *o, const struct lora_block *b, const struct lora_block *later, int part)
{
    expand(o, b, later, part, true);
}

static void expand_f32(const struct op_lora *o, const struct lora_block *b, const struct lora_block *later, int part)
{
    expand(o, b, later, part, false);
}

/* Parts into which the columns of the widest target are cut. */
static int expand_parts(const struct op_lora *o)
{
    int widest = 0;
    for (int i = 0; i < o->n_targets; i++)
        if (o->targets[i].out > widest)
            widest = o->targets[i].out;
    return (widest + LORA_PART_COLS - 1) / LORA_PART_COLS;
}

static int lora_expand_tiles(const void *op, int threads)
{
    return row_tiles(lora_block_count(op), threads) * expand_parts(op);
}

static void lora_expand_run(const void *op, int tile, int tiles, int worker)
{
    (void)worker;
    int parts = expand_parts(op);
    for_blocks(op, tile_span(lora_block_count(op), tile / parts, tiles / parts), tile % parts, expand_f16, expand_f32);
}

const struct cpu_phase VEC(lora_shrink) = {lora_shrink_tiles, lora_shrink_run};
const struct cpu_phase VEC(lora_expand) = {lora_expand_tiles, lora_expand_run};
