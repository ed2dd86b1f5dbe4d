/* Fees; see fees.h. The FastLZ size is part of the protocol: it follows the reference compressor's choices exactly, its
 * hash table included, and counts bytes instead of writing them. */
#include "chainlite/core/fees.h"

#include <string.h>

enum {
    HASH_BITS = 13,
    HASH_SLOTS = 1 << HASH_BITS,
    MAX_DISTANCE = 0x1fff,
    TAIL_BYTES = 13, /* at the end nothing is matched */
    MATCH_TAIL_BYTES = 4,
    LITERAL_RUN = 32,
    MATCH_RUN = 262,
};

struct flz {
    const uint8_t *data;
    size_t n, bytes; /* input; counted output */
    uint32_t seen[HASH_SLOTS];
};

static uint32_t three_bytes(const struct flz *z, size_t at)
{
    return (uint32_t)z->data[at] | (uint32_t)z->data[at + 1] << 8 | (uint32_t)z->data[at + 2] << 16;
}

static uint32_t *slot_of(struct flz *z, size_t at)
{
    return &z->seen[(uint32_t)(2654435769u * three_bytes(z, at)) >> (32 - HASH_BITS)];
}

static void count_literals(struct flz *z, size_t n)
{
    z->bytes += (LITERAL_RUN + 1) * (n / LITERAL_RUN);
    if (n % LITERAL_RUN)
        z->bytes += n % LITERAL_RUN + 1;
}

static void count_match(struct flz *z, size_t n)
{
    n--;
    z->bytes += 3 * (n / MATCH_RUN) + (n % MATCH_RUN >= 6 ? 3 : 2);
}

/* The next position whose three bytes were seen near enough, with where; false at the end. */
static bool find_match(struct flz *z, size_t *at, size_t limit, size_t *earlier)
{
    for (; *at + 1 < limit; ++*at) { /* the reference drops a match in the last place */
        uint32_t *slot = slot_of(z, *at);
        *earlier = *slot;
        *slot = (uint32_t)*at;
        if (*at - *earlier <= MAX_DISTANCE && three_bytes(z, *at) == three_bytes(z, *earlier))
            return true;
    }
    return false;
}

/* Bytes alike behind the three that match, less one, in the reference's way of counting. */
static size_t match_length(const struct flz *z, size_t earlier, size_t at)
{
    size_t length = 0, room = z->n - MATCH_TAIL_BYTES - at;
    while (length < room) { /* the first byte that differs still counts */
        bool same = z->data[earlier + length] == z->data[at + length];
        length++;
        if (!same)
            break;
    }
    return length;
}

uint32_t fees_flz_bytes(const uint8_t *tx, size_t n)
{
    struct flz z = {.data = tx, .n = n};
    size_t limit = n < TAIL_BYTES ? 0 : n - TAIL_BYTES, done = 0, earlier;
    CHECK(n <= FEES_MAX_TX_BYTES);
    for (size_t at = 2; find_match(&z, &at, limit, &earlier); done = at) {
        if (at > done)
            count_literals(&z, at - done);
        size_t length = match_length(&z, earlier + 3, at + 3);
        count_match(&z, length);
        at += length;
        for (int i = 0; i < 2; i++, at++)
            *slot_of(&z, at) = (uint32_t)at;
    }
    count_literals(&z, n - done);
    return (uint32_t)z.bytes;
}

uint64_t fees_da_size_e6(uint32_t flz_bytes)
{
    const uint64_t intercept = 42585600, slope = 836500, least = 100000000;
    uint64_t scaled = slope * flz_bytes;
    return scaled < intercept + least ? least : scaled - intercept;
}

bool fees_l1_wei(const struct l1_attributes *a, uint32_t flz_bytes, wei_t *out)
{
    const wei_t trillion = 1000000000000;
    wei_t base, blob, per_byte, fee;
    if (__builtin_mul_overflow(a->base_fee_wei, (wei_t)a->base_fee_scalar * 16, &base) ||
        __builtin_mul_overflow(a->blob_base_fee_wei, (wei_t)a->blob_base_fee_scalar, &blob) ||
        !wei_add(base, blob, &per_byte) ||
        __builtin_mul_overflow(per_byte, (wei_t)fees_da_size_e6(flz_bytes), &fee))
        return false;
    *out = fee / trillion;
    return true;
}

wei_t fees_operator_wei(const struct l1_attributes *a, uint64_t gas)
{
    wei_t scaled = (wei_t)gas * a->operator_fee_scalar;
    return (a->form >= ATTRIBUTES_JOVIAN ? scaled * 100 : scaled / 1000000) + a->operator_fee_constant;
}

uint64_t fees_da_footprint_gas(const struct l1_attributes *a, uint32_t flz_bytes)
{
    uint64_t scalar = a->da_footprint_gas_scalar ? a->da_footprint_gas_scalar : FEES_DA_FOOTPRINT_GAS_SCALAR;
    return fees_da_size_e6(flz_bytes) / 1000000 * scalar;
}

uint64_t fees_floor_gas(const uint8_t *data, size_t n)
{
    uint64_t gas = 21000;
    for (size_t i = 0; i < n; i++)
        gas += data[i] ? 40 : 10;
    return gas;
}
