/* Stop strings: what comes out must not depend on how the text is cut into pieces, and must equal the plain
 * definition: cut at the first stop string to be completed, the longest if two are completed together. */
#include "api/stop.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The definition, by brute force. Returns the length of what may be shown. */
static size_t expected(const char *text, const char *const *stops, int n, bool *stopped)
{
    size_t len = strlen(text);
    for (size_t end = 1; end <= len; end++) {
        size_t longest = 0;
        for (int i = 0; i < n; i++) {
            size_t s = strlen(stops[i]);
            if (s <= end && s > longest && memcmp(text + end - s, stops[i], s) == 0)
                longest = s;
        }
        if (longest > 0) {
            *stopped = true;
            return end - longest;
        }
    }
    *stopped = false;
    return len;
}

static void init(struct stop_list *list, const char *const *stops, int n)
{
    *list = (struct stop_list){0};
    for (int i = 0; i < n; i++)
        ck_assert(stop_list_add(list, stops[i], strlen(stops[i])));
}

/* Feeds `text` in pieces of the given sizes, cyclically; the result in *out. */
static bool run(const struct stop_list *list, const char *text, const size_t *pieces, size_t n_pieces, struct buf *out)
{
    struct stop_matcher m;
    size_t len = strlen(text);
    bool stopped = false;
    stop_matcher_init(&m, list);
    buf_init(out, 1 << 20);
    for (size_t at = 0, i = 0; at < len && !stopped; i++) {
        size_t n = pieces[i % n_pieces] < len - at ? pieces[i % n_pieces] : len - at;
        stopped = stop_matcher_feed(&m, text + at, n, out);
        at += n;
    }
    if (!stopped)
        stop_matcher_finish(&m, out);
    stop_matcher_deinit(&m);
    return stopped;
}

static void check_text(const char *text, const char *const *stops, int n)
{
    static const size_t cuts[][2] = {{1, 1}, {2, 2}, {3, 1}, {1, 5}, {7, 2}, {1000, 1000}};
    struct stop_list list;
    bool should_stop;
    size_t want = expected(text, stops, n, &should_stop);
    init(&list, stops, n);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct buf out;
        ck_assert_int_eq(run(&list, text, cuts[i], 2, &out), should_stop);
        ck_assert_msg(out.len == want && memcmp(buf_str(&out), text, want) == 0, "'%s' gave '%s', wanted %zu bytes",
                      text, buf_str(&out), want);
        buf_deinit(&out);
    }
    stop_list_deinit(&list);
}

START_TEST(test_known_cases)
{
    check_text("hello world", (const char *[]){"wor"}, 1);
    check_text("hello world", (const char *[]){"worlds"}, 1);
    check_text("aaab", (const char *[]){"aab"}, 1);
    check_text("abababac", (const char *[]){"ababac"}, 1);
    check_text("one two three", (const char *[]){"three", "two"}, 2);
    check_text("abcd", (const char *[]){"abcd", "bc"}, 2);
    check_text("xyz", (const char *[]){"yz", "z", "xyz"}, 3);
    check_text("Grüße 👋 Ende", (const char *[]){"👋"}, 1);
    check_text("Grüße 👋 Ende", (const char *[]){"👌"}, 1); /* shares its first three bytes */
    check_text("", (const char *[]){"x"}, 1);
    check_text("no stops at all", NULL, 0);
}
END_TEST

START_TEST(test_random_texts)
{
    unsigned seed = 12345; /* small alphabet: many partial and overlapping matches */
    for (int round = 0; round < 2000; round++) {
        char text[64], words[4][8];
        const char *stops[4];
        size_t len = (size_t)rand_r(&seed) % 60;
        int n = 1 + rand_r(&seed) % 4;
        for (size_t i = 0; i < len; i++)
            text[i] = (char)('a' + rand_r(&seed) % 2);
        text[len] = 0;
        for (int i = 0; i < n; i++) {
            int w = 1 + rand_r(&seed) % 6;
            for (int k = 0; k < w; k++)
                words[i][k] = (char)('a' + rand_r(&seed) % 2);
            words[i][w] = 0;
            stops[i] = words[i];
        }
        check_text(text, stops, n);
    }
}
END_TEST

START_TEST(test_holds_back_no_more_than_needed)
{
    struct stop_list list;
    struct stop_matcher m;
    struct buf out;
    init(&list, (const char *[]){"END", "STOP"}, 2);
    stop_matcher_init(&m, &list);
    buf_init(&out, 100);
    ck_assert(!stop_matcher_feed(&m, "all right E", 11, &out));
    ck_assert_str_eq(buf_str(&out), "all right "); /* only the E may still become END */
    ck_assert(!stop_matcher_feed(&m, "!", 1, &out));
    ck_assert_str_eq(buf_str(&out), "all right E!");
    ck_assert(stop_matcher_feed(&m, " STOP and more", 14, &out));
    ck_assert_str_eq(buf_str(&out), "all right E! ");
    buf_deinit(&out);
    stop_matcher_deinit(&m);
    stop_list_deinit(&list);
}
END_TEST

START_TEST(test_limits)
{
    struct stop_list list = {0};
    char big[STOP_MAX_BYTES + 1];
    memset(big, 'x', sizeof big);
    ck_assert(!stop_list_add(&list, "", 0));
    ck_assert(!stop_list_add(&list, big, sizeof big));
    for (int i = 0; i < STOP_MAX; i++)
        ck_assert(stop_list_add(&list, big, STOP_MAX_BYTES));
    ck_assert(!stop_list_add(&list, "a", 1));
    stop_list_deinit(&list);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stop");
    TCase *t = tcase_create("stop");
    tcase_add_test(t, test_known_cases);
    tcase_add_test(t, test_random_texts);
    tcase_add_test(t, test_holds_back_no_more_than_needed);
    tcase_add_test(t, test_limits);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
