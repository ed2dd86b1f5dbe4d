/* Weights and activations for tests of products: any bytes that a file may hold, with scales in a sane range. */
#ifndef OPENLORA_TESTS_GPU_PRODUCTS_H
#define OPENLORA_TESTS_GPU_PRODUCTS_H

#include "tests/gpu/pair.h"

static inline uint32_t product_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Of either sign, 2^-10 to 2^-5. */
static inline void product_half(uint64_t *state, unsigned char *at)
{
    uint32_t r = product_random(state);
    uint16_t h = (uint16_t)((r & 0x83ff) | (5 + r % 5) << 10);
    memcpy(at, &h, sizeof h);
}

static inline float product_float(uint64_t *state)
{
    return (float)((int32_t)(product_random(state) % 2000) - 1000) / 512.0f;
}

/* Rows of a tensor as a file stores them; malloc'ed. */
static inline struct weight_part product_tensor(enum dtype t, int64_t rows, int64_t cols, uint64_t seed)
{
    const struct dtype_info *info = dtype_info(t);
    size_t bytes = (size_t)rows * dtype_row_bytes(t, cols);
    unsigned char *data = malloc(bytes);
    ck_assert_uint_gt(bytes, 0);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)(product_random(&seed) >> 5);
    for (unsigned char *b = data; b < data + bytes; b += info->bytes) {
        float f = product_float(&seed);
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        if (t == DTYPE_F32)
            memcpy(b, &f, sizeof f);
        else if (t == DTYPE_BF16)
            memcpy(b, (const char *)&bits + 2, 2);
        else
            product_half(&seed, t == DTYPE_Q6_K ? b + 208 : b);
        if (t == DTYPE_Q4_1 || t == DTYPE_Q4_K)
            product_half(&seed, b + 2);
    }
    return (struct weight_part){"test", t, rows, cols, data, bytes, 0};
}

static inline void product_load(struct pair *p, const struct weight_part *parts, int n, struct weight *w[2])
{
    struct err e;
    for (int d = 0; d < 2; d++)
        ck_assert_msg(!p->ops[d]->weight_load(p->device[d], parts, n, &w[d], &e), "%s", e.message);
}

static inline void product_unload(struct pair *p, struct weight *w[2])
{
    for (int d = 0; d < 2; d++)
        p->ops[d]->weight_free(p->device[d], w[d]);
}

/* `rows` rows of int8 and their metas, the last of which are extreme: all values 127 or −127. */
static inline struct both product_q8(struct pair *p, int rows, int64_t cols, uint64_t seed)
{
    size_t row_bytes = q8_row_bytes(cols);
    unsigned char *data = malloc((size_t)rows * row_bytes);
    for (int r = 0; r < rows; r++) {
        int8_t *q = (int8_t *)data + (size_t)r * row_bytes;
        for (int64_t u = 0; u < cols / 32; u++) {
            struct q8_meta m = {.d = product_float(&seed) / 16};
            for (int c = 0; c < 32; c++) {
                int v = r == rows - 1 ? (u % 2 ? 127 : -127) : (int)(product_random(&seed) % 255) - 127;
                q[u * 32 + c] = (int8_t)v;
                m.sum += v;
                m.sum_lo += c < 16 ? v : 0;
            }
            m.ds = m.d * (float)m.sum;
            memcpy(q + cols + u * (int)sizeof m, &m, sizeof m);
        }
    }
    struct both at = pair_alloc(p, (size_t)rows * row_bytes);
    pair_fill(p, at, data, (size_t)rows * row_bytes);
    free(data);
    return at;
}

static inline struct both product_f32(struct pair *p, int rows, int64_t cols, uint64_t seed)
{
    int64_t n = rows * pad_cols(cols);
    float *data = malloc((size_t)n * sizeof *data);
    for (int64_t i = 0; i < n; i++)
        data[i] = i % pad_cols(cols) < cols ? product_float(&seed) : 0.0f;
    struct both at = pair_alloc(p, (size_t)n * sizeof *data);
    pair_fill(p, at, data, (size_t)n * sizeof *data);
    free(data);
    return at;
}

/* A step of one sequence; malloc'ed. */
static inline struct step *product_step(int rows, int logits)
{
    struct step_limits limits = {.max_rows = 128, .max_seqs = 4, .max_logits = 128, .max_pages = 16, .max_history = 1,
                                 .max_bias = 1};
    struct step *s = calloc(1, step_layout(&limits).bytes);
    s->limits = limits;
    s->n_rows = rows;
    s->n_logits = logits;
    s->n_seqs = 1;
    step_seqs(s)[0] = (struct step_seq){.n_rows = rows};
    for (int i = 0; i < rows; i++)
        step_pos(s)[i] = i;
    for (int i = 0; i < logits; i++)
        step_logit_row(s)[i] = rows - logits + i;
    return s;
}

#endif
