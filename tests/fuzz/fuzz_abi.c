/* ABI results. Input: the data. Every kind of reader at every word; what they give lies inside the data. */
#include "chainlite/core/abi.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tail(const struct abi_reader *r, size_t word)
{
    const uint8_t *bytes;
    struct abi_reader items;
    size_t n;
    if (abi_get_bytes(r, word, &bytes, &n, NULL) == 0)
        CHECK(bytes >= r->data && n <= r->len && bytes + n <= r->data + r->len);
    for (size_t words = 1; words < 4; words++)
        if (abi_get_array(r, word, words, &items, &n, NULL) == 0)
            CHECK(items.data + items.len == r->data + r->len && n * words * ABI_WORD_BYTES <= items.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct abi_reader r = {data, size};
    for (size_t word = 0; size && word < size / ABI_WORD_BYTES + 2 && word < 64; word++) {
        uint8_t bytes[32], address[ADDRESS_BYTES], again[32];
        uint64_t u;
        wei_t v;
        bool b;
        struct abi_writer w;
        struct err e = {0};
        int rc = abi_get_word(&r, word, bytes, &e);
        CHECK((rc == 0) == (word < size / ABI_WORD_BYTES) && (rc == 0 || e.message[0]));
        abi_writer_init(&w, again, sizeof again);
        if (abi_get_u64(&r, word, &u, NULL) == 0) {
            abi_put_u64(&w, u);
            CHECK(memcmp(again, bytes, 32) == 0 && abi_get_wei(&r, word, &v, NULL) == 0 && v == u);
        } else if (abi_get_address(&r, word, address, NULL) == 0) {
            abi_put_address(&w, address);
            CHECK(memcmp(again, bytes, 32) == 0);
        }
        CHECK(abi_get_bool(&r, word, &b, NULL) != 0 || u == b);
        check_tail(&r, word);
    }
    return 0;
}
