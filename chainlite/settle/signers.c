#include "chainlite/settle/signers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_HELPERS = 7, WORTH_SHARING = 8 /* fewer are done before a helper is awake */ };

struct job { /* on its caller's stack, in the list while indices are left */
    void (*one)(void *user, size_t i);
    void *user;
    size_t n;
    atomic_size_t next;
    unsigned helpers; /* in it; guarded by the lock */
    struct job *after;
};

struct signers {
    pthread_mutex_t lock;
    pthread_cond_t work, left; /* a job came; a helper left one */
    struct job *jobs;
    bool stop;
    int n;
    pthread_t thread[MAX_HELPERS];
};

static void work_on(struct job *j)
{
    for (size_t i; (i = atomic_fetch_add(&j->next, 1)) < j->n;)
        j->one(j->user, i);
}

/* With the lock held. */
static void take_out(struct signers *s, const struct job *j)
{
    struct job **at = &s->jobs;
    while (*at && *at != j)
        at = &(*at)->after;
    if (*at)
        *at = j->after;
}

static void *help(void *user)
{
    struct signers *s = user;
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        struct job *j = s->jobs;
        if (!j) {
            pthread_cond_wait(&s->work, &s->lock);
            continue;
        }
        j->helpers++;
        pthread_mutex_unlock(&s->lock);
        work_on(j);
        pthread_mutex_lock(&s->lock);
        take_out(s, j); /* no index is left */
        j->helpers--;
        pthread_cond_broadcast(&s->left);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

struct signers *signers_open(void)
{
    struct signers *s = calloc(1, sizeof *s);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->left, NULL);
    while (s->n < MAX_HELPERS && s->n + 1 < cores && pthread_create(&s->thread[s->n], NULL, help, s) == 0)
        s->n++;
    return s;
}

void signers_close(struct signers *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    CHECK(!s->jobs);
    s->stop = true;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->n; i++)
        pthread_join(s->thread[i], NULL);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->left);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void signers_run(struct signers *s, size_t n, void (*one)(void *user, size_t i), void *user)
{
    struct job j = {.one = one, .user = user, .n = n};
    bool shared = s->n > 0 && n >= WORTH_SHARING;
    if (shared) {
        pthread_mutex_lock(&s->lock);
        j.after = s->jobs;
        s->jobs = &j;
        pthread_cond_broadcast(&s->work);
        pthread_mutex_unlock(&s->lock);
    }
    work_on(&j);
    if (!shared)
        return;
    pthread_mutex_lock(&s->lock);
    take_out(s, &j);
    while (j.helpers)
        pthread_cond_wait(&s->left, &s->lock);
    pthread_mutex_unlock(&s->lock);
}
