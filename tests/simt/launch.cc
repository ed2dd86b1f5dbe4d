/* A kernel from its launch to its end: the order of its blocks, and what each of them needs. */
#include "tests/simt/launch.h"
#include "tests/simt/memory.h"
#include "tests/simt/scheduler.h"

#include <numeric>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

namespace simt {

static thread_local std::vector<block *> idle; /* blocks with stacks, for the next kernel */

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
    k->started = 0;
    k->first = random_below((uint32_t)k->blocks);
    do
        k->step = 1 + random_below((uint32_t)k->blocks);
    while (std::gcd(k->step, k->blocks) != 1);
}

static block *next_block(kernel *k)
{
    if (k->started == k->blocks)
        return nullptr;
    block *b = idle.empty() ? new_block() : idle.back();
    if (!idle.empty())
        idle.pop_back();
    int threads = (int)(k->block.x * k->block.y * k->block.z);
    for (int i = 0; i < threads; i++)
        if (!b->lanes[i].context.stack)
            fiber_allocate(&b->lanes[i].context, (unsigned)i);
    start_next(b, k, (k->first + k->started++ * k->step) % k->blocks);
    return b;
}

void run_kernel(kernel *k)
{
    shuffle_blocks(k);
    release(&k->start);
    run_blocks(k, next_block);
    acquire(&k->end);
}

} // namespace simt
