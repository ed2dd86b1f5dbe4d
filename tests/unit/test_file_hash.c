/* SHA-256 of files, and the cache of digests: used for a settled file, never for a changed one. */
#include "base/file_hash.h"
#include "model_files.h"

#include <dirent.h>
#include <fcntl.h>

static const char *const ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static char *folder, *path;

static void setup(void)
{
    folder = scratch_make();
    path = scratch_path(folder, "x");
    ck_assert_int_eq(setenv("XDG_CACHE_HOME", folder, 1), 0);
}

/* The cache folder, and its only entry's name ("" if there is none). */
static char *cache_entry(char name[256])
{
    char *cache = scratch_path(folder, "openlora/hashes");
    DIR *d = opendir(cache);
    struct dirent *f;
    name[0] = 0;
    while (d && (f = readdir(d)))
        if (f->d_name[0] != '.') {
            ck_assert_str_eq(name, "");
            snprintf(name, 256, "%s", f->d_name);
        }
    if (d)
        closedir(d);
    return cache;
}

static void teardown(void)
{
    char name[256], *cache = cache_entry(name), *openlora = scratch_path(folder, "openlora");
    char *entry = scratch_path(cache, name);
    if (name[0])
        unlink(entry);
    rmdir(cache);
    rmdir(openlora);
    free(entry);
    free(cache);
    free(openlora);
    free(path);
    scratch_remove(folder, (const char *const[]){"x"}, 1);
}

static void write_file(const char *text, bool settled)
{
    const struct timespec long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    scratch_write(folder, "x", text, strlen(text));
    if (settled)
        ck_assert_int_eq(utimensat(AT_FDCWD, path, long_ago, 0), 0);
}

START_TEST(hashes_contents)
{
    char hash[SHA256_HEX_BYTES], name[256];
    struct err e;
    write_file("abc", false);
    ck_assert_int_eq(file_hash(path, hash, &e), 0);
    ck_assert_str_eq(hash, ABC);
    free(cache_entry(name));
    ck_assert_str_eq(name, ""); /* too fresh to be remembered */
    assert_refused(file_hash("/nonexistent/x", hash, &e), e, OL_ENOTFOUND, "/nonexistent/x");
}
END_TEST

/* A digest changed in the cache is what we get: so the file was not read again. */
START_TEST(remembers_settled_files)
{
    char hash[SHA256_HEX_BYTES], name[256], text[8192];
    struct err e;
    write_file("abc", true);
    ck_assert_int_eq(file_hash(path, hash, &e), 0);
    ck_assert_str_eq(hash, ABC);
    char *cache = cache_entry(name), *entry = scratch_path(cache, name);
    FILE *f = fopen(entry, "r+");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(text, 1, sizeof text, f);
    ck_assert(n > 66 && !memcmp(text + n - 65, ABC, 64));
    memset(text + n - 65, '0', 64);
    rewind(f);
    ck_assert_uint_eq(fwrite(text, 1, n, f), n);
    fclose(f);
    ck_assert_int_eq(file_hash(path, hash, &e), 0);
    ck_assert_str_eq(hash, "0000000000000000000000000000000000000000000000000000000000000000");
    ck_assert_int_eq(truncate(entry, (off_t)n - 3), 0); /* a damaged entry is not believed */
    ck_assert_int_eq(file_hash(path, hash, &e), 0);
    ck_assert_str_eq(hash, ABC);
    free(entry);
    free(cache);
}
END_TEST

START_TEST(notices_a_change)
{
    char hash[SHA256_HEX_BYTES], before[256];
    struct err e;
    write_file("abc", true);
    ck_assert_int_eq(file_hash(path, hash, &e), 0);
    free(cache_entry(before));
    ck_assert_str_ne(before, "");
    write_file("abd", false);
    ck_assert_int_eq(file_hash(path, hash, &e), 0);
    ck_assert_str_ne(hash, ABC);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("file_hash");
    TCase *c = tcase_create("file_hash");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, hashes_contents);
    tcase_add_test(c, remembers_settled_files);
    tcase_add_test(c, notices_a_change);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
