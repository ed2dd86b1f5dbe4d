/* Keystore files against the vectors of the Web3 Secret Storage definition and of RFC 7914; damage and hostile files. */
#include "chainlite/core/hex.h"
#include "chainlite/keys/keystore_v3.h"
#include "chainlite/keys/scrypt.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct secp *secp;

static void setup(void)
{
    uint8_t random[32] = {7};
    secp = secp_open(random);
}

static void teardown(void) { secp_close(secp); }

/* The definition's two files: password "testpassword", one key. */
static const char pbkdf2_file[] =
    "{\"crypto\":{\"cipher\":\"aes-128-ctr\",\"cipherparams\":{\"iv\":\"6087dab2f9fdbbfaddc31a909735c1e6\"},"
    "\"ciphertext\":\"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46\",\"kdf\":\"pbkdf2\","
    "\"kdfparams\":{\"c\":262144,\"dklen\":32,\"prf\":\"hmac-sha256\","
    "\"salt\":\"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd\"},"
    "\"mac\":\"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2\"},"
    "\"id\":\"3198bc9c-6672-5ab3-d995-4942343ae5b6\",\"version\":3}";
static const char scrypt_file[] =
    "{\"crypto\":{\"cipher\":\"aes-128-ctr\",\"cipherparams\":{\"iv\":\"83dbcc02d8ccb40e466191a123791e0e\"},"
    "\"ciphertext\":\"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c\",\"kdf\":\"scrypt\","
    "\"kdfparams\":{\"dklen\":32,\"n\":262144,\"p\":8,\"r\":1,"
    "\"salt\":\"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19\"},"
    "\"mac\":\"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097\"},"
    "\"id\":\"3198bc9c-6672-5ab3-d995-4942343ae5b6\",\"version\":3}";
static const char secret_text[] = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

static int read_text(const char *json, const char *password, char out[65])
{
    uint8_t secret[SECRET_BYTES];
    struct err e = {0};
    int rc = keystore_v3_read(secp, json, strlen(json), password, secret, &e);
    if (rc == 0)
        hex_encode(secret, SECRET_BYTES, out);
    return rc;
}

START_TEST(the_definitions_files_open)
{
    char text[65];
    ck_assert_int_eq(read_text(pbkdf2_file, "testpassword", text), 0);
    ck_assert_str_eq(text, secret_text);
    ck_assert_int_eq(read_text(scrypt_file, "testpassword", text), 0);
    ck_assert_str_eq(text, secret_text);
    ck_assert_int_eq(read_text(pbkdf2_file, "testpasswore", text), OL_EINVAL);
    ck_assert_int_eq(read_text(scrypt_file, "", text), OL_EINVAL);
}
END_TEST

START_TEST(scrypt_is_rfc_7914s)
{
    static const struct { const char *password, *salt; uint64_t n; uint32_t r, p; const char *out; } cases[] = {
        {"", "", 16, 1, 1, "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
                           "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"},
        {"password", "NaCl", 1024, 8, 16, "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
                                          "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"},
        {"pleaseletmein", "SodiumChloride", 16384, 8, 1,
         "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
         "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t out[64];
        char text[129];
        struct err e = {0};
        ck_assert_int_eq(scrypt(cases[i].password, strlen(cases[i].password), cases[i].salt, strlen(cases[i].salt),
                                cases[i].n, cases[i].r, cases[i].p, out, sizeof out, &e), 0);
        hex_encode(out, sizeof out, text);
        ck_assert_str_eq(text, cases[i].out);
    }
}
END_TEST

START_TEST(greedy_scrypt_is_refused)
{
    static const struct { uint64_t n; uint32_t r, p; int rc; } cases[] = {
        {3, 1, 1, OL_EFORMAT}, {0, 1, 1, OL_EFORMAT}, {1, 1, 1, OL_EFORMAT}, {16, 0, 1, OL_EFORMAT},
        {(uint64_t)1 << 63, 8, 1, OL_ELIMIT}, {1 << 20, 8, 1, OL_ELIMIT}, {1 << 18, 64, 1, OL_ELIMIT},
        {2, 1 << 16, 1 << 16, OL_ELIMIT}, {1 << 18, 8, 64, OL_ELIMIT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t out[32];
        struct err e = {0};
        ck_assert_int_eq(scrypt("x", 1, "y", 1, cases[i].n, cases[i].r, cases[i].p, out, sizeof out, &e), cases[i].rc);
    }
}
END_TEST

START_TEST(what_we_write_we_read)
{
    uint8_t secret[SECRET_BYTES], back[SECRET_BYTES];
    struct buf out;
    struct err e = {0};
    hex_decode(secret_text, secret, sizeof secret);
    buf_init(&out, 4096);
    ck_assert_int_eq(keystore_v3_write(secp, secret, "p\xc3\xa4ss", &out, &e), 0);
    ck_assert_ptr_nonnull(strstr(buf_str(&out), "\"address\":\"008aeeda4d805471df9b2a5b0f38a0c3bcba786b\""));
    ck_assert_int_eq(keystore_v3_read(secp, out.data, out.len, "p\xc3\xa4ss", back, &e), 0);
    ck_assert_mem_eq(secret, back, sizeof secret);
    char *address = strstr(out.data, "008aeeda");
    address[0] = '1';
    ck_assert_int_eq(keystore_v3_read(secp, out.data, out.len, "p\xc3\xa4ss", back, &e), OL_EFORMAT);
    buf_deinit(&out);
}
END_TEST

/* Each cut and each replaced member is refused without touching memory that is not there. */
START_TEST(damaged_files_are_refused)
{
    static const struct { const char *from, *to; int rc; } cases[] = {
        {"\"version\":3", "\"version\":4", OL_EFORMAT},
        {"aes-128-ctr", "aes-256-ctr", OL_EUNSUPPORTED},
        {"\"pbkdf2\"", "\"bcrypt\"", OL_EUNSUPPORTED},
        {"hmac-sha256", "hmac-sha512", OL_EFORMAT},
        {"\"c\":262144", "\"c\":-1", OL_EFORMAT},
        {"\"c\":262144", "\"c\":99999999", OL_ELIMIT},
        {"\"dklen\":32", "\"dklen\":16", OL_EFORMAT},
        {"6087dab2", "6087dab", OL_EFORMAT},
        {"5318b4d5", "5318b4dg", OL_EFORMAT},
        {"5318b4d5", "5318b4d6", OL_EINVAL},
        {"\"salt\":\"ae3c", "\"salt\":\"\",\"x\":\"", OL_EFORMAT},
    };
    char text[65], damaged[2048];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *at = strstr(pbkdf2_file, cases[i].from);
        ck_assert_ptr_nonnull(at);
        snprintf(damaged, sizeof damaged, "%.*s%s%s", (int)(at - pbkdf2_file), pbkdf2_file, cases[i].to,
                 at + strlen(cases[i].from));
        ck_assert_msg(read_text(damaged, "testpassword", text) == cases[i].rc, "%s", cases[i].to);
    }
    for (size_t n = 0; n + 1 < sizeof pbkdf2_file; n += 7) {
        uint8_t secret[SECRET_BYTES];
        struct err e = {0};
        ck_assert_int_eq(keystore_v3_read(secp, pbkdf2_file, n, "testpassword", secret, &e), OL_EFORMAT);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keystore_v3");
    TCase *t = tcase_create("keystore_v3");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, the_definitions_files_open);
    tcase_add_test(t, scrypt_is_rfc_7914s);
    tcase_add_test(t, greedy_scrypt_is_refused);
    tcase_add_test(t, what_we_write_we_read);
    tcase_add_test(t, damaged_files_are_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
