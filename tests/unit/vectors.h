/* Test vectors: JSON files of others' vectors, and hexadecimal text as bytes. */
#ifndef OPENLORA_TEST_VECTORS_H
#define OPENLORA_TEST_VECTORS_H

#include "chainlite/core/hex.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct bytes { /* free data */
    uint8_t *data;
    size_t len;
};

static inline json_t *vectors_load(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    ck_assert_msg(root != NULL, "%s:%d: %s", path, error.line, error.text);
    return root;
}

static inline struct bytes bytes_of_hex(const char *text)
{
    size_t digits = strlen(text) - (strncmp(text, "0x", 2) == 0 ? 2 : 0);
    struct bytes b = {malloc(digits / 2 + 1), digits / 2};
    ck_assert_msg(b.data && hex_decode(text, b.data, b.len), "not hexadecimal: %.80s", text);
    return b;
}

static inline const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    ck_assert_msg(text != NULL, "no text under \"%s\"", key);
    return text;
}

/* Decimals of any size, as n big-endian bytes. */
static inline void be_of_decimal(const char *text, uint8_t *out, size_t n)
{
    memset(out, 0, n);
    for (; *text; text++) {
        int carry = *text - '0';
        for (size_t i = n; i--; carry >>= 8)
            out[i] = (uint8_t)(carry += out[i] * 10);
    }
}

static inline struct bytes bytes_at(const json_t *object, const char *key)
{
    return bytes_of_hex(text_at(object, key));
}

/* The n bytes at `bytes` are those of the text. */
static inline void ck_assert_hex(const void *bytes, size_t n, const char *expected)
{
    char *text = malloc(2 * n + 1);
    hex_encode(bytes, n, text);
    expected += strncmp(expected, "0x", 2) == 0 ? 2 : 0;
    ck_assert_msg(strcmp(text, expected) == 0, "%s\nshould be %s", text, expected);
    free(text);
}

static inline int run_suite(const char *name, const TTest *const *tests, size_t n)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 120);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
#define RUN_SUITE(name, ...)                                                                                           \
    run_suite(name, (const TTest *const[]){__VA_ARGS__}, sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(TTest *))

#endif
