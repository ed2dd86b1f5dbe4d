/* For tests of the API: the server over a fake engine, and a small HTTP client that reads until the server closes. */
#ifndef OPENLORA_TESTS_API_CLIENT_H
#define OPENLORA_TESTS_API_CLIENT_H

#include "fake_engine.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

static struct config config;
static struct app *app;

/* host: a name it answers to, or NULL: only those of this machine. */
static inline void api_start_as(char *host)
{
    char *argv[] = {"openlorad",   "--model", "/models/tiny.gguf", "--port", "0",      "--drain-s", "1",
                    "--timeout-s", "3",       "--request-s",       "3",      "--host", host,        NULL};
    struct err e = {0};
    ck_assert_msg(config_load(host ? 13 : 11, argv, NULL, &config, &e) == 0, "%s", e.message);
    ck_assert_msg(app_open(&config, &app, &e) == 0, "%s", e.message);
    ck_assert_msg(app_start(app, &e) == 0, "%s", e.message);
}

static inline void api_start(void) { api_start_as(NULL); }

static inline void api_stop(void)
{
    app_drain(app);
    app_close(app);
    config_deinit(&config);
    ck_assert_int_eq(atomic_load(&fake.live), 0);
    ck_assert_int_eq(atomic_load(&fake.acquired), 0);
}

/* ---- a client */

static inline int dial_with_buffer(int bytes) /* 0: the system's */
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

static inline int dial(void) { return dial_with_buffer(0); }

static inline void send_text(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void send_text(int fd, const char *format, ...)
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
static inline char *receive(int fd)
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

static inline char *exchange(const char *method, const char *path, const char *headers, const char *body)
{
    int fd = dial();
    send_text(fd, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", method,
              path, headers, strlen(body), body);
    return receive(fd);
}

static inline int status_of(const char *reply) { return strlen(reply) > 12 ? (int)strtol(reply + 9, NULL, 10) : -1; }
static inline const char *body_of(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n");
    return end ? end + 4 : "";
}

/* One request whose answer is JSON of the given status. */
static inline json_t *ask(const char *method, const char *path, const char *body, int status)
{
    char *reply = exchange(method, path, "", body);
    ck_assert_msg(status_of(reply) == status, "%s %s %s: wanted %d, got: %.400s", method, path, body, status, reply);
    json_t *tree = json_loads(body_of(reply), 0, NULL);
    ck_assert_msg(tree != NULL, "no JSON: %.400s", reply);
    free(reply);
    return tree;
}

static inline const json_t *at(const json_t *tree, const char *path) /* "choices.0.text" */
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

static inline void is_text(const json_t *tree, const char *path, const char *want)
{
    const char *got = json_string_value(at(tree, path));
    ck_assert_msg(got && strcmp(got, want) == 0, "%s is '%s', wanted '%s'", path, got ? got : "(none)", want);
}

static inline void is_int(const json_t *tree, const char *path, long want)
{
    ck_assert_msg(json_is_integer(at(tree, path)) && json_integer_value(at(tree, path)) == want,
                  "%s is %lld, wanted %ld", path, json_integer_value(at(tree, path)), want);
}

static inline void asks_error(const char *method, const char *path, const char *body, int status, const char *param,
                       const char *code)
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

#endif
