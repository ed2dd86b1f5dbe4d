/* The HTTP API over a fake engine: shapes of answers and errors, streams, cancellation, drain. */
#include "fake_engine.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

static struct config config;
static struct app *app;
static pthread_t drainer;

static void start(void)
{
    char *argv[] = {"openlorad", "--model", "/models/tiny.gguf", "--port", "0", "--drain-s", "1", "--timeout-s", "2", "--request-s", "1",
                    "--host", "node.example", NULL};
    struct err e = {0};
    ck_assert_msg(config_load(13, argv, NULL, &config, &e) == 0, "%s", e.message);
    ck_assert_msg(app_open(&config, &app, &e) == 0, "%s", e.message);
    ck_assert_msg(app_start(app, &e) == 0, "%s", e.message);
}

static void stop(void)
{
    app_drain(app);
    app_close(app);
    config_deinit(&config);
    ck_assert_int_eq(atomic_load(&fake.live), 0);
    ck_assert_int_eq(atomic_load(&fake.acquired), 0);
}

/* ---- a client */

static int dial_with_buffer(int bytes) /* 0: the system's */
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)app_port(app))};
    struct timeval patience = {.tv_sec = 20};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (bytes)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static int dial(void) { return dial_with_buffer(0); }

static void send_text(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void send_text(int fd, const char *format, ...)
{
    char *text;
    va_list ap;
    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);
    ck_assert_int_eq(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
    free(text);
}

/* Everything until the server closes; owned. */
static char *receive(int fd)
{
    struct buf b;
    char block[4096];
    ssize_t n;
    buf_init(&b, 64 << 20);
    while ((n = recv(fd, block, sizeof block, 0)) > 0)
        buf_add(&b, block, (size_t)n);
    close(fd);
    buf_add_char(&b, 0);
    return buf_take(&b);
}

static char *exchange(const char *method, const char *path, const char *headers, const char *body)
{
    int fd = dial();
    send_text(fd, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", method, path, headers,
              strlen(body), body);
    return receive(fd);
}

static int status_of(const char *reply) { return strlen(reply) > 12 ? (int)strtol(reply + 9, NULL, 10) : -1; }
static const char *body_of(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n");
    return end ? end + 4 : "";
}

/* One request whose answer is JSON of the given status. */
static json_t *ask(const char *method, const char *path, const char *body, int status)
{
    char *reply = exchange(method, path, "", body);
    ck_assert_msg(status_of(reply) == status, "%s %s %s: wanted %d, got: %.400s", method, path, body, status, reply);
    json_t *tree = json_loads(body_of(reply), 0, NULL);
    ck_assert_msg(tree != NULL, "no JSON: %.400s", reply);
    free(reply);
    return tree;
}

static const json_t *at(const json_t *tree, const char *path) /* "choices.0.text" */
{
    char name[32];
    while (tree && *path) {
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        tree = json_is_array(tree) ? json_array_get(tree, strtoul(name, NULL, 10)) : json_object_get(tree, name);
        path += n + (path[n] == '.');
    }
    return tree;
}

static void is_text(const json_t *tree, const char *path, const char *want)
{
    const char *got = json_string_value(at(tree, path));
    ck_assert_msg(got && strcmp(got, want) == 0, "%s is '%s', wanted '%s'", path, got ? got : "(none)", want);
}

static void is_int(const json_t *tree, const char *path, long want)
{
    ck_assert_msg(json_is_integer(at(tree, path)) && json_integer_value(at(tree, path)) == want, "%s is %lld, wanted %ld", path,
                  json_integer_value(at(tree, path)), want);
}

static void asks_error(const char *method, const char *path, const char *body, int status, const char *param, const char *code)
{
    json_t *t = ask(method, path, body, status);
    ck_assert(json_is_string(at(t, "error.message")) && json_is_string(at(t, "error.type")));
    ck_assert_ptr_nonnull(at(t, "error.param"));
    if (param)
        is_text(t, "error.param", param);
    if (code)
        is_text(t, "error.code", code);
    json_decref(t);
}

#define CHAT "/v1/chat/completions"
#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

/* ---- answers */

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
    char *reply = exchange_stream(CHAT, "{" HI ",\"stream\":true,\"stop\":\"the s\",\"stream_options\":{\"include_usage\":true}}");
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
    ask("PUT", "/v1/adapters/cold", "{\"path\":\"/cold\"}", 200);
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
    } hosts[] = {{"localhost", 200}, {"LOCALHOST:8080", 200}, {"127.0.0.1:1", 200}, {"[::1]:80", 200}, {"[::1]", 200},
                 {"node.example:9", 200}, {"evil.example", 403}, {"localhost.evil.example", 403}, {"localhost:80x", 403},
                 {"127.0.0.1.evil", 403}, {"::1", 403}};
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
    for (int i = 0; i < 1000 && atomic_load(&fake.live); i++) /* the two that fitted are cancelled */
        usleep(1000);
    ck_assert_int_eq(atomic_load(&fake.live), 0);
    json_decref(ask("POST", CHAT, "{" HI ",\"n\":2}", 200));
}
END_TEST

/* ---- clients that leave, stall or drip */

static int open_long_request(bool stream)
{
    int fd = dial();
    char body[200];
    int n = snprintf(body, sizeof body, "{" HI ",\"stream\":%s,\"ignore_eos\":true,\"max_tokens\":900}", stream ? "true" : "false");
    send_text(fd, "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", n, body);
    for (int i = 0; i < 2000 && atomic_load(&fake.live) == 0; i++)
        usleep(1000);
    ck_assert_int_eq(atomic_load(&fake.live), 1);
    return fd;
}

START_TEST(test_client_leaves)
{
    atomic_store(&fake.step_us, 10000);
    for (int stream = 0; stream < 2; stream++) {
        int fd = open_long_request(stream), before = atomic_load(&fake.cancelled);
        close(fd);
        int ms = 0;
        while (atomic_load(&fake.live) && ms < 5000)
            usleep(1000), ms++;
        ck_assert_msg(ms < 200, "it took %d ms", ms); /* 100 ms and a step, and the test's own waiting */
        ck_assert_int_eq(atomic_load(&fake.cancelled), before + 1);
    }
}
END_TEST

START_TEST(test_request_that_never_ends)
{
    int quiet = dial(), dripping = dial();
    char reply[10];
    send_text(quiet, "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
    for (int i = 0; i < 40; i++) { /* a byte each 100 ms never lets an idle timer run out */
        send(dripping, "G", 1, MSG_NOSIGNAL);
        usleep(100000);
        json_decref(ask("GET", "/version", "", 200));
    }
    ck_assert_int_le(recv(quiet, reply, sizeof reply, MSG_DONTWAIT | MSG_PEEK), 0);
    ck_assert(errno != EAGAIN);
    errno = 0;
    ck_assert_int_le(recv(dripping, reply, sizeof reply, MSG_DONTWAIT), 0);
    ck_assert(errno != EAGAIN);
    close(quiet);
    close(dripping);
}
END_TEST

/* Generation does not wait for a reader; a reader that takes nothing is cut off. */
START_TEST(test_slow_reader)
{
    static char reply[400001];
    memset(reply, 'x', sizeof reply - 1);
    fake.reply = reply;
    int fd = dial_with_buffer(4096); /* the rest piles up in the server: more than its socket takes */
    const char *body = "{\"prompt\":\"x\",\"stream\":true,\"max_tokens\":900,\"n\":16,\"logprobs\":10}";
    send_text(fd, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    usleep(100000);
    for (int i = 0; i < 10000 && atomic_load(&fake.live); i++)
        usleep(1000);
    ck_assert_int_eq(atomic_load(&fake.live), 0); /* all 14,400 tokens are made */
    ck_assert_int_eq(http_server_active(app->http), 1);
    for (int i = 0; i < 6000 && http_server_active(app->http); i++) /* --timeout-s 2 */
        usleep(1000);
    ck_assert_int_eq(http_server_active(app->http), 0);
    close(fd);
}
END_TEST

START_TEST(test_large_bodies)
{
    size_t n = (size_t)9 << 20;
    char *body = malloc(n + 1);
    memset(body, ' ', n);
    body[n] = 0;
    char *reply = exchange("POST", CHAT, "", body);
    ck_assert_int_eq(status_of(reply), 413);
    free(reply);
    int fd = dial(); /* who asks first is told before sending */
    send_text(fd, "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %zu\r\n\r\n", n);
    reply = receive(fd);
    ck_assert_int_eq(status_of(reply), 413);
    free(reply);
    fd = dial(); /* chunked: the length is not known before */
    send_text(fd, "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n",
              n, body);
    reply = receive(fd);
    ck_assert_int_eq(status_of(reply), 413);
    free(reply);
    free(body);
}
END_TEST

START_TEST(test_pipelining)
{
    int fd = dial();
    const char *body = "{" HI "}";
    for (int i = 0; i < 3; i++)
        send_text(fd, "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r%d\r\n%sContent-Length: %zu\r\n\r\n%s", i,
                  i == 2 ? "Connection: close\r\n" : "", strlen(body), body);
    char *reply = receive(fd), *p = reply;
    for (int i = 0; i < 3; i++) {
        char id[32];
        snprintf(id, sizeof id, "X-Request-Id: r%d\r\n", i);
        p = strstr(p, id);
        ck_assert_ptr_nonnull(p);
        p = strstr(p, "\"content\":\"Hello\"");
        ck_assert_ptr_nonnull(p);
    }
    free(reply);
}
END_TEST

/* ---- drain */

static void *drain(void *unused)
{
    app_drain(app);
    return unused;
}

START_TEST(test_drain_lets_answers_finish)
{
    atomic_store(&fake.step_us, 50000);
    int fd = dial();
    const char *body = "{" HI "}";
    send_text(fd, "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    while (atomic_load(&fake.live) == 0)
        usleep(1000);
    pthread_create(&drainer, NULL, drain, NULL);
    while (!atomic_load(&app->draining))
        usleep(1000);
    asks_error("POST", CHAT, "{" HI "}", 503, NULL, "shutting_down");
    json_t *t = ask("GET", "/readyz", "", 503);
    is_text(t, "status", "draining");
    json_decref(t);
    char *reply = receive(fd);
    ck_assert_int_eq(status_of(reply), 200);
    ck_assert_ptr_nonnull(strstr(reply, "\"content\":\"Hello\""));
    free(reply);
    pthread_join(drainer, NULL);
}
END_TEST

START_TEST(test_drain_cancels_what_lasts)
{
    atomic_store(&fake.step_us, 20000);
    int whole = open_long_request(false), streamed = dial();
    const char *body = "{" HI ",\"stream\":true,\"ignore_eos\":true,\"max_tokens\":900}";
    send_text(streamed, "POST " CHAT " HTTP/1.0\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    while (atomic_load(&fake.live) < 2)
        usleep(1000);
    usleep(100000);
    pthread_create(&drainer, NULL, drain, NULL); /* --drain-s 1 */
    char *reply = receive(streamed);
    ck_assert_ptr_nonnull(strstr(reply, "\"content\":\"H\""));
    ck_assert_ptr_nonnull(strstr(reply, "data: {\"error\":{\"message\":\"the request was cancelled: the server is shutting down\""));
    free(reply);
    pthread_join(drainer, NULL);
    char start_of_reply[64] = "";
    ck_assert_int_gt(recv(whole, start_of_reply, sizeof start_of_reply - 1, 0), 0);
    ck_assert_int_eq(status_of(start_of_reply), 503);
    close(whole);
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
        "vllm:lora_adapter_loaded{model_name=\"tiny\",engine=\"0\",adapter_name=\"q\",level=\"cpu\",pinned=\"false\",rank=\"8\"} 1\n",
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
    tcase_add_checked_fixture(t, start, stop);
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
    tcase_add_test(t, test_client_leaves);
    tcase_add_test(t, test_request_that_never_ends);
    tcase_add_test(t, test_slow_reader);
    tcase_add_test(t, test_large_bodies);
    tcase_add_test(t, test_pipelining);
    tcase_add_test(t, test_drain_lets_answers_finish);
    tcase_add_test(t, test_drain_cancels_what_lasts);
    tcase_add_test(t, test_health_and_metrics);
    tcase_add_test(t, test_busy_port);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
