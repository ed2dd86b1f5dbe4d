/* The HTTP API over a fake engine: shapes of answers, streams and errors. */
#include "api_client.h"

START_TEST(test_chat)
{
    json_t *t = ask("POST", CHAT, "{" HI "}", 200);
    is_text(t, "object", "chat.completion");
    is_text(t, "model", "tiny");
    is_text(t, "choices.0.message.role", "assistant");
    is_text(t, "choices.0.message.content", "Hello");
    is_text(t, "choices.0.finish_reason", "stop");
    ck_assert(json_is_null(at(t, "choices.0.logprobs")));
    is_int(t, "usage.prompt_tokens", 8); /* "user:hi\n" */
    is_int(t, "usage.completion_tokens", 6);
    is_int(t, "usage.total_tokens", 14);
    json_decref(t);
    t = ask("POST", CHAT, "{" HI ",\"max_tokens\":3,\"n\":2}", 200);
    is_text(t, "choices.1.message.content", "Hel");
    is_text(t, "choices.1.finish_reason", "length");
    is_int(t, "choices.1.index", 1);
    is_int(t, "usage.completion_tokens", 6);
    is_int(t, "usage.prompt_tokens", 8); /* counts once */
    json_decref(t);
}
END_TEST

START_TEST(test_completions)
{
    json_t *t = ask("POST", "/v1/completions", "{\"prompt\":[\"a\",\"bc\"],\"max_tokens\":2,\"n\":2}", 200);
    is_text(t, "object", "text_completion");
    ck_assert_int_eq(json_array_size(at(t, "choices")), 4);
    is_text(t, "choices.3.text", "He");
    is_int(t, "usage.prompt_tokens", 3);
    json_decref(t);
    t = ask("POST", "/v1/completions", "{\"prompt\":[1,2,3]}", 200);
    is_int(t, "usage.prompt_tokens", 3);
    json_decref(t);
    asks_error("POST", "/v1/completions", "{\"prompt\":[300]}", 400, "prompt", NULL);
    asks_error("POST", "/v1/completions", "{\"prompt\":\"\"}", 400, "prompt", NULL);
    asks_error("POST", "/v1/completions", "{\"prompt\":[]}", 400, "prompt", NULL);
    asks_error("POST", "/v1/completions", "{}", 400, "prompt", NULL);
    asks_error("POST", "/v1/completions", "{\"prompt\":[\"a\",1]}", 400, "prompt", NULL);
}
END_TEST

/* Unicode split over tokens, stop strings over tokens, and entries that agree with the text. */
START_TEST(test_text_and_logprobs)
{
    fake.reply = "Grüße 👋 at the end";
    json_t *t = ask("POST", CHAT, "{" HI ",\"logprobs\":true,\"top_logprobs\":2,\"stop\":[\"the\",\"xyz\"]}", 200);
    is_text(t, "choices.0.message.content", "Grüße 👋 at ");
    is_text(t, "choices.0.finish_reason", "stop");
    const json_t *content = at(t, "choices.0.logprobs.content");
    ck_assert_int_eq(json_array_size(content), strlen("Grüße 👋 at ")); /* a byte is a token */
    ck_assert_int_eq(json_array_size(at(content, "0.top_logprobs")), 2);
    is_int(content, "0.bytes.0", 'G');
    json_decref(t);
    t = ask("POST", "/v1/completions", "{\"prompt\":\"x\",\"logprobs\":1,\"max_tokens\":4}", 200);
    is_text(t, "choices.0.text", "Grü");
    ck_assert_int_eq(json_array_size(at(t, "choices.0.logprobs.tokens")), 4);
    is_int(t, "choices.0.logprobs.text_offset.2", 2);
    json_decref(t);
    t = ask("POST", "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":3}", 200);
    is_text(t, "choices.0.text", "Gr\xEF\xBF\xBD"); /* cut inside a character */
    json_decref(t);
}
END_TEST

/* The text of a stream's choice 0, and checks of its shape; owned. */
static char *stream_text(const char *events, const char *field, bool usage)
{
    struct buf text;
    bool done = false, role = false, finished = false;
    buf_init(&text, 1 << 20);
    buf_add_str(&text, "");
    for (const char *p = events; (p = strstr(p, "data: ")); p += 6) {
        if (strncmp(p, "data: [DONE]\n\n", 14) == 0) {
            done = true;
            break;
        }
        json_t *t = json_loads(p + 6, JSON_DISABLE_EOF_CHECK, NULL);
        ck_assert_ptr_nonnull(t);
        if (json_array_size(at(t, "choices")) == 0) {
            ck_assert(usage && finished && json_is_object(at(t, "usage")));
            usage = false;
        } else {
            ck_assert(!finished && !json_is_object(at(t, "usage")));
            role = role || json_is_string(at(t, "choices.0.delta.role"));
            finished = json_is_string(at(t, "choices.0.finish_reason"));
            const char *piece = json_string_value(at(t, field));
            buf_add_str(&text, piece ? piece : "");
        }
        json_decref(t);
    }
    ck_assert(done && finished && !usage);
    ck_assert(role || strstr(field, "delta") == NULL);
    buf_add_char(&text, 0);
    return buf_take(&text);
}

/* A chunked body in HTTP/1.0, which has no chunks: plain bytes until close. */
static char *exchange_stream(const char *path, const char *body)
{
    int fd = dial();
    send_text(fd, "POST %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", path, strlen(body), body);
    return receive(fd);
}

START_TEST(test_streams)
{
    fake.reply = "Grüße 👋 from the stop";
    char *reply = exchange_stream(
        CHAT, "{" HI ",\"stream\":true,\"stop\":\"the s\",\"stream_options\":{\"include_usage\":true}}");
    ck_assert_int_eq(status_of(reply), 200);
    ck_assert_ptr_nonnull(strstr(reply, "Content-Type: text/event-stream"));
    char *text = stream_text(body_of(reply), "choices.0.delta.content", true);
    ck_assert_str_eq(text, "Grüße 👋 from ");
    free(text);
    free(reply);
    reply = exchange_stream("/v1/completions", "{\"prompt\":\"x\",\"stream\":true,\"max_tokens\":100}");
    text = stream_text(body_of(reply), "choices.0.text", false);
    ck_assert_str_eq(text, fake.reply);
    free(text);
    free(reply);
}
END_TEST

START_TEST(test_engine_errors)
{
    atomic_store(&fake.fail_after, 0);
    asks_error("POST", CHAT, "{" HI "}", 400, NULL, NULL);
    json_decref(ask("PUT", "/v1/adapters/cold", "{\"path\":\"/cold\"}", 200));
    char *reply = exchange_stream(CHAT, "{\"model\":\"cold\"," HI ",\"stream\":true}");
    ck_assert_int_eq(status_of(reply), 400); /* not in memory: the head waits for the first token */
    free(reply);
    atomic_store(&fake.fail_after, 2);
    reply = exchange_stream(CHAT, "{" HI ",\"stream\":true}");
    ck_assert_int_eq(status_of(reply), 200);
    ck_assert_ptr_nonnull(strstr(reply, "data: {\"error\":{\"message\":\"the adapter is broken\""));
    ck_assert_ptr_null(strstr(reply, "[DONE]"));
    free(reply);
}
END_TEST

START_TEST(test_refusals)
{
    asks_error("POST", CHAT, "{bad", 400, NULL, "invalid_json");
    asks_error("POST", CHAT, "", 400, NULL, "invalid_json");
    asks_error("POST", CHAT, "{\"n\":1,\"n\":2}", 400, NULL, "invalid_json");
    asks_error("POST", CHAT, "[]", 400, NULL, NULL);
    asks_error("POST", CHAT, "{" HI ",\"foo\":1}", 400, "foo", "unknown_parameter");
    asks_error("POST", CHAT, "{" HI ",\"service_tier\":\"flex\"}", 400, "service_tier", "unsupported_value");
    asks_error("POST", CHAT, "{\"model\":\"nobody\"," HI "}", 404, "model", "model_not_found");
    asks_error("POST", CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"raise\"}]}", 400, "messages", NULL);
    asks_error("POST", CHAT, "{" HI ",\"tools\":[{\"type\":\"function\"}]}", 400, "tools", NULL);
    asks_error("POST", CHAT, "{" HI ",\"max_tokens\":993}", 400, "messages", "context_length_exceeded");
    json_decref(ask("POST", CHAT, "{" HI ",\"max_tokens\":992}", 200));
    char body[FAKE_CONTEXT + 100];
    snprintf(body, sizeof body, "{\"prompt\":\"%01001d\"}", 0);
    asks_error("POST", "/v1/completions", body, 400, "prompt", "context_length_exceeded");
    asks_error("GET", "/nowhere", "", 404, NULL, NULL);
    asks_error("GET", CHAT, "", 405, NULL, NULL);
    asks_error("POST", "/v1/models", "{}", 405, NULL, NULL);
    asks_error("GET", "/v1/models/nobody", "", 404, NULL, "model_not_found");
}
END_TEST

START_TEST(test_headers)
{
    char *reply = exchange("GET", "/livez", "X-Request-Id: mine-7\r\n", "");
    ck_assert_ptr_nonnull(strstr(reply, "X-Request-Id: mine-7\r\n"));
    free(reply);
    reply = exchange("GET", "/livez", "X-Request-Id: no spaces\r\n", "");
    ck_assert_ptr_nonnull(strstr(reply, "X-Request-Id: req-"));
    free(reply);
    reply = exchange("OPTIONS", "/v1/models", "", "");
    ck_assert_int_eq(status_of(reply), 204);
    ck_assert_ptr_nonnull(strstr(reply, "Allow: GET, HEAD\r\n"));
    ck_assert_ptr_null(strstr(reply, "Access-Control"));
    free(reply);
    reply = exchange("HEAD", "/v1/models", "", "");
    ck_assert_int_eq(status_of(reply), 200);
    ck_assert_str_eq(body_of(reply), "");
    free(reply);
    reply = exchange("DELETE", "/v1/adapters/x", "Origin: http://evil.example\r\n", "");
    ck_assert_int_eq(status_of(reply), 403);
    free(reply);
}
END_TEST

START_TEST(test_hosts)
{
    static const struct {
        const char *host;
        int status;
    } hosts[] = {
        {"localhost", 200},     {"LOCALHOST:8080", 200}, {"127.0.0.1:1", 200},  {"[::1]:80", 200},
        {"[::1]", 200},         {"node.example:9", 200}, {"evil.example", 403}, {"localhost.evil.example", 403},
        {"localhost:80x", 403}, {"127.0.0.1.evil", 403}, {"::1", 403}};
    api_stop();
    api_start_as("node.example");
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        int fd = dial();
        send_text(fd, "GET /livez HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", hosts[i].host);
        char *reply = receive(fd);
        ck_assert_msg(status_of(reply) == hosts[i].status, "%s gave %d", hosts[i].host, status_of(reply));
        free(reply);
    }
}
END_TEST

START_TEST(test_adapters)
{
    json_t *t = ask("PUT", "/v1/adapters/team%2Fa", "{\"path\":\"/x\",\"pinned\":true}", 200);
    is_text(t, "name", "team/a");
    ck_assert(json_is_true(at(t, "pinned")));
    json_decref(t);
    asks_error("PUT", "/v1/adapters/team%2Fa", "{\"path\":\"/y\"}", 400, NULL, "already_exists");
    asks_error("PUT", "/v1/adapters/b", "{\"path\":\"/bad\"}", 400, "path", "adapter_unreadable");
    asks_error("PUT", "/v1/adapters/tiny", "{\"path\":\"/x\"}", 400, "name", "already_exists");
    asks_error("PUT", "/v1/adapters/b", "{}", 400, "path", NULL);
    asks_error("PUT", "/v1/adapters/b", "{\"pinned\":true}", 404, "name", NULL);
    t = ask("PUT", "/v1/adapters/team%2Fa", "{\"pinned\":false}", 200);
    ck_assert(json_is_false(at(t, "pinned")));
    json_decref(t);
    t = ask("GET", "/v1/models", "", 200);
    is_text(t, "data.0.id", "tiny");
    is_text(t, "data.1.parent", "tiny");
    json_decref(t);
    t = ask("POST", CHAT, "{\"model\":\"team/a\"," HI ",\"n\":2}", 200);
    is_text(t, "model", "team/a");
    json_decref(t);
    char *reply = exchange("POST", "/v1/load_lora_adapter", "", "{\"lora_name\":\"v\",\"lora_path\":\"/v\"}");
    ck_assert_str_eq(body_of(reply), "Success: LoRA adapter 'v' added successfully.");
    free(reply);
    reply = exchange("POST", "/v1/unload_lora_adapter", "", "{\"lora_name\":\"v\"}");
    ck_assert_str_eq(body_of(reply), "Success: LoRA adapter 'v' removed successfully.");
    free(reply);
    asks_error("POST", "/v1/unload_lora_adapter", "{\"lora_name\":\"v\"}", 404, "lora_name", NULL);
    asks_error("POST", "/v1/load_lora_adapter", "{\"lora_name\":\"v\"}", 400, "lora_path", NULL);
    json_decref(ask("DELETE", "/v1/adapters/team%2Fa?force=1", "", 200));
    asks_error("DELETE", "/v1/adapters/team%2Fa", "", 404, "name", NULL);
}
END_TEST

START_TEST(test_full_queue)
{
    atomic_store(&fake.max_live, 2);
    char *reply = exchange("POST", CHAT, "", "{" HI ",\"n\":3}");
    ck_assert_int_eq(status_of(reply), 429);
    ck_assert_ptr_nonnull(strstr(reply, "Retry-After: 1\r\n"));
    free(reply);
    for (int i = 0; i < 60000 && atomic_load(&fake.live); i++) /* the two that fitted are cancelled */
        usleep(1000);
    ck_assert_int_eq(atomic_load(&fake.live), 0);
    json_decref(ask("POST", CHAT, "{" HI ",\"n\":2}", 200));
}
END_TEST

START_TEST(test_health_and_metrics)
{
    json_t *t = ask("GET", "/readyz", "", 200);
    is_text(t, "backend", "fake");
    is_text(t, "isa", "none");
    is_text(t, "model", "tiny");
    json_decref(t);
    json_decref(ask("PUT", "/v1/adapters/q", "{\"path\":\"/x\"}", 200));
    json_decref(ask("POST", CHAT, "{" HI ",\"n\":2}", 200));
    char *reply = exchange("GET", "/metrics", "", "");
    static const char *const lines[] = {
        "vllm:num_requests_running{model_name=\"tiny\",engine=\"0\"} 0\n",
        "vllm:request_params_n_bucket{model_name=\"tiny\",engine=\"0\",le=\"1\"} 0\n",
        "vllm:request_params_n_bucket{model_name=\"tiny\",engine=\"0\",le=\"2\"} 1\n",
        "vllm:lora_adapter_loaded{model_name=\"tiny\",engine=\"0\",adapter_name=\"q\",level=\"cpu\",pinned=\"false\","
        "rank=\"8\"} 1\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ck_assert_msg(strstr(reply, lines[i]) != NULL, "no line %s", lines[i]);
    free(reply);
}
END_TEST

START_TEST(test_busy_port)
{
    struct config second = config;
    struct app *other;
    struct err e = {0};
    char port[8];
    second.port = app_port(app);
    snprintf(port, sizeof port, "%d", app_port(app));
    ck_assert_int_ne(app_open(&second, &other, &e), 0);
    ck_assert_ptr_nonnull(strstr(e.message, port));
    ck_assert_ptr_nonnull(strstr(e.message, "--port"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api");
    TCase *t = tcase_create("api");
    tcase_add_checked_fixture(t, api_start, api_stop);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_chat);
    tcase_add_test(t, test_completions);
    tcase_add_test(t, test_text_and_logprobs);
    tcase_add_test(t, test_streams);
    tcase_add_test(t, test_engine_errors);
    tcase_add_test(t, test_refusals);
    tcase_add_test(t, test_headers);
    tcase_add_test(t, test_hosts);
    tcase_add_test(t, test_adapters);
    tcase_add_test(t, test_full_queue);
    tcase_add_test(t, test_health_and_metrics);
    tcase_add_test(t, test_busy_port);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
