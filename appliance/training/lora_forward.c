/* The forward pass over packed rows: as engine/forward.c computes it, in float32 and with everything kept that the
 * backward pass reads.
 *
 *   per layer: h = norm(x);  qkv = W·h;  norm of heads, rotation;  attention;  x_mid = x + Wo·attn
 *              h = norm(x_mid);  gate, up = W·h;  f = silu(gate)·up;  next x = x_mid + Wd·f */
#include "training/lora_internal.h"

#include <math.h>
#include <string.h>

struct layer_job {
    struct lora_model *m;
    const struct layer_weights *w;
    const struct kept *k, *before; /* before: the layer below, NULL for the first */
};

static struct f32_norm norm_of(const struct lora_model *m, const float *x, const float *gain)
{
    return (struct f32_norm){.x = x, .gain = gain, .features = m->config.hidden, .eps = m->config.rms_eps};
}

/* Embeddings and angles of a block's rows; rows beyond the last are zero. */
static void start_block(void *arg, int64_t block, int worker)
{
    (void)worker;
    struct lora_model *m = arg;
    struct kept *k = lora_kept(m, 0);
    int64_t half = m->config.head_dim / 2, hidden = m->config.hidden;
    memset(matrix_block(k->x, block), 0, (size_t)matrix_stride(k->x) * sizeof(float));
    for (int64_t row = block * F32_ROWS; row < (block + 1) * F32_ROWS && row < m->pass.n_rows; row++) {
        const float *e = m->embed + f32_packed_at(hidden, m->pass.token[row], 0);
        float *x = matrix_row(k->x, row), *c = matrix_row(m->s.cos, row), *s = matrix_row(m->s.sin, row);
        for (int64_t f = 0; f < hidden; f++)
            x[f * F32_ROWS] = e[f * F32_PANEL];
        for (int64_t f = 0; f < half; f++) {
            double angle = (float)m->pass.position[row] * m->rope_freq[f]; /* rounded as the models were trained */
            c[f * F32_ROWS] = (float)cos(angle);
            s[f * F32_ROWS] = (float)sin(angle);
        }
    }
}

static void enter_attention(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct layer_job *j = arg;
    const struct lora_model *m = j->m;
    float *x = matrix_strip(j->k->x, strip);
    if (j->before)
        m->f32->add(x, matrix_strip(j->before->x_mid, strip), matrix_strip(m->s.y, strip), m->config.hidden);
    struct f32_norm n = norm_of(m, x, j->w->attn_norm);
    m->f32->norm(&n, matrix_strip(m->s.h, strip), matrix_strip(j->k->attn_r, strip));
}

static void enter_ffn(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct layer_job *j = arg;
    const struct lora_model *m = j->m;
    float *x = matrix_strip(j->k->x_mid, strip);
    m->f32->add(x, matrix_strip(j->k->x, strip), matrix_strip(m->s.y, strip), m->config.hidden);
    struct f32_norm n = norm_of(m, x, j->w->ffn_norm);
    m->f32->norm(&n, matrix_strip(m->s.h, strip), matrix_strip(j->k->ffn_r, strip));
}

static void leave(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct layer_job *j = arg;
    const struct lora_model *m = j->m;
    m->f32->add(matrix_strip(m->s.last, strip), matrix_strip(j->k->x_mid, strip), matrix_strip(m->s.y, strip),
                m->config.hidden);
}

/* Norm of each head of q and k, where the model has them, and rotation. */
static void rotate(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct layer_job *j = arg;
    const struct lora_model *m = j->m;
    int32_t heads = m->config.n_heads, all = heads + m->config.n_kv_heads, dim = m->config.head_dim;
    float *qkv = matrix_strip(j->k->qkv, strip), *raw = matrix_strip(j->k->raw_qk, strip);
    const float *c = matrix_strip(m->s.cos, strip), *s = matrix_strip(m->s.sin, strip);
    for (int32_t head = 0; head < all; head++) {
        float *x = qkv + (int64_t)head * dim * F32_ROWS, *from = raw + (int64_t)head * dim * F32_ROWS;
        if (m->config.qk_norm) {
            for (int32_t f = 0; f < dim; f++)
                memcpy(from + f * F32_ROWS, x + f * F32_ROWS, F32_STRIP * sizeof *x);
            struct f32_norm n = {.x = from, .gain = head < heads ? j->w->q_norm : j->w->k_norm, .features = dim,
                                 .eps = m->config.rms_eps};
            m->f32->norm(&n, x, matrix_strip(j->k->qk_r, strip) + head * F32_ROWS);
        }
        m->f32->rope(x, c, s, dim, 1.0f);
    }
}

static void attend(void *arg, int64_t tile, int worker)
{
    const struct layer_job *j = arg;
    const struct lora_model *m = j->m;
    const struct model_config *c = &m->config;
    struct f32_attention a = {
        .qkv = j->k->qkv.data, .qkv_stride = matrix_stride(j->k->qkv), .out = j->k->attn.data,
        .out_stride = matrix_stride(j->k->attn), .stat = j->k->stat.data, .stat_stride = matrix_stride(j->k->stat),
        .n_heads = c->n_heads, .n_kv_heads = c->n_kv_heads, .head_dim = c->head_dim,
        .scale = 1.0f / sqrtf((float)c->head_dim),
    };
    m->f32->attention(&a, m->pass.seq[tile / c->n_kv_heads].rows, (int32_t)(tile % c->n_kv_heads),
                      m->s.attention + (size_t)worker * m->s.attention_floats);
}

static void activate(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct layer_job *j = arg;
    j->m->f32->silu(matrix_strip(j->k->gate_up, strip), matrix_strip(j->m->s.f, strip), j->m->config.ffn);
}

/* y = W·x + bias, and what the adapter adds. y: at the layer's first output. */
static void linear(const struct layer_job *j, int32_t layer, enum lora_target t, struct matrix x, float *y,
                   struct matrix y_of, int64_t in, int64_t out)
{
    struct lora_model *m = j->m;
    const struct lora_place *place = lora_place_of(m, layer, t);
    struct f32_product p = {.w = j->w->w[t], .rows = out, .cols = in, .x = x.data, .x_stride = matrix_stride(x), .y = y,
                            .y_stride = matrix_stride(y_of), .bias = t <= LORA_O ? j->w->bias[t] : NULL,
                            .n = m->pass.n_rows};
    lora_product(m, &p, false);
    if (place)
        lora_delta(m, place, (struct lora_io){.x = x, .y = y, .y_stride = matrix_stride(y_of)});
}

void lora_forward(struct lora_model *m)
{
    const struct model_config *c = &m->config;
    const struct scratch *s = &m->s;
    int64_t strips = f32_strips(m->pass.n_rows), q = (int64_t)c->n_heads * c->head_dim;
    int64_t kv = (int64_t)c->n_kv_heads * c->head_dim;
    struct layer_job j = {.m = m};
    lora_parallel(m, f32_blocks(m->pass.n_rows), start_block, m);
    for (int32_t i = 0; i < c->n_layers; i++) {
        j.w = &m->layers[i];
        j.k = lora_kept(m, i);
        struct matrix qkv = j.k->qkv, gate_up = j.k->gate_up;
        lora_parallel(m, strips, enter_attention, &j);
        linear(&j, i, LORA_Q, s->h, qkv.data, qkv, c->hidden, q);
        linear(&j, i, LORA_K, s->h, matrix_from(qkv, q), qkv, c->hidden, kv);
        linear(&j, i, LORA_V, s->h, matrix_from(qkv, q + kv), qkv, c->hidden, kv);
        lora_parallel(m, strips, rotate, &j);
        lora_parallel(m, (int64_t)m->pass.n_seq * c->n_kv_heads, attend, &j);
        linear(&j, i, LORA_O, j.k->attn, s->y.data, s->y, q, c->hidden);
        lora_parallel(m, strips, enter_ffn, &j);
        linear(&j, i, LORA_GATE, s->h, gate_up.data, gate_up, c->hidden, c->ffn);
        linear(&j, i, LORA_UP, s->h, matrix_from(gate_up, c->ffn), gate_up, c->hidden, c->ffn);
        lora_parallel(m, strips, activate, &j);
        linear(&j, i, LORA_DOWN, s->f, s->y.data, s->y, c->ffn, c->hidden);
        j.before = j.k;
    }
    lora_parallel(m, strips, leave, &j);
}
