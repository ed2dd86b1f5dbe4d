#include "http/stream.h"

#include "base/buf.h"
#include "http/stream_internal.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16 * 1024 };

struct http_stream {
    pthread_mutex_t lock;
    int references;
    struct MHD_Connection *connection; /* NULL before attach and after detach */
    bool suspended;                    /* resumed exactly once for every suspension */
    bool news;                         /* written, ended or woken since the connection last went to sleep */
    bool ended, failed;
    struct buf out;
    size_t sent;                       /* bytes at the front of `out` that libmicrohttpd has */
    size_t accepted;                   /* bytes of the body that went into the socket */
    size_t written;
    void (*drained)(void *);           /* NULL: nobody waits for it */
    void *drained_user;
};

struct http_stream *http_stream_open(size_t max_bytes)
{
    struct http_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->references = 1;
    buf_init(&s->out, max_bytes);
    return s;
}

struct http_stream *http_stream_ref(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->references++;
    pthread_mutex_unlock(&s->lock);
    return s;
}

void http_stream_release(struct http_stream *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    bool last = --s->references == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    buf_deinit(&s->out);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Suspension happens under the lock too, so a resume can never overtake it. */
static void wake_locked(struct http_stream *s)
{
    s->news = true;
    if (!s->suspended)
        return;
    s->suspended = false;
    MHD_resume_connection(s->connection);
}

bool http_stream_write(struct http_stream *s, const void *bytes, size_t n)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failed && !s->ended) {
        if (s->sent > 0 && s->sent >= s->out.len / 2) { /* moving at most as much as was sent keeps this linear */
            buf_drop_front(&s->out, s->sent);
            s->sent = 0;
        }
        buf_add(&s->out, bytes, n);
        s->written += n;
        if (buf_failed(&s->out))
            s->failed = true;
        wake_locked(s);
    }
    bool ok = !s->failed;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

void http_stream_end(struct http_stream *s, bool complete)
{
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    if (!complete)
        s->failed = true;
    wake_locked(s);
    pthread_mutex_unlock(&s->lock);
}

void http_stream_wake(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    wake_locked(s);
    pthread_mutex_unlock(&s->lock);
}

void http_stream_attach(struct http_stream *s, struct MHD_Connection *connection)
{
    pthread_mutex_lock(&s->lock);
    s->connection = connection;
    pthread_mutex_unlock(&s->lock);
}

/* Unlocks, then tells who waits for it that nothing more will be, or has to be, taken. */
static void unlock_drained(struct http_stream *s)
{
    void (*drained)(void *) = s->failed || s->accepted == s->written ? s->drained : NULL;
    void *user = s->drained_user;
    if (drained)
        s->drained = NULL;
    pthread_mutex_unlock(&s->lock);
    if (drained)
        drained(user);
}

void http_stream_detach(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->connection = NULL;
    s->suspended = false;
    s->failed = true; /* nobody is left to read: producers may stop */
    unlock_drained(s);
}

size_t http_stream_accepted(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    size_t n = s->accepted;
    pthread_mutex_unlock(&s->lock);
    return n;
}

bool http_stream_when_drained(struct http_stream *s, void (*drained)(void *user), void *user)
{
    pthread_mutex_lock(&s->lock);
    bool later = !s->failed && s->accepted < s->written;
    if (later) {
        s->drained = drained;
        s->drained_user = user;
    }
    pthread_mutex_unlock(&s->lock);
    return later;
}

bool http_stream_suspend(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    bool sleep = !s->news && s->connection;
    if (sleep) {
        s->suspended = true;
        MHD_suspend_connection(s->connection);
    }
    s->news = false;
    pthread_mutex_unlock(&s->lock);
    return sleep;
}

bool http_stream_failed(struct http_stream *s)
{
    pthread_mutex_lock(&s->lock);
    bool failed = s->failed;
    pthread_mutex_unlock(&s->lock);
    return failed;
}

static ssize_t read_block(void *user, uint64_t position, char *to, size_t max)
{
    struct http_stream *s = user;
    ssize_t n = 0;
    pthread_mutex_lock(&s->lock);
    s->accepted = (size_t)position; /* libmicrohttpd asks for more only when all it got is in the socket */
    size_t waiting = s->out.len - s->sent;
    if (s->failed) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (waiting > 0) {
        n = (ssize_t)(waiting < max ? waiting : max);
        memcpy(to, s->out.data + s->sent, (size_t)n);
        s->sent += (size_t)n;
    } else if (s->ended) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (s->connection) {
        s->news = false;
        s->suspended = true;
        MHD_suspend_connection(s->connection);
    }
    unlock_drained(s);
    return n;
}

static void free_response(void *user) { http_stream_release(user); }

struct MHD_Response *http_stream_response(struct http_stream *s)
{
    struct MHD_Response *r =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_block, http_stream_ref(s), free_response);
    if (!r)
        http_stream_release(s);
    return r;
}
