/* The template interpreter: its interface, its limits against hostile templates and data, and what it says about
 * errors. That texts are right is shown against transformers by tests/golden/test_template.py. */
#include "model/chat_template.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OUTPUT = 1 << 20 };

/* Compiles and renders; the text, or the error's message, goes to `out`. Returns the code. */
static int render(const char *source, const char *json, struct buf *out)
{
    struct chat_template *t = NULL;
    struct err e = {0};
    json_t *variables = json_loads(json, 0, NULL);
    ck_assert_ptr_nonnull(variables);
    buf_init(out, MAX_OUTPUT);
    int rc = chat_template_compile(source, &t, &e);
    ck_assert(!rc == (t != NULL));
    if (!rc)
        rc = chat_template_render(t, variables, out, &e);
    if (rc) {
        ck_assert_int_eq(e.code, rc);
        buf_reset(out);
        buf_add_str(out, e.message);
    }
    chat_template_free(t);
    json_decref(variables);
    return rc;
}

static void assert_text(const char *source, const char *json, const char *want)
{
    struct buf out;
    int rc = render(source, json, &out);
    ck_assert_msg(!rc && !strcmp(buf_str(&out), want), "%s: \"%s\", not \"%s\"", source, buf_str(&out), want);
    buf_deinit(&out);
}

static void assert_error(const char *source, const char *json, int code, const char *says)
{
    struct buf out;
    int rc = render(source, json, &out);
    ck_assert_msg(rc == code && strstr(buf_str(&out), says), "%.80s: %d \"%.200s\", expected %d naming \"%s\"", source,
                  rc, buf_str(&out), code, says);
    buf_deinit(&out);
}

START_TEST(renders)
{
    assert_text("", "{}", "");
    assert_text("{{ a }} {{ b.c[1] }}", "{\"a\": 1, \"b\": {\"c\": [1, \"x\"]}}", "1 x");
    assert_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}",
                "{\"messages\": [{\"role\": \"user\", \"content\": \"h\xc3\xa9\"}]}", "<user>h\xc3\xa9");
    assert_text("{% if a %}\n  x\n{% endif %}\n", "{\"a\": true}", "  x\n");
}
END_TEST

START_TEST(appends_to_the_output)
{
    struct chat_template *t = NULL;
    struct buf out;
    buf_init(&out, 8);
    ck_assert_int_eq(chat_template_compile("{{ x }}", &t, NULL), 0);
    json_t *variables = json_pack("{s:s}", "x", "abc");
    ck_assert_int_eq(chat_template_render(t, variables, &out, NULL), 0);
    ck_assert_int_eq(chat_template_render(t, variables, &out, NULL), 0);
    ck_assert_str_eq(buf_str(&out), "abcabc");
    ck_assert_int_eq(chat_template_render(t, variables, &out, NULL), OL_ELIMIT);
    buf_deinit(&out);
    json_decref(variables);
    chat_template_free(t);
}
END_TEST

static const struct {
    const char *source;
    int code;
    const char *says;
} faults[] = {
    /* compile */
    {"a\nb\n{% if x %}", OL_EFORMAT, "line 3"},
    {"{% if x %}a{% endfor %}", OL_EUNSUPPORTED, "endfor"},
    {"{{ x", OL_EFORMAT, "end"},
    {"{{ 'x }}", OL_EFORMAT, "string"},
    {"{# x", OL_EFORMAT, "comment"},
    {"{% raw %} x", OL_EFORMAT, "endraw"},
    {"{{ x ? y }}", OL_EFORMAT, "unexpected character"},
    {"{{ (1 }}", OL_EFORMAT, "bracket"},
    {"{{ 1) }}", OL_EFORMAT, "bracket"},
    {"{{ x|nosuch }}", OL_EUNSUPPORTED, "\"nosuch\""},
    {"{{ x is nosuch }}", OL_EUNSUPPORTED, "\"nosuch\""},
    {"{% include 'x' %}", OL_EUNSUPPORTED, "\"include\""},
    {"{% break %}", OL_EFORMAT, "outside a loop"},
    {"{% for x in y recursive %}{% endfor %}", OL_EUNSUPPORTED, "recursive"},
    {"{{ f(*a) }}", OL_EUNSUPPORTED, "arguments"},
    {"{{ '\\x1' }}", OL_EFORMAT, "escape"},
    {"{{ 99999999999999999999 }}", OL_EUNSUPPORTED, "number"},
    {"\xff", OL_EFORMAT, "UTF-8"},
    /* render */
    {"\n\n{{ nothing.attribute }}", OL_EINVAL, "line 3"},
    {"{{ nothing.attribute }}", OL_EINVAL, "'nothing' is undefined"},
    {"{{ nothing + 1 }}", OL_EINVAL, "'nothing' is undefined"},
    {"{{ nothing() }}", OL_EINVAL, "'nothing' is undefined"},
    {"{{ 'a' + 1 }}", OL_EINVAL, "str and int"},
    {"{{ 1 / 0 }}", OL_EINVAL, "zero"},
    {"{{ 5|join }}", OL_EINVAL, "int is not iterable"},
    {"{% set x.y = 1 %}", OL_EINVAL, "namespace"},
    {"{% for a, b in [[1]] %}{% endfor %}", OL_EINVAL, "1 values for 2 names"},
    {"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", OL_EINVAL, "'f' takes 1"},
    {"{{ raise_exception('roles must alternate') }}", OL_EINVAL, "roles must alternate"},
    {"{{ 9223372036854775807 + 1 }}", OL_EUNSUPPORTED, "number"},
    {"{{ 922337203685477580 * 100 }}", OL_ELIMIT, "64 bits"},
    {"{{ 2 ** 64 }}", OL_ELIMIT, "64 bits"},
    /* limits */
    {"{% for i in range(1000000000) %}{% endfor %}", OL_ELIMIT, "range"},
    {"{{ range(-9223372036854775807, 9223372036854775807)|list }}", OL_EUNSUPPORTED, "number"},
    {"{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}", OL_ELIMIT, "steps"},
    {"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", OL_ELIMIT, "steps"},
    {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", OL_ELIMIT, "deep"},
    {"{% macro f(x) %}{{ f(x + x) }}{% endmacro %}{{ f('a') }}", OL_ELIMIT, ""},
    {"{% set ns = namespace(a='aaaaaaaaaaaaaaaa') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
     OL_ELIMIT, ""},
    {"{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}", OL_ELIMIT, ""},
    {"{{ 'abc' * 100000000 }}", OL_ELIMIT, ""},
    {"{{ [1] * 100000000 }}", OL_ELIMIT, ""},
    {"{{ ('a' * 100000)|replace('', 'b' * 100000) }}", OL_ELIMIT, ""},
    {"{{ (['a' * 1000] * 1000)|join('b' * 10000) }}", OL_ELIMIT, ""},
    {"{{ ('a' * 30000)|indent('b' * 100000, true) * 100 }}", OL_ELIMIT, ""},
    {"{% for i in range(2000) %}{{ 'aaaaaaaaaaaaaaaa' * 100 }}{% endfor %}", OL_ELIMIT, "output"},
    {"{% set ns = namespace(a=1) %}{% for i in range(200) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a == ns.a }}{{ "
     "ns.a }}",
     0, ""},
    {"{% set ns = namespace(a=1) %}{% for i in range(2000) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a|tojson }}",
     OL_ELIMIT, "deep"},
    {"{% set ns = namespace(a=1) %}{% set ns.b = ns %}{{ ns }}", OL_ELIMIT, "deep"},
    {"{% set ns = namespace() %}{% set ns.l = [ns] %}{{ [ns.l] == [ns.l] }}", 0, ""},
    {"{% set ns = namespace(a=1) %}{% for i in range(2000) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a == [ns.a][0] "
     "}}",
     OL_ELIMIT, "deep"},
};

START_TEST(says_what_is_wrong)
{
    assert_error(faults[_i].source, "{}", faults[_i].code, faults[_i].says);
}
END_TEST

/* `n` times `part`, then `end`. */
static char *repeated(const char *begin, const char *part, size_t n, const char *end)
{
    struct buf b;
    buf_init(&b, 1 << 24);
    buf_add_str(&b, begin);
    for (size_t i = 0; i < n; i++)
        buf_add_str(&b, part);
    buf_add_str(&b, end);
    return buf_take(&b);
}

START_TEST(deep_sources_are_refused)
{
    static const struct {
        const char *begin, *part, *end;
        int code; /* 0: long, but not deep */
    } cases[] = {
        {"{{ ", "(", "1", OL_EFORMAT},           {"{{ ", "[", "1", OL_ELIMIT},
        {"{{ ", "{1:", "1", OL_ELIMIT},          {"{{ ", "-", "1 }}", OL_ELIMIT},
        {"{{ ", "not ", "1 }}", OL_ELIMIT},      {"", "{% if 1 %}", "", OL_ELIMIT},
        {"", "{% for x in y %}", "", OL_ELIMIT}, {"{{ 1", " + 1", " }}", OL_ELIMIT},
        {"{{ x", ".y", " }}", OL_ELIMIT},        {"{{ x", "|list", " }}", OL_ELIMIT},
        {"{{ x", "[0]", " }}", OL_ELIMIT},       {"{{ 1", " if 1 else 1", " }}", OL_ELIMIT},
        {"{{ f", "()", " }}", OL_ELIMIT},        {"{{ 1", " ** 1", " }}", OL_ELIMIT},
        {"{{ 1", " == 1", " }}", OL_ELIMIT},     {"{{ 1", " ~ 1", " }}", 0},
        {"{{ [1", ", 1", "]|length }}", 0},      {"{% if 0 %}", "{% elif 0 %}", "{% endif %}", 0},
        {"", "{% macro f() %}", "", OL_ELIMIT},
    };
    struct chat_template *t = NULL;
    struct err e = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *source = repeated(cases[i].begin, cases[i].part, 10000, cases[i].end);
        int rc = chat_template_compile(source, &t, &e);
        /* Brackets left open may also be named as missing their end. */
        bool expected = rc == cases[i].code || (cases[i].code && (rc == OL_EFORMAT || rc == OL_ELIMIT));
        ck_assert_msg(expected, "%s %s: %d %s", cases[i].begin, cases[i].part, rc, e.message);
        chat_template_free(t);
        t = NULL;
        free(source);
    }
    char *huge = repeated("", "0123456789abcdef", 20000, "");
    ck_assert_int_eq(chat_template_compile(huge, &t, &e), OL_ELIMIT);
    free(huge);
}
END_TEST

START_TEST(deep_data_is_refused)
{
    char *nested = repeated("{\"x\": ", "[", 500, ""), *closed = repeated(nested, "]", 500, "}");
    assert_error("{{ x }}", closed, OL_ELIMIT, "nested");
    free(nested);
    free(closed);
}
END_TEST

static void *render_often(void *arg)
{
    const struct chat_template *t = arg;
    json_t *variables = json_pack("{s:[i,i,i]}", "l", 1, 2, 3);
    size_t wrong = 0;
    for (int i = 0; i < 300; i++) {
        struct buf out;
        buf_init(&out, 100);
        int rc = chat_template_render(t, variables, &out, NULL);
        wrong += rc || strcmp(buf_str(&out), "1;2;3;[1, 2, 3]");
        buf_deinit(&out);
    }
    json_decref(variables);
    return (void *)wrong;
}

START_TEST(one_template_many_threads)
{
    struct chat_template *t = NULL;
    pthread_t threads[4];
    ck_assert_int_eq(chat_template_compile("{% for x in l %}{{ x }};{% endfor %}{{ l|tojson }}", &t, NULL), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, render_often, t), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    chat_template_free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("template");
    TCase *c = tcase_create("template");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, renders);
    tcase_add_test(c, appends_to_the_output);
    tcase_add_loop_test(c, says_what_is_wrong, 0, (int)(sizeof faults / sizeof *faults));
    tcase_add_test(c, deep_sources_are_refused);
    tcase_add_test(c, deep_data_is_refused);
    tcase_add_test(c, one_template_many_threads);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
