#include "training/random.h"

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct random random_start(uint64_t seed, enum random_stream stream, uint64_t index)
{
    return (struct random){mix(mix(mix(seed) + (uint64_t)stream) + index)};
}

uint64_t random_next(struct random *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    return mix(r->state);
}

uint64_t random_below(struct random *r, uint64_t n)
{
    uint64_t least = -n % n; /* 2^64 mod n */
    for (;;) {
        unsigned __int128 product = (unsigned __int128)random_next(r) * n;
        if ((uint64_t)product >= least)
            return (uint64_t)(product >> 64);
    }
}

float random_signed_unit(struct random *r)
{
    return (float)((int32_t)(random_next(r) >> 40) - (1 << 23)) * 0x1p-23f;
}

void random_order(struct random *r, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i-- > 1;) {
        uint32_t j = (uint32_t)random_below(r, (uint64_t)i + 1), swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
}
