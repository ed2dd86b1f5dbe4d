/* The product for one instruction set; included by matmul_avx2.c and matmul_avx512.c after they have defined
 *
 *   LANES                   rows of a group that one vector holds: 8 or 16
 *   vf, vi                  vectors of LANES float32, of LANES int32 (or 4·LANES bytes)
 *   v_*                     operations on them
 *   v_dots(t, v, n, a)      Σ over n = 4 or 8 weight vectors of 4-byte dot products with the 4·n int8 at a
 *   v_offset(t)             what v_dots leaves in every weight value of type t, to be taken off again
 *   ROWS_MAX                rows of activations per register tile, at most 8
 *   QUANT_VECTORS(R), FLOAT_VECTORS(R)   weight vectors in flight for R rows
 *
 * A register tile is R rows by V vectors of outputs. Weights are unpacked once per tile and unit and meet all R
 * rows. Each output goes through the same operations in the same order whatever R and V are, so results do not
 * depend on the tiling. All functions are inlined into one body per type and R, where the loops over R and V and
 * the tests of the type vanish. */
#include "kernels/cpu/phases.h"

/* For loops over R or V: left to itself a compiler may keep the sums in memory. */
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

enum { VECTORS_PER_GROUP = GROUP_ROWS / LANES, PREFETCH_BYTES = 2048 };

struct product {
    const uint8_t *w; /* packed weights */
    size_t group_bytes;
    int64_t n, cols; /* outputs, inputs */
    const char *a;   /* activations: int8 rows or float32 rows */
    size_t a_stride; /* bytes */
    float *y;
    int64_t ldy;
    const float *bias; /* or NULL */
};

/* Registers of one unit: values of LANES rows and their scales. */
struct unit_vectors {
    vi q[8];
    vf d, m;
    vi sc[2]; /* Q6_K */
};

INLINE void unpack_nibbles(const uint8_t *p, vi q[8])
{
    vi low = v_set1_i8(15);
    for (int t = 0; t < 4; t++) {
        vi both = v_load(p + 64 * t);
        q[t] = v_and(both, low);
        q[4 + t] = v_and(v_srl16(both, 4), low);
    }
}

INLINE void add_bits(const uint8_t *p, vi q[8]) /* bit i of each byte becomes bit 4 of vector i */
{
    vi bits = v_load(p), bit4 = v_set1_i8(16);
    q[0] = v_or(q[0], v_and(v_sll16(bits, 4), bit4));
    q[1] = v_or(q[1], v_and(v_sll16(bits, 3), bit4));
    q[2] = v_or(q[2], v_and(v_sll16(bits, 2), bit4));
    q[3] = v_or(q[3], v_and(v_sll16(bits, 1), bit4));
    q[4] = v_or(q[4], v_and(bits, bit4));
    q[5] = v_or(q[5], v_and(v_srl16(bits, 1), bit4));
    q[6] = v_or(q[6], v_and(v_srl16(bits, 2), bit4));
    q[7] = v_or(q[7], v_and(v_srl16(bits, 3), bit4));
}

INLINE void add_pairs(const uint8_t *p, vi q[4]) /* bits 2i, 2i+1 of each byte become bits 4, 5 of vector i */
{
    vi pairs = v_load(p), bits45 = v_set1_i8(0x30);
    q[0] = v_or(q[0], v_and(v_sll16(pairs, 4), bits45));
    q[1] = v_or(q[1], v_and(v_sll16(pairs, 2), bits45));
    q[2] = v_or(q[2], v_and(pairs, bits45));
    q[3] = v_or(q[3], v_and(v_srl16(pairs, 2), bits45));
}

/* Where unit u begins in its group, and what it takes there. */
INLINE size_t unit_offset(enum dtype t, int64_t u)
{
    size_t i = (size_t)u;
    switch (t) {
    case DTYPE_Q4_K: return i / SUPER_UNITS * Q4_K_BYTES + Q4_K_HEAD + i % SUPER_UNITS * Q4_K_UNIT;
    case DTYPE_Q6_K: return i / SUPER_UNITS * Q6_K_BYTES + Q6_K_HEAD + i % SUPER_UNITS * Q6_K_UNIT;
    default: return i * packed_block_bytes(t);
    }
}

INLINE int unit_bytes(enum dtype t)
{
    return t == DTYPE_Q4_K ? Q4_K_UNIT : t == DTYPE_Q6_K ? Q6_K_UNIT : (int)packed_block_bytes(t);
}

/* Unit u of the group at `group`, rows lane0 .. lane0 + LANES − 1. */
INLINE void load_unit(enum dtype t, const uint8_t *group, int64_t u, int lane0, struct unit_vectors *v)
{
    const uint8_t *p = group + unit_offset(t, u), *q = p + 4 * lane0, *f = p + 2 * lane0;
    if (t == DTYPE_Q8_0) {
        for (int i = 0; i < 8; i++)
            v->q[i] = v_load(q + 64 * i);
        v->d = v_load_f16(f + BYTES_BYTES);
        return;
    }
    unpack_nibbles(q, v->q);
    if (t == DTYPE_Q4_0 || t == DTYPE_Q4_1)
        v->d = v_load_f16(f + NIBBLES_BYTES);
    if (t == DTYPE_Q4_1)
        v->m = v_load_f16(f + NIBBLES_BYTES + F16_BYTES);
    if (t == DTYPE_Q5_0) {
        add_bits(q + NIBBLES_BYTES, v->q);
        v->d = v_load_f16(f + NIBBLES_BYTES + BITS_BYTES);
    }
    if (t == DTYPE_Q4_K) {
        const uint8_t *head = p - Q4_K_HEAD - u % SUPER_UNITS * Q4_K_UNIT + 2 * lane0, *sc = p + NIBBLES_BYTES + lane0;
        v->d = v_mul(v_load_f16(head), v_load_u8(sc));
        v->m = v_neg(v_mul(v_load_f16(head + F16_BYTES), v_load_u8(sc + GROUP_ROWS)));
    }
    if (t == DTYPE_Q6_K) {
        const uint8_t *head = p - Q6_K_HEAD - u % SUPER_UNITS * Q6_K_UNIT + 2 * lane0;
        const uint8_t *sc = p + NIBBLES_BYTES + PAIRS_BYTES + lane0;
        add_pairs(q + NIBBLES_BYTES, v->q);
        add_pairs(q + NIBBLES_BYTES + 64, v->q + 4);
        v->d = v_load_f16(head);
        v->sc[0] = v_load_i8(sc);
        v->sc[1] = v_load_i8(sc + GROUP_ROWS);
    }
}

/* Weights are read far ahead only where many rows keep the core busy for long: with one or two rows the processor
 * runs ahead by itself, and prefetching was measured to cost a tenth. */
INLINE void prefetch_ahead(enum dtype t, int R, const uint8_t *group, int64_t u)
{
    for (int i = 0; R > 2 && i < unit_bytes(t); i += 64)
        v_prefetch(group + unit_offset(t, u) + PREFETCH_BYTES + i);
}

/* acc + this unit's share, for the row whose 32 values are at a. */
INLINE vf add_unit(enum dtype t, const struct unit_vectors *v, const int8_t *a, const struct q8_meta *meta, vf acc)
{
    vi idot;
    if (t == DTYPE_Q6_K) {
        vi lo = v_sub_i32(v_dots(t, v->q, 4, a), v_set1_i32(v_offset(t) * meta->sum_lo));
        vi hi = v_sub_i32(v_dots(t, v->q + 4, 4, a + 16), v_set1_i32(v_offset(t) * (meta->sum - meta->sum_lo)));
        idot = v_add_i32(v_mul_i32(v->sc[0], lo), v_mul_i32(v->sc[1], hi));
    } else {
        idot = v_dots(t, v->q, 8, a);
        if (v_offset(t))
            idot = v_sub_i32(idot, v_set1_i32(v_offset(t) * meta->sum));
    }
    acc = v_fma(v_cvt_f32(idot), v_mul(v->d, v_set1(meta->d)), acc);
    if (t == DTYPE_Q4_1 || t == DTYPE_Q4_K)
        acc = v_fma(v->m, v_set1(meta->ds), acc);
    return acc;
}

/* Stores acc[r·V + j] for rows row0 + r and vectors v0 + j. */
INLINE void store_tile(const struct product *p, int R, int V, int64_t v0, int row0, const vf *acc)
{
    UNROLL
    for (int j = 0; j < V; j++) {
        int64_t n0 = (v0 + j) * LANES;
        int lanes = p->n - n0 < LANES ? (int)(p->n - n0) : LANES;
        if (lanes <= 0)
            return;
        UNROLL
        for (int r = 0; r < R; r++) {
            vf out = acc[r * V + j];
            if (p->bias)
                out = v_add(out, v_load_part(p->bias + n0, lanes));
            v_store_part(p->y + (row0 + r) * p->ldy + n0, lanes, out);
        }
    }
}

INLINE const uint8_t *group_of(const struct product *p, int64_t v)
{
    return p->w + (size_t)(v / VECTORS_PER_GROUP) * p->group_bytes;
}

INLINE void quant_tile(enum dtype t, int R, int V, const struct product *p, int64_t v0, int row0)
{
    const char *a = p->a + (size_t)row0 * p->a_stride;
    vf acc[ROWS_MAX * 2];
    UNROLL
    for (int i = 0; i < R * V; i++)
        acc[i] = v_zero();
    for (int64_t u = 0; u < p->cols / UNIT_COLS; u++)
        UNROLL
        for (int j = 0; j < V; j++) {
            struct unit_vectors w;
            prefetch_ahead(t, R, group_of(p, v0 + j), u);
            load_unit(t, group_of(p, v0 + j), u, (int)((v0 + j) % VECTORS_PER_GROUP) * LANES, &w);
            UNROLL
            for (int r = 0; r < R; r++) {
                const char *row = a + (size_t)r * p->a_stride;
                const struct q8_meta *meta = (const struct q8_meta *)(row + p->cols) + u;
                acc[r * V + j] = add_unit(t, &w, (const int8_t *)row + u * UNIT_COLS, meta, acc[r * V + j]);
            }
        }
    store_tile(p, R, V, v0, row0, acc);
}

INLINE vf load_floats(enum dtype t, const uint8_t *p)
{
    return t == DTYPE_F32 ? v_load_f32(p) : t == DTYPE_F16 ? v_load_f16(p) : v_load_bf16(p);
}

INLINE void float_tile(enum dtype t, int R, int V, const struct product *p, int64_t v0, int row0)
{
    const size_t bytes = packed_block_bytes(t) / GROUP_ROWS, step = packed_block_bytes(t);
    const char *a = p->a + (size_t)row0 * p->a_stride;
    const uint8_t *w[8];
    vf acc[ROWS_MAX * 2];
    UNROLL
    for (int j = 0; j < V; j++)
        w[j] = group_of(p, v0 + j) + (size_t)((v0 + j) % VECTORS_PER_GROUP) * LANES * bytes;
    UNROLL
    for (int i = 0; i < R * V; i++)
        acc[i] = v_zero();
    for (int64_t k = 0; k < p->cols; k++)
        UNROLL
        for (int j = 0; j < V; j++) {
            vf values = load_floats(t, w[j] + (size_t)k * step);
            UNROLL
            for (int r = 0; r < R; r++) {
                float x = ((const float *)(a + (size_t)r * p->a_stride))[k];
                acc[r * V + j] = v_fma(values, v_set1(x), acc[r * V + j]);
            }
        }
    store_tile(p, R, V, v0, row0, acc);
}

/* R rows from row0 on, vectors v .. v1−1 of outputs. */
INLINE void span(enum dtype t, int R, const struct product *p, int64_t v, int64_t v1, int row0)
{
    if (dtype_is_quantized(t)) {
        for (; v + QUANT_VECTORS(R) <= v1; v += QUANT_VECTORS(R))
            quant_tile(t, R, QUANT_VECTORS(R), p, v, row0);
    } else {
        for (; v + FLOAT_VECTORS(R) <= v1; v += FLOAT_VECTORS(R))
            float_tile(t, R, FLOAT_VECTORS(R), p, v, row0);
        for (; v < v1; v++)
            float_tile(t, R, 1, p, v, row0);
    }
}

/* One body per type and number of rows. */
#define SPAN_CASE(t, R) \
    case R:             \
        if (R <= ROWS_MAX) \
            span(t, R <= ROWS_MAX ? R : 1, p, v, v1, row0); \
        break
#define SPANS(t)                                                                                    \
    static void span_##t(const struct product *p, int rows, int64_t v, int64_t v1, int row0)        \
    {                                                                                               \
        switch (rows) {                                                                             \
            SPAN_CASE(t, 1); SPAN_CASE(t, 2); SPAN_CASE(t, 3); SPAN_CASE(t, 4);                     \
            SPAN_CASE(t, 5); SPAN_CASE(t, 6); SPAN_CASE(t, 7); SPAN_CASE(t, 8);                     \
        }                                                                                           \
    }
SPANS(DTYPE_F32)
SPANS(DTYPE_F16)
SPANS(DTYPE_BF16)
SPANS(DTYPE_Q4_0)
SPANS(DTYPE_Q4_1)
SPANS(DTYPE_Q5_0)
SPANS(DTYPE_Q8_0)
SPANS(DTYPE_Q4_K)
SPANS(DTYPE_Q6_K)

static void run(const void *arg, int tile, int tiles, int worker)
{
    (void)worker;
    static void (*const span_of[DTYPE_COUNT])(const struct product *, int, int64_t, int64_t, int) = {
        span_DTYPE_F32,  span_DTYPE_F16,  span_DTYPE_BF16, span_DTYPE_Q4_0, span_DTYPE_Q4_1,
        span_DTYPE_Q5_0, span_DTYPE_Q8_0, span_DTYPE_Q4_K, span_DTYPE_Q6_K,
    };
    const struct op_matmul *op = arg;
    const struct weight *w = op->w;
    bool quantized = dtype_is_quantized(w->dtype);
    struct product p = {
        .w = w->data, .group_bytes = w->group_bytes, .n = w->rows, .cols = w->cols,
        .a = host(quantized ? op->a.q8 : op->a.f32),
        .a_stride = quantized ? q8_row_bytes(w->cols) : (size_t)pad_cols(w->cols) * sizeof(float),
        .y = host(op->y), .ldy = op->ldy, .bias = host(op->bias),
    };
    struct matmul_range range = matmul_range(op, tile, tiles);
    int rows = range.row1 - range.row0, pieces = (rows + ROWS_MAX - 1) / ROWS_MAX;
    int64_t step = quantized ? VECTORS_PER_GROUP : FLOAT_VECTORS(1), end = range.group1 * VECTORS_PER_GROUP;
    for (int64_t v = range.group0 * VECTORS_PER_GROUP; v < end; v += step)
        for (int i = 0; i < pieces; i++) {
            int row0 = rows * i / pieces, row1 = rows * (i + 1) / pieces;
            span_of[w->dtype](&p, row1 - row0, v, v + step < end ? v + step : end, range.row0 + row0);
        }
}
