/* Adapters. Input: a GGUF adapter; or four bytes (little-endian length), adapter_config.json of that length, and
 * adapter_model.safetensors. */
#include "model/adapter_build.h"
#include "model/json_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The model that tests/fuzz/make_corpus.py writes its adapters for. */
static const struct model_config model = {
    .arch = "llama", .n_layers = 1, .hidden = 8, .n_heads = 2, .n_kv_heads = 1, .head_dim = 4, .ffn = 16, .vocab = 4,
    .context = 16,
};

static int load_gguf(const void *bytes, size_t size, struct lora_pairs *p, struct adapter_image *image, struct err *e)
{
    struct gguf *g;
    int rc = gguf_parse(bytes, size, &g, e);
    if (rc)
        return rc;
    rc = adapter_gguf_build(g, p, adapter_min_page_bytes(&model), image, e);
    gguf_close(g);
    return rc;
}

static int load_peft(const uint8_t *bytes, size_t size, struct lora_pairs *p, struct adapter_image *image,
                     struct err *e)
{
    uint32_t config_bytes;
    memcpy(&config_bytes, bytes, 4);
    if (config_bytes > size - 4)
        return OL_EFORMAT;
    json_t *config;
    struct safetensors *s = NULL;
    size_t rest = size - 4 - config_bytes;
    void *tensors = malloc(rest ? rest : 1);
    memcpy(tensors, bytes + 4 + config_bytes, rest);
    int rc = json_text_read((const char *)bytes + 4, config_bytes, "adapter_config.json", &config, e);
    if (!rc)
        rc = safetensors_parse(tensors, rest, &s, e);
    if (!rc)
        rc = adapter_peft_build(config, s, p, adapter_min_page_bytes(&model), image, e);
    safetensors_close(s);
    json_decref(config);
    free(tensors);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lora_pairs p;
    struct adapter_image image = {0};
    struct err e = {0};
    if (size < 4 || lora_pairs_init(&p, &model, &e))
        return 0;
    uint8_t *copy = malloc(size);
    memcpy(copy, data, size);
    bool gguf = !memcmp(copy, "GGUF", 4);
    int rc = gguf ? load_gguf(copy, size, &p, &image, &e) : load_peft(copy, size, &p, &image, &e);
    if (!rc && (!image.pages || image.max_rank < 1 || image.max_rank > LORA_MAX_RANK || image.n_pages < 1))
        abort();
    adapter_image_deinit(&image);
    lora_pairs_deinit(&p);
    free(copy);
    return 0;
}
