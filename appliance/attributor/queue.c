#include "attributor/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROOM = 2048, LOOK_MS = 100 };

struct ring {
    struct queued at[ROOM];
    uint32_t first, n;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t work;
    bool stop;
    struct ring rings[2]; /* [0]: those that go first */
};

int queue_open(struct queue **out, struct err *e)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(e, OL_ENOMEM, "attributor", "no memory for the queue of gradients");
    pthread_mutex_init(&(*out)->lock, NULL);
    pthread_cond_init(&(*out)->work, NULL);
    return 0;
}

void queue_close(struct queue *q)
{
    if (!q)
        return;
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->work);
    free(q);
}

void queue_stop(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->stop = true;
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->lock);
}

bool queue_add(struct queue *q, const struct queued *job, bool first)
{
    struct ring *r = &q->rings[first ? 0 : 1];
    pthread_mutex_lock(&q->lock);
    bool room = r->n < ROOM;
    if (room) {
        r->at[(r->first + r->n++) % ROOM] = *job;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    return room;
}

/* Lock held. */
static bool take(struct queue *q, bool busy, struct queued *out)
{
    for (int i = 0; i < (busy ? 1 : 2); i++) {
        struct ring *r = &q->rings[i];
        if (r->n == 0)
            continue;
        *out = r->at[r->first];
        r->first = (r->first + 1) % ROOM;
        r->n--;
        return true;
    }
    return false;
}

/* The engine does not tell when it falls idle, so that is looked at again after a while. */
static void wait_a_while(struct queue *q)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&q->work, &q->lock, &until);
}

bool queue_take(struct queue *q, bool (*busy)(void *user), void *user, struct queued *out)
{
    bool taken = false;
    pthread_mutex_lock(&q->lock);
    while (!q->stop && !taken) {
        bool idle_work = q->rings[1].n > 0;
        if (q->rings[0].n + q->rings[1].n == 0) {
            pthread_cond_wait(&q->work, &q->lock);
            continue;
        }
        pthread_mutex_unlock(&q->lock);
        bool is_busy = idle_work && busy(user); /* not under the lock: it asks the engine */
        pthread_mutex_lock(&q->lock);
        taken = !q->stop && take(q, is_busy, out);
        if (!taken && !q->stop)
            wait_a_while(q);
    }
    pthread_mutex_unlock(&q->lock);
    return taken;
}

uint32_t queue_waiting(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    uint32_t n = q->rings[0].n + q->rings[1].n;
    pthread_mutex_unlock(&q->lock);
    return n;
}
