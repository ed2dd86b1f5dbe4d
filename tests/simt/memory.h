/* Addresses. Device memory and shared memory have addresses of their own, at which nothing is mapped: host code, and
 * kernels that go around ld, st and their like, fault at once. The emulator adds a constant to reach the bytes.
 *
 *   global   one range for all emulated GPUs, `span` bytes of it each, then pinned host memory (which the host reads
 *            under the same address). valid[] holds, per 256 bytes, how many of them belong to an allocation.
 *   shared   a window of as many bytes as a block may have; the same for all blocks, each has its own bytes behind. */
#ifndef SIMT_MEMORY_H
#define SIMT_MEMORY_H

#include "tests/simt/count.h"
#include "tests/simt/order.h"

namespace simt {

enum { GRANULE = 256, MAX_SHARED_BYTES = 256 * 1024, MAX_DEVICES = 8 };

struct address_space {
    uintptr_t base;
    size_t bytes;        /* of the whole range */
    size_t span;         /* of one GPU's part */
    ptrdiff_t real;      /* add it to an address to reach its bytes */
    uint16_t *valid;
    stamp *stamps;       /* per STAMP_BYTES */
    uintptr_t shared;    /* the window */
};
extern address_space memory;

void memory_init(); /* once; the runtime does it before its first allocation */

/* Device memory of GPU `device`, or (−1) pinned host memory: aligned to 256 bytes, filled with NaN. NULL: no room. */
void *memory_allocate(int device, size_t bytes);
bool memory_free(void *p, size_t *bytes); /* false: it was never allocated */
int memory_device(const void *p);         /* whose it is; −1 pinned, −2 not from here */
bool memory_is_valid(const void *p, size_t bytes);
inline void *memory_real(const void *p)
{
    return (uintptr_t)p - memory.base < memory.bytes ? (char *)(uintptr_t)p + memory.real : (void *)(uintptr_t)p;
}

[[noreturn]] void bad_global(const void *p, size_t bytes, const char *what, place at);
[[noreturn]] void bad_shared(const void *p, size_t bytes, const char *what, place at);

SIMT_INLINE void order_read_inline(size_t offset, const void *p, place at)
{
    stamp *s = &memory.stamps[offset / STAMP_BYTES];
    const kernel *k = current->block->launch;
    if (__builtin_expect(s->wrote > k->safe, 0))
        order_conflict_read(p, s, k, at);
    s->read = k->number;
}

/* By ldg, which may take the value from a cache that stores pass by. */
SIMT_INLINE void order_constant_inline(size_t offset, const void *p, place at)
{
    stamp *s = &memory.stamps[offset / STAMP_BYTES];
    const kernel *k = current->block->launch;
    if (__builtin_expect(s->wrote > k->safe, 0)) {
        order_conflict_read(p, s, k, at);
        if (s->wrote == k->number)
            order_not_constant(p, "ldg", at);
    }
    s->read = s->constant = k->number;
}

SIMT_INLINE void order_write_inline(size_t offset, const void *p, place at)
{
    stamp *s = &memory.stamps[offset / STAMP_BYTES];
    const kernel *k = current->block->launch;
    if (__builtin_expect(s->wrote > k->safe || s->read > k->safe, 0))
        order_conflict_write(p, s, k, at);
    if (__builtin_expect(s->constant == k->number, 0))
        order_not_constant(p, "store", at);
    s->wrote = k->number;
}

#ifdef SIMT_TSAN /* which must not watch the emulator's own tables */
void order_read(size_t offset, const void *p, place at);
void order_write(size_t offset, const void *p, place at);
void order_constant(size_t offset, const void *p, place at);
#else
SIMT_INLINE void order_read(size_t offset, const void *p, place at) { order_read_inline(offset, p, at); }
SIMT_INLINE void order_write(size_t offset, const void *p, place at) { order_write_inline(offset, p, at); }
SIMT_INLINE void order_constant(size_t offset, const void *p, place at) { order_constant_inline(offset, p, at); }
#endif

/* READ, CONSTANT (nobody writes it meanwhile), STREAM (the same, past L1), WRITE: by one kernel at a time. SHARED_USE: by
 * several, in an order that flags and counts make. */
enum access { READ, CONSTANT, STREAM, WRITE, SHARED_USE };

/* What a kernel reads or writes, checked: inside one allocation, aligned to its size, and in order. */
template <class T> SIMT_INLINE T *global(const T *p, access how, const char *what, place at)
{
    static_assert(sizeof(T) <= 16 && (sizeof(T) & (sizeof(T) - 1)) == 0, "1, 2, 4, 8 or 16 bytes");
    uintptr_t offset = (uintptr_t)p - memory.base;
    if (__builtin_expect(offset >= memory.bytes || offset % sizeof(T) ||
                         offset % GRANULE + sizeof(T) > memory.valid[offset / GRANULE], 0))
        bad_global(p, sizeof(T), what, at);
    if (how == SHARED_USE)
        __atomic_store_n(&memory.stamps[offset / STAMP_BYTES].wrote, current->block->launch->number, __ATOMIC_RELAXED);
    else if (watching & WATCH_ORDER)
        how == WRITE  ? order_write(offset, p, at)
        : how == READ ? order_read(offset, p, at)
                      : order_constant(offset, p, at);
    if (__builtin_expect(watching & WATCH_TRAFFIC, 0))
        count_access(how == STREAM       ? COUNT_STREAM
                     : how == WRITE      ? COUNT_STORE
                     : how == SHARED_USE ? COUNT_ATOMIC
                                         : COUNT_LOAD,
                     (uintptr_t)p, sizeof(T), at);
    return (T *)((uintptr_t)p + (uintptr_t)memory.real);
}

/* A word that others may raise meanwhile. */
SIMT_INLINE const uint32_t *flag(const uint32_t *p, place at)
{
    uintptr_t offset = (uintptr_t)p - memory.base;
    if (offset >= memory.bytes || offset % sizeof *p || offset % GRANULE + sizeof *p > memory.valid[offset / GRANULE])
        bad_global(p, sizeof *p, "load of a flag", at);
    return (const uint32_t *)((uintptr_t)p + (uintptr_t)memory.real);
}

/* `how`: what to count it as; COUNT_LDMATRIX is counted elsewhere. */
template <class T> SIMT_INLINE T *shared(const T *p, counted how, const char *what, place at)
{
    static_assert(sizeof(T) <= 16 && (sizeof(T) & (sizeof(T) - 1)) == 0, "1, 2, 4, 8 or 16 bytes");
    const struct block *b = current->block;
    size_t offset = (uintptr_t)p - memory.shared;
    if (__builtin_expect(offset >= b->launch->shared_bytes || offset + sizeof(T) > b->launch->shared_bytes ||
                         offset % sizeof(T), 0))
        bad_shared(p, sizeof(T), what, at);
    for (size_t i = 0; i < sizeof(T); i += 4)
        if (__builtin_expect(b->in_flight[(offset + i) / 4], 0))
            bad_shared(p, sizeof(T), what, at);
    if (__builtin_expect(watching & WATCH_TRAFFIC, 0) && how != COUNT_LDMATRIX)
        count_access(how, offset, sizeof(T), at);
    return (T *)(b->shared + offset);
}

} // namespace simt

#endif
