/* The backward pass: from the gradient of the last residual stream (s.dx) down to the lowest adapted layer, and in that
 * layer no further than its lowest adapted part. Nothing but A and B gets a gradient; what their gradients need of the
 * forward pass and is cheap (norms, silu, A·x) is computed again instead of being kept. */
#include "training/lora_internal.h"

#include <math.h>

struct back_job {
    struct lora_model *m;
    const struct layer_weights *w;
    const struct kept *k;
    const struct lora_gradient *g;
    int32_t layer;
};

static void activate_again(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct back_job *j = arg;
    j->m->f32->silu(matrix_strip(j->k->gate_up, strip), matrix_strip(j->m->s.f, strip), j->m->config.ffn);
}

static void activate_back(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct back_job *j = arg;
    const struct scratch *s = &j->m->s;
    j->m->f32->silu_back(matrix_strip(j->k->gate_up, strip), matrix_strip(s->df, strip),
                         matrix_strip(s->dgate_up, strip), j->m->config.ffn);
}

/* One of a layer's two norms. */
static struct f32_norm norm_at(const struct back_job *j, bool ffn, int64_t strip)
{
    return (struct f32_norm){.x = matrix_strip(ffn ? j->k->x_mid : j->k->x, strip),
                             .gain = ffn ? j->w->ffn_norm : j->w->attn_norm, .features = j->m->config.hidden,
                             .eps = j->m->config.rms_eps};
}

static void norm_strip(const struct back_job *j, bool ffn, bool back, int64_t strip)
{
    const struct scratch *s = &j->m->s;
    struct f32_norm n = norm_at(j, ffn, strip);
    const float *r = matrix_strip(ffn ? j->k->ffn_r : j->k->attn_r, strip);
    if (back)
        j->m->f32->norm_back(&n, r, matrix_strip(s->dh, strip), matrix_strip(s->dx, strip), true);
    else
        j->m->f32->norm_again(&n, matrix_strip(s->h, strip), r);
}

static void ffn_norm_again(void *arg, int64_t strip, int worker) { (void)worker; norm_strip(arg, true, false, strip); }
static void ffn_norm_back(void *arg, int64_t strip, int worker) { (void)worker; norm_strip(arg, true, true, strip); }
static void attn_norm_again(void *arg, int64_t strip, int worker)
{
    (void)worker;
    norm_strip(arg, false, false, strip);
}
static void attn_norm_back(void *arg, int64_t strip, int worker) { (void)worker; norm_strip(arg, false, true, strip); }

static void rotate_back(void *arg, int64_t strip, int worker)
{
    (void)worker;
    const struct back_job *j = arg;
    const struct lora_model *m = j->m;
    int32_t heads = m->config.n_heads, all = heads + m->config.n_kv_heads, dim = m->config.head_dim;
    const float *c = matrix_strip(m->s.cos, strip), *s = matrix_strip(m->s.sin, strip);
    for (int32_t head = 0; head < all; head++) {
        int64_t at = (int64_t)head * dim * F32_ROWS;
        float *d = matrix_strip(m->s.dqkv, strip) + at;
        m->f32->rope(d, c, s, dim, -1.0f);
        if (!m->config.qk_norm)
            continue;
        struct f32_norm n = {.x = matrix_strip(j->k->raw_qk, strip) + at, .features = dim, .eps = m->config.rms_eps,
                             .gain = head < heads ? j->w->q_norm : j->w->k_norm};
        m->f32->norm_back(&n, matrix_strip(j->k->qk_r, strip) + head * F32_ROWS, d, d, false);
    }
}

static void attend_back(void *arg, int64_t tile, int worker)
{
    const struct back_job *j = arg;
    const struct lora_model *m = j->m;
    const struct model_config *c = &m->config;
    struct f32_attention a = {
        .qkv = j->k->qkv.data, .qkv_stride = matrix_stride(j->k->qkv), .out = j->k->attn.data,
        .out_stride = matrix_stride(j->k->attn), .stat = j->k->stat.data, .stat_stride = matrix_stride(j->k->stat),
        .d_out = m->s.dattn.data, .d_qkv = m->s.dqkv.data, .n_heads = c->n_heads, .n_kv_heads = c->n_kv_heads,
        .head_dim = c->head_dim, .scale = 1.0f / sqrtf((float)c->head_dim),
    };
    m->f32->attention_back(&a, m->pass.seq[tile / c->n_kv_heads].rows, (int32_t)(tile % c->n_kv_heads),
                           m->s.attention + (size_t)worker * m->s.attention_floats);
}

static bool adapted(const struct back_job *j, enum lora_target first, enum lora_target last)
{
    for (enum lora_target t = first; t <= last; t++)
        if (lora_place_of(j->m, j->layer, t))
            return true;
    return false;
}

/* Must the gradient go on to parts of the layer up to `last`, or to the layers below? */
static bool goes_on(const struct back_job *j, enum lora_target last)
{
    return j->layer > j->m->lowest || adapted(j, LORA_Q, last);
}

/* Several linear layers that read the same x: dx = Σ Wᵀ·dy and what their adapters add; dx NULL: not wanted. */
static void linear_back(const struct back_job *j, enum lora_target first, enum lora_target last, struct matrix x,
                        struct matrix dy, const struct matrix *dx)
{
    struct lora_model *m = j->m;
    const struct model_config *c = &m->config;
    int64_t q = (int64_t)c->n_heads * c->head_dim, kv = (int64_t)c->n_kv_heads * c->head_dim, at = 0;
    const int64_t outs[LORA_TARGETS] = {q, kv, kv, c->hidden, c->ffn, c->ffn, c->hidden};
    int64_t in = last == LORA_O ? q : last == LORA_DOWN ? c->ffn : c->hidden;
    for (enum lora_target t = first; dx && t <= last; at += outs[t++]) {
        struct f32_product p = {.w = j->w->w[t], .rows = outs[t], .cols = in, .x = matrix_from(dy, at),
                                .x_stride = matrix_stride(dy), .y = dx->data, .y_stride = matrix_stride(*dx),
                                .add = t > first, .n = m->pass.n_rows};
        lora_product(m, &p, true);
    }
    at = 0;
    for (enum lora_target t = first; t <= last; at += outs[t++]) {
        const struct lora_place *place = lora_place_of(m, j->layer, t);
        struct lora_io io = {.x = x, .y = matrix_from(dy, at), .y_stride = matrix_stride(dy)};
        if (place)
            lora_delta_back(m, place, io, dx, j->g);
    }
}

/* False: nothing below this is wanted. */
static bool ffn_back(struct back_job *j)
{
    struct lora_model *m = j->m;
    const struct scratch *s = &m->s;
    int64_t strips = f32_strips(m->pass.n_rows);
    bool more = goes_on(j, LORA_UP);
    if (adapted(j, LORA_DOWN, LORA_DOWN))
        lora_parallel(m, strips, activate_again, j);
    linear_back(j, LORA_DOWN, LORA_DOWN, s->f, s->dx, more ? &s->df : NULL);
    if (!more)
        return false;
    lora_parallel(m, strips, activate_back, j);
    if (adapted(j, LORA_GATE, LORA_UP))
        lora_parallel(m, strips, ffn_norm_again, j);
    more = goes_on(j, LORA_O);
    linear_back(j, LORA_GATE, LORA_UP, s->h, s->dgate_up, more ? &s->dh : NULL);
    if (more)
        lora_parallel(m, strips, ffn_norm_back, j);
    return more;
}

static void attention_back(struct back_job *j)
{
    struct lora_model *m = j->m;
    const struct scratch *s = &m->s;
    int64_t strips = f32_strips(m->pass.n_rows);
    bool more = goes_on(j, LORA_V);
    linear_back(j, LORA_O, LORA_O, j->k->attn, s->dx, more ? &s->dattn : NULL);
    if (!more)
        return;
    lora_parallel(m, (int64_t)m->pass.n_seq * m->config.n_kv_heads, attend_back, j);
    lora_parallel(m, strips, rotate_back, j);
    if (adapted(j, LORA_Q, LORA_V))
        lora_parallel(m, strips, attn_norm_again, j);
    more = j->layer > m->lowest;
    linear_back(j, LORA_Q, LORA_V, s->h, s->dqkv, more ? &s->dh : NULL);
    if (more)
        lora_parallel(m, strips, attn_norm_back, j);
}

void lora_backward(struct lora_model *m, const struct lora_gradient *g)
{
    for (int32_t i = m->config.n_layers - 1; i >= m->lowest; i--) {
        struct back_job j = {.m = m, .w = &m->layers[i], .k = lora_kept(m, i), .g = g, .layer = i};
        if (ffn_back(&j))
            attention_back(&j);
    }
}
