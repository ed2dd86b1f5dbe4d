/* scrypt (RFC 7914) over mbedTLS' PBKDF2: what Ethereum wallets derive their passwords' keys with. */
#ifndef OPENLORA_KEYS_SCRYPT_H
#define OPENLORA_KEYS_SCRYPT_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SCRYPT_MAX_BYTES = 512 << 20, /* memory of one derivation: 128·n·r, and 128·r·p */
    SCRYPT_MAX_WORK = 1 << 24,    /* n·r·p: eight times what wallets use */
};

/* n: a power of two above 1. OL_ELIMIT: more memory or work than the above. */
int scrypt(const void *password, size_t password_len, const void *salt, size_t salt_len, uint64_t n, uint32_t r,
           uint32_t p, uint8_t *out, size_t out_len, struct err *) __attribute__((warn_unused_result));

/* PBKDF2 with HMAC-SHA-256 (RFC 8018). */
int pbkdf2_sha256(const void *password, size_t password_len, const void *salt, size_t salt_len, uint32_t iterations,
                  uint8_t *out, size_t out_len, struct err *) __attribute__((warn_unused_result));

#endif
