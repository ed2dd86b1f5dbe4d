/* Recoverable signatures over libsecp256k1; see secp.h. The library accepts high-s signatures and recovery ids 2 and 3
 * when it recovers; Ethereum does not, so both are refused here. */
#include "chainlite/core/secp.h"

#include <secp256k1.h>
#include <secp256k1_preallocated.h>
#include <secp256k1_recovery.h>
#include <stdlib.h>
#include <string.h>

/* struct secp is the library's context itself, in memory of ours: so running out of memory is seen here. */
static const secp256k1_context *context(const struct secp *s) { return (const secp256k1_context *)(const void *)s; }

struct secp *secp_open(const uint8_t random[32])
{
    const unsigned flags = SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY;
    void *memory = malloc(secp256k1_context_preallocated_size(flags));
    if (!memory)
        return NULL;
    secp256k1_context *c = secp256k1_context_preallocated_create(memory, flags);
    CHECK((void *)c == memory && secp256k1_context_randomize(c, random) == 1);
    return memory;
}

void secp_close(struct secp *s)
{
    if (!s)
        return;
    secp256k1_context_preallocated_destroy((secp256k1_context *)(void *)s);
    free(s);
}

bool secp_secret_valid(const struct secp *s, const uint8_t secret[SECRET_BYTES])
{
    return secp256k1_ec_seckey_verify(context(s), secret) == 1;
}

static void key_address(const struct secp *s, const secp256k1_pubkey *key, uint8_t out[ADDRESS_BYTES])
{
    uint8_t bytes[65], hash[HASH_BYTES];
    size_t n = sizeof bytes;
    secp256k1_ec_pubkey_serialize(context(s), bytes, &n, key, SECP256K1_EC_UNCOMPRESSED);
    keccak256(bytes + 1, n - 1, hash); /* the point without its 0x04 */
    memcpy(out, hash + HASH_BYTES - ADDRESS_BYTES, ADDRESS_BYTES);
}

int secp_address(const struct secp *s, const uint8_t secret[SECRET_BYTES], uint8_t out[ADDRESS_BYTES], struct err *e)
{
    secp256k1_pubkey key;
    if (!secp256k1_ec_pubkey_create(context(s), &key, secret))
        return err_set(e, OL_EINVAL, "secp", "the secret key is zero or not below the group order; make a new key");
    key_address(s, &key, out);
    return 0;
}

int secp_sign(const struct secp *s, const uint8_t secret[SECRET_BYTES], const uint8_t digest[HASH_BYTES],
              uint8_t out[SIGNATURE_BYTES], struct err *e)
{
    secp256k1_ecdsa_recoverable_signature signature;
    int recovery_id = 0;
    if (!secp256k1_ecdsa_sign_recoverable(context(s), &signature, digest, secret, NULL, NULL))
        return err_set(e, OL_EINVAL, "secp", "the secret key is zero or not below the group order; make a new key");
    secp256k1_ecdsa_recoverable_signature_serialize_compact(context(s), out, &recovery_id, &signature);
    if (recovery_id > 1) /* one in 2^127 digests */
        return err_set(e, OL_EINVAL, "secp", "this digest has no signature that Ethereum accepts");
    out[64] = (uint8_t)(27 + recovery_id);
    return 0;
}

int secp_recover(const struct secp *s, const uint8_t digest[HASH_BYTES], const uint8_t signature[SIGNATURE_BYTES],
                 uint8_t address[ADDRESS_BYTES], struct err *e)
{
    static const uint8_t half_order[32] = {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                           0xff, 0xff, 0xff, 0xff, 0xff, 0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4,
                                           0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0};
    secp256k1_ecdsa_recoverable_signature parsed;
    secp256k1_pubkey key;
    int recovery_id = signature[64] - 27;
    if (recovery_id != 0 && recovery_id != 1)
        return err_set(e, OL_EFORMAT, "secp", "a signature with v = %d; 27 and 28 are accepted", signature[64]);
    if (memcmp(signature + 32, half_order, sizeof half_order) > 0)
        return err_set(e, OL_EFORMAT, "secp", "a signature whose s is in the upper half");
    if (!secp256k1_ecdsa_recoverable_signature_parse_compact(context(s), &parsed, signature, recovery_id) ||
        !secp256k1_ecdsa_recover(context(s), &key, &parsed, digest))
        return err_set(e, OL_EFORMAT, "secp", "a signature that no key makes");
    key_address(s, &key, address);
    return 0;
}
