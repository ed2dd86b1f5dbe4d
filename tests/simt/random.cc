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

static __thread uint64_t state;

/* Finalizer of splitmix64: neighbours become unlike. */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

void random_restart(uint64_t with) { state = mixed(seed() + mixed(with + 1)) | 1; }

/* xorshift64*: fast, and any state but 0 will do. */
uint32_t random_bits()
{
    if (!state)
        random_restart(0);
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545f4914f6cdd1du) >> 32);
}

} // namespace simt
