/* EIP-712 hashing; see eip712.h. */
#include "chainlite/core/eip712.h"

#include <string.h>

void eip712_begin(struct eip712 *s, const char *type)
{
    keccak_init(&s->keccak);
    eip712_bytes(s, type, strlen(type));
}

void eip712_word(struct eip712 *s, const uint8_t word[32]) { keccak_add(&s->keccak, word, 32); }

void eip712_wei(struct eip712 *s, wei_t value)
{
    uint8_t word[32];
    wei_to_be32(value, word);
    eip712_word(s, word);
}

void eip712_u64(struct eip712 *s, uint64_t value) { eip712_wei(s, value); }

void eip712_i64(struct eip712 *s, int64_t value)
{
    uint8_t word[32];
    wei_to_be32((uint64_t)value, word);
    if (value < 0)
        memset(word, 0xff, sizeof word - sizeof value);
    eip712_word(s, word);
}

void eip712_address(struct eip712 *s, const uint8_t address[ADDRESS_BYTES])
{
    uint8_t word[32] = {0};
    memcpy(word + sizeof word - ADDRESS_BYTES, address, ADDRESS_BYTES);
    eip712_word(s, word);
}

void eip712_bytes(struct eip712 *s, const void *bytes, size_t n)
{
    uint8_t hash[HASH_BYTES];
    keccak256(bytes, n, hash);
    eip712_word(s, hash);
}

void eip712_end(struct eip712 *s, uint8_t struct_hash[HASH_BYTES]) { keccak_end(&s->keccak, struct_hash); }

void eip712_domain(const char *name, const char *version, uint64_t chain_id, const uint8_t contract[ADDRESS_BYTES],
                   uint8_t out[HASH_BYTES])
{
    struct eip712 s;
    eip712_begin(&s, "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    eip712_bytes(&s, name, strlen(name));
    eip712_bytes(&s, version, strlen(version));
    eip712_u64(&s, chain_id);
    eip712_address(&s, contract);
    eip712_end(&s, out);
}

void eip712_digest(const uint8_t domain[HASH_BYTES], const uint8_t struct_hash[HASH_BYTES], uint8_t out[HASH_BYTES])
{
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, "\x19\x01", 2);
    keccak_add(&k, domain, HASH_BYTES);
    keccak_add(&k, struct_hash, HASH_BYTES);
    keccak_end(&k, out);
}
