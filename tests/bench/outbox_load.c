/* outbox_load SOCKET MODEL COUNT POST THREADS RATE: window by window reserves receipts as fast as it goes, then records
 * them in POSTs of POST at RATE receipts per second (0: as fast as it goes) over THREADS connections, COUNT in all. Prints
 * one JSON line. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char zero[] = "0x0000000000000000000000000000000000000000000000000000000000000000";
static const char *socket_path, *model;
enum { WINDOW = 50000 }; /* reservations open at a time */

static long base, count, per_post, threads, rate; /* of this window: first receipt, how many */
static bool recording;
static atomic_long next_post, failures;
static int64_t *latency_ns, start_ns;

static void id_of(long i, char out[67]) { snprintf(out, 67, "0x%08lx%056lx", (long)getpid(), base + i + 1); }

static void add_reservation(struct buf *b, long i)
{
    char id[67];
    id_of(i, id);
    buf_printf(b, "{\"receipt_id\":\"%s\",\"tenant\":\"tenant-%ld\",\"caller\":\"%s\",\"voucher\":null,\"payer\":null,"
               "\"model_version\":\"%s\",\"adapter_version\":\"%s\",\"tier\":0,\"prompt_tokens\":1000,"
               "\"max_output_tokens\":100,\"request_hash\":\"%s\"}", id, i % 12, zero, model, zero, id);
}

static void add_receipt(struct buf *b, long i)
{
    char id[67];
    id_of(i, id);
    buf_printf(b, "{\"receipt_id\":\"%s\",\"status\":1,\"kind\":1,\"numerics\":\"%s\",\"response_hash\":\"%s\","
               "\"start_time_ms\":%lld,\"queue_ms\":1,\"prefill_ms\":20,\"decode_ms\":300,\"prompt_tokens\":1000,"
               "\"cached_tokens\":0,\"output_tokens\":50,\"mean_logprob_micro\":-120000,\"attribution\":null}", id, zero,
               id, (long long)clock_unix_ms() - 400);
}

static int open_socket(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = write(fd, bytes, n);
        CHECK(sent > 0);
        bytes += sent;
        n -= (size_t)sent;
    }
}

/* Reads one answer; how many items of it are fine. */
static long read_answer(int fd, char *buffer, size_t cap)
{
    size_t got = 0, need = 0;
    long ok = 0;
    while (need == 0 || got < need) {
        ssize_t n = read(fd, buffer + got, cap - 1 - got);
        CHECK(n > 0);
        got += (size_t)n;
        buffer[got] = '\0';
        char *end = need ? NULL : strstr(buffer, "\r\n\r\n"), *length = strstr(buffer, "Content-Length: ");
        if (end && length)
            need = (size_t)(end + 4 - buffer) + strtoul(length + 16, NULL, 10);
    }
    for (char *p = buffer; (p = strstr(p, "\"ok\":true")); p++)
        ok++;
    return ok;
}

static void *client(void *arg)
{
    size_t cap = 2 << 20;
    char *buffer = malloc(cap), head[128];
    struct buf body;
    (void)arg;
    CHECK(buffer);
    buf_init(&body, cap);
    int fd = open_socket();
    for (long post; (post = atomic_fetch_add(&next_post, 1)) * per_post < count;) {
        long first = post * per_post, n = count - first < per_post ? count - first : per_post;
        buf_reset(&body);
        buf_add_str(&body, recording ? "{\"receipts\":[" : "{\"reservations\":[");
        for (long i = first; i < first + n; i++) {
            buf_add_str(&body, i > first ? "," : "");
            recording ? add_receipt(&body, i) : add_reservation(&body, i);
        }
        buf_add_str(&body, "]}");
        int len = snprintf(head, sizeof head, "POST /v1/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                           recording ? "receipts" : "reservations", body.len);
        int64_t due = recording && rate ? start_ns + first * 1000000000 / rate : 0, now = clock_mono_ns();
        if (due > now)
            nanosleep(&(struct timespec){(due - now) / 1000000000, (due - now) % 1000000000}, NULL);
        int64_t from = clock_mono_ns();
        send_all(fd, head, (size_t)len);
        send_all(fd, body.data, body.len);
        atomic_fetch_add(&failures, n - read_answer(fd, buffer, cap));
        if (recording)
            latency_ns[base / per_post + post] = clock_mono_ns() - from;
    }
    close(fd);
    buf_deinit(&body);
    free(buffer);
    return NULL;
}

/* Seconds. */
static double phase(void)
{
    pthread_t all[64];
    atomic_store(&next_post, 0);
    start_ns = clock_mono_ns();
    for (long i = 0; i < threads; i++)
        pthread_create(&all[i], NULL, client, NULL);
    for (long i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    return (double)(clock_mono_ns() - start_ns) * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    socket_path = argv[1];
    model = argv[2];
    long all = strtol(argv[3], NULL, 10), post = strtol(argv[4], NULL, 10);
    threads = strtol(argv[5], NULL, 10);
    rate = strtol(argv[6], NULL, 10);
    CHECK(all > 0 && post > 0 && post <= 256 && threads > 0 && threads <= 64);
    long window = WINDOW / post * post, posts = (all + post - 1) / post;
    latency_ns = calloc((size_t)posts, sizeof *latency_ns);
    CHECK(latency_ns);
    double reserving = 0, recorded = 0;
    for (base = 0; base < all; base += window) {
        count = all - base < window ? all - base : window;
        per_post = 256;
        recording = false;
        reserving += phase();
        per_post = post;
        recording = true;
        recorded += phase();
    }
    qsort(latency_ns, (size_t)posts, sizeof *latency_ns, by_value);
    printf("{\"reservations_per_s\":%.0f,\"receipts_per_s\":%.0f,\"failures\":%ld,\"p50_ms\":%.2f,\"p99_ms\":%.2f,"
           "\"max_ms\":%.2f}\n", (double)all / reserving, (double)all / recorded, atomic_load(&failures),
           (double)latency_ns[posts / 2] * 1e-6,
           (double)latency_ns[posts * 99 / 100] * 1e-6, (double)latency_ns[posts - 1] * 1e-6);
    return atomic_load(&failures) != 0;
}
