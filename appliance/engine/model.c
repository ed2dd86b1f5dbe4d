/* Loading: from a model file's tensors to the device's packed weights. */
#define MODULE "model"
#include "engine/model.h"

#include "kernels/dequant.h"
#include "model/adapter_file.h"

#include <math.h>
#include <stdlib.h>

static size_t align_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* A vector (norm gain, bias) as float32 on the device, at `dst`. */
static int upload_vector(struct model *m, const struct weight_part *t, dptr dst, struct err *e)
{
    size_t n = (size_t)t->cols;
    float *stored = malloc(2 * n * sizeof *stored);
    if (!stored)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %s", t->name);
    float *values = stored + n;
    dequantize_row(t->dtype, t->data, stored, t->cols);
    for (int64_t i = 0; i < t->cols; i++)
        values[i] = stored[unpermuted_row(i, t->cols, t->unpermute_heads)];
    int rc = m->ops->upload(m->device, dst, values, n * sizeof *values, e);
    free(stored);
    return rc;
}

static int load_vector(struct model *m, const struct model_file *f, enum tensor_role role, int layer, dptr *out,
                       struct err *e)
{
    struct weight_part t;
    int rc = model_file_tensor(f, role, layer, &t, e);
    if (rc < 0)
        return rc;
    size_t bytes = (size_t)pad_cols(t.cols) * sizeof(float);
    if ((rc = m->ops->alloc(m->device, bytes, out, e)) < 0)
        return rc;
    m->weight_bytes += bytes;
    return upload_vector(m, &t, *out, e);
}

static int load_weight(struct model *m, const struct weight_part *parts, int n, struct weight **out, struct err *e)
{
    int rc = m->ops->weight_load(m->device, parts, n, out, e);
    if (rc < 0)
        return rc;
    if (dtype_is_quantized(parts[0].dtype))
        m->quantized = true;
    for (int i = 0; i < n; i++)
        m->weight_bytes += parts[i].bytes;
    return OL_OK;
}

static int load_fused(struct model *m, const struct model_file *f, const enum tensor_role *roles, int n, int layer,
                      struct fused *out, struct err *e)
{
    struct weight_part parts[FUSED_PARTS];
    int rc;
    for (int i = 0; i < n; i++)
        if ((rc = model_file_tensor(f, roles[i], layer, &parts[i], e)) < 0)
            return rc;
    for (int i = 0; i < n;) {
        int same = 1;
        while (i + same < n && parts[i + same].dtype == parts[i].dtype && parts[i + same].cols == parts[i].cols)
            same++;
        out->col0[out->n] = out->out;
        if ((rc = load_weight(m, parts + i, same, &out->w[out->n], e)) < 0)
            return rc;
        out->n++;
        for (int j = 0; j < same; j++)
            out->out += (int32_t)parts[i + j].rows;
        i += same;
    }
    return OL_OK;
}

/* Biases of fused products lie side by side; a part without one keeps zeros. */
static int load_bias(struct model *m, const struct model_file *f, const enum tensor_role *roles, int n, int layer,
                     struct fused *out, struct err *e)
{
    size_t bytes = (size_t)pad_cols(out->out) * sizeof(float), at = 0;
    int rc = m->ops->alloc(m->device, bytes, &out->bias, e);
    if (rc < 0)
        return rc;
    m->weight_bytes += bytes;
    for (int i = 0; i < n; i++) {
        struct weight_part t;
        if ((rc = model_file_tensor(f, roles[i], layer, &t, e)) < 0)
            return rc;
        if ((rc = upload_vector(m, &t, out->bias + at, e)) < 0)
            return rc;
        at += (size_t)t.cols * sizeof(float);
    }
    return OL_OK;
}

static int load_layer(struct model *m, const struct model_file *f, int i, struct err *e)
{
    static const enum tensor_role qkv[] = {T_Q, T_K, T_V}, o[] = {T_O}, gate_up[] = {T_GATE, T_UP}, down[] = {T_DOWN},
                                  qkv_bias[] = {T_Q_BIAS, T_K_BIAS, T_V_BIAS}, o_bias[] = {T_O_BIAS};
    struct model_layer *l = &m->layers[i];
    const struct model_config *c = &m->config;
    int rc;
    if ((rc = load_vector(m, f, T_ATTN_NORM, i, &l->attn_norm, e)) < 0 ||
        (rc = load_vector(m, f, T_FFN_NORM, i, &l->ffn_norm, e)) < 0 ||
        (rc = load_fused(m, f, qkv, 3, i, &l->qkv, e)) < 0 || (rc = load_fused(m, f, o, 1, i, &l->o, e)) < 0 ||
        (rc = load_fused(m, f, gate_up, 2, i, &l->gate_up, e)) < 0 ||
        (rc = load_fused(m, f, down, 1, i, &l->down, e)) < 0)
        return rc;
    if (c->qkv_bias && (rc = load_bias(m, f, qkv_bias, 3, i, &l->qkv, e)) < 0)
        return rc;
    if (c->o_bias && (rc = load_bias(m, f, o_bias, 1, i, &l->o, e)) < 0)
        return rc;
    if (c->qk_norm && ((rc = load_vector(m, f, T_Q_NORM, i, &l->q_norm, e)) < 0 ||
                       (rc = load_vector(m, f, T_K_NORM, i, &l->k_norm, e)) < 0))
        return rc;
    return OL_OK;
}

static int load_frequencies(struct model *m, struct err *e)
{
    float freq[MAX_HEAD_DIM / 2];
    rope_frequencies(&m->config, freq);
    int rc = m->ops->alloc(m->device, sizeof freq, &m->inv_freq, e);
    return rc < 0 ? rc : m->ops->upload(m->device, m->inv_freq, freq, sizeof freq, e);
}

int model_load(const struct model_file *f, const struct device_ops *ops, struct device *device, struct model **out,
               struct err *e)
{
    struct model *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the model");
    m->config = *model_file_config(f);
    m->ops = ops;
    m->device = device;
    m->attention_scale = 1.0f / sqrtf((float)m->config.head_dim);
    const struct model_config *c = &m->config;
    struct weight_part t;
    int rc = OL_OK;
    m->layers = calloc((size_t)c->n_layers, sizeof *m->layers);
    if (!m->layers)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for %d layers", c->n_layers);
    if (rc == OL_OK && (rc = model_file_tensor(f, T_EMBED, 0, &t, e)) == OL_OK)
        rc = load_weight(m, &t, 1, &m->embed, e);
    if (rc == OL_OK && !c->tied && (rc = model_file_tensor(f, T_HEAD, 0, &t, e)) == OL_OK)
        rc = load_weight(m, &t, 1, &m->head, e);
    if (rc == OL_OK && (rc = load_vector(m, f, T_OUT_NORM, 0, &m->out_norm, e)) == OL_OK)
        rc = load_frequencies(m, e);
    for (int i = 0; rc == OL_OK && i < c->n_layers; i++)
        rc = load_layer(m, f, i, e);
    if (rc < 0) {
        model_unload(m);
        return rc;
    }
    *out = m;
    return OL_OK;
}

static void unload_fused(struct model *m, struct fused *f)
{
    for (int i = 0; i < f->n; i++)
        m->ops->weight_free(m->device, f->w[i]);
    m->ops->free(m->device, f->bias);
}

void model_unload(struct model *m)
{
    if (!m)
        return;
    for (int i = 0; m->layers && i < m->config.n_layers; i++) {
        struct model_layer *l = &m->layers[i];
        dptr vectors[] = {l->attn_norm, l->ffn_norm, l->q_norm, l->k_norm};
        for (size_t j = 0; j < sizeof vectors / sizeof *vectors; j++)
            m->ops->free(m->device, vectors[j]);
        unload_fused(m, &l->qkv);
        unload_fused(m, &l->o);
        unload_fused(m, &l->gate_up);
        unload_fused(m, &l->down);
    }
    m->ops->weight_free(m->device, m->embed);
    m->ops->weight_free(m->device, m->head);
    m->ops->free(m->device, m->out_norm);
    m->ops->free(m->device, m->inv_freq);
    free(m->layers);
    free(m);
}

const struct model_config *model_config(const struct model *m) { return &m->config; }

size_t model_weight_bytes(const struct model *m) { return m->weight_bytes; }

struct kv_shape model_kv_shape(const struct model *m)
{
    const struct model_config *c = &m->config;
    struct kv_shape s = {c->n_layers, c->n_heads, c->n_kv_heads, c->head_dim, 0};
    size_t kv = (size_t)c->n_layers * kv_layer_bytes(&s), adapter = adapter_min_page_bytes(c);
    s.page_bytes = align_up(kv > adapter ? kv : adapter, 4096);
    return s;
}
