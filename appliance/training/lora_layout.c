/* Which layers are adapted, and where their parameters lie. */
#include "model/adapter_build.h"
#include "training/lora_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lora_place_name(const struct lora_place *p, char side, char out[LORA_NAME_BYTES])
{
    char weight[64];
    arch_tensor_name(FORMAT_HF, lora_target_role((int)p->target), p->layer, weight, sizeof weight);
    int module = (int)(strlen(weight) - strlen(".weight"));
    snprintf(out, LORA_NAME_BYTES, "base_model.model.%.*s.lora_%c.weight", module, weight, side);
}

int lora_targets_parse(const char *text, uint32_t *targets, struct err *e)
{
    *targets = 0;
    if (!strcmp(text, "all") || !strcmp(text, "all-linear")) {
        *targets = (1u << LORA_TARGETS) - 1;
        return 0;
    }
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        int t = 0;
        while (t < LORA_TARGETS && (strlen(lora_target_name(t)) != len || memcmp(lora_target_name(t), at, len) != 0))
            t++;
        if (t == LORA_TARGETS)
            return err_set(e, OL_EINVAL, TRAINING, "\"%.*s\" is not a target; these are: q_proj, k_proj, v_proj, "
                           "o_proj, gate_proj, up_proj, down_proj, all", (int)(len < 40 ? len : 40), at);
        *targets |= 1u << t;
        at += len;
        if (!*at)
            return 0;
    }
}

void lora_layout_count(struct lora_layout *layout)
{
    layout->n_params = 0;
    for (int32_t i = 0; i < layout->n_places; i++) {
        struct lora_place *p = &layout->places[i];
        p->a = layout->n_params;
        p->b = p->a + (int64_t)p->rank * p->in;
        layout->n_params = p->b + (int64_t)p->rank * p->out;
    }
}

int lora_layout_uniform(struct lora_layout *out, const struct model_config *c, const struct train_config *t,
                        struct err *e)
{
    int32_t per_layer = __builtin_popcount(t->targets);
    *out = (struct lora_layout){0};
    if (t->targets >> LORA_TARGETS)
        return err_set(e, OL_EINVAL, TRAINING, "targets 0x%x: unknown bits", t->targets);
    if (t->targets && (t->rank < 1 || t->rank > LORA_MAX_RANK))
        return err_set(e, OL_EINVAL, TRAINING, "rank %d: 1 to %d are possible", t->rank, LORA_MAX_RANK);
    if (t->targets && !isfinite(t->alpha))
        return err_set(e, OL_EINVAL, TRAINING, "alpha is not a finite number");
    out->places = calloc((size_t)(c->n_layers * per_layer) + 1, sizeof *out->places);
    if (!out->places)
        return err_set(e, OL_ENOMEM, TRAINING, "no memory for a layout of %d layers", c->n_layers);
    double scale = t->targets ? (double)t->alpha / (t->rslora ? sqrt(t->rank) : t->rank) : 0;
    for (int32_t layer = 0; layer < c->n_layers; layer++)
        for (int target = 0; target < LORA_TARGETS; target++) {
            int64_t in, n;
            if (!(t->targets >> target & 1))
                continue;
            lora_target_shape(c, target, &in, &n);
            out->places[out->n_places++] = (struct lora_place){.layer = layer, .target = (enum lora_target)target,
                                                               .rank = t->rank, .in = (int32_t)in, .out = (int32_t)n,
                                                               .scale = (float)scale};
        }
    lora_layout_count(out);
    return 0;
}
