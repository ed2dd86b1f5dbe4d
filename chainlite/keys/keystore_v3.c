#include "chainlite/keys/keystore_v3.h"

#include "chainlite/core/hex.h"
#include "chainlite/keys/scrypt.h"

#include <errno.h>
#include <jansson.h>
#include <mbedtls/aes.h>
#include <mbedtls/platform_util.h>
#include <string.h>
#include <sys/random.h>

#define MODULE "keystore"

enum { ROUNDS = 262144, KEY_BYTES = 32, IV_BYTES = 16, SALT_MAX = 128, HEX_MAX = 2 * SALT_MAX + 1 };

struct parameters {
    uint8_t salt[SALT_MAX], iv[IV_BYTES], text[SECRET_BYTES], mac[32];
    size_t salt_len;
};

/* keccak(second half of the derived key ‖ cipher text): tells a wrong password before anything is decrypted. */
static void mac_of(const uint8_t key[KEY_BYTES], const uint8_t text[SECRET_BYTES], uint8_t out[32])
{
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, key + 16, 16);
    keccak_add(&k, text, SECRET_BYTES);
    keccak_end(&k, out);
}

static int crypt_ctr(const uint8_t key[16], const uint8_t iv[IV_BYTES], const uint8_t *in, uint8_t *out, struct err *e)
{
    uint8_t counter[IV_BYTES], stream[16];
    size_t used = 0;
    mbedtls_aes_context aes;
    memcpy(counter, iv, IV_BYTES);
    mbedtls_aes_init(&aes);
    int rc = mbedtls_aes_setkey_enc(&aes, key, 128);
    if (rc == 0)
        rc = mbedtls_aes_crypt_ctr(&aes, SECRET_BYTES, &used, counter, stream, in, out);
    mbedtls_aes_free(&aes);
    mbedtls_platform_zeroize(stream, sizeof stream);
    return rc == 0 ? 0 : err_set(e, OL_ENOMEM, MODULE, "AES failed (mbedTLS -0x%04x)", (unsigned)-rc);
}

static void add_hex(struct buf *out, const uint8_t *bytes, size_t n)
{
    char text[HEX_MAX];
    hex_encode(bytes, n, text);
    buf_add_str(out, text);
}

static void write_json(const struct parameters *p, const uint8_t address[ADDRESS_BYTES], const uint8_t id[16],
                       struct buf *out)
{
    buf_add_str(out, "{\"version\":3,\"id\":\"");
    for (int i = 0; i < 16; i++)
        buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    buf_add_str(out, "\",\"address\":\"");
    add_hex(out, address, ADDRESS_BYTES);
    buf_add_str(out, "\",\"crypto\":{\"cipher\":\"aes-128-ctr\",\"cipherparams\":{\"iv\":\"");
    add_hex(out, p->iv, IV_BYTES);
    buf_add_str(out, "\"},\"ciphertext\":\"");
    add_hex(out, p->text, SECRET_BYTES);
    buf_printf(out, "\",\"kdf\":\"pbkdf2\",\"kdfparams\":{\"c\":%d,\"dklen\":%d,\"prf\":\"hmac-sha256\",\"salt\":\"", ROUNDS,
               KEY_BYTES);
    add_hex(out, p->salt, p->salt_len);
    buf_add_str(out, "\"},\"mac\":\"");
    add_hex(out, p->mac, 32);
    buf_add_str(out, "\"}}\n");
}

int keystore_v3_write(const struct secp *secp, const uint8_t secret[SECRET_BYTES], const char *password, struct buf *out,
                      struct err *e)
{
    struct parameters p = {.salt_len = 32};
    uint8_t key[KEY_BYTES] = {0}, address[ADDRESS_BYTES], id[16];
    if (getrandom(p.salt, 32, 0) != 32 || getrandom(p.iv, IV_BYTES, 0) != IV_BYTES || getrandom(id, 16, 0) != 16)
        return err_set(e, OL_EIO, MODULE, "no random numbers: %s", strerror(errno));
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* a random UUID (RFC 4122) */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    int rc = secp_address(secp, secret, address, e);
    if (rc == 0)
        rc = pbkdf2_sha256(password, strlen(password), p.salt, p.salt_len, ROUNDS, key, sizeof key, e);
    if (rc == 0)
        rc = crypt_ctr(key, p.iv, secret, p.text, e);
    if (rc == 0) {
        mac_of(key, p.text, p.mac);
        write_json(&p, address, id, out);
        if (buf_failed(out))
            rc = err_set(e, OL_ENOMEM, MODULE, "no memory for a keystore file");
    }
    mbedtls_platform_zeroize(key, sizeof key);
    return rc;
}

/* ---- reading: every member is checked before it is used */

static const char *text_at(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s ? s : "";
}

static bool hex_at(const json_t *object, const char *name, uint8_t *out, size_t n)
{
    return hex_decode(text_at(object, name), out, n);
}

static bool int_at(const json_t *object, const char *name, int64_t max, uint64_t *out)
{
    const json_t *v = json_object_get(object, name);
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > max)
        return false;
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static int not_v3(struct err *e, const char *what)
{
    return err_set(e, OL_EFORMAT, MODULE, "not a keystore file of version 3: %s is missing or wrong", what);
}

static int read_parameters(const json_t *crypto, struct parameters *p, struct err *e)
{
    const json_t *params = json_object_get(crypto, "kdfparams");
    if (strcmp(text_at(crypto, "cipher"), "aes-128-ctr") != 0)
        return err_set(e, OL_EUNSUPPORTED, MODULE, "cipher '%.20s' is not aes-128-ctr", text_at(crypto, "cipher"));
    if (!hex_at(json_object_get(crypto, "cipherparams"), "iv", p->iv, IV_BYTES))
        return not_v3(e, "cipherparams.iv");
    if (!hex_at(crypto, "ciphertext", p->text, SECRET_BYTES))
        return not_v3(e, "ciphertext");
    if (!hex_at(crypto, "mac", p->mac, 32))
        return not_v3(e, "mac");
    size_t n = strlen(text_at(params, "salt"));
    p->salt_len = (strncmp(text_at(params, "salt"), "0x", 2) == 0 ? n - 2 : n) / 2;
    if (p->salt_len == 0 || p->salt_len > SALT_MAX || !hex_at(params, "salt", p->salt, p->salt_len))
        return not_v3(e, "kdfparams.salt");
    uint64_t dklen;
    if (!int_at(params, "dklen", KEY_BYTES, &dklen) || dklen != KEY_BYTES)
        return not_v3(e, "kdfparams.dklen (32)");
    return 0;
}

static int derive(const json_t *crypto, const struct parameters *p, const char *password, uint8_t key[KEY_BYTES],
                  struct err *e)
{
    const json_t *params = json_object_get(crypto, "kdfparams");
    const char *kdf = text_at(crypto, "kdf");
    uint64_t c, n, r, parallel;
    if (strcmp(kdf, "pbkdf2") == 0) {
        if (strcmp(text_at(params, "prf"), "hmac-sha256") != 0)
            return not_v3(e, "kdfparams.prf (hmac-sha256)");
        if (!int_at(params, "c", INT64_MAX, &c))
            return not_v3(e, "kdfparams.c");
        if (c > KEYSTORE_MAX_ROUNDS)
            return err_set(e, OL_ELIMIT, MODULE, "%llu rounds of PBKDF2; %d at most", (unsigned long long)c,
                           KEYSTORE_MAX_ROUNDS);
        return pbkdf2_sha256(password, strlen(password), p->salt, p->salt_len, (uint32_t)c, key, KEY_BYTES, e);
    }
    if (strcmp(kdf, "scrypt") == 0) {
        if (!int_at(params, "n", INT64_MAX, &n) || !int_at(params, "r", 1 << 20, &r) ||
            !int_at(params, "p", 64, &parallel))
            return not_v3(e, "kdfparams.n, r or p");
        return scrypt(password, strlen(password), p->salt, p->salt_len, n, (uint32_t)r, (uint32_t)parallel, key,
                      KEY_BYTES, e);
    }
    return err_set(e, OL_EUNSUPPORTED, MODULE, "kdf '%.20s' is neither pbkdf2 nor scrypt", kdf);
}

static int decrypt(const struct secp *secp, const json_t *root, const char *password, uint8_t secret[SECRET_BYTES],
                   struct err *e)
{
    struct parameters p = {0};
    uint8_t key[KEY_BYTES], mac[32], named[ADDRESS_BYTES], address[ADDRESS_BYTES];
    const json_t *crypto = json_object_get(root, "crypto");
    crypto = crypto ? crypto : json_object_get(root, "Crypto"); /* old files write it so */
    if (json_integer_value(json_object_get(root, "version")) != 3 || !json_is_object(crypto))
        return not_v3(e, "version or crypto");
    int rc = read_parameters(crypto, &p, e);
    if (rc == 0)
        rc = derive(crypto, &p, password, key, e);
    if (rc != 0)
        return rc;
    mac_of(key, p.text, mac);
    if (memcmp(mac, p.mac, 32) != 0)
        rc = err_set(e, OL_EINVAL, MODULE, "wrong password");
    if (rc == 0)
        rc = crypt_ctr(key, p.iv, p.text, secret, e);
    mbedtls_platform_zeroize(key, sizeof key);
    if (rc == 0)
        rc = secp_address(secp, secret, address, e);
    if (rc == 0 && hex_at(root, "address", named, ADDRESS_BYTES) && memcmp(named, address, ADDRESS_BYTES) != 0)
        rc = err_set(e, OL_EFORMAT, MODULE, "the file's address is not that of its key");
    if (rc != 0)
        mbedtls_platform_zeroize(secret, SECRET_BYTES);
    return rc;
}

int keystore_v3_read(const struct secp *secp, const char *json, size_t len, const char *password,
                     uint8_t secret[SECRET_BYTES], struct err *e)
{
    if (len > KEYSTORE_MAX_BYTES)
        return err_set(e, OL_ELIMIT, MODULE, "a keystore file of %zu bytes; %d at most", len, KEYSTORE_MAX_BYTES);
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return err_set(e, OL_EFORMAT, MODULE, "not a keystore file: no JSON object");
    }
    int rc = decrypt(secp, root, password, secret, e);
    json_decref(root);
    return rc;
}
