/* Signed transactions. Input: the bytes. What is accepted has one encoding: signing it again with any key gives bytes
 * of the same fields. */
#include "chainlite/core/tx.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct tx *a, const struct tx *b)
{
    return a->chain_id == b->chain_id && a->nonce == b->nonce && a->gas_limit == b->gas_limit &&
           a->tip_wei == b->tip_wei && a->fee_cap_wei == b->fee_cap_wei && a->value_wei == b->value_wei &&
           a->create == b->create && memcmp(a->to, b->to, ADDRESS_BYTES) == 0 && a->data_len == b->data_len &&
           memcmp(a->data, b->data, a->data_len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct secp *secp;
    static const uint8_t key[SECRET_BYTES] = {[31] = 1};
    struct tx tx, again;
    struct err e = {0};
    uint8_t sender[ADDRESS_BYTES], hash[HASH_BYTES];
    size_t len;
    if (!secp)
        secp = secp_open(key);
    int rc = tx_parse(data, size, secp, &tx, sender, hash, &e);
    CHECK(rc == 0 || e.message[0]);
    if (rc)
        return 0;
    size_t cap = tx_max_bytes(tx.data_len);
    CHECK(size <= cap);
    uint8_t *out = malloc(cap);
    CHECK(tx_sign(&tx, secp, key, out, cap, &len, hash, NULL) == 0);
    CHECK(tx_parse(out, len, secp, &again, sender, hash, NULL) == 0 && same(&tx, &again));
    free(out);
    return 0;
}
