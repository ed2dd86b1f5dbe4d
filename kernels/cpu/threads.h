/* A pool of compute threads, and the hand-out of tiles among them.
 *
 * A run is joined by the calling thread and by every worker that gets there in time; nobody waits for a worker that
 * the operating system has not scheduled yet, because completion counts finished tiles, not arrived threads. Waits
 * spin for at most SPIN_NS and then sleep on a futex: cores are shared with other threads of the process. */
#ifndef OPENLORA_KERNELS_CPU_THREADS_H
#define OPENLORA_KERNELS_CPU_THREADS_H

#include "base/err.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SPIN_NS = 50000 };

struct pool;

int pool_open(int threads, struct pool **out, struct err *e); /* returns owned; threads: the caller included, ≥ 1 */
void pool_close(struct pool *p);                              /* NULL is fine; no run may be under way */
int pool_threads(const struct pool *p);

/* Calls job(arg, 0) here and job(arg, w), w = 1 .. threads−1, on workers; returns when all calls that began have
 * ended. Any or none of the workers may take part, any of them even twice: `job` takes its work from gates. Runs
 * of several threads queue up. Float control is the default one (round to nearest, subnormals kept) in all calls. */
void pool_run(struct pool *p, void (*job)(void *arg, int worker), void *arg);

/* Hands out tiles 0 .. n−1, each once, as soon as it is opened. Zeroed memory is a closed gate. */
struct gate {
    alignas(64) _Atomic uint32_t opened; /* n + 1; 0 = closed */
    _Atomic uint32_t sleepers;
    _Atomic uint32_t next, done;
};

void gate_open(struct gate *g, int n); /* what the opener wrote before is visible to who comes through */
int gate_wait(struct gate *g);         /* until it is open: n */
bool gate_finish(struct gate *g, int n, int finished); /* this thread completed so many: true for the last of all n */
void gate_reset(struct gate *g);                       /* only while nobody uses it */

static inline int gate_take(struct gate *g) /* the tile taken; n or more: none is left */
{
    return (int)atomic_fetch_add_explicit(&g->next, 1, memory_order_relaxed);
}

#endif
