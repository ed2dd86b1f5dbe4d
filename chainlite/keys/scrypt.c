#include "chainlite/keys/scrypt.h"

#include <mbedtls/md.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "keys"

int pbkdf2_sha256(const void *password, size_t password_len, const void *salt, size_t salt_len, uint32_t iterations,
                  uint8_t *out, size_t out_len, struct err *e)
{
    mbedtls_md_context_t hmac;
    mbedtls_md_init(&hmac);
    int rc = mbedtls_md_setup(&hmac, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1);
    if (rc == 0)
        rc = mbedtls_pkcs5_pbkdf2_hmac(&hmac, password, password_len, salt, salt_len, iterations, (uint32_t)out_len, out);
    mbedtls_md_free(&hmac);
    return rc == 0 ? 0 : err_set(e, OL_ENOMEM, MODULE, "deriving a key failed (mbedTLS -0x%04x)", (unsigned)-rc);
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v, p[1] = (uint8_t)(v >> 8), p[2] = (uint8_t)(v >> 16), p[3] = (uint8_t)(v >> 24);
}

static uint32_t rotate(uint32_t v, int by) { return v << by | v >> (32 - by); }

static void quarter(uint32_t x[16], int a, int b, int c, int d)
{
    x[b] ^= rotate(x[a] + x[d], 7);
    x[c] ^= rotate(x[b] + x[a], 9);
    x[d] ^= rotate(x[c] + x[b], 13);
    x[a] ^= rotate(x[d] + x[c], 18);
}

/* Salsa20 with 8 rounds: columns, then rows, four times. */
static void salsa20_8(uint32_t b[16])
{
    uint32_t x[16];
    memcpy(x, b, sizeof x);
    for (int round = 0; round < 4; round++) {
        quarter(x, 0, 4, 8, 12), quarter(x, 5, 9, 13, 1), quarter(x, 10, 14, 2, 6), quarter(x, 15, 3, 7, 11);
        quarter(x, 0, 1, 2, 3), quarter(x, 5, 6, 7, 4), quarter(x, 10, 11, 8, 9), quarter(x, 15, 12, 13, 14);
    }
    for (int i = 0; i < 16; i++)
        b[i] += x[i];
}

/* scryptBlockMix: in and out have 2r blocks of 16 words; even blocks go to the first half. */
static void block_mix(const uint32_t *in, uint32_t *out, size_t r)
{
    uint32_t x[16];
    memcpy(x, in + (2 * r - 1) * 16, sizeof x);
    for (size_t i = 0; i < 2 * r; i++) {
        for (int k = 0; k < 16; k++)
            x[k] ^= in[i * 16 + (size_t)k];
        salsa20_8(x);
        memcpy(out + (i / 2 + (i & 1) * r) * 16, x, sizeof x);
    }
}

/* scryptROMix of one block of 32r words in place; v: n such blocks; t: one. */
static void ro_mix(uint32_t *x, uint32_t *v, uint32_t *t, uint64_t n, size_t r)
{
    size_t words = 32 * r;
    for (uint64_t i = 0; i < n; i++) {
        memcpy(v + i * words, x, words * 4);
        block_mix(v + i * words, x, r);
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t j = (x[(2 * r - 1) * 16] | (uint64_t)x[(2 * r - 1) * 16 + 1] << 32) & (n - 1);
        for (size_t k = 0; k < words; k++)
            t[k] = x[k] ^ v[j * words + k];
        block_mix(t, x, r);
    }
}

int scrypt(const void *password, size_t password_len, const void *salt, size_t salt_len, uint64_t n, uint32_t r,
           uint32_t p, uint8_t *out, size_t out_len, struct err *e)
{
    if (n < 2 || (n & (n - 1)) != 0 || r == 0 || p == 0)
        return err_set(e, OL_EFORMAT, MODULE, "scrypt: n must be a power of two above 1, r and p above 0");
    if ((uint64_t)r * p >= 1 << 30 || n > SCRYPT_MAX_BYTES / 128 / r || p > SCRYPT_MAX_BYTES / 128 / r)
        return err_set(e, OL_ELIMIT, MODULE, "scrypt: these parameters take more than %d MiB", SCRYPT_MAX_BYTES >> 20);
    if (n * r * p > SCRYPT_MAX_WORK)
        return err_set(e, OL_ELIMIT, MODULE, "scrypt: these parameters take longer than we wait");
    size_t words = 32 * (size_t)r, blocks_bytes = words * 4 * p;
    uint8_t *b = malloc(blocks_bytes);
    uint32_t *v = malloc(words * 4 * n), *x = malloc(words * 4 * 2);
    int rc = b && v && x ? 0 : err_set(e, OL_ENOMEM, MODULE, "scrypt: no memory");
    if (rc == 0)
        rc = pbkdf2_sha256(password, password_len, salt, salt_len, 1, b, blocks_bytes, e);
    for (uint32_t i = 0; rc == 0 && i < p; i++) {
        uint8_t *block = b + i * words * 4;
        for (size_t k = 0; k < words; k++)
            x[k] = load32(block + 4 * k);
        ro_mix(x, v, x + words, n, r);
        for (size_t k = 0; k < words; k++)
            store32(block + 4 * k, x[k]);
    }
    if (rc == 0)
        rc = pbkdf2_sha256(password, password_len, b, blocks_bytes, 1, out, out_len, e);
    if (b)
        mbedtls_platform_zeroize(b, blocks_bytes);
    if (x)
        mbedtls_platform_zeroize(x, words * 4 * 2);
    free(b), free(x), free(v);
    return rc;
}
