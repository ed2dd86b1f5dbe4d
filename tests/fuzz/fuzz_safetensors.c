/* safetensors: parse, and touch every tensor of an accepted file. */
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

static volatile uint8_t sink; /* keeps the reads below */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors *s;
    struct err e = {0};
    void *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    if (!safetensors_parse(copy, size, &s, &e)) {
        for (size_t i = 0; i < safetensors_count(s); i++) {
            const struct safetensor *t = safetensors_at(s, i);
            for (size_t j = 0; j < t->bytes; j++)
                sink ^= ((const uint8_t *)t->data)[j];
            char name[256];
            memcpy(name, t->name.data, t->name.len);
            name[t->name.len] = 0;
            if (safetensors_find(s, name) != t)
                abort();
        }
        safetensors_close(s);
    }
    free(copy);
    return 0;
}
