/* SHA-256 (by mbedTLS), and its digest as text. */
#ifndef OPENLORA_BASE_SHA256_H
#define OPENLORA_BASE_SHA256_H

#include <mbedtls/sha256.h>
#include <stddef.h>

enum { SHA256_BYTES = 32, SHA256_HEX_BYTES = 65 }; /* 64 lower-case hex digits and NUL */

struct sha256 {
    mbedtls_sha256_context context;
};

void sha256_init(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *bytes, size_t n);
void sha256_add_str(struct sha256 *h, const char *s); /* with its NUL, so that lists of strings do not run together */
/* End the hash; init again before further use. */
void sha256_end(struct sha256 *h, unsigned char out[SHA256_BYTES]);
void sha256_hex(struct sha256 *h, char out[SHA256_HEX_BYTES]);

#endif
