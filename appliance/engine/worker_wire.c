#include "engine/worker_wire.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define MODULE "worker"

struct worker_memory worker_memory_layout(const struct step_limits *limits, size_t page_bytes)
{
    const size_t to = 4096;
    struct worker_memory m = {.results = (step_layout(limits).bytes + to - 1) / to * to};
    size_t results = (size_t)limits->max_logits * sizeof(struct step_result);
    m.page = m.results + (results + to - 1) / to * to;
    m.bytes = m.page + (page_bytes + to - 1) / to * to;
    return m;
}

int worker_send(int fd, const void *message, size_t bytes, struct err *e)
{
    ssize_t n;
    do
        n = send(fd, message, bytes, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)bytes)
        return 0;
    return err_set(e, OL_EIO, MODULE, "sending: %s", n < 0 ? strerror(errno) : "cut off");
}

/* Waits until something can be read. */
static int await(int fd, int timeout_ms, struct err *e)
{
    const int64_t end = clock_mono_ns() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left_ms = timeout_ms < 0 ? -1 : (end - clock_mono_ns() + 999999) / 1000000;
        int n = poll(&p, 1, left_ms < 0 && timeout_ms >= 0 ? 0 : (int)left_ms);
        if (n > 0)
            return 0;
        if (n == 0)
            return err_set(e, OL_EBUSY, MODULE, "nothing within %d ms", timeout_ms);
        if (errno != EINTR)
            return err_set(e, OL_EIO, MODULE, "waiting: %s", strerror(errno));
    }
}

int worker_receive(int fd, void *message, size_t bytes, int timeout_ms, struct err *e)
{
    int rc = await(fd, timeout_ms, e);
    if (rc)
        return rc;
    ssize_t n;
    do
        n = recv(fd, message, bytes, MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)bytes)
        return 0;
    return err_set(e, OL_EIO, MODULE, "receiving: %s", n < 0 ? strerror(errno) : n == 0 ? "closed" : "not our message");
}
