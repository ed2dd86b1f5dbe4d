/* Thread pool over futexes. `epoch` moves when a run begins; `active` is the number of workers inside the run, with
 * the bit OPEN while it may be joined. A worker that comes late finds it closed and goes back to waiting, so the
 * job and its argument are never touched after pool_run has returned. Pitfall: gate.next grows past n by one for
 * every thread that finds nothing left; it has room for that. */
#include "kernels/cpu/threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <xmmintrin.h>

enum { MXCSR_DEFAULT = 0x1f80 }; /* all exceptions masked, round to nearest, FTZ and DAZ off */
#define OPEN 0x80000000u

struct worker {
    struct pool *pool;
    pthread_t thread;
    int index;
};

struct pool {
    alignas(64) _Atomic uint32_t epoch;
    _Atomic uint32_t epoch_sleepers;
    alignas(64) _Atomic uint32_t active;
    _Atomic uint32_t active_sleepers;
    atomic_bool stop;
    void (*job)(void *arg, int worker); /* written only while `active` is 0 */
    void *arg;
    pthread_mutex_t run_lock;
    int n_workers; /* threads − 1 */
    struct worker *workers;
};

static long futex(_Atomic uint32_t *word, int op, uint32_t value)
{
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Returns when *word is no longer `old`, or at times earlier: the caller looks again. `deadline` 0 is set on the
 * first call of a wait; past it the thread sleeps. A waker changes *word and then calls wake. */
static void wait_change(_Atomic uint32_t *word, uint32_t old, _Atomic uint32_t *sleepers, int64_t *deadline)
{
    if (*deadline == 0)
        *deadline = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < 16; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != old)
                return;
            _mm_pause();
        }
    } while (now_ns() < *deadline);
    atomic_fetch_add(sleepers, 1);
    futex(word, FUTEX_WAIT, old);
    atomic_fetch_sub(sleepers, 1);
}

/* Sequentially consistent against wait_change: either the sleeper is counted here, or the futex sees the change. */
static void wake(_Atomic uint32_t *word, _Atomic uint32_t *sleepers)
{
    if (atomic_load(sleepers))
        futex(word, FUTEX_WAKE, INT_MAX);
}

void gate_open(struct gate *g, int n)
{
    atomic_store(&g->opened, (uint32_t)n + 1);
    wake(&g->opened, &g->sleepers);
}

int gate_wait(struct gate *g)
{
    uint32_t opened;
    for (int64_t deadline = 0; !(opened = atomic_load_explicit(&g->opened, memory_order_acquire));)
        wait_change(&g->opened, 0, &g->sleepers, &deadline);
    return (int)(opened - 1);
}

bool gate_finish(struct gate *g, int n, int finished)
{
    return finished && atomic_fetch_add(&g->done, (uint32_t)finished) + (uint32_t)finished == (uint32_t)n;
}

void gate_reset(struct gate *g)
{
    atomic_store_explicit(&g->opened, 0, memory_order_relaxed);
    atomic_store_explicit(&g->next, 0, memory_order_relaxed);
    atomic_store_explicit(&g->done, 0, memory_order_relaxed);
}

static bool join(struct pool *p)
{
    uint32_t a = atomic_load(&p->active);
    while (a & OPEN) {
        if (atomic_compare_exchange_weak(&p->active, &a, a + 1))
            return true;
    }
    return false;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    _mm_setcsr(MXCSR_DEFAULT);
    uint32_t seen = 0;
    for (;;) {
        int64_t deadline = 0;
        uint32_t epoch;
        while ((epoch = atomic_load(&p->epoch)) == seen)
            wait_change(&p->epoch, seen, &p->epoch_sleepers, &deadline);
        seen = epoch;
        if (atomic_load(&p->stop))
            return NULL;
        if (!join(p))
            continue;
        p->job(p->arg, w->index);
        if (atomic_fetch_sub(&p->active, 1) == 1)
            wake(&p->active, &p->active_sleepers);
    }
}

static void begin_epoch(struct pool *p)
{
    atomic_fetch_add(&p->epoch, 1);
    wake(&p->epoch, &p->epoch_sleepers);
}

void pool_run(struct pool *p, void (*job)(void *arg, int worker), void *arg)
{
    unsigned csr = _mm_getcsr();
    pthread_mutex_lock(&p->run_lock);
    _mm_setcsr(MXCSR_DEFAULT);
    if (p->n_workers) {
        p->job = job;
        p->arg = arg;
        atomic_store(&p->active, OPEN);
        begin_epoch(p);
    }
    job(arg, 0);
    if (p->n_workers) {
        uint32_t inside = atomic_fetch_and(&p->active, ~OPEN) & ~OPEN;
        for (int64_t deadline = 0; inside; inside = atomic_load(&p->active))
            wait_change(&p->active, inside, &p->active_sleepers, &deadline);
    }
    pthread_mutex_unlock(&p->run_lock);
    _mm_setcsr(csr);
}

int pool_open(int threads, struct pool **out, struct err *e)
{
    *out = NULL;
    struct pool *p = aligned_alloc(64, sizeof *p);
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    if (!p || !workers) {
        free(p);
        free(workers);
        return err_set(e, OL_ENOMEM, "cpu", "no memory for a pool of %d threads", threads);
    }
    *p = (struct pool){.run_lock = PTHREAD_MUTEX_INITIALIZER, .workers = workers};
    for (int i = 0; i < threads - 1; i++) {
        workers[i] = (struct worker){.pool = p, .index = i + 1};
        int rc = pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]);
        if (rc) {
            pool_close(p);
            return err_set(e, OL_EIO, "cpu", "cannot start compute thread %d of %d: error %d", i + 2, threads, rc);
        }
        p->n_workers++;
    }
    *out = p;
    return 0;
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    atomic_store(&p->stop, true);
    begin_epoch(p);
    for (int i = 0; i < p->n_workers; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_mutex_destroy(&p->run_lock);
    free(p->workers);
    free(p);
}

int pool_threads(const struct pool *p) { return p->n_workers + 1; }
