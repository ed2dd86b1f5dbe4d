#include "http/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct job {
    void (*run)(void *);
    void *user;
};

struct worker {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool stop, joined; /* joined: only of the thread that stops and closes */
    int first, n, max; /* a ring */
    struct job *jobs;
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    pthread_setname_np(pthread_self(), "ol-files");
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->n == 0 && !w->stop)
            pthread_cond_wait(&w->changed, &w->lock);
        if (w->n == 0)
            break;
        struct job job = w->jobs[w->first];
        w->first = (w->first + 1) % w->max;
        w->n--;
        pthread_mutex_unlock(&w->lock);
        job.run(job.user);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void destroy(struct worker *w)
{
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->changed);
    free(w->jobs);
    free(w);
}

int worker_open(int max_jobs, struct worker **out, struct err *e)
{
    *out = NULL;
    struct worker *w = calloc(1, sizeof *w);
    struct job *jobs = calloc((size_t)max_jobs, sizeof *jobs);
    if (!w || !jobs) {
        free(w);
        free(jobs);
        return err_set(e, OL_ENOMEM, "http", "no memory for a worker thread");
    }
    w->jobs = jobs;
    w->max = max_jobs;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    if (rc != 0) {
        destroy(w);
        return err_set(e, OL_EIO, "http", "starting a worker thread: %s", strerror(rc));
    }
    *out = w;
    return 0;
}

void worker_stop(struct worker *w)
{
    if (!w || w->joined)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    w->joined = true;
}

void worker_close(struct worker *w)
{
    worker_stop(w);
    if (w)
        destroy(w);
}

bool worker_do(struct worker *w, void (*run)(void *user), void *user)
{
    pthread_mutex_lock(&w->lock);
    bool room = w->n < w->max && !w->stop;
    if (room) {
        w->jobs[(w->first + w->n) % w->max] = (struct job){run, user};
        w->n++;
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return room;
}
