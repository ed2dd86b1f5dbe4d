#include "base/sha256.h"

#include "base/err.h"

#include <string.h>

/* mbedTLS's software SHA-256 cannot fail; a hardware variant's failure would be a broken machine. */
void sha256_init(struct sha256 *h)
{
    mbedtls_sha256_init(&h->context);
    CHECK(mbedtls_sha256_starts_ret(&h->context, 0) == 0);
}

void sha256_add(struct sha256 *h, const void *bytes, size_t n)
{
    if (n)
        CHECK(mbedtls_sha256_update_ret(&h->context, bytes, n) == 0);
}

void sha256_add_str(struct sha256 *h, const char *s) { sha256_add(h, s, strlen(s) + 1); }

void sha256_hex(struct sha256 *h, char out[SHA256_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[32];
    CHECK(mbedtls_sha256_finish_ret(&h->context, digest) == 0);
    mbedtls_sha256_free(&h->context);
    for (int i = 0; i < 32; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = 0;
}
