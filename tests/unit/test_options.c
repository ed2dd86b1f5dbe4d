/* Command-line options: values, words, limits, hints. */
#include "cli/options.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct values {
    const char *model;
    int64_t threads;
    double top_p;
    bool json;
    struct option_list adapters;
} v;

static const struct command command = {"test", "[WORD]", "a test", NULL, NULL};

/* Parses up to 7 words; the words that remain come back in argv[1 ..]. */
static char *argv[9];
static int parse(const char *const words[])
{
    int argc = 1;
    argv[0] = "test";
    for (; argc < 9 && words[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    free(v.adapters.items);
    v = (struct values){.threads = 3, .top_p = 1};
    const struct option options[] = {REQUIRED("model", &v.model, "PATH", "a model"),
                                     INT("threads", &v.threads, "N", "threads", 0, 8),
                                     REAL("top-p", &v.top_p, "P", "probability", 0, 1),
                                     FLAG("json", &v.json, "JSON"),
                                     LIST("adapter", &v.adapters, "PATH", "adapters"),
                                     OPTIONS_END};
    return options_parse(&command, options, argc, argv, 1);
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

START_TEST(test_values)
{
    ck_assert_int_eq(PARSE("--model", "m", "--threads=5", "--json", "--top-p", "0.25"), 0);
    ck_assert_str_eq(v.model, "m");
    ck_assert_int_eq(v.threads, 5);
    ck_assert(v.json);
    ck_assert_double_eq(v.top_p, 0.25);
    ck_assert_int_eq(PARSE("--model=a=b"), 0); /* only the first = splits */
    ck_assert_str_eq(v.model, "a=b");
    ck_assert_int_eq(v.threads, 3); /* the default stays */
}
END_TEST

START_TEST(test_words)
{
    ck_assert_int_eq(PARSE("hello", "--model", "m"), 1);
    ck_assert_str_eq(argv[1], "hello");
    ck_assert_int_eq(PARSE("--model", "m", "--", "--json"), 1); /* after -- everything is a word */
    ck_assert_str_eq(argv[1], "--json");
    ck_assert(!v.json);
    ck_assert_int_eq(PARSE("--model", "m", "-"), 1); /* standard input by convention */
    ck_assert_int_eq(PARSE("--model", "m", "one", "two"), OPTIONS_BAD);
}
END_TEST

START_TEST(test_lists)
{
    ck_assert_int_eq(PARSE("--adapter", "a", "b", "--model", "m", "--adapter=c"), 0);
    ck_assert_int_eq(v.adapters.n, 3);
    ck_assert_str_eq(v.adapters.items[0], "a");
    ck_assert_str_eq(v.adapters.items[1], "b");
    ck_assert_str_eq(v.adapters.items[2], "c");
}
END_TEST

START_TEST(test_refusals)
{
    ck_assert_int_eq(PARSE("--json"), OPTIONS_BAD); /* --model is missing */
    ck_assert_int_eq(PARSE("--model"), OPTIONS_BAD);
    ck_assert_int_eq(PARSE("--model", "m", "--json=1"), OPTIONS_BAD);
    ck_assert_int_eq(PARSE("--model", "m", "--thread", "1"), OPTIONS_BAD);
    ck_assert_int_eq(PARSE("--model", "m", "-t", "1"), OPTIONS_BAD);
    ck_assert_int_eq(PARSE("--model", "m", "--help"), OPTIONS_HELP);
    const char *numbers[] = {"", "x", "1x", "9", "-1", "1.5", "99999999999999999999"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ck_assert_int_eq(PARSE("--model", "m", "--threads", numbers[i]), OPTIONS_BAD);
    const char *reals[] = {"nan", "inf", "1.01", "-0.1", "0,5"};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        ck_assert_int_eq(PARSE("--model", "m", "--top-p", reals[i]), OPTIONS_BAD);
}
END_TEST

START_TEST(test_hints)
{
    const char *const names[] = {"chat", "bench", "adapter"};
    ck_assert_str_eq(closest_name("caht", names, 3), "chat");
    ck_assert_str_eq(closest_name("adaptor", names, 3), "adapter");
    ck_assert_ptr_null(closest_name("tokenize", names, 3));
    ck_assert_ptr_null(closest_name("", names, 3));
    ck_assert_ptr_null(closest_name("a-word-that-is-far-longer-than-any-name-of-an-option", names, 3));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("options");
    TCase *c = tcase_create("options");
    tcase_add_test(c, test_values);
    tcase_add_test(c, test_words);
    tcase_add_test(c, test_lists);
    tcase_add_test(c, test_refusals);
    tcase_add_test(c, test_hints);
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
