/* Request parameters: defaults, ranges, and that everything unknown or unsupported is refused by its name. */
#include "api/messages.h"
#include "api/params.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 100 };

static int parse(const char *text, enum route route, struct params *p, struct api_error *e)
{
    json_t *body = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    ck_assert_msg(body != NULL, "bad test: %s", text);
    *e = (struct api_error){0};
    int rc = params_parse(body, route, VOCAB, p, e);
    json_decref(body);
    return rc;
}

static void refused(const char *text, enum route route, const char *param)
{
    struct params p;
    struct api_error e;
    ck_assert_msg(parse(text, route, &p, &e) != 0, "accepted: %s", text);
    ck_assert_int_eq(e.status, 400);
    ck_assert_msg(strcmp(e.param, param) == 0, "%s blames '%s'", text, e.param);
    ck_assert_msg(!*param || strstr(e.message, param), "%s does not name it: %s", text, e.message);
}

static void accepted(const char *text, enum route route, struct params *p)
{
    struct api_error e;
    ck_assert_msg(parse(text, route, p, &e) == 0, "refused: %s: %s", text, e.message);
}

START_TEST(test_defaults)
{
    struct params p;
    accepted("{}", ROUTE_CHAT, &p);
    ck_assert_int_eq(p.n, 1);
    ck_assert_int_eq(p.max_tokens, 0);
    ck_assert(p.sampling.temperature == 1 && p.sampling.top_p == 1 && p.sampling.repetition == 1);
    ck_assert(p.sampling.top_k == 0 && p.sampling.min_p == 0 && !p.stream && !p.logprobs && !p.has_seed);
    params_deinit(&p);
}
END_TEST

START_TEST(test_values)
{
    struct params p;
    accepted("{\"temperature\":0,\"top_p\":0.5,\"top_k\":40,\"min_p\":0.1,\"repetition_penalty\":1.1,"
             "\"frequency_penalty\":-2,\"presence_penalty\":2,\"seed\":-5,\"n\":3,\"max_tokens\":7,"
             "\"logit_bias\":{\"5\":-100,\"99\":1.5},\"stop\":[\"a\",\"bc\"],\"logprobs\":true,\"top_logprobs\":20,"
             "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"user\":\"u\"}", ROUTE_CHAT, &p);
    ck_assert(p.sampling.temperature == 0 && p.sampling.top_p == 0.5f && p.sampling.top_k == 40);
    ck_assert(p.has_seed && p.seed == -5 && p.n == 3 && p.max_tokens == 7);
    ck_assert(p.sampling.n_bias == 2 && p.bias[0].token == 5 && p.bias[0].add == -100 && p.bias[1].add == 1.5f);
    ck_assert(p.stop.n == 2 && p.logprobs && p.sampling.n_top == 20 && p.stream && p.include_usage);
    params_deinit(&p);
    accepted("{\"max_completion_tokens\":9,\"max_tokens\":7}", ROUTE_CHAT, &p);
    ck_assert_int_eq(p.max_tokens, 9);
    params_deinit(&p);
    accepted("{\"logprobs\":0,\"top_k\":-1,\"stop\":null,\"temperature\":null}", ROUTE_COMPLETIONS, &p);
    ck_assert(p.logprobs && p.top_logprobs == 0 && p.sampling.top_k == 0 && p.sampling.temperature == 1);
    params_deinit(&p);
    accepted("{\"store\":false,\"metadata\":{\"a\":\"b\"},\"parallel_tool_calls\":true,\"service_tier\":\"auto\","
             "\"response_format\":{\"type\":\"text\"},\"tool_choice\":\"none\"}", ROUTE_CHAT, &p);
    params_deinit(&p);
}
END_TEST

START_TEST(test_refused_by_name)
{
    static const char *const chat[][2] = {
        {"{\"nonsense\":1}", "nonsense"},
        {"{\"prompt\":\"x\"}", "prompt"},
        {"{\"response_format\":{\"type\":\"json_object\"}}", "response_format"},
        {"{\"tool_choice\":\"required\"}", "tool_choice"},
        {"{\"store\":true}", "store"},
        {"{\"service_tier\":\"scale\"}", "service_tier"},
        {"{\"temperature\":2.1}", "temperature"},
        {"{\"temperature\":\"hot\"}", "temperature"},
        {"{\"top_p\":0}", "top_p"},
        {"{\"top_p\":1.01}", "top_p"},
        {"{\"top_k\":-2}", "top_k"},
        {"{\"top_k\":1.5}", "top_k"},
        {"{\"min_p\":-0.1}", "min_p"},
        {"{\"n\":0}", "n"},
        {"{\"n\":17}", "n"},
        {"{\"max_tokens\":0}", "max_tokens"},
        {"{\"max_tokens\":1.0}", "max_tokens"},
        {"{\"max_tokens\":99999999999999}", "max_tokens"},
        {"{\"seed\":\"s\"}", "seed"},
        {"{\"stop\":\"\"}", "stop"},
        {"{\"stop\":[1]}", "stop"},
        {"{\"stop\":{}}", "stop"},
        {"{\"logit_bias\":{\"100\":1}}", "logit_bias"},
        {"{\"logit_bias\":{\"-1\":1}}", "logit_bias"},
        {"{\"logit_bias\":{\"1\":101}}", "logit_bias"},
        {"{\"logit_bias\":{\"1x\":1}}", "logit_bias"},
        {"{\"logit_bias\":[]}", "logit_bias"},
        {"{\"logprobs\":1}", "logprobs"},
        {"{\"top_logprobs\":5}", "top_logprobs"},
        {"{\"top_logprobs\":21,\"logprobs\":true}", "top_logprobs"},
        {"{\"stream\":1}", "stream"},
        {"{\"user\":3}", "user"},
        {"{\"stream_options\":{\"include_usage\":true}}", "stream_options"},
        {"{\"stream\":true,\"stream_options\":{\"x\":true}}", "stream_options"},
        {"{\"presence_penalty\":-2.5}", "presence_penalty"},
        {"{\"model\":5}", "model"},
        {"[]", ""},
    };
    static const char *const completions[][2] = {
        {"{\"messages\":[]}", "messages"}, {"{\"echo\":true}", "echo"},       {"{\"suffix\":\"x\"}", "suffix"},
        {"{\"best_of\":2}", "best_of"},    {"{\"logprobs\":21}", "logprobs"}, {"{\"logprobs\":true}", "logprobs"},
        {"{\"tools\":[]}", "tools"},
    };
    for (size_t i = 0; i < sizeof chat / sizeof *chat; i++)
        refused(chat[i][0], ROUTE_CHAT, chat[i][1]);
    for (size_t i = 0; i < sizeof completions / sizeof *completions; i++)
        refused(completions[i][0], ROUTE_COMPLETIONS, completions[i][1]);
}
END_TEST

START_TEST(test_too_many_stop_strings)
{
    json_t *body = json_object(), *stop = json_array();
    struct params p;
    struct api_error e = {0};
    for (int i = 0; i <= STOP_MAX; i++)
        json_array_append_new(stop, json_string("a"));
    json_object_set_new(body, "stop", stop);
    ck_assert_int_ne(params_parse(body, ROUTE_CHAT, VOCAB, &p, &e), 0);
    ck_assert_str_eq(e.param, "stop");
    json_decref(body);
}
END_TEST

static json_t *messages(const char *text, struct api_error *e)
{
    json_t *in = json_loads(text, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(in);
    *e = (struct api_error){0};
    json_t *out = messages_normalise(in, e);
    json_decref(in);
    return out;
}

START_TEST(test_messages)
{
    struct api_error e;
    json_t *m = messages("[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":\"user\",\"content\":[{\"type\":"
                         "\"text\",\"text\":\"a \"},"
                         "{\"type\":\"text\",\"text\":\"b\"}],\"name\":\"bob\"}]",
                         &e);
    ck_assert_ptr_nonnull(m);
    char *text = json_dumps(m, JSON_COMPACT);
    ck_assert_str_eq(
        text, "[{\"role\":\"system\",\"content\":\"d\"},{\"role\":\"user\",\"content\":\"a b\",\"name\":\"bob\"}]");
    free(text);
    json_decref(m);
}
END_TEST

START_TEST(test_bad_messages)
{
    static const char *const bad[][2] = {
        {"[]", "messages"},
        {"{}", "messages"},
        {"null", "messages"},
        {"[1]", "messages[0].role"},
        {"[{\"role\":\"user\"}]", "messages[0].content"},
        {"[{\"role\":\"wizard\",\"content\":\"x\"}]", "messages[0].role"},
        {"[{\"role\":\"user\",\"content\":3}]", "messages[0].content"},
        {"[{\"role\":\"user\",\"content\":\"x\",\"foo\":1}]", "messages[0].foo"},
        {"[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
         "{}}]}]",
         "messages[1].content[0]"},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\",\"more\":1}]}]", "messages[0].content[0]"},
        {"[{\"role\":\"user\",\"content\":[\"x\"]}]", "messages[0].content[0]"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct api_error e;
        json_t *m = messages(bad[i][0], &e);
        ck_assert_msg(m == NULL, "accepted: %s", bad[i][0]);
        ck_assert_int_eq(e.status, 400);
        ck_assert_msg(strcmp(e.param, bad[i][1]) == 0, "%s blames '%s'", bad[i][0], e.param);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("params");
    TCase *t = tcase_create("params");
    tcase_add_test(t, test_defaults);
    tcase_add_test(t, test_values);
    tcase_add_test(t, test_refused_by_name);
    tcase_add_test(t, test_too_many_stop_strings);
    tcase_add_test(t, test_messages);
    tcase_add_test(t, test_bad_messages);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
