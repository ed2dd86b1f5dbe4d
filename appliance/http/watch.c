#include "http/watch.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SWEEP_MS = 500, EVENTS = 64 };

struct slot {
    int fd;              /* -1: free */
    int next_free;
    uint32_t generation; /* counts the connections that used this slot */
    bool in_epoll;
    int64_t deadline_ns; /* 0: none */
    watch_gone gone;
    void *user;
};

struct watch {
    pthread_mutex_t lock; /* guards the slots */
    pthread_t thread;
    int epoll, stop_event;
    int n_slots, first_free;
    struct slot *slots;
};

/* A ticket is slot + 1 in the low half and the generation in the high half: never 0. */
static uint64_t ticket_of(const struct watch *w, const struct slot *s)
{
    return (uint64_t)s->generation << 32 | (uint32_t)(s - w->slots + 1);
}

static struct slot *find(struct watch *w, uint64_t ticket)
{
    uint32_t index = (uint32_t)ticket;
    if (index == 0 || index > (uint32_t)w->n_slots)
        return NULL;
    struct slot *s = &w->slots[index - 1];
    return s->fd >= 0 && s->generation == ticket >> 32 ? s : NULL;
}

static void fire(struct slot *s, bool hung_up)
{
    watch_gone gone = s->gone;
    s->gone = NULL;
    if (gone)
        gone(s->user, hung_up);
}

static void sweep(struct watch *w)
{
    int64_t now = clock_mono_ns();
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < w->n_slots; i++) {
        struct slot *s = &w->slots[i];
        if (s->fd < 0 || s->deadline_ns == 0 || s->deadline_ns > now)
            continue;
        s->deadline_ns = 0;
        shutdown(s->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&w->lock);
}

static void *watch_main(void *arg)
{
    struct watch *w = arg;
    pthread_setname_np(pthread_self(), "ol-watch");
    struct epoll_event events[EVENTS];
    int64_t next_sweep = clock_mono_ns();
    for (;;) {
        int n = epoll_wait(w->epoll, events, EVENTS, SWEEP_MS);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == 0) /* the stop event */
                return NULL;
            pthread_mutex_lock(&w->lock);
            struct slot *s = find(w, events[i].data.u64);
            if (s)
                fire(s, true);
            pthread_mutex_unlock(&w->lock);
        }
        int64_t now = clock_mono_ns();
        if (now >= next_sweep) {
            sweep(w);
            next_sweep = now + (int64_t)SWEEP_MS * 1000000;
        }
    }
}

static int start(struct watch *w, struct err *e)
{
    struct epoll_event stop = {.events = EPOLLIN, .data.u64 = 0};
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->stop_event = eventfd(0, EFD_CLOEXEC);
    if (w->epoll < 0 || w->stop_event < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->stop_event, &stop) != 0)
        return err_set(e, OL_EIO, "http", "watching connections: %s", strerror(errno));
    int rc = pthread_create(&w->thread, NULL, watch_main, w);
    if (rc != 0)
        return err_set(e, OL_EIO, "http", "starting the watch thread: %s", strerror(rc));
    return 0;
}

static void destroy(struct watch *w)
{
    if (w->epoll >= 0)
        close(w->epoll);
    if (w->stop_event >= 0)
        close(w->stop_event);
    pthread_mutex_destroy(&w->lock);
    free(w->slots);
    free(w);
}

int watch_open(int max_connections, struct watch **out, struct err *e)
{
    *out = NULL;
    struct watch *w = calloc(1, sizeof *w);
    struct slot *slots = calloc((size_t)max_connections, sizeof *slots);
    if (!w || !slots) {
        free(w);
        free(slots);
        return err_set(e, OL_ENOMEM, "http", "no memory to watch %d connections", max_connections);
    }
    w->slots = slots;
    w->n_slots = max_connections;
    for (int i = 0; i < max_connections; i++)
        slots[i] = (struct slot){.fd = -1, .next_free = i + 1 < max_connections ? i + 1 : -1};
    w->epoll = w->stop_event = -1;
    pthread_mutex_init(&w->lock, NULL);
    int rc = start(w, e);
    if (rc != 0) {
        destroy(w);
        return rc;
    }
    *out = w;
    return 0;
}

void watch_close(struct watch *w)
{
    if (!w)
        return;
    uint64_t one = 1;
    ssize_t ignored = write(w->stop_event, &one, sizeof one); /* an eventfd at 0 takes this without blocking */
    (void)ignored;
    pthread_join(w->thread, NULL);
    destroy(w);
}

uint64_t watch_add(struct watch *w, int fd)
{
    pthread_mutex_lock(&w->lock);
    uint64_t ticket = 0;
    if (w->first_free >= 0) {
        struct slot *s = &w->slots[w->first_free];
        w->first_free = s->next_free;
        *s = (struct slot){.fd = fd, .generation = s->generation + 1};
        ticket = ticket_of(w, s);
    }
    pthread_mutex_unlock(&w->lock);
    return ticket;
}

static void leave_epoll(struct watch *w, struct slot *s)
{
    if (s->in_epoll)
        epoll_ctl(w->epoll, EPOLL_CTL_DEL, s->fd, NULL);
    s->in_epoll = false;
    s->gone = NULL;
}

void watch_remove(struct watch *w, uint64_t ticket)
{
    pthread_mutex_lock(&w->lock);
    struct slot *s = find(w, ticket);
    if (s) {
        leave_epoll(w, s);
        s->fd = -1;
        s->next_free = w->first_free;
        w->first_free = (int)(s - w->slots);
    }
    pthread_mutex_unlock(&w->lock);
}

void watch_deadline(struct watch *w, uint64_t ticket, int64_t ms)
{
    pthread_mutex_lock(&w->lock);
    struct slot *s = find(w, ticket);
    if (s)
        s->deadline_ns = ms > 0 ? clock_mono_ns() + ms * 1000000 : 0;
    pthread_mutex_unlock(&w->lock);
}

void watch_arm(struct watch *w, uint64_t ticket, watch_gone gone, void *user)
{
    pthread_mutex_lock(&w->lock);
    struct slot *s = find(w, ticket);
    if (s) {
        struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = ticket};
        s->gone = gone;
        s->user = user;
        s->in_epoll = epoll_ctl(w->epoll, EPOLL_CTL_ADD, s->fd, &event) == 0;
    }
    pthread_mutex_unlock(&w->lock);
}

void watch_disarm(struct watch *w, uint64_t ticket)
{
    pthread_mutex_lock(&w->lock);
    struct slot *s = find(w, ticket);
    if (s)
        leave_epoll(w, s);
    pthread_mutex_unlock(&w->lock);
}

void watch_expire(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < w->n_slots; i++)
        if (w->slots[i].fd >= 0)
            fire(&w->slots[i], false);
    pthread_mutex_unlock(&w->lock);
}
