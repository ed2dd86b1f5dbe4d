/* The frozen base: every tensor dequantized to float32 and packed, once. q and k rows of files that interleave them
 * are put back in halves order (unpermuted_row). */
#include "kernels/dequant.h"
#include "model/arch.h"
#include "model/adapter_build.h"
#include "training/lora_internal.h"

#include <stdlib.h>

struct pack_job { /* one matrix, split by panels */
    const struct weight_part *part;
    float *packed;
    float *rows; /* 12 rows per thread */
    int64_t row_floats;
};

static void pack_panel(void *arg, int64_t panel, int worker)
{
    const struct pack_job *job = arg;
    const struct weight_part *t = job->part;
    float *rows = job->rows + worker * F32_PANEL * job->row_floats;
    int64_t n = t->rows - panel * F32_PANEL < F32_PANEL ? t->rows - panel * F32_PANEL : F32_PANEL;
    for (int64_t i = 0; i < n; i++) {
        int64_t row = unpermuted_row(panel * F32_PANEL + i, t->rows, t->unpermute_heads);
        dequantize_row(t->dtype, (const char *)t->data + (size_t)row * dtype_row_bytes(t->dtype, t->cols),
                       rows + i * job->row_floats, t->cols);
    }
    f32_pack_panel(job->packed, panel, rows, n, job->row_floats, t->cols);
}

static void load_vector(const struct weight_part *t, float *out, float *stored)
{
    dequantize_row(t->dtype, t->data, stored, t->cols);
    for (int64_t i = 0; i < t->cols; i++)
        out[i] = stored[unpermuted_row(i, t->cols, t->unpermute_heads)];
}

/* Where a role's tensor belongs. */
static float **slot_of(struct lora_model *m, enum tensor_role role, int32_t layer)
{
    struct layer_weights *l = &m->layers[layer];
    switch (role) {
    case T_EMBED: return &m->embed;
    case T_HEAD: return &m->head;
    case T_OUT_NORM: return &m->out_norm;
    case T_ATTN_NORM: return &l->attn_norm;
    case T_FFN_NORM: return &l->ffn_norm;
    case T_Q_NORM: return &l->q_norm;
    case T_K_NORM: return &l->k_norm;
    case T_Q_BIAS: return &l->bias[LORA_Q];
    case T_K_BIAS: return &l->bias[LORA_K];
    case T_V_BIAS: return &l->bias[LORA_V];
    case T_O_BIAS: return &l->bias[LORA_O];
    default: break;
    }
    for (int t = 0; t < LORA_TARGETS; t++)
        if (lora_target_role(t) == role)
            return &l->w[t];
    CHECK(!"a tensor role without a place");
    return NULL;
}

static size_t role_floats(const struct model_config *c, enum tensor_role role)
{
    int64_t rows, cols;
    arch_role_shape(c, role, &rows, &cols);
    return (size_t)(arch_role_is_vector(role) ? cols : f32_packed_floats(rows, cols));
}

/* Every tensor of the model in turn: with a model, gives it its place; the carver's `used` is what they need. */
static void place_weights(const struct model_config *c, struct lora_model *m, struct carver *carver)
{
    for (int32_t layer = 0; layer < c->n_layers; layer++)
        for (int r = 0; r < T_ROLES; r++) {
            enum tensor_role role = (enum tensor_role)r;
            if (!arch_role_wanted(c, role) || (layer && !arch_role_per_layer(role)))
                continue;
            float *at = carve(carver, role_floats(c, role));
            if (m)
                *slot_of(m, role, layer) = at;
        }
}

size_t lora_weight_bytes(const struct model_file *file)
{
    struct carver carver = {0};
    place_weights(model_file_config(file), NULL, &carver);
    return carver.used;
}

static int load_role(struct lora_model *m, const struct model_file *file, enum tensor_role role, int32_t layer,
                     struct pack_job *job, struct err *e)
{
    struct weight_part part;
    int rc = model_file_tensor(file, role, layer, &part, e);
    if (rc)
        return rc;
    job->part = &part;
    job->packed = *slot_of(m, role, layer);
    if (arch_role_is_vector(role))
        load_vector(&part, job->packed, job->rows);
    else
        lora_parallel(m, f32_panels(part.rows), pack_panel, job);
    return 0;
}

int lora_weights_load(struct lora_model *m, const struct model_file *file, struct err *e)
{
    const struct model_config *c = &m->config;
    struct pack_job job = {.row_floats = 0};
    int rc = 0;
    for (int r = 0; r < T_ROLES; r++) {
        int64_t rows, cols;
        arch_role_shape(c, (enum tensor_role)r, &rows, &cols);
        job.row_floats = cols > job.row_floats ? cols : job.row_floats;
    }
    m->weight_bytes = lora_weight_bytes(file);
    m->weight_memory = map_memory(m->weight_bytes);
    m->layers = calloc((size_t)c->n_layers, sizeof *m->layers);
    job.rows = malloc((size_t)(pool_threads(m->pool) * F32_PANEL * job.row_floats) * sizeof *job.rows);
    if (!m->weight_memory || !m->layers || !job.rows)
        rc = err_set(e, OL_ENOMEM, TRAINING, "no memory for the base in float32: %zu MiB", m->weight_bytes >> 20);
    else
        place_weights(c, m, &(struct carver){.base = m->weight_memory});
    for (int32_t layer = 0; !rc && layer < c->n_layers; layer++)
        for (int r = 0; !rc && r < T_ROLES; r++)
            if (arch_role_wanted(c, (enum tensor_role)r) && (!layer || arch_role_per_layer((enum tensor_role)r)))
                rc = load_role(m, file, (enum tensor_role)r, layer, &job, e);
    if (!m->head)
        m->head = m->embed;
    free(job.rows);
    return rc;
}
