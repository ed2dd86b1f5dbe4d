/* The address space, allocation, and what is wrong with an address. Addresses are not used twice, so that a stale
 * pointer is always seen. */
#include "tests/simt/memory.h"

#include <map>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

namespace simt {

address_space memory;

#ifdef SIMT_TSAN
static const size_t SPAN = (size_t)4 << 30;
#else
static const size_t SPAN = (size_t)32 << 30;
#endif
static const size_t POISONED_BYTES = (size_t)64 << 20; /* larger allocations get NaN at both ends only */

static std::mutex lock;
static std::map<uintptr_t, size_t> allocations; /* live ones: address and size */
static size_t used[MAX_DEVICES + 1];            /* the next free offset of each part; the last one is pinned memory's */

static void *reserve(void *where, size_t bytes, int protection, int flags, int file)
{
    void *p = mmap(where, bytes, protection, flags | MAP_NORESERVE, file, 0);
    if (p == MAP_FAILED) {
        perror("simt: cannot reserve addresses");
        abort();
    }
    return p;
}

static void init()
{
    size_t devices = MAX_DEVICES * SPAN, whole = devices + SPAN;
    int file = memfd_create("simt-pinned", 0);
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c") || file < 0 ||
        ftruncate(file, (off_t)SPAN)) {
        fprintf(stderr, "simt: the emulator needs an x86-64 processor with AVX2, FMA and F16C, and memfd_create\n");
        abort();
    }
    char *address = (char *)reserve(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    char *bytes = (char *)reserve(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    reserve(bytes, devices, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
    reserve(bytes + devices, SPAN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file);
    reserve(address + devices, SPAN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file);
    close(file);
    memory.base = (uintptr_t)address;
    memory.bytes = whole;
    memory.span = SPAN;
    memory.real = bytes - address;
    memory.valid = (uint16_t *)reserve(nullptr, whole / GRANULE * sizeof(uint16_t), PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1);
    memory.stamps = (stamp *)reserve(nullptr, whole / STAMP_BYTES * sizeof(stamp), PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1);
    memory.shared = (uintptr_t)reserve(nullptr, 2 * MAX_SHARED_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1) +
                    MAX_SHARED_BYTES / 2;
    report_faults();
}

void memory_init()
{
    static std::once_flag once;
    std::call_once(once, init);
}

static void poison(void *p, size_t bytes)
{
    char *at = (char *)memory_real(p);
    if (bytes <= 2 * POISONED_BYTES) {
        memset(at, 0xff, bytes);
    } else {
        memset(at, 0xff, POISONED_BYTES);
        memset(at + bytes - POISONED_BYTES, 0xff, POISONED_BYTES);
    }
}

void *memory_allocate(int device, size_t bytes)
{
    memory_init();
    std::lock_guard<std::mutex> guard(lock);
    int part = device < 0 ? (int)MAX_DEVICES : device;
    size_t granules = (bytes + GRANULE - 1) / GRANULE;
    size_t whole = (granules + 1) * GRANULE; /* one granule of nobody's between allocations */
    if (whole > SPAN - used[part])
        return nullptr;
    size_t offset = (size_t)part * SPAN + used[part];
    used[part] += whole;
    for (size_t i = 0; i < granules; i++)
        memory.valid[offset / GRANULE + i] =
            (uint16_t)(i + 1 < granules || bytes % GRANULE == 0 ? (size_t)GRANULE : bytes % GRANULE);
    void *p = (void *)(memory.base + offset);
    allocations[(uintptr_t)p] = bytes;
    poison(p, bytes);
    return p;
}

bool memory_free(void *p, size_t *bytes)
{
    std::lock_guard<std::mutex> guard(lock);
    auto found = allocations.find((uintptr_t)p);
    if (found == allocations.end())
        return false;
    *bytes = found->second;
    allocations.erase(found);
    size_t offset = (uintptr_t)p - memory.base, granules = (*bytes + GRANULE - 1) / GRANULE;
    memset(&memory.valid[offset / GRANULE], 0, granules * sizeof(uint16_t));
    uintptr_t from = ((uintptr_t)memory_real(p) + 4095) & ~(uintptr_t)4095;
    uintptr_t to = ((uintptr_t)memory_real(p) + *bytes) & ~(uintptr_t)4095;
    if (to > from)
        madvise((void *)from, to - from, offset < MAX_DEVICES * SPAN ? MADV_DONTNEED : MADV_REMOVE);
    return true;
}

int memory_device(const void *p)
{
    size_t offset = (uintptr_t)p - memory.base;
    if (!memory.bytes || offset >= memory.bytes)
        return -2;
    return offset / SPAN == MAX_DEVICES ? -1 : (int)(offset / SPAN);
}

bool memory_is_valid(const void *p, size_t bytes)
{
    std::lock_guard<std::mutex> guard(lock);
    auto after = allocations.upper_bound((uintptr_t)p);
    if (after == allocations.begin())
        return false;
    --after;
    return (uintptr_t)p + bytes <= after->first + after->second;
}

/* "17 bytes past the end of an allocation of 64 bytes". */
static void describe(const void *p, char *text, size_t size)
{
    std::lock_guard<std::mutex> guard(lock);
    auto after = allocations.upper_bound((uintptr_t)p);
    if (!p) {
        snprintf(text, size, "a null pointer");
    } else if (after == allocations.begin()) {
        snprintf(text, size, "no allocation lies there");
    } else {
        --after;
        size_t in = (uintptr_t)p - after->first;
        if (in < after->second)
            snprintf(text, size, "offset %zu of an allocation of %zu bytes", in, after->second);
        else if (in - after->second < 1 << 20)
            snprintf(text, size, "%zu bytes past the end of an allocation of %zu bytes", in - after->second,
                     after->second);
        else
            snprintf(text, size, "no live allocation lies there");
    }
}

void bad_global(const void *p, size_t bytes, const char *what, place at)
{
    char where[128];
    if ((uintptr_t)p - memory.shared < MAX_SHARED_BYTES)
        violation(at, "%s of %zu bytes: the address is of shared memory, not global", what, bytes);
    describe(p, where, sizeof where);
    if ((uintptr_t)p % bytes)
        violation(at, "misaligned %s of %zu bytes at global address %p: %s", what, bytes, p, where);
    violation(at, "%s of %zu bytes outside any allocation at global address %p: %s", what, bytes, p, where);
}

void bad_shared(const void *p, size_t bytes, const char *what, place at)
{
    const block *b = current->block;
    size_t offset = (uintptr_t)p - memory.shared, size = b->launch->shared_bytes;
    if (offset + MAX_SHARED_BYTES / 2 >= 2 * MAX_SHARED_BYTES)
        violation(at, "%s of %zu bytes at %p, which is no address of shared memory", what, bytes, p);
    if (offset % bytes)
        violation(at, "misaligned %s of %zu bytes at offset %zd of shared memory", what, bytes, (ssize_t)offset);
    if (offset >= size || offset + bytes > size)
        violation(at, "%s of %zu bytes at offset %zd of shared memory, of which the block has %zu bytes", what, bytes,
                  (ssize_t)offset, size);
    violation(at, "%s of %zu bytes at offset %zu of shared memory, to which a cp.async is under way", what, bytes, offset);
}

} // namespace simt
