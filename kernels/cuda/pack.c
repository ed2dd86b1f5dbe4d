/* From rows as stored in a file to the tiles of weight.h. Each row's block is first spread out to plain words (values
 * of four neighbouring columns in a word, whatever the type), then written to its places in a pair: types differ in
 * the first step, layouts in the second. What is packed goes to the GPU slice by slice, so that the host needs a few
 * megabytes for any tensor. */
#include "kernels/check.h"
#include "kernels/cpu/kquant.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/weight.h"

#include <stdlib.h>
#include <string.h>

enum { SLICE_BYTES = 8 << 20 };

/* One row's block of 32 columns. */
struct plain {
    uint32_t q[8];      /* byte c of q[t]: the value of column 4t + c, offset included; Q8_0: as it is */
    uint8_t numbers[4]; /* what stands behind the values: d, or d and m, or two scales */
};

static inline uint32_t get_word(const uint8_t *src, int i)
{
    uint32_t v;
    memcpy(&v, src + 4 * i, 4);
    return v;
}

/* The 4-bit types of 32 pair column i with column 16 + i. */
static inline void spread_nibbles(const uint8_t *src, uint32_t q[8])
{
    for (int t = 0; t < 4; t++) {
        uint32_t both = get_word(src, t);
        q[t] = both & 0x0f0f0f0fu;
        q[4 + t] = both >> 4 & 0x0f0f0f0fu;
    }
}

static void spread_q4_0(const uint8_t *b, int block, struct plain *out)
{
    (void)block;
    spread_nibbles(b + 2, out->q);
    memcpy(out->numbers, b, 2);
}

static void spread_q4_1(const uint8_t *b, int block, struct plain *out)
{
    (void)block;
    spread_nibbles(b + 4, out->q);
    memcpy(out->numbers, b, 4);
}

static void spread_q5_0(const uint8_t *b, int block, struct plain *out)
{
    (void)block;
    uint32_t high = get_word(b + 2, 0);
    spread_nibbles(b + 6, out->q);
    for (int t = 0; t < 8; t++) /* bits i of four columns, to bit 4 of four bytes */
        out->q[t] |= ((high >> 4 * t & 15) * 0x204081u & 0x01010101u) << 4;
    memcpy(out->numbers, b, 2);
}

static void spread_q8_0(const uint8_t *b, int block, struct plain *out)
{
    (void)block;
    memcpy(out->q, b + 2, 32);
    memcpy(out->numbers, b, 2);
}

static void spread_q4_k(const uint8_t *b, int block, struct plain *out)
{
    uint8_t sc[8], m[8];
    q4_k_scales(b + Q4_K_SCALES, sc, m);
    const uint8_t *q = b + Q4_K_QS + 32 * (block / 2);
    for (int t = 0; t < 8; t++)
        out->q[t] = get_word(q, t) >> 4 * (block & 1) & 0x0f0f0f0fu;
    out->numbers[0] = sc[block];
    out->numbers[1] = m[block];
}

static void spread_q6_k(const uint8_t *b, int block, struct plain *out)
{
    int run = block % 4; /* of the four that share bytes */
    const uint8_t *ql = b + Q6_K_QL + 64 * (block / 4) + 32 * (run & 1), *qh = b + Q6_K_QH + 32 * (block / 4);
    for (int t = 0; t < 8; t++)
        out->q[t] = (get_word(ql, t) >> 4 * (run >> 1) & 0x0f0f0f0fu) | (get_word(qh, t) >> 2 * run & 0x03030303u) << 4;
    memcpy(out->numbers, b + Q6_K_SC + 2 * block, 2);
}

/* --- One block of one row to its places. --- */

struct place {
    uint8_t *pair;
    int row, block; /* in the tile, in the pair */
};

static inline void or_word(uint8_t *at, uint32_t v)
{
    v |= get_word(at, 0);
    memcpy(at, &v, 4);
}

static void put_nibbles(struct place p, const uint32_t q[8])
{
    int g = p.row % 8, half = p.row / 8;
    for (int t = 0; t < 4; t++)
        or_word(p.pair + 16 * (4 * g + t) + 8 * p.block + 4 * half,
                (q[t] & 0x0f0f0f0fu) | (q[4 + t] & 0x0f0f0f0fu) << 4);
}

static void put_bits(struct place p, const uint32_t q[8])
{
    int g = p.row % 8, half = p.row / 8;
    for (int t = 0; t < 4; t++) {
        uint32_t low = q[t] >> 4 & 0x01010101u, high = q[4 + t] >> 4 & 0x01010101u;
        or_word(p.pair + NIBBLES_BYTES + 4 * (4 * g + t), (low | high << 2) << (4 * p.block + half));
    }
}

static void put_pairs(struct place p, const uint32_t q[8])
{
    int g = p.row % 8, half = p.row / 8;
    for (int t = 0; t < 4; t++) {
        uint32_t low = q[t] >> 4 & 0x03030303u, high = q[4 + t] >> 4 & 0x03030303u;
        or_word(p.pair + NIBBLES_BYTES + 8 * (4 * g + t) + 4 * p.block, (low | high << 4) << 2 * half);
    }
}

static void put_bytes(struct place p, const uint32_t q[8])
{
    int g = p.row % 8, half = p.row / 8;
    for (int t = 0; t < 8; t++)
        or_word(p.pair + BYTES_BYTES / 2 * p.block + 16 * (4 * g + t % 4) + 4 * (half + t / 4 * 2), q[t]);
}

static void put_block(enum dtype type, struct place p, const struct plain *b)
{
    size_t bytes = type == DTYPE_Q4_1 ? 4 : 2; /* of the row's numbers */
    uint8_t *numbers = p.pair + quant_pair_bytes(type) - 8 * 4 * bytes; /* 8 times 2 blocks of 2 rows */
    numbers += bytes * (size_t)(4 * (p.row % 8) + 2 * p.block + p.row / 8);
    memcpy(numbers, b->numbers, bytes);
    if (type == DTYPE_Q8_0) {
        put_bytes(p, b->q);
        return;
    }
    put_nibbles(p, b->q);
    if (type == DTYPE_Q5_0)
        put_bits(p, b->q);
    if (type == DTYPE_Q6_K)
        put_pairs(p, b->q);
}

/* What a row has once per super-block. */
static void put_head(enum dtype type, uint8_t *head, int row, const uint8_t *b)
{
    if (type == DTYPE_Q4_K)
        memcpy(head + 8 * (row % 8) + 4 * (row / 8), b, 4);
    else if (type == DTYPE_Q6_K)
        memcpy(head + 4 * (row % 8) + 2 * (row / 8), b + Q6_K_D, 2);
}

/* `tile` is zero before. */
static void pack_row(uint8_t *tile, int row, enum dtype type, int64_t cols, const uint8_t *src)
{
    static void (*const spread[DTYPE_COUNT])(const uint8_t *, int, struct plain *) = {
        [DTYPE_Q4_0] = spread_q4_0, [DTYPE_Q4_1] = spread_q4_1, [DTYPE_Q5_0] = spread_q5_0,
        [DTYPE_Q8_0] = spread_q8_0, [DTYPE_Q4_K] = spread_q4_k, [DTYPE_Q6_K] = spread_q6_k,
    };
    const struct dtype_info *info = dtype_info(type);
    int blocks = info->block / BLOCK_COLS; /* in one block of the file */
    for (int64_t u = 0; u < cols / BLOCK_COLS; u++) {
        const uint8_t *b = src + (size_t)(u / blocks) * (size_t)info->bytes;
        struct plain plain;
        if (u % blocks == 0)
            put_head(type, tile + quant_head_at(type, u / 2), row, b);
        spread[type](b, (int)(u % blocks), &plain);
        put_block(type, (struct place){tile + quant_pair_at(type, u / 2), row, (int)(u % 2)}, &plain);
    }
}

/* --- The whole tensor. --- */

/* The file's row for row `row` of the stack. */
static const uint8_t *source_row(const struct weight_part *p, int64_t row)
{
    for (; row >= p->rows; p++)
        row -= p->rows;
    row = unpermuted_row(row, p->rows, p->unpermute_heads);
    return (const uint8_t *)p->data + (size_t)row * dtype_row_bytes(p->dtype, p->cols);
}

/* Rows or tiles, `stride` bytes each. */
static int64_t units(const struct weight *w)
{
    return dtype_is_quantized(w->dtype) ? (w->rows + TILE_ROWS - 1) / TILE_ROWS : w->rows;
}

static void pack_unit(const struct weight *w, const struct weight_part *parts, int64_t unit, uint8_t *dst)
{
    if (!dtype_is_quantized(w->dtype)) {
        memcpy(dst, source_row(parts, unit), dtype_row_bytes(w->dtype, w->cols));
        return;
    }
    for (int r = 0; r < TILE_ROWS && unit * TILE_ROWS + r < w->rows; r++)
        pack_row(dst, r, w->dtype, w->cols, source_row(parts, unit * TILE_ROWS + r));
}

static int pack_parts(struct device *d, const struct weight *w, const struct weight_part *parts, struct err *e)
{
    int64_t slice = (int64_t)(SLICE_BYTES / w->stride) + 1, all = units(w);
    slice = slice < all ? slice : all;
    uint8_t *packed = malloc((size_t)slice * w->stride);
    if (!packed)
        return err_set(e, OL_ENOMEM, "cuda", "no memory to pack tensor %s", parts->name ? parts->name : "?");
    int rc = 0;
    for (int64_t at = 0; rc == 0 && at < all; at += slice) {
        int64_t n = all - at < slice ? all - at : slice;
        memset(packed, 0, (size_t)n * w->stride);
        for (int64_t i = 0; i < n; i++)
            pack_unit(w, parts, at + i, packed + (size_t)i * w->stride);
        rc = gpu_upload(d, w->data + (size_t)at * w->stride, packed, (size_t)n * w->stride, e);
    }
    free(packed);
    return rc;
}

static int shape(const struct weight_part *parts, int n_parts, struct weight *out, struct err *e)
{
    if (n_parts < 1)
        return err_set(e, OL_EINVAL, "cuda", "a weight needs at least one tensor");
    *out = (struct weight){.dtype = parts->dtype, .cols = parts->cols};
    for (int i = 0; i < n_parts; i++) {
        int rc = check_weight_part(&parts[i], parts, "cuda", e);
        if (rc)
            return rc;
        out->rows += parts[i].rows;
    }
    size_t row_bytes = dtype_row_bytes(out->dtype, out->cols); /* below 2^34 */
    if (dtype_is_quantized(out->dtype)) {
        int64_t pairs = (out->cols + PAIR_COLS - 1) / PAIR_COLS;
        out->stride = quant_pair_at(out->dtype, pairs - 1) + quant_pair_bytes(out->dtype);
    } else {
        out->stride = (row_bytes + FLOAT_PITCH - 1) / FLOAT_PITCH * FLOAT_PITCH;
    }
    if (out->rows > INT32_MAX || __builtin_mul_overflow(out->stride, (size_t)units(out), &out->bytes))
        return err_set(e, OL_ELIMIT, "cuda", "tensor %s is too large", parts->name ? parts->name : "?");
    return 0;
}

int gpu_weight_load(struct device *d, const struct weight_part *parts, int n_parts, struct weight **out, struct err *e)
{
    struct weight w;
    *out = NULL;
    int rc = shape(parts, n_parts, &w, e);
    if (rc)
        return rc;
    if ((rc = gpu_alloc(d, w.bytes, &w.data, e)))
        return rc;
    struct weight *copy = malloc(sizeof *copy);
    rc = copy ? pack_parts(d, &w, parts, e) : err_set(e, OL_ENOMEM, "cuda", "no memory for a weight");
    if (rc) {
        gpu_free(d, w.data);
        free(copy);
        return rc;
    }
    *copy = w;
    copy->blas = w.dtype == DTYPE_F16 || w.dtype == DTYPE_BF16 ? d->blas : NULL;
    *out = copy;
    return 0;
}

void gpu_weight_free(struct device *d, struct weight *w)
{
    if (!w)
        return;
    gpu_free(d, w->data);
    free(w);
}
