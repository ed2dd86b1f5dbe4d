/* Proofs. Input: the key's length and the key, then nodes, each behind its length in two bytes. The root is the hash of
 * the first node and a node with a hash inside is completed from the one behind it, so that the walk goes deep: the
 * fuzzer need not find hashes. */
#include "chainlite/core/mpt.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_NODES = 16, MARK = 0xee }; /* 32 bytes of MARK stand for the next node's hash */

static size_t split(uint8_t *data, size_t size, struct mpt_node nodes[MAX_NODES])
{
    size_t n = 0;
    while (size >= 2 && n < MAX_NODES) {
        size_t len = (size_t)(data[0] << 8 | data[1]);
        data += 2;
        size -= 2;
        len = len < size ? len : size;
        nodes[n++] = (struct mpt_node){data, len};
        data += len;
        size -= len;
    }
    return n;
}

static void link_nodes(const struct mpt_node *nodes, size_t n)
{
    uint8_t mark[HASH_BYTES], hash[HASH_BYTES];
    memset(mark, MARK, sizeof mark);
    for (size_t i = n; i-- > 1;) {
        uint8_t *above = (uint8_t *)nodes[i - 1].data;
        keccak256(nodes[i].data, nodes[i].len, hash);
        for (size_t at = 0; at + HASH_BYTES <= nodes[i - 1].len; at++)
            if (memcmp(above + at, mark, HASH_BYTES) == 0)
                memcpy(above + at, hash, HASH_BYTES);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mpt_node nodes[MAX_NODES];
    uint8_t root[HASH_BYTES], word[32];
    const uint8_t *value;
    size_t len, key_len = size ? data[0] % 33 : 0;
    struct mpt_account account;
    struct err e = {0};
    bool found;
    if (size < 1 + key_len)
        return 0;
    uint8_t *copy = malloc(size);
    memcpy(copy, data, size);
    size_t n = split(copy + 1 + key_len, size - 1 - key_len, nodes);
    link_nodes(nodes, n);
    if (n)
        keccak256(nodes[0].data, nodes[0].len, root);
    else
        memcpy(root, mpt_empty_root, HASH_BYTES);
    int rc = mpt_verify(root, copy + 1, key_len, nodes, n, &found, &value, &len, &e);
    CHECK(rc == 0 || e.message[0]);
    if (rc == 0 && found)
        CHECK(n && value >= nodes[n - 1].data && value + len <= nodes[n - 1].data + nodes[n - 1].len && len > 0);
    memset(word, 0, sizeof word);
    memcpy(word, copy + 1, key_len);
    (void)mpt_account(root, word, nodes, n, &account, NULL);
    (void)mpt_storage(root, word, nodes, n, word, NULL);
    (void)mpt_receipt(root, key_len, nodes, n, &value, &len, NULL);
    free(copy);
    return 0;
}
