/* Inside the LoRA model: its weights, its buffers and the steps of a pass. Layouts: kernels/f32/f32.h.
 *
 * A pass packs whole examples side by side into rows. Layers below the lowest adapted one keep nothing, and no gradient
 * goes below it; from there on a layer keeps what its backward step reads (struct kept). */
#ifndef OPENLORA_TRAINING_LORA_INTERNAL_H
#define OPENLORA_TRAINING_LORA_INTERNAL_H

#include "kernels/cpu/threads.h"
#include "kernels/f32/f32.h"
#include "training/lora_model.h"

#define TRAINING "training"

struct matrix { /* activations: blocks of (features, 32) */
    float *data;
    int64_t features;
};

static inline int64_t matrix_stride(struct matrix m) { return m.features * F32_ROWS; }
static inline float *matrix_block(struct matrix m, int64_t block) { return m.data + block * matrix_stride(m); }
static inline float *matrix_strip(struct matrix m, int64_t strip)
{
    return matrix_block(m, strip / 2) + strip % 2 * F32_STRIP;
}
static inline float *matrix_row(struct matrix m, int64_t row)
{
    return matrix_block(m, row / F32_ROWS) + row % F32_ROWS;
}
/* Where feature `first` begins; blocks stay as far apart as they are. */
static inline float *matrix_from(struct matrix m, int64_t first) { return m.data + first * F32_ROWS; }

struct layer_weights { /* packed; vectors are plain. In the order of enum lora_target */
    float *w[LORA_TARGETS];
    float *bias[LORA_O + 1]; /* of q, k, v, o; or NULL */
    float *attn_norm, *ffn_norm, *q_norm, *k_norm;
};

struct kept { /* of one layer */
    struct matrix x, attn_r;      /* residual stream that the layer gets, 1 / rms of it */
    struct matrix qkv;            /* after norm and rotation */
    struct matrix raw_qk, qk_r;   /* q and k before their norm, 1 / rms of each head; only with qk_norm */
    struct matrix attn, stat;     /* attention's output, softmax statistics */
    struct matrix x_mid, ffn_r;   /* residual stream between the halves, 1 / rms of it */
    struct matrix gate_up;
};

struct scratch {
    struct matrix h, y, f, t;               /* norm's output, a block's output, silu·up, A·x */
    struct matrix dropped;                  /* input of A after dropout */
    struct matrix dx, dh, dqkv, dattn, dgate_up, df;
    struct matrix cos, sin;
    struct matrix last;                     /* residual stream after the last layer */
    struct matrix sel, sel_h, sel_r, logits; /* of rows with a loss, head_blocks blocks at a time */
    float *t_rows;                          /* (rows, t_ld) row-major */
    int64_t t_ld;
    float *attention;                       /* per thread */
    size_t attention_floats;
    float *pieces;                          /* (vocabulary pieces, head rows): maxima, then sums */
    float *row_value, *row_target;          /* (head rows): maximum, then factor of the gradient; target − maximum */
};

enum { VOCAB_PIECE = 1024, HEAD_BYTES = 64 << 20 };

struct sequence { /* an example in the pass */
    const struct train_example *example;
    int32_t index;           /* among the examples of the call */
    struct f32_range rows;   /* its rows that are computed */
};

struct pass {
    struct sequence *seq;    /* (max_rows) */
    int32_t n_seq, n_rows;
    int32_t *token, *position, *owner; /* (max_rows) each; owner: the row's sequence */
    int32_t *chosen;         /* (max_rows): rows that want logits, ascending */
    int32_t n_chosen;
    bool backward;           /* a gradient is wanted: keep, and drop out */
};

struct lora_model {
    struct model_config config;
    struct train_config train;
    const struct f32_kernels *f32;
    struct pool *pool;

    char *weight_memory; size_t weight_bytes;   /* owned mapping, holds all of the following */
    float *embed, *head;                        /* packed (vocab, hidden); head == embed when tied */
    float *out_norm;
    struct layer_weights *layers;               /* owned (n_layers) */
    float rope_freq[MAX_HEAD_DIM / 2];

    struct lora_layout layout;                  /* places owned */
    int32_t *place_at;                          /* owned (n_layers, LORA_TARGETS): place, or −1 */
    int32_t lowest;                             /* lowest adapted layer; n_layers without an adapter */
    char *state_memory; size_t state_bytes;     /* owned mapping, holds all of the following */
    float *params;                              /* (n_params) */
    float **packed_a, **packed_b;               /* owned (n_places): A, and scale · B, as products read them */
    struct kept *kept;                          /* owned (n_layers + 1): of layers from `lowest` on, and scratch */
    struct scratch s;
    struct pass pass;
    int64_t head_blocks;
};

/* Hands out parts of a mapping; with base NULL it only counts. */
struct carver {
    char *base;
    size_t used;
};
float *carve(struct carver *c, size_t floats);
struct matrix carve_matrix(struct carver *c, int64_t features, int64_t rows);
/* Zeroed pages, huge ones where the system has them; NULL without memory. */
char *map_memory(size_t bytes);
void unmap_memory(char *memory, size_t bytes);

/* fn(arg, tile, worker) for tiles 0 … n−1 on all threads. */
void lora_parallel(struct lora_model *m, int64_t n, void (*fn)(void *arg, int64_t tile, int worker), void *arg);
/* A product split among the threads. */
void lora_product(struct lora_model *m, const struct f32_product *p, bool back);

/* Weights (lora_weights.c), layout (lora_layout.c) and buffers (lora_state.c). */
size_t lora_weight_bytes(const struct model_file *file);
int lora_weights_load(struct lora_model *m, const struct model_file *file, struct err *e);
int lora_layout_uniform(struct lora_layout *out, const struct model_config *c, const struct train_config *t,
                        struct err *e);
void lora_layout_count(struct lora_layout *layout); /* offsets of places in order, and their sum */
size_t lora_state_bytes(const struct model_config *c, const struct train_config *t, const struct lora_layout *layout);
/* Takes over the layout (also on failure) and allocates all that depends on it. Parameters are zero. */
int lora_state_open(struct lora_model *m, struct lora_layout *layout, struct err *e);
void lora_state_close(struct lora_model *m);

static inline const struct lora_place *lora_place_of(const struct lora_model *m, int32_t layer, enum lora_target t)
{
    int32_t i = m->place_at[lora_site_index(layer, (int32_t)t)];
    return i < 0 ? NULL : &m->layout.places[i];
}

/* What layer `layer` keeps; layers that keep nothing share one. */
static inline struct kept *lora_kept(struct lora_model *m, int32_t layer)
{
    return &m->kept[m->pass.backward && layer >= m->lowest ? layer : m->config.n_layers];
}

/* Steps of a pass. */
void lora_forward(struct lora_model *m); /* from tokens to s.last */
struct lora_gradient { /* where gradients are added */
    float *data;
    int64_t stride;
};
/* Adds losses of the chosen rows, which predict the token after them; with a gradient wanted, s.dx becomes the gradient
 * of s.last. */
void lora_head(struct lora_model *m, struct train_loss *losses);
void lora_head_logits(struct lora_model *m, float *logits); /* (n_chosen, vocab) */
void lora_backward(struct lora_model *m, const struct lora_gradient *g);

/* The adapted part of one linear layer: y += scale · B·A·x; and its gradients, dx += …; dx NULL: not wanted. */
struct lora_io {
    struct matrix x;
    float *y;        /* or dy, at the layer's first output */
    int64_t y_stride;
};
void lora_pack_params(struct lora_model *m);
void lora_delta(struct lora_model *m, const struct lora_place *p, struct lora_io io);
void lora_delta_back(struct lora_model *m, const struct lora_place *p, struct lora_io io, const struct matrix *dx,
                     const struct lora_gradient *g);

#endif
