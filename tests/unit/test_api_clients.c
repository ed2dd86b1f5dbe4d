/* The HTTP API over a fake engine: clients that leave, stall, drip, send too much or do not read, and the drain. */
#include "api_client.h"
#include "base/clock.h"

static int open_long_request(bool stream)
{
    int fd = dial();
    char body[200];
    int n = snprintf(body, sizeof body, "{" HI ",\"stream\":%s,\"ignore_eos\":true,\"max_tokens\":900}",
                     stream ? "true" : "false");
    send_text(fd, "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", n, body);
    for (int i = 0; i < 60000 && atomic_load(&fake.live) == 0; i++)
        usleep(1000);
    ck_assert_int_eq(atomic_load(&fake.live), 1);
    return fd;
}

/* How long the engine still works for a client that has left. */
static int leave_ms(bool stream)
{
    int fd = open_long_request(stream), before = atomic_load(&fake.cancelled), ms = 0;
    close(fd);
    while (atomic_load(&fake.live) && ms < 60000)
        usleep(1000), ms++;
    ck_assert_int_eq(atomic_load(&fake.cancelled), before + 1);
    return ms;
}

START_TEST(test_client_leaves)
{
    atomic_store(&fake.step_us, 10000);
    for (int stream = 0; stream < 2; stream++) {
        int ms = 60000;
        for (int tries = 0; tries < 10 && ms >= 200; tries++) /* a busy machine only adds to it */
            ms = leave_ms(stream);
        ck_assert_msg(ms < 200, "it took %d ms", ms); /* 100 ms and a step, and the test's own waiting */
    }
}
END_TEST

START_TEST(test_request_that_never_ends)
{
    int quiet = dial(), dripping = dial();
    char reply[10];
    send_text(quiet, "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
    /* For 5 s, where --request-s is 3: a byte each 100 ms never lets an idle timer run out. */
    for (int i = 0; i < 50; i++) {
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
    static char reply[1001];
    memset(reply, 'x', sizeof reply - 1);
    fake.reply = reply;
    int fd = dial_with_buffer(4096); /* the rest piles up in the server: more than its socket takes */
    char body[256], path[160], name[ADAPTER_NAME_BYTES];
    snprintf(name, sizeof name, "%0120d", 0); /* stands in every event */
    snprintf(path, sizeof path, "/v1/adapters/%s", name);
    json_decref(ask("PUT", path, "{\"path\":\"/x\"}", 200));
    snprintf(body, sizeof body, "{\"model\":\"%s\",\"prompt\":\"x\",\"stream\":true,\"max_tokens\":900,\"n\":16}",
             name);
    send_text(fd, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
              body);
    int64_t begin_ns = clock_mono_ns();
    usleep(100000);
    for (int i = 0; i < 60000 && atomic_load(&fake.live); i++)
        usleep(1000);
    ck_assert_int_eq(atomic_load(&fake.live), 0); /* all 14,400 tokens are made */
    int active = http_server_active(app->http);
    ck_assert(active == 1 || clock_mono_ns() - begin_ns > 3000000000); /* --timeout-s 3 */
    for (int i = 0; i < 60000 && http_server_active(app->http); i++)
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
    send_text(fd, "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
              n);
    reply = receive(fd);
    ck_assert_int_eq(status_of(reply), 413);
    free(reply);
    fd = dial(); /* chunked: the length is not known before */
    send_text(
        fd,
        "POST " CHAT
        " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n",
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
        send_text(fd,
                  "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r%d\r\n%sContent-Length: %zu\r\n\r\n%s",
                  i, i == 2 ? "Connection: close\r\n" : "", strlen(body), body);
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

static pthread_t drainer;

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
    send_text(fd, "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
              strlen(body), body);
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
    send_text(streamed, "POST " CHAT " HTTP/1.0\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
              body);
    while (atomic_load(&fake.live) < 2)
        usleep(1000);
    usleep(100000);
    pthread_create(&drainer, NULL, drain, NULL); /* --drain-s 1 */
    char *reply = receive(streamed);
    ck_assert_ptr_nonnull(strstr(reply, "\"content\":\"H\""));
    ck_assert_ptr_nonnull(
        strstr(reply, "data: {\"error\":{\"message\":\"the request was cancelled: the server is shutting down\""));
    free(reply);
    pthread_join(drainer, NULL);
    char start_of_reply[64] = "";
    ck_assert_int_gt(recv(whole, start_of_reply, sizeof start_of_reply - 1, 0), 0);
    ck_assert_int_eq(status_of(start_of_reply), 503);
    close(whole);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api_clients");
    TCase *t = tcase_create("api_clients");
    tcase_add_checked_fixture(t, api_start, api_stop);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_client_leaves);
    tcase_add_test(t, test_request_that_never_ends);
    tcase_add_test(t, test_slow_reader);
    tcase_add_test(t, test_large_bodies);
    tcase_add_test(t, test_pipelining);
    tcase_add_test(t, test_drain_lets_answers_finish);
    tcase_add_test(t, test_drain_cancels_what_lasts);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
