/* EIP-712: domain separators, struct hashes from words, digests. Pure. */
#ifndef OPENLORA_CORE_EIP712_H
#define OPENLORA_CORE_EIP712_H

#include "chainlite/core/keccak.h"
#include "chainlite/core/wei.h"

#include <stddef.h>
#include <stdint.h>

/* {name, version, chainId, verifyingContract} */
void eip712_domain(const char *name, const char *version, uint64_t chain_id, const uint8_t contract[ADDRESS_BYTES],
                   uint8_t out[HASH_BYTES]);

struct eip712 { /* a struct hash being made: type hash, then one word per field in the type's order */
    struct keccak keccak;
};

void eip712_begin(struct eip712 *, const char *type); /* "Voucher(address payer,…)" */
void eip712_u64(struct eip712 *, uint64_t);
void eip712_i64(struct eip712 *, int64_t);
void eip712_wei(struct eip712 *, wei_t);
void eip712_address(struct eip712 *, const uint8_t[ADDRESS_BYTES]);
void eip712_word(struct eip712 *, const uint8_t[32]);
void eip712_bytes(struct eip712 *, const void *bytes, size_t n); /* bytes or string: its hash is the word */
void eip712_end(struct eip712 *, uint8_t struct_hash[HASH_BYTES]);
/* keccak(0x1901 || domain || struct hash) */
void eip712_digest(const uint8_t domain[HASH_BYTES], const uint8_t struct_hash[HASH_BYTES], uint8_t out[HASH_BYTES]);

#endif
