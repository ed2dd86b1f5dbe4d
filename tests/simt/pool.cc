/* The pool: started once, asleep between kernels. A forked child starts a new one. */
#include "tests/simt/pool.h"

#include <condition_variable>
#include <mutex>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <thread>

namespace simt {

enum { MAX_POOL = 63 };

struct pool {
    std::mutex lock;
    std::condition_variable wake, idle;
    kernel *launch;
    void (*work)(kernel *);
    uint64_t round; /* of work: a thread takes part once in each */
    int threads, inside;
    bool taken;
};

static pool *the; /* never freed: its threads wait in it until the process ends */

static int wanted()
{
#ifdef SIMT_TSAN
    return 0; /* fibers of one thread: all order is the emulator's */
#else
    const char *given = getenv("OPENLORA_SIMT_THREADS");
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    int n = given ? (int)strtol(given, nullptr, 10) : cores;
    return n < 1 ? 0 : n - 1 > MAX_POOL ? (int)MAX_POOL : n - 1;
#endif
}

static void run(pool *p)
{
    std::unique_lock<std::mutex> guard(p->lock);
    for (uint64_t seen = 0;;) {
        p->wake.wait(guard, [&] { return p->round != seen; });
        seen = p->round;
        kernel *k = p->launch;
        if (!k)
            continue; /* it was over before this thread woke */
        p->inside++;
        guard.unlock();
        p->work(k);
        guard.lock();
        p->inside--;
        p->idle.notify_all();
    }
}

static pool *get()
{
    if (the)
        return the;
    the = new pool();
    the->threads = wanted();
    for (int i = 0; i < the->threads; i++)
        std::thread(run, the).detach();
    static bool watched;
    if (!watched)
        pthread_atfork(nullptr, nullptr, [] { the = nullptr; });
    watched = true;
    return the;
}

bool pool_start(kernel *k, void (*work)(kernel *))
{
    pool *p = get();
    if (!p->threads)
        return false;
    std::lock_guard<std::mutex> guard(p->lock);
    if (p->taken)
        return false; /* by the kernel that this one runs within */
    p->taken = true;
    p->launch = k;
    p->work = work;
    p->round++;
    p->wake.notify_all();
    return true;
}

void pool_join()
{
    pool *p = the;
    std::unique_lock<std::mutex> guard(p->lock);
    p->launch = nullptr;
    p->idle.wait(guard, [&] { return !p->inside; });
    p->taken = false;
}

} // namespace simt
