/* A kernel from its launch to its end: the order of its blocks, and what each of them needs. */
#include "tests/simt/launch.h"
#include "tests/simt/count.h"
#include "tests/simt/memory.h"
#include "tests/simt/pool.h"
#include "tests/simt/scheduler.h"

#include <numeric>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

namespace simt {

/* Blocks with stacks, for the next kernel of this thread. */
struct idle_blocks : std::vector<block *> {
    ~idle_blocks();
};
static thread_local idle_blocks idle;

idle_blocks::~idle_blocks()
{
    for (block *b : *this) {
        for (int i = 0; i < MAX_THREADS && b->lanes[i].context.stack; i++)
            fiber_free(&b->lanes[i].context);
        delete[] b->lanes;
        free(b->in_flight);
#ifndef SIMT_TSAN
        free(b->shared);
#endif
        delete b;
    }
}

static block *new_block()
{
    block *b = new block();
    b->lanes = new lane[MAX_THREADS]();
    return b;
}

/* memset that ThreadSanitizer does not see: to it the bytes are fresh. */
static void fill(void *to, int value, size_t bytes)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
}

void block_memory(block *b)
{
    size_t bytes = b->launch->shared_bytes;
#ifdef SIMT_TSAN
    /* Addresses that no earlier block used, whose threads these ones are not ordered with. */
    b->shared = bytes ? (unsigned char *)mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                      : nullptr;
#else
    if (!b->shared)
        b->shared = (unsigned char *)aligned_alloc(128, MAX_SHARED_BYTES);
#endif
    if (!b->in_flight)
        b->in_flight = (uint8_t *)malloc(MAX_SHARED_BYTES / 4);
    if (bytes)
        fill(b->shared, 0xff, bytes);
    fill(b->in_flight, 0, bytes / 4 + 1);
}

void block_done(block *b)
{
#ifdef SIMT_TSAN
    if (b->shared)
        munmap(b->shared, b->launch->shared_bytes);
#endif
    idle.push_back(b);
}

/* Any order of a grid is allowed; this one is an arithmetic progression from a random start. */
static void shuffle_blocks(kernel *k)
{
    k->blocks = (uint64_t)k->grid.x * k->grid.y * k->grid.z;
    k->started = k->finished = 0;
    k->first = random_below((uint32_t)k->blocks);
    do
        k->step = 1 + random_below((uint32_t)k->blocks);
    while (std::gcd(k->step, k->blocks) != 1);
}

/* Threads of blocks that take the same fibers one after the other are ordered to ThreadSanitizer, and making a fiber
 * takes it long: a few sets of them are used in turn, at random, so that races between most pairs of blocks show. */
static block *take_block(const kernel *k)
{
#ifdef SIMT_TSAN
    enum { SETS = 4 };
    static int made;
    bool another = made < SETS && (uint64_t)made < k->blocks;
    made += another;
#else
    (void)k;
    bool another = false;
#endif
    if (idle.empty() || another)
        return new_block();
    size_t which = random_below((uint32_t)idle.size());
    std::swap(idle[which], idle.back());
    block *b = idle.back();
    idle.pop_back();
    return b;
}

static block *next_block(kernel *k)
{
    uint64_t turn = __atomic_fetch_add(&k->started, 1, __ATOMIC_RELAXED);
    if (turn >= k->blocks)
        return nullptr;
    block *b = take_block(k);
    int threads = (int)(k->block.x * k->block.y * k->block.z);
    for (int i = 0; i < threads; i++)
        if (!b->lanes[i].context.stack)
            fiber_allocate(&b->lanes[i].context, (unsigned)i);
    start_block(b, k, (k->first + turn * k->step) % k->blocks);
    return b;
}

static void help(kernel *k) { run_blocks(k, next_block, false); }

enum { WORTH_THREADS = 2048 }; /* smaller grids are over before another thread wakes */

void run_kernel(kernel *k)
{
    shuffle_blocks(k);
    if (watching & WATCH_TRAFFIC)
        count_begin(k);
    bool helped = !(watching & WATCH_TRAFFIC) && k->blocks > 1 &&
                  k->blocks * k->block.x * k->block.y * k->block.z >= WORTH_THREADS && pool_start(k, help);
    run_blocks(k, next_block, true);
    if (helped)
        pool_join();
    if (watching & WATCH_TRAFFIC)
        count_end(k);
    acquire(&k->end);
}

} // namespace simt
