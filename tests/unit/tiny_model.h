/* A model of two layers and 32 hidden units, as a GGUF file and as a safetensors directory, with edits: how tests
 * make a file that is wrong in one place. */
#ifndef OPENLORA_TESTS_TINY_MODEL_H
#define OPENLORA_TESTS_TINY_MODEL_H

#include "model_files.h"

#include <jansson.h>

enum {
    TINY_HIDDEN = 32,
    TINY_HEADS = 4,
    TINY_KV_HEADS = 2,
    TINY_HEAD = 8,
    TINY_FFN = 64,
    TINY_VOCAB = 48,
    TINY_LAYERS = 2
};

struct tiny_tensor {
    const char *gguf, *hf; /* '#': the layer */
    int rows, cols;        /* rows 0: a vector */
};

static const struct tiny_tensor tiny_tensors[] = {
    {"token_embd.weight", "model.embed_tokens.weight", TINY_VOCAB, TINY_HIDDEN},
    {"output_norm.weight", "model.norm.weight", 0, TINY_HIDDEN},
    {"output.weight", "lm_head.weight", TINY_VOCAB, TINY_HIDDEN},
    {"blk.#.attn_norm.weight", "model.layers.#.input_layernorm.weight", 0, TINY_HIDDEN},
    {"blk.#.attn_q.weight", "model.layers.#.self_attn.q_proj.weight", TINY_HEADS * TINY_HEAD, TINY_HIDDEN},
    {"blk.#.attn_k.weight", "model.layers.#.self_attn.k_proj.weight", TINY_KV_HEADS * TINY_HEAD, TINY_HIDDEN},
    {"blk.#.attn_v.weight", "model.layers.#.self_attn.v_proj.weight", TINY_KV_HEADS * TINY_HEAD, TINY_HIDDEN},
    {"blk.#.attn_output.weight", "model.layers.#.self_attn.o_proj.weight", TINY_HIDDEN, TINY_HEADS * TINY_HEAD},
    {"blk.#.ffn_norm.weight", "model.layers.#.post_attention_layernorm.weight", 0, TINY_HIDDEN},
    {"blk.#.ffn_gate.weight", "model.layers.#.mlp.gate_proj.weight", TINY_FFN, TINY_HIDDEN},
    {"blk.#.ffn_up.weight", "model.layers.#.mlp.up_proj.weight", TINY_FFN, TINY_HIDDEN},
    {"blk.#.ffn_down.weight", "model.layers.#.mlp.down_proj.weight", TINY_HIDDEN, TINY_FFN},
};

struct tiny_edit {
    const char *omit;                       /* a tensor or key that is left out */
    const char *reshape; int rows, cols;    /* a tensor with another shape */
    const char *add; int add_rows, add_cols; /* one more tensor */
    const char *key; double number; const char *text; /* a GGUF key replaced or added: text, or a whole number */
    const char *json;                       /* merged into config.json; null removes a key */
};

/* The value at (row, col) of any tensor: all different within a tensor of this size. */
static inline float tiny_value(int row, int col) { return (float)(row * 64 + col) / 64.0f; }

static inline bool tiny_is(const char *a, const char *b) { return a && b && !strcmp(a, b); }

static inline void tiny_name(const char *pattern, int layer, char out[80])
{
    const char *hole = strchr(pattern, '#');
    if (hole)
        snprintf(out, 80, "%.*s%d%s", (int)(hole - pattern), pattern, layer, hole + 1);
    else
        snprintf(out, 80, "%s", pattern);
}

/* add(context, name, rows, cols, data) for every tensor, as edited. */
static inline void tiny_each(bool gguf, const struct tiny_edit *edit,
                             void (*add)(void *, const char *, int, int, const float *), void *context)
{
    static float values[128 * 128];
    char name[80];
    for (int layer = 0; layer < TINY_LAYERS; layer++)
        for (size_t i = 0; i < sizeof tiny_tensors / sizeof *tiny_tensors; i++) {
            const struct tiny_tensor *t = &tiny_tensors[i];
            const char *pattern = gguf ? t->gguf : t->hf;
            if (layer && !strchr(pattern, '#'))
                continue;
            tiny_name(pattern, layer, name);
            int rows = tiny_is(name, edit->reshape) ? edit->rows : t->rows;
            int cols = tiny_is(name, edit->reshape) ? edit->cols : t->cols;
            for (int r = 0; r < (rows ? rows : 1); r++)
                for (int c = 0; c < cols; c++)
                    values[r * cols + c] = tiny_value(r, c);
            if (!tiny_is(name, edit->omit))
                add(context, name, rows, cols, values);
        }
    if (edit->add)
        add(context, edit->add, edit->add_rows, edit->add_cols, values);
}

static inline void tiny_add_gguf(void *context, const char *name, int rows, int cols, const float *data)
{
    gguf_file_tensor(context, name, 0, (uint64_t)cols, (uint64_t)rows, data,
                     (size_t)(rows ? rows : 1) * (size_t)cols * 4);
}

/* add(a struct gguf_file, name, rows, cols, data) puts a tensor into the file as it likes. */
static inline void tiny_gguf_with(const char *arch, const struct tiny_edit *edit,
                                  void (*add)(void *, const char *, int, int, const float *), struct buf *out)
{
    const struct { const char *key; double value; } keys[] = {
        {"block_count", TINY_LAYERS}, {"context_length", 128}, {"embedding_length", TINY_HIDDEN},
        {"feed_forward_length", TINY_FFN}, {"attention.head_count", TINY_HEADS},
        {"attention.head_count_kv", TINY_KV_HEADS}, {"attention.layer_norm_rms_epsilon", 1e-5},
        {"rope.freq_base", 5000}, {"rope.dimension_count", TINY_HEAD},
    };
    struct gguf_file g;
    char key[80];
    gguf_file_begin(&g);
    if (!tiny_is(edit->key, "general.architecture"))
        gguf_file_text(&g, "general.architecture", arch);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, keys[i].key);
        if (tiny_is(edit->omit, key) || tiny_is(edit->key, key))
            continue;
        if (strstr(key, "epsilon") || strstr(key, "freq_base"))
            gguf_file_f32(&g, key, (float)keys[i].value);
        else
            gguf_file_u32(&g, key, (uint32_t)keys[i].value);
    }
    if (edit->key && edit->text)
        gguf_file_text(&g, edit->key, edit->text);
    else if (edit->key)
        gguf_file_u32(&g, edit->key, (uint32_t)edit->number);
    tiny_each(true, edit, add, &g);
    gguf_file_end(&g, out);
}

static inline void tiny_gguf(const char *arch, const struct tiny_edit *edit, struct buf *out)
{
    tiny_gguf_with(arch, edit, tiny_add_gguf, out);
}

static inline void tiny_add_st(void *context, const char *name, int rows, int cols, const float *data)
{
    char shape[32];
    snprintf(shape, sizeof shape, rows ? "%2$d,%1$d" : "%1$d", cols, rows);
    st_file_tensor(context, name, "F32", shape, data, (size_t)(rows ? rows : 1) * (size_t)cols * 4);
}

/* `base` with the keys of `edit` (may be NULL) put over it; null removes a key. Returns owned text. */
static inline char *tiny_json(const char *base, const char *edit)
{
    json_t *a = json_loads(base, 0, NULL), *b = edit ? json_loads(edit, 0, NULL) : json_object(), *v;
    const char *key;
    void *next;
    ck_assert(a && b);
    ck_assert_int_eq(json_object_update(a, b), 0);
    json_object_foreach_safe(b, next, key, v)
        if (json_is_null(v))
            json_object_del(a, key);
    char *text = json_dumps(a, 0);
    json_decref(a);
    json_decref(b);
    return text;
}

#define TINY_CONFIG                                                                                                   \
    "{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],\"num_hidden_layers\":2,\"hidden_size\":32,"  \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"intermediate_size\":64,\"vocab_size\":48,"                 \
    "\"max_position_embeddings\":128,\"rms_norm_eps\":1e-05,\"rope_theta\":5000.0,\"rope_scaling\":null,"             \
    "\"tie_word_embeddings\":false,\"hidden_act\":\"silu\",\"attention_bias\":false,\"mlp_bias\":false}"

/* Writes config.json and model.safetensors into folder. */
static inline void tiny_directory(const char *folder, const struct tiny_edit *edit)
{
    struct st_file s;
    struct buf file;
    char *config = tiny_json(TINY_CONFIG, edit->json);
    scratch_write(folder, "config.json", config, strlen(config));
    free(config);
    st_file_begin(&s);
    tiny_each(false, edit, tiny_add_st, &s);
    st_file_end(&s, &file);
    scratch_write(folder, "model.safetensors", file.data, file.len);
    buf_deinit(&file);
}

#endif
