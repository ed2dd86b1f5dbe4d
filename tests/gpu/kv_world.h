/* What the tests of operations on KV pages share: a pool full of NaN on both devices, sequences whose pages lie in it in
 * no order, and a step put together sequence by sequence. */
#ifndef OPENLORA_TESTS_GPU_KV_WORLD_H
#define OPENLORA_TESTS_GPU_KV_WORLD_H

#include "kernels/cpu/kv.h"
#include "kernels/cpu/math.h"
#include "tests/gpu/pair.h"

enum { WORLD_LAYERS = 2, WORLD_LAYER = 1 };

struct kv_world {
    struct pair p;
    struct kv_shape kv;
    struct step *step;     /* on the host */
    unsigned char *pages;  /* the pool on the host, as kv_upload sends it */
    int n_pages, next_page;
    struct both pool, qkv, out, q8, workspace; /* q8: 0 where rows have no int8 form */
    int64_t ld, cols;
    float *rows;           /* (max_rows, ld) qkv on the host */
};

/* −1 … 1, a function of three numbers. */
static inline float some_float(uint32_t a, uint32_t b, uint32_t c)
{
    uint64_t x = ((uint64_t)a << 42 ^ (uint64_t)b << 21 ^ c) * 0x9e3779b97f4a7c15u + 0x3243f6a8885a308du;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (float)(int32_t)(x >> 32) * 0x1p-31f;
}

static inline void kv_upload(struct kv_world *w)
{
    pair_fill(&w->p, w->pool, w->pages, (size_t)w->n_pages * w->kv.page_bytes);
}

/* fast: the GPU by numerics of its own (device_config). */
static inline void kv_open(struct kv_world *w, int heads, int kv_heads, int head_dim, struct step_limits limits, bool fast)
{
    memset(w, 0, sizeof *w);
    pair_open_config(&w->p, &(struct device_config){.fast = fast});
    w->kv = (struct kv_shape){WORLD_LAYERS, heads, kv_heads, head_dim, 0};
    w->kv.page_bytes = WORLD_LAYERS * kv_layer_bytes(&w->kv) + 64;
    w->cols = heads * head_dim;
    w->ld = pad_cols((heads + 2 * kv_heads) * head_dim);
    w->n_pages = limits.max_pages;
    w->pages = malloc((size_t)w->n_pages * w->kv.page_bytes);
    memset(w->pages, 0xff, (size_t)w->n_pages * w->kv.page_bytes);
    w->step = calloc(1, step_layout(&limits).bytes);
    w->step->limits = limits;
    size_t max_rows = (size_t)limits.max_rows;
    w->rows = malloc(max_rows * (size_t)w->ld * sizeof(float));
    w->pool = pair_alloc(&w->p, (size_t)w->n_pages * w->kv.page_bytes);
    w->qkv = pair_alloc(&w->p, max_rows * (size_t)w->ld * sizeof(float));
    w->out = pair_alloc(&w->p, max_rows * (size_t)pad_cols(w->cols) * sizeof(float));
    if (q8_row_bytes(w->cols))
        w->q8 = pair_alloc(&w->p, max_rows * q8_row_bytes(w->cols));
    size_t bytes = 64;
    for (int d = 0; d < 2; d++) {
        size_t needed = w->p.ops[d]->attention_workspace(w->p.device[d], &w->kv, &limits);
        bytes = needed > bytes ? needed : bytes;
    }
    w->workspace = pair_alloc(&w->p, bytes);
    void *zeros = calloc(1, bytes);
    pair_fill(&w->p, w->workspace, zeros, bytes);
    free(zeros);
}

static inline void kv_close(struct kv_world *w)
{
    pair_close(&w->p);
    free(w->pages);
    free(w->step);
    free(w->rows);
}

/* An empty step; qkv holds NaN. Pages of earlier steps are given out again in another order. */
static inline void kv_begin_step(struct kv_world *w)
{
    struct step *s = w->step;
    s->n_rows = s->n_seqs = s->n_pages = s->n_copies = 0;
    w->next_page += 5;
    memset(w->rows, 0xff, (size_t)(s->limits.max_rows * w->ld) * sizeof(float));
}

/* Positions pos0 .. pos0 + n_rows − 1 of a new sequence, with pages for all of its context. */
static inline struct step_seq *kv_add_sequence(struct kv_world *w, int pos0, int n_rows)
{
    struct step *s = w->step;
    int n_pages = (pos0 + n_rows + STEP_PAGE_TOKENS - 1) / STEP_PAGE_TOKENS;
    ck_assert_int_lt(s->n_seqs, s->limits.max_seqs);
    ck_assert_int_le(s->n_rows + n_rows, s->limits.max_rows);
    ck_assert_int_le(s->n_pages + n_pages, s->limits.max_pages);
    struct step_seq *seq = &step_seqs(s)[s->n_seqs];
    *seq = (struct step_seq){s->n_rows, n_rows, pos0, s->n_pages, n_pages};
    for (int i = 0; i < n_pages; i++) /* 37 has no divisor in common with the sizes of pools here */
        step_pages(s)[s->n_pages++] = (w->next_page++ * 37 + 11) % w->n_pages;
    for (int i = 0; i < n_rows; i++, s->n_rows++) {
        step_pos(s)[s->n_rows] = pos0 + i;
        step_row_seq(s)[s->n_rows] = s->n_seqs;
        for (int64_t c = 0; c < (w->kv.n_heads + 2 * w->kv.n_kv_heads) * w->kv.head_dim; c++)
            w->rows[s->n_rows * w->ld + c] = 2.0f * some_float((uint32_t)s->n_seqs, (uint32_t)(pos0 + i), (uint32_t)c);
    }
    s->n_seqs++;
    return seq;
}

/* Where the key or value of one token lies in the host's pool: (head_dim) at a distance of `stride`. */
static inline uint16_t *kv_slot(const struct kv_world *w, const struct step_seq *seq, int t, int head, bool value,
                                int *stride)
{
    unsigned char *page =
        w->pages + (size_t)step_pages(w->step)[seq->page0 + t / STEP_PAGE_TOKENS] * w->kv.page_bytes;
    int slot = t % STEP_PAGE_TOKENS;
    *stride = value ? 1 : STEP_PAGE_TOKENS;
    return value ? (uint16_t *)(page + kv_v_offset(&w->kv, WORLD_LAYER, head)) + slot * pad_cols(w->kv.head_dim)
                 : (uint16_t *)(page + kv_k_offset(&w->kv, WORLD_LAYER, head)) + slot;
}

/* Writes keys and values of the whole context of every sequence of the step into the host's pool; all else is NaN. */
static inline void kv_write_contexts(struct kv_world *w)
{
    memset(w->pages, 0xff, (size_t)w->n_pages * w->kv.page_bytes);
    for (int i = 0; i < w->step->n_seqs; i++) {
        const struct step_seq *seq = &step_seqs(w->step)[i];
        for (int t = 0; t < seq->pos0 + seq->n_rows; t++)
            for (int head = 0; head < w->kv.n_kv_heads; head++)
                for (int value = 0; value < 2; value++) {
                    int stride;
                    uint16_t *slot = kv_slot(w, seq, t, head, value, &stride);
                    uint32_t id = (uint32_t)((i * 2 + value) * w->kv.n_kv_heads + head);
                    for (int d = 0; d < (value ? pad_cols(w->kv.head_dim) : w->kv.head_dim); d++)
                        slot[d * stride] = d < w->kv.head_dim
                                               ? f32_to_f16(2.0f * some_float(id, (uint32_t)t, (uint32_t)d)) : 0;
                }
    }
    kv_upload(w);
}

#endif
