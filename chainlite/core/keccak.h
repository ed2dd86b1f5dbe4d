/* Keccak-256 as Ethereum uses it (rate 136, padding 0x01; not NIST SHA3-256). Pure. */
#ifndef OPENLORA_CORE_KECCAK_H
#define OPENLORA_CORE_KECCAK_H

#include <stddef.h>
#include <stdint.h>

enum { HASH_BYTES = 32, ADDRESS_BYTES = 20 };

struct keccak {
    uint64_t lane[25];
    size_t used; /* bytes absorbed into the current block, < 136 */
};

void keccak_init(struct keccak *);
void keccak_add(struct keccak *, const void *bytes, size_t n);
void keccak_end(struct keccak *, uint8_t out[HASH_BYTES]);
void keccak256(const void *bytes, size_t n, uint8_t out[HASH_BYTES]);

#endif
