/* tokenizer.json: whatever opens must encode, and give back what it encoded within its vocabulary. */
#include "model/tokenizer_private.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello w\xc3\xb6rld<s> don't  \n\n 123 <t>e\xcc\x81\xff aaaaaaaaaaaaaaaaaaaaaaaa!";
    struct tokenizer *t = NULL;
    struct err e;
    json_t *root = json_loadb((const char *)data, size, 0, NULL);
    if (root && !tokenizer_open_json(root, &t, &e)) {
        int32_t *ids = NULL;
        size_t n = 0, cap = 0;
        if (!tokenizer_encode(t, text, sizeof text - 1, true, 1000, &ids, &n, &cap, &e))
            for (size_t i = 0; i < n; i++)
                if (ids[i] < 0 || ids[i] >= tokenizer_vocab(t))
                    abort();
        free(ids);
    }
    tokenizer_close(t);
    json_decref(root);
    return 0;
}
