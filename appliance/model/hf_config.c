/* model_config from config.json, in the spellings of transformers 4 (rope_theta, rope_scaling) and 5
 * (rope_parameters). */
#include "model/config_read.h"
#include "model/json_file.h"

#include <stdio.h>
#include <string.h>

/* By model_type and, where the file names one, the class: a classifier of a known family is not a language model. */
static int find_arch(const json_t *j, const struct arch **arch, struct err *e)
{
    const char *type = NULL;
    int rc = json_get_text(j, "model_type", &type, e);
    if (rc)
        return rc;
    if (!type)
        return err_set(e, OL_EFORMAT, "model", "\"model_type\" is missing");
    const char *class = json_string_value(json_array_get(json_object_get(j, "architectures"), 0));
    *arch = arch_find_hf(type, class);
    if (*arch)
        return 0;
    char list[80];
    arch_list(FORMAT_HF, list, sizeof list);
    return err_set(e, OL_EUNSUPPORTED, "model", "model_type \"%.40s\" with architecture \"%.60s\" is not supported; "
                   "supported: %s", type, class ? class : "", list);
}

static int required(int32_t value, const char *key, struct err *e)
{
    return value > 0 ? 0 : err_set(e, OL_EFORMAT, "model", "\"%s\" is missing or not positive", key);
}

static int read_window(const json_t *j, struct model_config *c, struct err *e)
{
    int32_t window = 0;
    bool used = true; /* Qwen says whether its window is in use; Mistral's always is */
    int rc;
    if ((rc = json_get_i32(j, "sliding_window", &window, e)) < 0 ||
        (rc = json_get_bool(j, "use_sliding_window", &used, e)) < 0)
        return rc;
    if (used && window > 0 && window < c->context)
        c->context = window; /* within the window, sliding attention is plain attention */
    return 0;
}

/* A missing or null head_dim and num_key_value_heads follow from the others, as in transformers. */
static int read_sizes(const json_t *j, const struct arch *arch, struct model_config *c, struct err *e)
{
    const struct { const char *key; int32_t *out; bool needed; } fields[] = {
        {"num_hidden_layers", &c->n_layers, true},      {"hidden_size", &c->hidden, true},
        {"num_attention_heads", &c->n_heads, true},     {"intermediate_size", &c->ffn, true},
        {"vocab_size", &c->vocab, true},                {"max_position_embeddings", &c->context, true},
        {"num_key_value_heads", &c->n_kv_heads, false}, {"head_dim", &c->head_dim, false},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int rc = json_get_i32(j, fields[i].key, fields[i].out, e);
        if (!rc && fields[i].needed)
            rc = required(*fields[i].out, fields[i].key, e);
        if (rc)
            return rc;
    }
    if (!c->n_kv_heads)
        c->n_kv_heads = c->n_heads;
    if (!c->head_dim)
        c->head_dim = arch->default_head_dim;
    if (!c->head_dim && c->hidden % c->n_heads)
        return err_set(e, OL_EFORMAT, "model", "hidden_size %d is not a multiple of num_attention_heads %d, and "
                       "\"head_dim\" is missing", c->hidden, c->n_heads);
    if (!c->head_dim)
        c->head_dim = c->hidden / c->n_heads;
    return 0;
}

/* `rope` is rope_scaling (transformers 4) or rope_parameters (5); the older key "type" means rope_type. */
static int read_rope_type(const json_t *rope, struct model_config *c, struct err *e)
{
    const char *type = NULL;
    double partial = 1;
    int rc;
    if ((rc = json_get_text(rope, "type", &type, e)) < 0 || (rc = json_get_text(rope, "rope_type", &type, e)) < 0 ||
        (rc = json_get_f64(rope, "rope_theta", &c->rope_theta, e)) < 0 ||
        (rc = json_get_f64(rope, "factor", &c->rope_factor, e)) < 0 ||
        (rc = json_get_f64(rope, "low_freq_factor", &c->rope_low_freq_factor, e)) < 0 ||
        (rc = json_get_f64(rope, "high_freq_factor", &c->rope_high_freq_factor, e)) < 0 ||
        (rc = json_get_f64(rope, "original_max_position_embeddings", &c->rope_original_context, e)) < 0 ||
        (rc = json_get_f64(rope, "partial_rotary_factor", &partial, e)) < 0)
        return rc;
    if (partial != 1)
        return err_set(e, OL_EUNSUPPORTED, "model", "partial_rotary_factor %g is not supported", partial);
    if (!type && json_object_size(rope) && json_is_object(json_object_iter_value(json_object_iter((json_t *)rope))))
        return err_set(e, OL_EUNSUPPORTED, "model", "rope parameters that differ between layers are not supported");
    if (!type || !strcmp(type, "default"))
        return 0;
    if (!strcmp(type, "linear"))
        c->rope_scaling = ROPE_LINEAR;
    else if (!strcmp(type, "llama3"))
        c->rope_scaling = ROPE_LLAMA3;
    else
        return err_set(e, OL_EUNSUPPORTED, "model", "rope type \"%.32s\" is not supported; supported: default, linear, "
                       "llama3", type);
    return 0;
}

/* Both spellings are read wherever they stand; a file has one of them. */
static int read_rope(const json_t *j, struct model_config *c, struct err *e)
{
    static const char *const objects[] = {"rope_scaling", "rope_parameters"};
    double partial = 1;
    int rc;
    c->rope_theta = 10000;
    c->rope_original_context = c->context;
    if ((rc = json_get_f64(j, "rope_theta", &c->rope_theta, e)) < 0 ||
        (rc = json_get_f64(j, "partial_rotary_factor", &partial, e)) < 0)
        return rc;
    if (partial != 1)
        return err_set(e, OL_EUNSUPPORTED, "model", "partial_rotary_factor %g is not supported", partial);
    for (int i = 0; i < 2; i++) {
        const json_t *rope = json_object_get(j, objects[i]);
        if (!rope || json_is_null(rope))
            continue;
        if (!json_is_object(rope))
            return err_set(e, OL_EFORMAT, "model", "\"%s\" is not an object", objects[i]);
        rc = read_rope_type(rope, c, e);
        if (rc)
            return rc;
    }
    return 0;
}

static bool has_part(enum part part, bool configured)
{
    return part == PART_YES || (part == PART_OPTIONAL && configured);
}

/* Biases, the head, and what must be plain for our layers to be the model's. */
static int read_parts(const json_t *j, const struct arch *arch, bool has_head, struct model_config *c, struct err *e)
{
    bool mlp_bias = false, attention_bias = false;
    const char *activation = "silu";
    double eps = 1e-6;
    int rc;
    c->tied = !has_head;
    if ((rc = json_get_bool(j, "tie_word_embeddings", &c->tied, e)) < 0 ||
        (rc = json_get_bool(j, "attention_bias", &attention_bias, e)) < 0 ||
        (rc = json_get_bool(j, "mlp_bias", &mlp_bias, e)) < 0 ||
        (rc = json_get_text(j, "hidden_act", &activation, e)) < 0 ||
        (rc = json_get_f64(j, "rms_norm_eps", &eps, e)) < 0)
        return rc;
    if (mlp_bias)
        return err_set(e, OL_EUNSUPPORTED, "model", "\"mlp_bias\" is true: biases in the feed-forward layers are not "
                       "supported");
    if (strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        return err_set(e, OL_EUNSUPPORTED, "model", "\"hidden_act\" is \"%.32s\": only silu is supported", activation);
    const json_t *quantized = json_object_get(j, "quantization_config");
    if (quantized && !json_is_null(quantized))
        return err_set(e, OL_EUNSUPPORTED, "model", "\"quantization_config\" is set: quantized safetensors are not "
                       "supported; use a GGUF file");
    c->rms_eps = (float)eps;
    c->qkv_bias = has_part(arch->qkv_bias, attention_bias);
    c->o_bias = has_part(arch->o_bias, attention_bias);
    c->qk_norm = has_part(arch->qk_norm, false);
    return 0;
}

int config_from_hf(const json_t *j, bool has_head, struct model_config *c, const struct arch **arch, struct err *e)
{
    *c = (struct model_config){0};
    int rc = find_arch(j, arch, e);
    if (!rc)
        rc = read_sizes(j, *arch, c, e);
    if (!rc)
        rc = read_rope(j, c, e); /* before the window: scaling refers to the trained context */
    if (!rc)
        rc = read_window(j, c, e);
    if (!rc)
        rc = read_parts(j, *arch, has_head, c, e);
    if (rc)
        return rc;
    const char *name = json_string_value(json_object_get(j, "_name_or_path"));
    snprintf(c->name, sizeof c->name, "%s", name ? name : "");
    snprintf(c->arch, sizeof c->arch, "%s", (*arch)->name);
    return model_config_check(c, e);
}
