/* GGUF: parse, read a model configuration from it, and touch everything an accepted file offers. */
#include "model/config_read.h"
#include "model/gguf.h"

#include <stdlib.h>
#include <string.h>

static volatile uint8_t sink; /* keeps the reads below */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch_tensors(const struct gguf *g)
{
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        sink ^= ((const uint8_t *)t->data)[0] ^ ((const uint8_t *)t->data)[t->bytes - 1];
        char name[256];
        memcpy(name, t->name.data, t->name.len); /* names are at most 255 bytes */
        name[t->name.len] = 0;
        if (gguf_tensor_find(g, name) != t)
            abort();
    }
}

static void touch_arrays(const struct gguf *g)
{
    static const char *const keys[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.token_type"};
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < gguf_array_len(g, keys[k]) && i < 4096; i++) {
            struct text t;
            int64_t n;
            double d;
            if (gguf_array_text(g, keys[k], i, &t) && t.len)
                sink ^= (uint8_t)t.data[t.len - 1];
            sink ^= gguf_array_i64(g, keys[k], i, &n) ^ gguf_array_f64(g, keys[k], i, &d);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *g;
    struct err e = {0};
    void *copy = malloc(size ? size : 1); /* aligned as a mapping is, and of exactly this size */
    memcpy(copy, data, size);
    if (!gguf_parse(copy, size, &g, &e)) {
        struct model_config c;
        const struct arch *arch;
        touch_tensors(g);
        touch_arrays(g);
        if (!config_from_gguf(g, &c, &arch, &e) && model_config_check(&c, &e))
            abort(); /* whatever is accepted is within the bounds everybody relies on */
        gguf_close(g);
    }
    free(copy);
    return 0;
}
