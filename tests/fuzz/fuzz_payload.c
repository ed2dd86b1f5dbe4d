/* Gossip. Input: a byte that chooses the version and whether what follows is a snappy block, then the message. The
 * claimed block hash is set to the right one, so that a well-formed block is accepted. */
#include "chainlite/core/payload.h"
#include "chainlite/core/snappy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_MESSAGE = 1 << 16, BLOCK_HASH_AT = 472 };

static void check_payload(uint8_t *message, size_t n, enum payload_version version)
{
    static struct secp *secp;
    static const uint8_t random[32] = {1};
    const struct header_rules plain = {0};
    uint8_t signer[ADDRESS_BYTES], rlp[PAYLOAD_HEADER_BYTES];
    const uint8_t *payload;
    size_t len, rlp_len;
    struct payload p;
    struct header h;
    struct err e = {0};
    if (!secp)
        secp = secp_open(random);
    (void)payload_signer(message, n, 10, secp, signer, &payload, &len, NULL);
    int rc = payload_parse(message, n, version, &p, &e);
    CHECK(rc == 0 || e.message[0]);
    if (rc)
        return;
    for (size_t i = 0; i < p.n_transactions; i++) {
        payload_transaction(&p, i, &payload, &len);
        CHECK(len > 0 && payload > message && payload + len <= message + n);
    }
    rc = payload_header(&p, &plain, rlp, &rlp_len, &h, &e);
    CHECK(rc == 0 || e.message[0]);
    if (rc && rlp_len && header_parse(rlp, rlp_len, &plain, &h, NULL) == 0) {
        memcpy(message + (p.ssz - message) + BLOCK_HASH_AT, h.hash, HASH_BYTES);
        CHECK(payload_parse(message, n, version, &p, NULL) == 0);
        CHECK(payload_header(&p, &plain, rlp, &rlp_len, &h, NULL) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum payload_version version = (enum payload_version)(PAYLOAD_V1 + data[0] % 4);
    size_t len = size - 1;
    uint8_t *message = malloc(MAX_MESSAGE);
    if (data[0] & 0x10) {
        struct err e = {0};
        int rc = snappy_decode(data + 1, size - 1, message, MAX_MESSAGE, &len, &e);
        CHECK(rc == 0 || e.message[0]);
        if (rc == 0)
            check_payload(message, len, version);
    } else if (len <= MAX_MESSAGE) {
        memcpy(message, data + 1, len);
        check_payload(message, len, version);
    }
    free(message);
    return 0;
}
