/* model_config from GGUF metadata. */
#include "model/config_read.h"

#include "model/name_index.h"

#include <stdio.h>
#include <string.h>

enum { KEY_BYTES = 96 };

/* Metadata keys of one architecture: "llama.block_count". */
struct keys {
    const struct gguf *g;
    const char *prefix;
};

static void key_name(const struct keys *k, const char *key, char out[KEY_BYTES])
{
    snprintf(out, KEY_BYTES, "%s.%s", k->prefix, key);
}

/* A positive number that fits; 0 in *out if the key is absent. */
static int optional_i32(const struct keys *k, const char *key, int32_t *out, struct err *e)
{
    char name[KEY_BYTES];
    uint64_t v = 0;
    key_name(k, key, name);
    if (gguf_u64(k->g, name, &v) && v > INT32_MAX)
        return err_set(e, OL_EFORMAT, "model", "%s is %llu: too large", name, (unsigned long long)v);
    *out = (int32_t)v;
    return 0;
}

/* The same for a key that a model cannot do without. */
static int required_i32(const struct keys *k, const char *key, int32_t *out, struct err *e)
{
    int rc = optional_i32(k, key, out, e);
    if (!rc && *out == 0)
        return err_set(e, OL_EFORMAT, "model", "%s.%s is missing, zero, or not one whole number", k->prefix, key);
    return rc;
}

static double optional_f64(const struct keys *k, const char *key, double otherwise)
{
    char name[KEY_BYTES];
    key_name(k, key, name);
    gguf_f64(k->g, name, &otherwise);
    return otherwise;
}

/* Sizes of layers and heads. What a key would change that we do not compute is refused, not ignored. */
static int read_sizes(const struct keys *k, struct model_config *c, struct err *e)
{
    int32_t value_dim, rope_dim, window;
    int rc;
    if ((rc = required_i32(k, "block_count", &c->n_layers, e)) < 0 ||
        (rc = required_i32(k, "embedding_length", &c->hidden, e)) < 0 ||
        (rc = required_i32(k, "attention.head_count", &c->n_heads, e)) < 0 ||
        (rc = optional_i32(k, "attention.head_count_kv", &c->n_kv_heads, e)) < 0 ||
        (rc = optional_i32(k, "attention.key_length", &c->head_dim, e)) < 0 ||
        (rc = optional_i32(k, "attention.value_length", &value_dim, e)) < 0 ||
        (rc = required_i32(k, "feed_forward_length", &c->ffn, e)) < 0 ||
        (rc = required_i32(k, "context_length", &c->context, e)) < 0 ||
        (rc = optional_i32(k, "attention.sliding_window", &window, e)) < 0 ||
        (rc = optional_i32(k, "rope.dimension_count", &rope_dim, e)) < 0)
        return rc;
    if (!c->n_kv_heads)
        c->n_kv_heads = c->n_heads;
    if (!c->head_dim) {
        if (c->hidden % c->n_heads)
            return err_set(e, OL_EFORMAT, "model", "hidden size %d is not a multiple of %d heads, and "
                           "%s.attention.key_length is missing", c->hidden, c->n_heads, k->prefix);
        c->head_dim = c->hidden / c->n_heads;
    }
    if (value_dim && value_dim != c->head_dim)
        return err_set(e, OL_EUNSUPPORTED, "model", "%s.attention.value_length is %d and key_length %d: only equal "
                       "sizes are supported", k->prefix, value_dim, c->head_dim);
    if (rope_dim && rope_dim != c->head_dim)
        return err_set(e, OL_EUNSUPPORTED, "model", "%s.rope.dimension_count is %d of a head size of %d: partial "
                       "rotary positions are not supported", k->prefix, rope_dim, c->head_dim);
    if (window && window < c->context)
        c->context = window; /* within the window, sliding attention is plain attention */
    return 0;
}

/* rope_freqs.weight: how converters write llama3 scaling. */
static int read_freq_factors(const struct gguf *g, struct model_config *c, struct err *e)
{
    const struct gguf_tensor *t = gguf_tensor_find(g, "rope_freqs.weight");
    if (!t)
        return 0;
    if (t->dtype != DTYPE_F32 || t->n_dims != 1 || c->head_dim > MAX_HEAD_DIM || t->dims[0] * 2 != c->head_dim)
        return err_set(e, OL_EFORMAT, "model", "rope_freqs.weight must hold %d float32 values", c->head_dim / 2);
    memcpy(c->rope_freq_factors, t->data, t->bytes);
    for (int i = 0; i < c->head_dim / 2; i++)
        if (!(c->rope_freq_factors[i] >= 1e-6f && c->rope_freq_factors[i] <= 1e6f))
            return err_set(e, OL_EFORMAT, "model", "rope_freqs.weight: value %d is not a sane factor", i);
    c->has_rope_freq_factors = true;
    return 0;
}

/* Rotary positions: base, and scaling by type or, for llama3, by a tensor of factors. */
static int read_rope(const struct keys *k, struct model_config *c, struct err *e)
{
    char key[KEY_BYTES];
    struct text type = {"linear", 6}; /* a factor without a type is linear */
    c->rope_theta = optional_f64(k, "rope.freq_base", 10000);
    c->rope_factor = optional_f64(k, "rope.scaling.factor", optional_f64(k, "rope.scale_linear", 1));
    key_name(k, "rope.scaling.type", key);
    gguf_text(k->g, key, &type);
    bool linear = type.len == 6 && !memcmp(type.data, "linear", 6);
    bool none = type.len == 4 && !memcmp(type.data, "none", 4);
    if (!linear && !none)
        return err_set(e, OL_EUNSUPPORTED, "model",
                       "%s is \"%.*s\": not supported; supported: none, linear, and llama3 "
                       "through rope_freqs.weight",
                       key, (int)(type.len < 32 ? type.len : 32), type.data);
    if (linear && c->rope_factor != 1 && c->rope_factor != 0) /* 0: what some converters write for no scaling */
        c->rope_scaling = ROPE_LINEAR;
    return read_freq_factors(k->g, c, e);
}

/* An optional part is there if layer 0 has it; model_file.c then asks for it in every layer. */
static bool has_part(const struct gguf *g, enum part part, enum tensor_role role)
{
    char name[KEY_BYTES];
    arch_tensor_name(FORMAT_GGUF, role, 0, name, sizeof name);
    return part == PART_YES || (part == PART_OPTIONAL && gguf_tensor_find(g, name));
}

/* The architecture's row; adapters and other kinds of GGUF files are told apart here. */
static int find_arch(const struct gguf *g, const struct arch **arch, struct err *e)
{
    struct text name = {"", 0}, type;
    if (gguf_text(g, "general.type", &type) && !(type.len == 5 && !memcmp(type.data, "model", 5)))
        return err_set(e, OL_EUNSUPPORTED, "model", "general.type is \"%.*s\", not \"model\"",
                       (int)(type.len < 32 ? type.len : 32), type.data);
    if (!gguf_text(g, "general.architecture", &name))
        return err_set(e, OL_EFORMAT, "model", "general.architecture is missing");
    *arch = arch_find_gguf(name);
    if (*arch)
        return 0;
    char list[80];
    arch_list(FORMAT_GGUF, list, sizeof list);
    return err_set(e, OL_EUNSUPPORTED, "model", "architecture \"%.*s\" is not supported; supported: %s",
                   (int)(name.len < 48 ? name.len : 48), name.data, list);
}

int config_from_gguf(const struct gguf *g, struct model_config *c, const struct arch **arch, struct err *e)
{
    *c = (struct model_config){0};
    int rc = find_arch(g, arch, e);
    if (rc)
        return rc;
    const struct keys k = {g, (*arch)->gguf};
    rc = read_sizes(&k, c, e);
    if (!rc)
        rc = read_rope(&k, c, e);
    if (rc)
        return rc;
    const struct gguf_tensor *embed = gguf_tensor_find(g, "token_embd.weight");
    if (!embed)
        return err_set(e, OL_EFORMAT, "model", "tensor token_embd.weight is missing");
    struct text name;
    if (gguf_text(g, "general.name", &name) && name_is_plain(name.data, name.len))
        snprintf(c->name, sizeof c->name, "%.*s", (int)(name.len < sizeof c->name ? name.len : sizeof c->name - 1),
                 name.data);
    snprintf(c->arch, sizeof c->arch, "%s", (*arch)->name);
    c->vocab = (int32_t)embed->dims[1];
    c->rms_eps = (float)optional_f64(&k, "attention.layer_norm_rms_epsilon", 0);
    c->tied = !gguf_tensor_find(g, "output.weight");
    c->qkv_bias = has_part(g, (*arch)->qkv_bias, T_Q_BIAS);
    c->o_bias = has_part(g, (*arch)->o_bias, T_O_BIAS);
    c->qk_norm = has_part(g, (*arch)->qk_norm, T_Q_NORM);
    return model_config_check(c, e);
}
