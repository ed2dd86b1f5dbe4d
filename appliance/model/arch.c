#include "model/arch.h"

#include <stdio.h>
#include <string.h>

/* One row per architecture. Mistral has no name of its own in GGUF: converters write it as llama, which computes the
 * same. */
static const struct arch table[] = {
    {.name = "llama", .gguf = "llama", .hf_class = "LlamaForCausalLM", .gguf_permuted_qk = true,
     .qkv_bias = PART_OPTIONAL, .o_bias = PART_OPTIONAL},
    {.name = "mistral", .hf_class = "MistralForCausalLM"},
    {.name = "qwen2", .gguf = "qwen2", .hf_class = "Qwen2ForCausalLM", .qkv_bias = PART_YES},
    {.name = "qwen3", .gguf = "qwen3", .hf_class = "Qwen3ForCausalLM", .qkv_bias = PART_OPTIONAL,
     .o_bias = PART_OPTIONAL, .qk_norm = PART_YES, .default_head_dim = 128},
};

enum { N_ARCHS = sizeof table / sizeof *table };

/* What a side of a weight counts. */
enum dim { ONE, HIDDEN, HEADS, KV_HEADS, HEAD, FFN, VOCAB };

struct role {
    const char *name[FORMATS]; /* '#' stands for the layer */
    enum dim rows, cols;
};

static const struct role roles[T_ROLES] = {
    [T_EMBED] = {{"token_embd.weight", "model.embed_tokens.weight"}, VOCAB, HIDDEN},
    [T_OUT_NORM] = {{"output_norm.weight", "model.norm.weight"}, ONE, HIDDEN},
    [T_HEAD] = {{"output.weight", "lm_head.weight"}, VOCAB, HIDDEN},
    [T_ATTN_NORM] = {{"blk.#.attn_norm.weight", "model.layers.#.input_layernorm.weight"}, ONE, HIDDEN},
    [T_Q] = {{"blk.#.attn_q.weight", "model.layers.#.self_attn.q_proj.weight"}, HEADS, HIDDEN},
    [T_K] = {{"blk.#.attn_k.weight", "model.layers.#.self_attn.k_proj.weight"}, KV_HEADS, HIDDEN},
    [T_V] = {{"blk.#.attn_v.weight", "model.layers.#.self_attn.v_proj.weight"}, KV_HEADS, HIDDEN},
    [T_O] = {{"blk.#.attn_output.weight", "model.layers.#.self_attn.o_proj.weight"}, HIDDEN, HEADS},
    [T_Q_BIAS] = {{"blk.#.attn_q.bias", "model.layers.#.self_attn.q_proj.bias"}, ONE, HEADS},
    [T_K_BIAS] = {{"blk.#.attn_k.bias", "model.layers.#.self_attn.k_proj.bias"}, ONE, KV_HEADS},
    [T_V_BIAS] = {{"blk.#.attn_v.bias", "model.layers.#.self_attn.v_proj.bias"}, ONE, KV_HEADS},
    [T_O_BIAS] = {{"blk.#.attn_output.bias", "model.layers.#.self_attn.o_proj.bias"}, ONE, HIDDEN},
    [T_Q_NORM] = {{"blk.#.attn_q_norm.weight", "model.layers.#.self_attn.q_norm.weight"}, ONE, HEAD},
    [T_K_NORM] = {{"blk.#.attn_k_norm.weight", "model.layers.#.self_attn.k_norm.weight"}, ONE, HEAD},
    [T_FFN_NORM] = {{"blk.#.ffn_norm.weight", "model.layers.#.post_attention_layernorm.weight"}, ONE, HIDDEN},
    [T_GATE] = {{"blk.#.ffn_gate.weight", "model.layers.#.mlp.gate_proj.weight"}, FFN, HIDDEN},
    [T_UP] = {{"blk.#.ffn_up.weight", "model.layers.#.mlp.up_proj.weight"}, FFN, HIDDEN},
    [T_DOWN] = {{"blk.#.ffn_down.weight", "model.layers.#.mlp.down_proj.weight"}, HIDDEN, FFN},
};

const struct arch *arch_find_gguf(struct text name)
{
    for (int i = 0; i < N_ARCHS; i++)
        if (table[i].gguf && strlen(table[i].gguf) == name.len && !memcmp(table[i].gguf, name.data, name.len))
            return &table[i];
    return NULL;
}

const struct arch *arch_find_hf(const char *model_type, const char *hf_class)
{
    for (int i = 0; i < N_ARCHS; i++)
        if (!strcmp(table[i].name, model_type) && (!hf_class || !strcmp(table[i].hf_class, hf_class)))
            return &table[i];
    return NULL;
}

const char *arch_gguf_name(const char *name)
{
    for (int i = 0; i < N_ARCHS; i++)
        if (!strcmp(table[i].name, name) && table[i].gguf)
            return table[i].gguf;
    return "llama";
}

void arch_list(enum file_format format, char *out, size_t bytes)
{
    size_t len = 0;
    out[0] = 0;
    for (int i = 0; i < N_ARCHS; i++) {
        const char *name = format == FORMAT_GGUF ? table[i].gguf : table[i].name;
        int n = name ? snprintf(out + len, bytes - len, "%s%s", len ? ", " : "", name) : 0;
        if (n < 0 || (size_t)n >= bytes - len)
            return;
        len += (size_t)n;
    }
}

/* Does `name` match `pattern`, with one decimal number (no sign, no leading zero) in the place of '#'? */
static bool match(const char *pattern, struct text name, int32_t *layer)
{
    const char *p = name.data, *end = name.data + name.len;
    for (; *pattern; pattern++) {
        if (*pattern != '#') {
            if (p == end || *p++ != *pattern)
                return false;
            continue;
        }
        const char *digits = p;
        int32_t n = 0;
        while (p < end && *p >= '0' && *p <= '9' && p - digits < 6)
            n = n * 10 + (*p++ - '0');
        if (p == digits || (*digits == '0' && p - digits > 1))
            return false;
        *layer = n;
    }
    return p == end;
}

bool arch_match_tensor(enum file_format format, struct text name, enum tensor_role *role, int32_t *layer)
{
    *layer = 0;
    for (int r = 0; r < T_ROLES; r++)
        if (match(roles[r].name[format], name, layer)) {
            *role = (enum tensor_role)r;
            return true;
        }
    return false;
}

void arch_tensor_name(enum file_format format, enum tensor_role role, int32_t layer, char *out, size_t bytes)
{
    const char *pattern = roles[role].name[format], *hole = strchr(pattern, '#');
    if (hole)
        snprintf(out, bytes, "%.*s%d%s", (int)(hole - pattern), pattern, layer, hole + 1);
    else
        snprintf(out, bytes, "%s", pattern);
}

bool arch_ignores_tensor(enum file_format format, struct text name)
{
    int32_t layer;
    return match(format == FORMAT_GGUF ? "rope_freqs.weight" : "model.layers.#.self_attn.rotary_emb.inv_freq", name,
                 &layer);
}

bool arch_role_per_layer(enum tensor_role role) { return role > T_HEAD; }

bool arch_role_is_vector(enum tensor_role role) { return roles[role].rows == ONE; }

/* Parts that are the same in every model are always wanted; the others follow the configuration. */
bool arch_role_wanted(const struct model_config *c, enum tensor_role role)
{
    switch (role) {
    case T_HEAD: return !c->tied;
    case T_Q_BIAS: case T_K_BIAS: case T_V_BIAS: return c->qkv_bias;
    case T_O_BIAS: return c->o_bias;
    case T_Q_NORM: case T_K_NORM: return c->qk_norm;
    default: return true;
    }
}

static int64_t size_of(const struct model_config *c, enum dim d)
{
    switch (d) {
    case HIDDEN: return c->hidden;
    case HEADS: return (int64_t)c->n_heads * c->head_dim;
    case KV_HEADS: return (int64_t)c->n_kv_heads * c->head_dim;
    case HEAD: return c->head_dim;
    case FFN: return c->ffn;
    case VOCAB: return c->vocab;
    default: return 1;
    }
}

/* Rows are outputs, as in weight_part; a vector has one row. */
void arch_role_shape(const struct model_config *c, enum tensor_role role, int64_t *rows, int64_t *cols)
{
    *rows = size_of(c, roles[role].rows);
    *cols = size_of(c, roles[role].cols);
}

int model_config_check(const struct model_config *c, struct err *e)
{
    /* Generous bounds: they keep every size computed from a configuration far from overflow. */
    const struct { const char *name; int32_t value, max; } ranges[] = {
        {"layers", c->n_layers, 1024},         {"hidden size", c->hidden, 1 << 17},
        {"attention heads", c->n_heads, 1024}, {"key-value heads", c->n_kv_heads, 1024},
        {"head size", c->head_dim, MAX_HEAD_DIM}, {"feed-forward size", c->ffn, 1 << 20},
        {"vocabulary", c->vocab, 1 << 22},     {"context length", c->context, 1 << 26},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < 1 || ranges[i].value > ranges[i].max)
            return err_set(e, OL_EUNSUPPORTED, "model", "%s: %d is outside of 1 to %d", ranges[i].name, ranges[i].value,
                           ranges[i].max);
    if (c->n_heads % c->n_kv_heads)
        return err_set(e, OL_EFORMAT, "model", "%d attention heads do not share %d key-value heads evenly", c->n_heads,
                       c->n_kv_heads);
    if (c->head_dim % 2)
        return err_set(e, OL_EUNSUPPORTED, "model", "head size %d is odd: rotary positions need pairs", c->head_dim);
    if (!(c->rms_eps > 0 && c->rms_eps < 1))
        return err_set(e, OL_EFORMAT, "model", "RMS norm epsilon %g is not between 0 and 1", (double)c->rms_eps);
    if (!(c->rope_theta >= 1 && c->rope_theta <= 1e12))
        return err_set(e, OL_EFORMAT, "model", "rope theta %g is not between 1 and 1e12", c->rope_theta);
    if (c->rope_scaling != ROPE_NONE && !(c->rope_factor >= 1e-3 && c->rope_factor <= 1e6))
        return err_set(e, OL_EFORMAT, "model", "rope scaling factor %g is not between 0.001 and 1e6", c->rope_factor);
    if (c->rope_scaling == ROPE_LLAMA3 &&
        !(c->rope_low_freq_factor > 0 && c->rope_high_freq_factor > c->rope_low_freq_factor &&
          c->rope_high_freq_factor <= 1e6 && c->rope_original_context >= 1 && c->rope_original_context <= 1e9))
        return err_set(
            e, OL_EFORMAT, "model",
            "llama3 rope scaling: low_freq_factor %g, high_freq_factor %g, original context %g make no sense",
            c->rope_low_freq_factor, c->rope_high_freq_factor, c->rope_original_context);
    return 0;
}
