/* What both adapter formats share: which weights can be adapted, and with which shapes. */
#include "model/adapter_build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A LoRA target is the base model's weight of this role, and has its shape. */
static const struct {
    enum tensor_role role;
    const char *name;
} targets[LORA_TARGETS] = {
    [LORA_Q] = {T_Q, "q_proj"},          [LORA_K] = {T_K, "k_proj"},   [LORA_V] = {T_V, "v_proj"},
    [LORA_O] = {T_O, "o_proj"},          [LORA_GATE] = {T_GATE, "gate_proj"}, [LORA_UP] = {T_UP, "up_proj"},
    [LORA_DOWN] = {T_DOWN, "down_proj"},
};

int lora_pairs_init(struct lora_pairs *p, const struct model_config *model, struct err *e)
{
    *p = (struct lora_pairs){.model = model, .n_pairs = model->n_layers * LORA_TARGETS};
    p->pairs = calloc((size_t)p->n_pairs, sizeof *p->pairs);
    return p->pairs ? 0 : err_set(e, OL_ENOMEM, "adapter", "no memory for %d layers", model->n_layers);
}

void lora_pairs_deinit(struct lora_pairs *p)
{
    free(p->pairs);
    *p = (struct lora_pairs){0};
}

struct lora_pair *lora_pairs_find(struct lora_pairs *p, enum file_format format, struct text weight, struct err *e)
{
    enum tensor_role role;
    int32_t layer, target = LORA_TARGETS;
    int shown = (int)(weight.len < 100 ? weight.len : 100);
    if (arch_match_tensor(format, weight, &role, &layer))
        for (target = 0; target < LORA_TARGETS && targets[target].role != role;)
            target++;
    if (target == LORA_TARGETS) {
        err_set(e, OL_EUNSUPPORTED, "adapter", "%.*s is not a weight that can be adapted; these can: q_proj, k_proj, "
                "v_proj, o_proj, gate_proj, up_proj, down_proj", shown, weight.data);
        return NULL;
    }
    if (layer >= p->model->n_layers) {
        err_set(e, OL_EINVAL, "adapter", "%.*s: the model has only %d layers", shown, weight.data, p->model->n_layers);
        return NULL;
    }
    return &p->pairs[lora_site_index(layer, target)];
}

enum lora_target lora_pair_target(const struct lora_pairs *p, const struct lora_pair *pair)
{
    return (enum lora_target)((pair - p->pairs) % LORA_TARGETS);
}

void lora_pair_name(const struct lora_pairs *p, const struct lora_pair *pair, char *out, size_t bytes)
{
    snprintf(out, bytes, "layer %d %s", (int)((pair - p->pairs) / LORA_TARGETS),
             targets[lora_pair_target(p, pair)].name);
}

enum tensor_role lora_target_role(int target) { return targets[target].role; }
const char *lora_target_name(int target) { return targets[target].name; }

void lora_target_shape(const struct model_config *model, int target, int64_t *in, int64_t *out)
{
    arch_role_shape(model, targets[target].role, out, in);
}

/* Both sides are there, fit each other and the weight they adapt. */
static int check_pair(const struct lora_pairs *p, const struct lora_pair *pair, struct err *e)
{
    char name[64];
    int64_t in, out;
    lora_pair_name(p, pair, name, sizeof name);
    lora_target_shape(p->model, lora_pair_target(p, pair), &in, &out);
    if (!pair->a.data || !pair->b.data)
        return err_set(e, OL_EFORMAT, "adapter", "%s has lora_%c without lora_%c", name, pair->a.data ? 'A' : 'B',
                       pair->a.data ? 'B' : 'A');
    if (pair->a.rows > LORA_MAX_RANK)
        return err_set(e, OL_EUNSUPPORTED, "adapter", "%s has rank %lld, more than %d", name, (long long)pair->a.rows,
                       LORA_MAX_RANK);
    if (pair->a.cols != in)
        return err_set(e, OL_EINVAL, "adapter", "%s: lora_A is %lldx%lld, expected %lldx%lld: not an adapter of this "
                       "model", name, (long long)pair->a.rows, (long long)pair->a.cols, (long long)pair->a.rows,
                       (long long)in);
    if (pair->b.rows != out || pair->b.cols != pair->a.rows)
        return err_set(e, OL_EINVAL, "adapter", "%s: lora_B is %lldx%lld, expected %lldx%lld: not an adapter of this "
                       "model", name, (long long)pair->b.rows, (long long)pair->b.cols, (long long)out,
                       (long long)pair->a.rows);
    if (!isfinite((float)pair->scale))
        return err_set(e, OL_EFORMAT, "adapter", "%s: alpha and rank give a scale of %g", name, pair->scale);
    return 0;
}

int lora_pairs_check(const struct lora_pairs *p, struct err *e)
{
    int32_t used = 0;
    for (int32_t i = 0; i < p->n_pairs; i++) {
        if (!p->pairs[i].a.data && !p->pairs[i].b.data)
            continue;
        int rc = check_pair(p, &p->pairs[i], e);
        if (rc)
            return rc;
        used++;
    }
    return used ? 0 : err_set(e, OL_EFORMAT, "adapter", "it holds no LoRA weights");
}
