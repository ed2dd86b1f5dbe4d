/* The endpoints against a server that takes connections and never answers: cancelling, time limits, configurations that
 * are refused, names without credentials. tests/fault has real nodes. */
#include "base/clock.h"
#include "chainlite/rpc/light.h"

#include <arpa/inet.h>
#include <check.h>
#include <curl/curl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener;
static char url[128];

static void listen_silently(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(!bind(listener, (struct sockaddr *)&at, len) && !listen(listener, 8));
    ck_assert(!getsockname(listener, (struct sockaddr *)&at, &len));
    snprintf(url, sizeof url, "http://me:hidden@127.0.0.1:%d/v3/0123456789abcdef", ntohs(at.sin_port));
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void stop_listening(void)
{
    close(listener);
    curl_global_cleanup();
}

static struct rpc *open_one(uint32_t timeout_ms)
{
    const char *urls[] = {url};
    struct rpc_config config = {.urls = urls, .n_urls = 1, .quorum = 1, .chain_id = 1, .timeout_ms = timeout_ms};
    struct rpc *rpc;
    struct err e;
    ck_assert_msg(rpc_open(&config, &rpc, &e) == OL_OK, "%s", e.message);
    return rpc;
}

static void *cancel_soon(void *rpc)
{
    usleep(100000);
    rpc_cancel(rpc);
    return NULL;
}

START_TEST(cancelled_from_another_thread)
{
    struct rpc *rpc = open_one(30000);
    struct light *light;
    struct light_head head;
    struct err e;
    pthread_t thread;
    ck_assert_int_eq(light_open(rpc, &light, &e), OL_OK);
    int64_t start = clock_mono_ns();
    ck_assert(!pthread_create(&thread, NULL, cancel_soon, rpc));
    ck_assert_int_eq(light_head(light, LIGHT_LATEST, &head, &e), OL_ECANCELLED);
    pthread_join(thread, NULL);
    ck_assert_int_eq(light_head(light, LIGHT_LATEST, &head, &e), OL_ECANCELLED); /* and it stays so */
    ck_assert(clock_mono_ns() - start < 15000000000);
    light_close(light);
    rpc_close(rpc);
}
END_TEST

START_TEST(silent_until_the_time_limit)
{
    struct rpc *rpc = open_one(200);
    struct rpc_status status;
    struct err e;
    int64_t start = clock_mono_ns();
    ck_assert_int_eq(rpc_check(rpc, &e), OL_EIO);
    ck_assert(clock_mono_ns() - start < 8000000000);
    ck_assert_ptr_nonnull(strstr(e.message, "timeout"));
    ck_assert(!strstr(e.message, "hidden") && !strstr(e.message, "0123456789abcdef") && !strstr(e.message, "me:"));
    rpc_status(rpc, 0, &status);
    ck_assert(status.last_fault == RPC_TIMEOUT && status.failures == 1 && !status.chain_checked && !status.paused);
    ck_assert(!strncmp(status.name, "http://127.0.0.1:", 17) && !strchr(status.name + 7, '/'));
    rpc_close(rpc);
}
END_TEST

START_TEST(refused_configurations)
{
    const char *urls[] = {"http://a", "http://b", "http://a", "ftp://a", "", "http://[", "file:///etc/passwd"};
    struct rpc *rpc;
    struct err e;
    struct {
        size_t first, n;
        unsigned quorum;
    } bad[] = {{0, 0, 1}, {0, 1, 0}, {0, 1, 2}, {0, 3, 2}, {3, 1, 1}, {4, 1, 1}, {5, 1, 1}, {6, 1, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rpc_config config = {.urls = urls + bad[i].first, .n_urls = bad[i].n, .quorum = bad[i].quorum};
        ck_assert_msg(rpc_open(&config, &rpc, &e) == OL_EINVAL, "configuration %zu", i);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rpc");
    TCase *t = tcase_create("rpc");
    tcase_add_checked_fixture(t, listen_silently, stop_listening);
    tcase_add_test(t, cancelled_from_another_thread);
    tcase_add_test(t, silent_until_the_time_limit);
    tcase_add_test(t, refused_configurations);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
