/* Models of both formats: configuration and tensors read back; each fault refused with the culprit's name. */
#include "model/model_file.h"
#include "tiny_model.h"


static char *folder;
static const char *const made[] = {"config.json", "model.safetensors", "model.gguf", "model.safetensors.index.json",
                                   "a.safetensors", "b.safetensors"};

static void setup(void) { folder = scratch_make(); }

static void teardown(void) { scratch_remove(folder, made, sizeof made / sizeof *made); }

static int open_gguf(const char *arch, const struct tiny_edit *edit, struct model_file **m, struct err *e)
{
    struct buf file;
    char *path = scratch_path(folder, "model.gguf");
    tiny_gguf(arch, edit, &file);
    scratch_write(folder, "model.gguf", file.data, file.len);
    int rc = model_file_open(path, m, e);
    buf_deinit(&file);
    free(path);
    return rc;
}

static int open_directory(const struct tiny_edit *edit, struct model_file **m, struct err *e)
{
    tiny_directory(folder, edit);
    return model_file_open(folder, m, e);
}

static void check_config(const struct model_config *c)
{
    ck_assert_str_eq(c->arch, "llama");
    ck_assert(c->n_layers == 2 && c->hidden == 32 && c->n_heads == 4 && c->n_kv_heads == 2 && c->head_dim == 8);
    ck_assert(c->ffn == 64 && c->vocab == 48 && c->context == 128);
    ck_assert(c->rms_eps == 1e-5f && c->rope_theta == 5000.0 && c->rope_scaling == ROPE_NONE);
    ck_assert(!c->tied && !c->qk_norm && !c->qkv_bias && !c->o_bias);
}

START_TEST(reads_both_formats)
{
    struct model_file *m;
    struct weight_part w;
    struct err e;
    for (int gguf = 0; gguf < 2; gguf++) {
        const struct tiny_edit none = {0};
        ck_assert_msg((gguf ? open_gguf("llama", &none, &m, &e) : open_directory(&none, &m, &e)) == 0, "%s", e.message);
        check_config(model_file_config(m));
        ck_assert_int_eq(model_file_permuted_qk(m), gguf);
        ck_assert_int_eq(model_file_tensor(m, T_K, 1, &w, &e), 0);
        ck_assert(w.rows == 16 && w.cols == 32 && w.dtype == DTYPE_F32 && w.unpermute_heads == (gguf ? 2 : 0));
        ck_assert(((const float *)w.data)[33] == tiny_value(1, 1));
        ck_assert_int_eq(model_file_tensor(m, T_Q, 0, &w, &e), 0);
        ck_assert_int_eq(w.unpermute_heads, gguf ? 4 : 0);
        ck_assert_int_eq(model_file_tensor(m, T_DOWN, 0, &w, &e), 0);
        ck_assert(w.rows == 32 && w.cols == 64 && w.unpermute_heads == 0);
        ck_assert_int_eq(model_file_tensor(m, T_OUT_NORM, 0, &w, &e), 0);
        ck_assert(w.rows == 1 && w.cols == 32);
        assert_refused(model_file_tensor(m, T_Q_BIAS, 0, &w, &e), e, OL_ENOTFOUND,
                       gguf ? "attn_q.bias" : "q_proj.bias");
        assert_refused(model_file_tensor(m, T_Q, 2, &w, &e), e, OL_EINVAL, "layer 2");
        ck_assert(gguf ? model_file_gguf(m) && !model_file_dir(m)
                       : !model_file_gguf(m) && !strcmp(model_file_dir(m), folder));
        model_file_drop_pages(m);
        ck_assert_int_eq(model_file_tensor(m, T_K, 1, &w, &e), 0);
        ck_assert(((const float *)w.data)[33] == tiny_value(1, 1)); /* dropped pages come back from the file */
        model_file_close(m);
    }
}
END_TEST

static const struct {
    struct tiny_edit edit;
    int code;
    const char *names;
} gguf_faults[] = {
    {{.key = "general.architecture", .text = "mamba"},
     OL_EUNSUPPORTED,
     "\"mamba\" is not supported; supported: llama, qwen2, qwen3"},
    {{.key = "general.architecture", .text = "qwen2"}, OL_EFORMAT, "qwen2.block_count"},
    {{.key = "general.type", .text = "adapter"}, OL_EUNSUPPORTED, "general.type is \"adapter\""},
    {{.omit = "llama.block_count"}, OL_EFORMAT, "llama.block_count"},
    {{.key = "llama.block_count", .number = 3e9}, OL_EFORMAT, "llama.block_count is 3000000000"},
    {{.key = "llama.block_count", .number = 1e9}, OL_EUNSUPPORTED, "layers: 1000000000"},
    {{.key = "llama.block_count", .number = 3}, OL_EFORMAT, "blk.2.attn_norm.weight is missing"},
    {{.key = "llama.block_count", .number = 1}, OL_EFORMAT, "blk.1.attn_norm.weight: the model has only 1"},
    {{.key = "llama.attention.head_count", .number = 3}, OL_EFORMAT, "not a multiple of 3 heads"},
    {{.key = "llama.attention.head_count_kv", .number = 3}, OL_EFORMAT, "3 key-value heads"},
    {{.key = "llama.attention.key_length", .number = 16}, OL_EUNSUPPORTED, "llama.rope.dimension_count is 8"},
    {{.key = "llama.attention.value_length", .number = 16}, OL_EUNSUPPORTED, "llama.attention.value_length is 16"},
    {{.key = "llama.rope.scaling.type", .text = "yarn"}, OL_EUNSUPPORTED, "llama.rope.scaling.type is \"yarn\""},
    {{.key = "llama.attention.layer_norm_rms_epsilon", .number = 3}, OL_EFORMAT, "RMS norm epsilon 3"},
    {{.omit = "token_embd.weight"}, OL_EFORMAT, "token_embd.weight is missing"},
    {{.omit = "blk.1.ffn_up.weight"}, OL_EFORMAT, "blk.1.ffn_up.weight is missing"},
    {{.reshape = "blk.1.attn_q.weight", .rows = 16, .cols = 32},
     OL_EFORMAT,
     "blk.1.attn_q.weight is 16x32, expected 32x32"},
    {{.reshape = "blk.0.ffn_norm.weight", .rows = 0, .cols = 31},
     OL_EFORMAT,
     "blk.0.ffn_norm.weight has 31 values, expected 32"},
    {{.reshape = "blk.0.ffn_norm.weight", .rows = 2, .cols = 32}, OL_EFORMAT, "blk.0.ffn_norm.weight has 2 dimensions"},
    {{.add = "blk.0.attn_sub_norm.weight", .add_cols = 32}, OL_EUNSUPPORTED, "blk.0.attn_sub_norm.weight"},
    {{.add = "blk.0.attn_q.bias", .add_cols = 32}, OL_EFORMAT, "blk.0.attn_k.bias is missing"},
    {{.add = "blk.0.attn_q_norm.weight", .add_cols = 8}, OL_EUNSUPPORTED, "blk.0.attn_q_norm.weight"},
    {{.add = "blk.00.attn_q.weight", .add_rows = 32, .add_cols = 32}, OL_EUNSUPPORTED, "blk.00.attn_q.weight"},
    {{.add = "rope_freqs.weight", .add_cols = 3}, OL_EFORMAT, "rope_freqs.weight must hold 4"},
    {{.add = "rope_freqs.weight", .add_cols = 4}, OL_EFORMAT, "rope_freqs.weight: value 0"},
};

START_TEST(refuses_gguf_faults_by_name)
{
    struct model_file *m;
    struct err e;
    const char *arch = "llama";
    assert_refused(open_gguf(arch, &gguf_faults[_i].edit, &m, &e), e, gguf_faults[_i].code, gguf_faults[_i].names);
    ck_assert(m == NULL && strstr(e.message, folder));
}
END_TEST

static const struct {
    struct tiny_edit edit;
    int code;
    const char *names;
} hf_faults[] = {
    {{.json = "{\"model_type\":null}"}, OL_EFORMAT, "\"model_type\" is missing"},
    {{.json = "{\"model_type\":\"gemma\"}"}, OL_EUNSUPPORTED, "model_type \"gemma\""},
    {{.json = "{\"architectures\":[\"LlamaForSequenceClassification\"]}"},
     OL_EUNSUPPORTED,
     "LlamaForSequenceClassification"},
    {{.json = "{\"hidden_size\":null}"}, OL_EFORMAT, "\"hidden_size\" is missing"},
    {{.json = "{\"hidden_size\":\"32\"}"}, OL_EFORMAT, "\"hidden_size\" is not a whole number"},
    {{.json = "{\"hidden_size\":99999999999}"}, OL_EFORMAT, "\"hidden_size\" is not a whole number"},
    {{.json = "{\"head_dim\":7}"}, OL_EUNSUPPORTED, "head size 7 is odd"},
    {{.json = "{\"head_dim\":-8}"}, OL_EUNSUPPORTED, "head size: -8"},
    {{.json = "{\"num_attention_heads\":3}"}, OL_EFORMAT, "num_attention_heads 3"},
    {{.json = "{\"mlp_bias\":true}"}, OL_EUNSUPPORTED, "mlp_bias"},
    {{.json = "{\"hidden_act\":\"gelu\"}"}, OL_EUNSUPPORTED, "gelu"},
    {{.json = "{\"attention_bias\":true}"}, OL_EFORMAT, "model.layers.0.self_attn.q_proj.bias is missing"},
    {{.json = "{\"quantization_config\":{\"quant_method\":\"gptq\"}}"}, OL_EUNSUPPORTED, "quantization_config"},
    {{.json = "{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2.0}}"}, OL_EUNSUPPORTED, "\"yarn\""},
    {{.json = "{\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":2.0}}"}, OL_EUNSUPPORTED, "\"dynamic\""},
    {{.json = "{\"rope_parameters\":{\"rope_type\":\"longrope\"}}"}, OL_EUNSUPPORTED, "\"longrope\""},
    {{.json = "{\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"}}}"},
     OL_EUNSUPPORTED,
     "between layers"},
    {{.json = "{\"rope_scaling\":{\"rope_type\":\"linear\"}}"}, OL_EFORMAT, "rope scaling factor 0"},
    {{.json = "{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}"}, OL_EFORMAT, "llama3 rope scaling"},
    {{.json = "{\"rope_scaling\":[1]}"}, OL_EFORMAT, "\"rope_scaling\" is not an object"},
    {{.json = "{\"partial_rotary_factor\":0.5}"}, OL_EUNSUPPORTED, "partial_rotary_factor 0.5"},
    {{.json = "{\"rms_norm_eps\":-1}"}, OL_EFORMAT, "RMS norm epsilon -1"},
    {{.json = "{\"vocab_size\":49}"}, OL_EFORMAT, "model.embed_tokens.weight is 48x32, expected 49x32"},
    {{.omit = "lm_head.weight"}, OL_EFORMAT, "lm_head.weight is missing"},
    {{.omit = "model.layers.1.mlp.up_proj.weight"}, OL_EFORMAT, "model.layers.1.mlp.up_proj.weight is missing"},
    {{.add = "model.layers.0.self_attn.q_norm.weight", .add_cols = 8}, OL_EUNSUPPORTED, "self_attn.q_norm.weight"},
    {{.add = "model.layers.2.mlp.up_proj.weight", .add_rows = 64, .add_cols = 32}, OL_EFORMAT, "only 2 layers"},
};

START_TEST(refuses_directory_faults_by_name)
{
    struct model_file *m;
    struct err e;
    assert_refused(open_directory(&hf_faults[_i].edit, &m, &e), e, hf_faults[_i].code, hf_faults[_i].names);
    ck_assert(m == NULL && strstr(e.message, folder));
}
END_TEST

static struct model_config config_of(const char *json, const struct tiny_edit *more)
{
    struct model_file *m;
    struct err e;
    struct tiny_edit edit = more ? *more : (struct tiny_edit){0};
    edit.json = json;
    ck_assert_msg(open_directory(&edit, &m, &e) == 0, "%s", e.message);
    struct model_config c = *model_file_config(m);
    model_file_close(m);
    return c;
}

START_TEST(reads_spellings_of_transformers)
{
    struct model_config c =
        config_of("{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,"
                  "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64}}",
                  NULL);
    ck_assert(c.rope_scaling == ROPE_LLAMA3 && c.rope_factor == 8 && c.rope_low_freq_factor == 1 &&
              c.rope_high_freq_factor == 4 && c.rope_original_context == 64 && c.rope_theta == 5000);
    c = config_of(
        "{\"rope_theta\":null,\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2.0,\"rope_theta\":777}}", NULL);
    ck_assert(c.rope_scaling == ROPE_LINEAR && c.rope_factor == 2 && c.rope_theta == 777);
    c = config_of("{\"rope_scaling\":{\"type\":\"linear\",\"factor\":3}}", NULL);
    ck_assert(c.rope_scaling == ROPE_LINEAR && c.rope_factor == 3);
    c = config_of("{\"rope_theta\":null,\"rope_scaling\":null}", NULL);
    ck_assert(c.rope_scaling == ROPE_NONE && c.rope_theta == 10000);
    c = config_of("{\"sliding_window\":100}", NULL);
    ck_assert_int_eq(c.context, 100);
    c = config_of("{\"sliding_window\":100,\"use_sliding_window\":false}", NULL);
    ck_assert_int_eq(c.context, 128);
    c = config_of("{\"tie_word_embeddings\":true}", NULL); /* a stored copy of the head is ignored */
    ck_assert(c.tied);
    c = config_of("{\"tie_word_embeddings\":null}", NULL);
    ck_assert(!c.tied);
    c = config_of("{\"tie_word_embeddings\":null}", &(struct tiny_edit){.omit = "lm_head.weight"});
    ck_assert(c.tied);
    c = config_of("{\"model_type\":\"mistral\",\"architectures\":[\"MistralForCausalLM\"],\"head_dim\":8}", NULL);
    ck_assert_str_eq(c.arch, "mistral");
}
END_TEST

START_TEST(reads_gguf_variants)
{
    struct model_file *m;
    struct err e;
    ck_assert_int_eq(open_gguf("llama", &(struct tiny_edit){.omit = "output.weight"}, &m, &e), 0);
    ck_assert(model_file_config(m)->tied);
    model_file_close(m);
    ck_assert_int_eq(
        open_gguf("llama", &(struct tiny_edit){.key = "llama.attention.sliding_window", .number = 64}, &m, &e), 0);
    ck_assert_int_eq(model_file_config(m)->context, 64);
    model_file_close(m);
    ck_assert_int_eq(open_gguf("llama", &(struct tiny_edit){.key = "llama.rope.scaling.factor", .number = 4}, &m, &e),
                     0);
    ck_assert(model_file_config(m)->rope_scaling == ROPE_LINEAR && model_file_config(m)->rope_factor == 4);
    model_file_close(m);
    assert_refused(open_gguf("qwen3", &(struct tiny_edit){0}, &m, &e), e, OL_EFORMAT,
                   "blk.0.attn_q_norm.weight is missing");
    assert_refused(open_gguf("qwen2", &(struct tiny_edit){0}, &m, &e), e, OL_EFORMAT, "blk.0.attn_q.bias is missing");
}
END_TEST

/* Two shards: one is the whole model without lm_head, the other lm_head alone. */
static int open_sharded(const char *head_shard, const char *other, struct model_file **m, struct err *e)
{
    struct st_file s;
    struct buf file, index;
    static const float head[TINY_VOCAB * TINY_HIDDEN];
    tiny_directory(folder, &(struct tiny_edit){.omit = "lm_head.weight"});
    char *from = scratch_path(folder, "model.safetensors"), *to = scratch_path(folder, "a.safetensors");
    ck_assert_int_eq(rename(from, to), 0);
    st_file_begin(&s);
    st_file_tensor(&s, "lm_head.weight", "F32", "48,32", head, sizeof head);
    st_file_end(&s, &file);
    scratch_write(folder, "b.safetensors", file.data, file.len);
    buf_init(&index, 4096);
    buf_printf(&index, "{\"weight_map\":{\"model.norm.weight\":\"a.safetensors\",\"%s\":\"%s\"}}", other, head_shard);
    scratch_write(folder, "model.safetensors.index.json", index.data, index.len);
    buf_deinit(&index);
    buf_deinit(&file);
    free(from);
    free(to);
    return model_file_open(folder, m, e);
}

START_TEST(reads_shards_inside_the_folder_only)
{
    struct model_file *m;
    struct err e;
    ck_assert_msg(open_sharded("b.safetensors", "lm_head.weight", &m, &e) == 0, "%s", e.message);
    check_config(model_file_config(m));
    model_file_close(m);
    assert_refused(open_sharded("../b.safetensors", "lm_head.weight", &m, &e), e, OL_EFORMAT, "\"../b.safetensors\"");
    assert_refused(open_sharded("/b.safetensors", "lm_head.weight", &m, &e), e, OL_EFORMAT, "\"/b.safetensors\"");
    assert_refused(open_sharded(".safetensors", "lm_head.weight", &m, &e), e, OL_EFORMAT, "\".safetensors\"");
    assert_refused(open_sharded("b.bin", "lm_head.weight", &m, &e), e, OL_EFORMAT, "\"b.bin\"");
    assert_refused(open_sharded("c.safetensors", "lm_head.weight", &m, &e), e, OL_ENOTFOUND, "c.safetensors");
    assert_refused(open_sharded("a.safetensors", "lm_head.weight", &m, &e), e, OL_EFORMAT,
                   "a.safetensors lacks tensor lm_head");
    assert_refused(open_sharded("a.safetensors", "model.norm.bias", &m, &e), e, OL_EFORMAT, "model.norm.bias");
}
END_TEST

START_TEST(refuses_a_folder_without_model)
{
    struct model_file *m;
    struct err e;
    assert_refused(model_file_open(folder, &m, &e), e, OL_ENOTFOUND, "config.json");
    scratch_write(folder, "config.json", "{}", 2);
    assert_refused(model_file_open(folder, &m, &e), e, OL_ENOTFOUND, "no model.safetensors");
    scratch_write(folder, "config.json", "{\"a\":", 5);
    assert_refused(model_file_open(folder, &m, &e), e, OL_EFORMAT, "config.json");
}
END_TEST

static void version_of(const struct tiny_edit *edit, char out[65])
{
    struct model_file *m;
    struct err e;
    ck_assert_int_eq(open_directory(edit, &m, &e), 0);
    ck_assert_msg(model_file_version(m, out, &e) == 0, "%s", e.message);
    model_file_close(m);
}

START_TEST(version_covers_config_and_tensors)
{
    char a[65], again[65], b[65], c[65];
    ck_assert_int_eq(setenv("XDG_CACHE_HOME", "/nonexistent", 1), 0); /* without a cache it is the same */
    version_of(&(struct tiny_edit){0}, a);
    version_of(&(struct tiny_edit){0}, again);
    version_of(&(struct tiny_edit){.json = "{\"rope_theta\":6000}"}, b);
    version_of(&(struct tiny_edit){.add = "model.layers.0.self_attn.rotary_emb.inv_freq", .add_cols = 4}, c);
    ck_assert_str_eq(a, again);
    ck_assert_str_ne(a, b);
    ck_assert_str_ne(a, c);
    ck_assert_uint_eq(strlen(a), 64);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("model_file");
    TCase *c = tcase_create("model_file");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, reads_both_formats);
    tcase_add_loop_test(c, refuses_gguf_faults_by_name, 0, (int)(sizeof gguf_faults / sizeof *gguf_faults));
    tcase_add_loop_test(c, refuses_directory_faults_by_name, 0, (int)(sizeof hf_faults / sizeof *hf_faults));
    tcase_add_test(c, reads_spellings_of_transformers);
    tcase_add_test(c, reads_gguf_variants);
    tcase_add_test(c, reads_shards_inside_the_folder_only);
    tcase_add_test(c, refuses_a_folder_without_model);
    tcase_add_test(c, version_covers_config_and_tensors);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
