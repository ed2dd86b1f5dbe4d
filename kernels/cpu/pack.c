/* From rows as stored in a file to groups of 16 interleaved rows (see pack.h). One tile of work is a run of groups;
 * a block is written for its 16 rows in turn, so what is being written stays in the first-level cache. */
#include "kernels/check.h"
#include "kernels/cpu/device.h"
#include "kernels/cpu/kquant.h"
#include "kernels/cpu/pack.h"

#include <stdlib.h>
#include <string.h>

enum { TILE_BYTES = 256 << 10 };

static inline uint32_t get_dword(const uint8_t *src, int i)
{
    uint32_t v;
    memcpy(&v, src + 4 * i, 4);
    return v;
}

static inline void put_dword(uint8_t *dst, int vector, int r, uint32_t v) { memcpy(dst + 64 * vector + 4 * r, &v, 4); }

static inline void put_half(uint8_t *dst, int r, const uint8_t *src) { memcpy(dst + 2 * r, src, 2); }

/* Each of these stores one row's block as row r of a packed block. The file's 4-bit types of 32 already pair column
 * i with column 16 + i, so their bytes only move. */
static inline void put_nibbles(uint8_t *dst, const uint8_t *src, int r)
{
    for (int t = 0; t < 4; t++)
        put_dword(dst, t, r, get_dword(src, t));
}

static void pack_q4_0(uint8_t *dst, const uint8_t *src, int r)
{
    put_nibbles(dst, src + 2, r);
    put_half(dst + NIBBLES_BYTES, r, src);
}

static void pack_q4_1(uint8_t *dst, const uint8_t *src, int r)
{
    put_nibbles(dst, src + 4, r);
    put_half(dst + NIBBLES_BYTES, r, src);
    put_half(dst + NIBBLES_BYTES + F16_BYTES, r, src + 2);
}

static void pack_q5_0(uint8_t *dst, const uint8_t *src, int r)
{
    uint32_t high = get_dword(src + 2, 0), bits = 0;
    for (int i = 0; i < 8; i++) /* four columns' bits at a time, to bit i of four bytes */
        bits |= ((high >> 4 * i & 15) * 0x204081u & 0x01010101u) << i;
    put_nibbles(dst, src + 6, r);
    put_dword(dst + NIBBLES_BYTES, 0, r, bits);
    put_half(dst + NIBBLES_BYTES + BITS_BYTES, r, src);
}

static void pack_q8_0(uint8_t *dst, const uint8_t *src, int r)
{
    for (int t = 0; t < 8; t++)
        put_dword(dst, t, r, get_dword(src + 2, t) ^ 0x80808080u);
    put_half(dst + BYTES_BYTES, r, src);
}

static void pack_q4_k(uint8_t *dst, const uint8_t *src, int r)
{
    uint8_t sc[SUPER_UNITS], m[SUPER_UNITS];
    q4_k_scales(src + Q4_K_SCALES, sc, m);
    put_half(dst, r, src);
    put_half(dst + F16_BYTES, r, src + 2);
    dst += Q4_K_HEAD;
    for (int u = 0; u < SUPER_UNITS; u++, dst += Q4_K_UNIT) {
        const uint8_t *q = src + Q4_K_QS + 32 * (u / 2);
        int shift = 4 * (u & 1);
        for (int t = 0; t < 4; t++) {
            uint32_t low = get_dword(q, t) >> shift & 0x0f0f0f0fu, high = get_dword(q, 4 + t) >> shift & 0x0f0f0f0fu;
            put_dword(dst, t, r, low | high << 4);
        }
        dst[NIBBLES_BYTES + r] = sc[u];
        dst[NIBBLES_BYTES + GROUP_ROWS + r] = m[u];
    }
}

static void pack_q6_k(uint8_t *dst, const uint8_t *src, int r)
{
    put_half(dst, r, src + Q6_K_D);
    dst += Q6_K_HEAD;
    for (int u = 0; u < SUPER_UNITS; u++, dst += Q6_K_UNIT) {
        int s = u % 4; /* of the four runs that share bytes (dequant.c) */
        const uint8_t *ql = src + Q6_K_QL + 64 * (u / 4) + 32 * (s & 1), *qh = src + Q6_K_QH + 32 * (u / 4);
        uint32_t pairs[2] = {0, 0};
        for (int t = 0; t < 4; t++) {
            uint32_t low = get_dword(ql, t) >> 4 * (s >> 1) & 0x0f0f0f0fu;
            uint32_t high = get_dword(ql, 4 + t) >> 4 * (s >> 1) & 0x0f0f0f0fu;
            put_dword(dst, t, r, low | high << 4);
            for (int h = 0; h < 2; h++)
                pairs[h] |= (get_dword(qh, 4 * h + t) >> 2 * s & 0x03030303u) << 2 * t;
        }
        for (int h = 0; h < 2; h++) {
            put_dword(dst + NIBBLES_BYTES, h, r, pairs[h]);
            dst[NIBBLES_BYTES + PAIRS_BYTES + GROUP_ROWS * h + r] = src[Q6_K_SC + 2 * u + h];
        }
    }
}

static void pack_f32(uint8_t *dst, const uint8_t *src, int r) { put_dword(dst, 0, r, get_dword(src, 0)); }
static void pack_16(uint8_t *dst, const uint8_t *src, int r) { put_half(dst, r, src); }

struct packing {
    struct weight *w;
    const struct weight_part *parts;
    const void *zero_row; /* stands in for the rows that pad the last group */
    int64_t groups_per_tile;
    struct gate gate;
};

/* The file's row for row `row` of the stack. */
static const uint8_t *source_row(const struct packing *k, int64_t row)
{
    if (row >= k->w->rows)
        return k->zero_row;
    const struct weight_part *p = k->parts;
    for (; row >= p->rows; p++)
        row -= p->rows;
    row = unpermuted_row(row, p->rows, p->unpermute_heads);
    return (const uint8_t *)p->data + (size_t)row * dtype_row_bytes(p->dtype, p->cols);
}

static void pack_group(const struct packing *k, int64_t group)
{
    static void (*const pack_block[DTYPE_COUNT])(uint8_t *, const uint8_t *, int) = {
        [DTYPE_F32] = pack_f32,   [DTYPE_F16] = pack_16,    [DTYPE_BF16] = pack_16,
        [DTYPE_Q4_0] = pack_q4_0, [DTYPE_Q4_1] = pack_q4_1, [DTYPE_Q5_0] = pack_q5_0,
        [DTYPE_Q8_0] = pack_q8_0, [DTYPE_Q4_K] = pack_q4_k, [DTYPE_Q6_K] = pack_q6_k,
    };
    const struct dtype_info *t = dtype_info(k->w->dtype);
    const uint8_t *src[GROUP_ROWS];
    for (int r = 0; r < GROUP_ROWS; r++)
        src[r] = source_row(k, group * GROUP_ROWS + r);
    uint8_t *dst = k->w->data + (size_t)group * k->w->group_bytes;
    size_t step = packed_block_bytes(k->w->dtype);
    void (*pack)(uint8_t *, const uint8_t *, int) = pack_block[k->w->dtype];
    for (int64_t at = 0; at < k->w->cols; at += t->block, dst += step)
        for (int r = 0; r < GROUP_ROWS; r++) {
            pack(dst, src[r], r);
            src[r] += t->bytes;
        }
}

static void pack_job(void *arg, int worker)
{
    (void)worker;
    struct packing *k = arg;
    int tiles = gate_wait(&k->gate);
    for (int tile; (tile = gate_take(&k->gate)) < tiles;) {
        int64_t g = tile * k->groups_per_tile, end = g + k->groups_per_tile;
        for (; g < end && g < weight_groups(k->w); g++)
            pack_group(k, g);
    }
}

static int pack_parts(struct device *d, struct weight *w, const struct weight_part *parts, struct err *e)
{
    int64_t groups = weight_groups(w);
    w->group_bytes = (size_t)(w->cols / dtype_info(w->dtype)->block) * packed_block_bytes(w->dtype);
    if (__builtin_mul_overflow(w->group_bytes, (size_t)groups, &w->bytes))
        return err_set(e, OL_ELIMIT, "cpu", "tensor %s is too large", parts->name ? parts->name : "?");
    void *zero_row = calloc(1, dtype_row_bytes(w->dtype, w->cols)), *data;
    if (!zero_row)
        return err_set(e, OL_ENOMEM, "cpu", "no memory for a row of tensor %s", parts->name ? parts->name : "?");
    int rc = memory_alloc(&d->memory, w->bytes, &data, e);
    if (rc == 0) {
        w->data = data;
        int64_t per_tile = (int64_t)(TILE_BYTES / w->group_bytes) + 1;
        struct packing k = {.w = w, .parts = parts, .zero_row = zero_row, .groups_per_tile = per_tile};
        gate_open(&k.gate, (int)((groups + per_tile - 1) / per_tile));
        memory_use(&d->memory);
        pool_run(d->pool, pack_job, &k);
        memory_unuse(&d->memory);
    }
    free(zero_row);
    return rc;
}

int cpu_weight_load(struct device *d, const struct weight_part *parts, int n_parts, struct weight **out, struct err *e)
{
    *out = NULL;
    if (n_parts < 1)
        return err_set(e, OL_EINVAL, "cpu", "a weight needs at least one tensor");
    int64_t rows = 0;
    for (int i = 0; i < n_parts; i++) {
        int rc = check_weight_part(&parts[i], parts, "cpu", e);
        if (rc)
            return rc;
        rows += parts[i].rows;
    }
    if (rows > INT32_MAX)
        return err_set(e, OL_ELIMIT, "cpu", "tensor %s has too many rows", parts->name ? parts->name : "?");
    struct weight *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, OL_ENOMEM, "cpu", "no memory for a weight");
    *w = (struct weight){.dtype = parts->dtype, .rows = rows, .cols = parts->cols};
    int rc = pack_parts(d, w, parts, e);
    if (rc) {
        free(w);
        return rc;
    }
    *out = w;
    return 0;
}

void cpu_weight_free(struct device *d, struct weight *w)
{
    if (!w)
        return;
    memory_free(&d->memory, w->data);
    free(w);
}

int64_t weight_rows(const struct weight *w) { return w->rows; }
int64_t weight_cols(const struct weight *w) { return w->cols; }
enum dtype weight_dtype(const struct weight *w) { return w->dtype; }
