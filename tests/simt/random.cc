/* One seed for a process; a generator for each thread of the system. */
#include "tests/simt/machine.h"

#include <stdlib.h>
#include <time.h>

namespace simt {

uint64_t seed()
{
    static const uint64_t value = [] {
        const char *given = getenv("OPENLORA_SIMT_SEED");
        if (given)
            return (uint64_t)strtoull(given, nullptr, 10);
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)(now.tv_nsec / 1000 + now.tv_sec % 1000 * 1000000);
    }();
    return value;
}

/* xorshift64*: fast, and any seed but 0 will do. */
uint32_t random_bits()
{
    static __thread uint64_t state;
    static int threads;
    if (!state)
        state = (seed() + (uint64_t)__atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED)) * 0x9e3779b97f4a7c15u | 1;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545f4914f6cdd1du) >> 32);
}

} // namespace simt
