/* RLP. Input: any bytes. What is accepted is written again to the same bytes, all of them. */
#include "chainlite/core/rlp.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_DEPTH = 64 };

/* Writes the item again; false when something inside it is malformed or too deep for this test. */
static bool copy(struct rlp_writer *w, const struct rlp *item, int depth)
{
    if (!item->list) {
        rlp_put_bytes(w, item->data, item->len);
        return true;
    }
    if (depth == MAX_DEPTH)
        return false;
    size_t mark = rlp_list_open(w);
    for (struct rlp_reader r = rlp_items(item); rlp_more(&r);) {
        struct rlp child;
        if (rlp_next(&r, &child, NULL) != 0 || !copy(w, &child, depth + 1))
            return false;
    }
    rlp_list_close(w, mark);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rlp item;
    struct err e = {0};
    if (size == 0)
        return 0;
    int rc = rlp_parse(data, size, &item, &e);
    CHECK(rc == 0 || (rc == OL_EFORMAT && e.message[0]));
    if (rc)
        return 0;
    CHECK(item.data >= data && item.data + item.len == data + size);
    uint8_t *out = malloc(size);
    struct rlp_writer w;
    rlp_writer_init(&w, out, size);
    if (copy(&w, &item, 0))
        CHECK(!w.failed && w.len == size && memcmp(out, data, size) == 0);
    for (struct rlp_reader r = rlp_items(&item); item.list && rlp_more(&r);) {
        struct rlp_reader again = r;
        uint64_t u;
        wei_t v;
        int as_u64 = rlp_next_u64(&again, &u, NULL);
        again = r;
        int as_wei = rlp_next_wei(&again, &v, NULL);
        CHECK(as_u64 != 0 || (as_wei == 0 && v == u));
        if (rlp_next(&r, &item, NULL) != 0)
            break;
    }
    free(out);
    return 0;
}
