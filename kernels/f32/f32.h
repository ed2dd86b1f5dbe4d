/* Float32 kernels of training: the parts of a decoder layer, forward and backward, on whole sequences.
 *
 * LAYOUT. Activations come in blocks of 32 rows (tokens); a block is (features, 32): a feature's values of 32 rows lie
 * side by side. A vector lane is thus a row, in products as well as in norms, and nothing is ever transposed.
 * `stride` is the distance of two blocks in floats; a matrix may be some features of a wider one. The elementwise
 * kernels take a strip: 16 rows of a block. Rows beyond the last one hold finite or stale values that no row reads.
 * Weights are packed in panels of 12 outputs, (rows / 12, cols12, 12), cols12 = cols rounded up to 12, all padding
 * zero. Both directions read them as they are: outputs of a panel are neighbours, so are 12×12 pieces of it.
 *
 * NUMERICS. IEEE float32, fma where written. A row's result depends on that row (and its sequence) alone; a product
 * is a sum, in ascending order, of fma chains over 60 terms each; norms sum chains of 64. The same bits come from
 * every instruction set, any split into ranges, any place of a sequence in its blocks. */
#ifndef OPENLORA_KERNELS_F32_F32_H
#define OPENLORA_KERNELS_F32_F32_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    F32_ROWS = 32,    /* of a block */
    F32_STRIP = 16,   /* of a strip */
    F32_PANEL = 12,   /* outputs of a panel */
    F32_CHAIN = 60,   /* terms of a product summed in one chain; a multiple of F32_PANEL */
    F32_SLACK = 384,  /* floats that must be readable behind a matrix of blocks */
};

static inline int64_t f32_panels(int64_t n) { return (n + F32_PANEL - 1) / F32_PANEL; }
static inline int64_t f32_blocks(int64_t rows) { return (rows + F32_ROWS - 1) / F32_ROWS; }
static inline int64_t f32_strips(int64_t rows) { return (rows + F32_STRIP - 1) / F32_STRIP; }
static inline int64_t f32_packed_floats(int64_t rows, int64_t cols)
{
    return f32_panels(rows) * f32_panels(cols) * F32_PANEL * F32_PANEL;
}

struct f32_range { int64_t first, end; };

/* Forward, y = W·x: y (rows) from x (cols). Backward, y = Wᵀ·x: y (cols) from x (rows). */
struct f32_product {
    const float *w; /* packed, (rows, cols) */
    int64_t rows, cols;
    const float *x; int64_t x_stride;
    float *y; int64_t y_stride;
    const float *bias; /* forward: (rows), or NULL */
    bool add;          /* y += instead of y = */
    int64_t n;         /* activation rows */
};

/* out[f][r] += scale · Σ over rows first … end−1 of u[f] · v[r], ascending: a weight's gradient over one sequence. */
struct f32_outer {
    const float *u; int64_t u_stride; /* blocks, (features) */
    int64_t features;
    const float *v;                   /* row-major (rows, v_ld), v_ld a multiple of 16; row 0 is block 0's first */
    int64_t v_ld, cols;
    float *out;                       /* out[f · f_step + r · r_step] */
    int64_t f_step, r_step;
    float scale;
};

/* Causal grouped-query attention. qkv: (heads + 2 · kv_heads, head_dim), after rotation. */
struct f32_attention {
    const float *qkv; int64_t qkv_stride;
    float *out; int64_t out_stride;     /* (heads, head_dim) */
    float *stat; int64_t stat_stride;   /* (2 · heads): maximum and 1 / sum of each row's softmax */
    const float *d_out;                 /* backward: strides as out */
    float *d_qkv;                       /* backward, written: stride as qkv */
    int32_t n_heads, n_kv_heads, head_dim;
    float scale;
};

struct f32_norm {
    const float *x;
    const float *gain; /* (features) */
    int64_t features;
    float eps;
};

struct f32_kernels {
    const char *isa;
    /* Panels of outputs (forward: of rows, backward: of cols) and blocks to compute. */
    void (*product)(const struct f32_product *p, struct f32_range panels, struct f32_range blocks);
    void (*product_back)(const struct f32_product *p, struct f32_range panels, struct f32_range blocks);
    void (*outer)(const struct f32_outer *o, struct f32_range panels, struct f32_range rows);

    /* One sequence, at rows first … end−1, and one kv head with all its queries. work: f32_attention_floats. */
    void (*attention)(const struct f32_attention *a, struct f32_range rows, int32_t kv_head, float *work);
    void (*attention_back)(const struct f32_attention *a, struct f32_range rows, int32_t kv_head, float *work);

    /* Strips: all pointers at the strip's first row; features are 32 floats apart. */
    void (*add)(float *out, const float *x, const float *y, int64_t features);
    void (*norm)(const struct f32_norm *n, float *out, float *r); /* r: (16) 1 / rms; out may be x */
    void (*norm_again)(const struct f32_norm *n, float *out, const float *r); /* the same out from the kept r */
    /* dx = (or +=) gradient of x, from the norm's input x, r and d_out; dx may be d_out when not adding. */
    void (*norm_back)(const struct f32_norm *n, const float *r, const float *d_out, float *dx, bool add);
    /* x: (head_dim): (a, b) → (a·cos − b·sign·sin, b·cos + a·sign·sin); cos, sin: (head_dim / 2); sign −1: backward */
    void (*rope)(float *x, const float *cos, const float *sin, int32_t head_dim, float sign);
    /* gate_up: (2 · features); out = silu(gate) · up */
    void (*silu)(const float *gate_up, float *out, int64_t features);
    void (*silu_back)(const float *gate_up, const float *d_out, float *d_gate_up, int64_t features);
    /* out = x where kept, scaled by 1 / (1 − p), else 0. key: (16), one per row; features count from 0. */
    void (*dropout)(const float *x, float *out, const uint64_t *key, float p, int64_t features, bool add);

    /* Softmax over a part of the vocabulary. x: (features), overwritten by e^(x − max) and by x · factor. */
    void (*largest)(const float *x, float *max, int64_t features);                  /* max: (16) */
    void (*exp_sum)(float *x, const float *max, float *sum, int64_t features);      /* sum: (16) */
    void (*scale_rows)(float *x, const float *factor, int64_t features);            /* factor: (16) */
};

extern const struct f32_kernels f32_kernels_avx2, f32_kernels_avx512;

/* isa: NULL for the best one here, else "avx2" or "avx512". */
int f32_select(const char *isa, const struct f32_kernels **out, struct err *e) __attribute__((warn_unused_result));

/* Scratch of attention and attention_back for a sequence of n rows. */
size_t f32_attention_floats(int64_t n, int32_t head_dim);

/* Packs up to 12 rows of `cols` floats, `row_floats` apart, as panel `panel` of packed weights; absent rows are 0. */
void f32_pack_panel(float *packed, int64_t panel, const float *rows, int64_t n_rows, int64_t row_floats, int64_t cols);

/* Position of weight (row, col) in packed weights. */
static inline int64_t f32_packed_at(int64_t cols, int64_t row, int64_t col)
{
    return (row / F32_PANEL * f32_panels(cols) * F32_PANEL + col) * F32_PANEL + row % F32_PANEL;
}

#endif
