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

void sha256_end(struct sha256 *h, unsigned char out[SHA256_BYTES])
{
    CHECK(mbedtls_sha256_finish_ret(&h->context, out) == 0);
    mbedtls_sha256_free(&h->context);
}

void sha256_hex(struct sha256 *h, char out[SHA256_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[SHA256_BYTES];
    sha256_end(h, digest);
    for (int i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = 0;
}
