/* API keys: the file, tokens, revoking, following changes. */
#include "billing/keys.h"

#include "base/sha256.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/openlora-keys-XXXXXX", path[64];

static void setup(void)
{
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/keys.json", folder);
}

static void teardown(void)
{
    char lock[80];
    snprintf(lock, sizeof lock, "%s.lock", path);
    unlink(path);
    unlink(lock);
    rmdir(folder);
}

static void make(const char *tenant, struct key *k, char token[TOKEN_BYTES])
{
    struct err e = {0};
    *k = (struct key){0};
    snprintf(k->tenant, sizeof k->tenant, "%s", tenant);
    ck_assert_msg(key_file_add(path, k, token, &e) == 0, "%s", e.message);
}

START_TEST(test_add_and_find)
{
    struct key a, b, found;
    char token_a[TOKEN_BYTES], token_b[TOKEN_BYTES], wrong[TOKEN_BYTES];
    struct keys *keys;
    struct err e = {0};
    struct stat st;
    make("acme", &a, token_a);
    make("zoo", &b, token_b);
    ck_assert_int_eq(strlen(token_a), 67);
    ck_assert_int_ne(strcmp(token_a, token_b), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(keys_open(path, &keys, &e), 0);
    ck_assert(keys_find(keys, token_a, &found));
    ck_assert_str_eq(found.tenant, "acme");
    ck_assert_str_eq(found.id, a.id);
    ck_assert(keys_find(keys, token_b, &found));
    ck_assert_str_eq(found.tenant, "zoo");
    memcpy(wrong, token_a, sizeof wrong);
    wrong[66] = wrong[66] == '0' ? '1' : '0';
    ck_assert(!keys_find(keys, wrong, &found));
    ck_assert(!keys_find(keys, "", &found));
    keys_close(keys);
}
END_TEST

START_TEST(test_follows_the_file)
{
    struct key a, found;
    char token[TOKEN_BYTES];
    struct keys *keys;
    struct err e = {0};
    ck_assert_int_eq(keys_open(path, &keys, &e), 0); /* no file yet: nobody */
    make("acme", &a, token);
    ck_assert(keys_find(keys, token, &found));
    FILE *f = fopen(path, "we"); /* a slip in an editor locks nobody out */
    fputs("{\"version\":1,", f);
    fclose(f);
    ck_assert(keys_find(keys, token, &found));
    unlink(path);
    ck_assert(!keys_find(keys, token, &found));
    make("acme", &a, token);
    ck_assert(keys_find(keys, token, &found));
    ck_assert_int_eq(key_file_revoke(path, a.id, &e), 0);
    ck_assert_int_eq(key_file_revoke(path, a.id, &e), 0);
    ck_assert(!keys_find(keys, token, &found));
    ck_assert_int_eq(key_file_revoke(path, "k-nobody", &e), OL_ENOTFOUND);
    keys_close(keys);
}
END_TEST

START_TEST(test_limits_survive)
{
    struct key k = {.tenant = "acme", .has_total = true, .has_day = true, .has_wallet = true, .admin = true};
    struct key_list l;
    char token[TOKEN_BYTES];
    struct err e = {0};
    ck_assert(wei_parse("340282366920938463463374607431768211455", &k.total_wei));
    ck_assert(wei_parse("1", &k.day_wei));
    memset(k.wallet, 0xAB, sizeof k.wallet);
    ck_assert_int_eq(key_file_add(path, &k, token, &e), 0);
    ck_assert_int_eq(key_list_read(path, &l, &e), 0);
    ck_assert_int_eq(l.n, 1);
    ck_assert(l.keys[0].total_wei == k.total_wei && l.keys[0].day_wei == 1 && l.keys[0].has_wallet && l.keys[0].admin);
    ck_assert_mem_eq(l.keys[0].wallet, k.wallet, sizeof k.wallet);
    key_list_deinit(&l);
}
END_TEST

START_TEST(test_the_file_has_no_token)
{
    struct key k;
    char token[TOKEN_BYTES], text[2000] = "", digest[SHA256_HEX_BYTES];
    struct sha256 sha;
    make("acme", &k, token);
    FILE *f = fopen(path, "re");
    ck_assert_uint_gt(fread(text, 1, sizeof text - 1, f), 0);
    fclose(f);
    ck_assert_ptr_null(strstr(text, token + 3));
    sha256_init(&sha);
    sha256_add(&sha, token, strlen(token));
    sha256_hex(&sha, digest);
    ck_assert_ptr_nonnull(strstr(text, digest));
}
END_TEST

START_TEST(test_concurrent_writers)
{
    enum { WRITERS = 8 };
    struct key_list l;
    struct err e = {0};
    for (int i = 0; i < WRITERS; i++)
        if (fork() == 0) {
            struct key k = {.tenant = "acme"};
            char token[TOKEN_BYTES];
            _exit(key_file_add(path, &k, token, NULL) == 0 ? 0 : 1);
        }
    for (int i = 0, status; i < WRITERS; i++) {
        wait(&status);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(key_list_read(path, &l, &e), 0);
    ck_assert_int_eq(l.n, WRITERS); /* nobody's key was lost */
    key_list_deinit(&l);
}
END_TEST

#define KEY(more) "{\"version\":1,\"keys\":[{\"id\":\"k-1\",\"name\":\"acme\",\"created\":5," more "}]}"
#define HASH "\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\","
#define REST "\"revoked\":null,\"limit_total_wei\":null,\"limit_day_wei\":null,\"wallet\":\"operator\""

START_TEST(test_refuses)
{
    static const char *const bad[] = {
        "", "[]", "{}", "{\"version\":2,\"keys\":[]}", "{\"version\":1,\"keys\":{}}", KEY(REST),
        KEY("\"sha256\":\"00\"," REST),
        KEY(HASH "\"revoked\":true,\"limit_total_wei\":null,\"limit_day_wei\":null,\"wallet\":\"operator\""),
        KEY(HASH "\"revoked\":null,\"limit_total_wei\":-1,\"limit_day_wei\":null,\"wallet\":\"operator\""),
        KEY(HASH "\"revoked\":null,\"limit_total_wei\":\"1e9\",\"limit_day_wei\":null,\"wallet\":\"operator\""),
        KEY(HASH REST ",\"role\":\"root\""),
        KEY(HASH REST ",\"role\":null"),
        KEY(HASH "\"revoked\":null,\"limit_total_wei\":null,\"limit_day_wei\":null,\"wallet\":\"me\""),
    };
    struct key_list l;
    struct err e;
    ck_assert_int_eq(key_list_parse(KEY(HASH REST), strlen(KEY(HASH REST)), &l, &e), 0);
    ck_assert(!l.keys[0].admin); /* a file of before there were roles */
    key_list_deinit(&l);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(key_list_parse(bad[i], strlen(bad[i]), &l, &e) == OL_EFORMAT, "%s was taken", bad[i]);
    ck_assert(key_tenant_valid("a-b_c.9") && !key_tenant_valid("") && !key_tenant_valid("0xab") &&
              !key_tenant_valid("Acme") && !key_tenant_valid("a b"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keys");
    TCase *t = tcase_create("keys");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_add_and_find);
    tcase_add_test(t, test_follows_the_file);
    tcase_add_test(t, test_limits_survive);
    tcase_add_test(t, test_the_file_has_no_token);
    tcase_add_test(t, test_concurrent_writers);
    tcase_add_test(t, test_refuses);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
