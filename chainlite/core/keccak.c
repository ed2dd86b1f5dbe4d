/* Keccak-f[1600] and its sponge (FIPS 202 describes the permutation; the padding byte here is the older 0x01).
 *
 * One round reads the state once and writes it once: each output row gathers its five lanes through theta, rho and pi
 * and applies chi. All indices are constants, so the two state arrays live in registers and stack slots of the loop. */
#include "chainlite/core/keccak.h"

#include <string.h>

enum { RATE_BYTES = 136, RATE_LANES = RATE_BYTES / 8, ROUNDS = 24 };

static const uint64_t round_constant[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

static inline uint64_t rotl(uint64_t x, int n) { return n ? x << n | x >> (64 - n) : x; }

/* Row y of the output from source lanes i0..i4 (lane = x + 5y), rotated by r0..r4. */
#define ROW(y, i0, r0, i1, r1, i2, r2, i3, r3, i4, r4)                                                                 \
    do {                                                                                                               \
        uint64_t b0 = rotl(a[i0] ^ d[(i0) % 5], r0), b1 = rotl(a[i1] ^ d[(i1) % 5], r1);                               \
        uint64_t b2 = rotl(a[i2] ^ d[(i2) % 5], r2), b3 = rotl(a[i3] ^ d[(i3) % 5], r3);                               \
        uint64_t b4 = rotl(a[i4] ^ d[(i4) % 5], r4);                                                                   \
        e[5 * (y)] = b0 ^ (~b1 & b2);                                                                                  \
        e[5 * (y) + 1] = b1 ^ (~b2 & b3);                                                                              \
        e[5 * (y) + 2] = b2 ^ (~b3 & b4);                                                                              \
        e[5 * (y) + 3] = b3 ^ (~b4 & b0);                                                                              \
        e[5 * (y) + 4] = b4 ^ (~b0 & b1);                                                                              \
    } while (0)

static inline __attribute__((always_inline)) void one_round(const uint64_t a[25], uint64_t e[25], uint64_t constant)
{
    uint64_t c0 = a[0] ^ a[5] ^ a[10] ^ a[15] ^ a[20], c1 = a[1] ^ a[6] ^ a[11] ^ a[16] ^ a[21];
    uint64_t c2 = a[2] ^ a[7] ^ a[12] ^ a[17] ^ a[22], c3 = a[3] ^ a[8] ^ a[13] ^ a[18] ^ a[23];
    uint64_t c4 = a[4] ^ a[9] ^ a[14] ^ a[19] ^ a[24];
    const uint64_t d[5] = {c4 ^ rotl(c1, 1), c0 ^ rotl(c2, 1), c1 ^ rotl(c3, 1), c2 ^ rotl(c4, 1), c3 ^ rotl(c0, 1)};
    ROW(0, 0, 0, 6, 44, 12, 43, 18, 21, 24, 14);
    ROW(1, 3, 28, 9, 20, 10, 3, 16, 45, 22, 61);
    ROW(2, 1, 1, 7, 6, 13, 25, 19, 8, 20, 18);
    ROW(3, 4, 27, 5, 36, 11, 10, 17, 15, 23, 56);
    ROW(4, 2, 62, 8, 55, 14, 39, 15, 41, 21, 2);
    e[0] ^= constant;
}

static void permute(uint64_t lane[25])
{
    uint64_t a[25], e[25];
    memcpy(a, lane, sizeof a);
    for (int i = 0; i < ROUNDS; i += 2) {
        one_round(a, e, round_constant[i]);
        one_round(e, a, round_constant[i + 1]);
    }
    memcpy(lane, a, sizeof a);
}

static inline uint64_t load_le64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

void keccak_init(struct keccak *k) { memset(k, 0, sizeof *k); }

static void add_byte(struct keccak *k, uint8_t byte)
{
    k->lane[k->used / 8] ^= (uint64_t)byte << (k->used % 8 * 8);
    if (++k->used == RATE_BYTES) {
        permute(k->lane);
        k->used = 0;
    }
}

void keccak_add(struct keccak *k, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (; n && k->used % 8; n--)
        add_byte(k, *p++);
    for (; n >= 8; p += 8, n -= 8) { /* whole lanes */
        k->lane[k->used / 8] ^= load_le64(p);
        if ((k->used += 8) == RATE_BYTES) {
            permute(k->lane);
            k->used = 0;
        }
    }
    for (; n; n--)
        add_byte(k, *p++);
}

void keccak_end(struct keccak *k, uint8_t out[HASH_BYTES])
{
    k->lane[k->used / 8] ^= (uint64_t)0x01 << (k->used % 8 * 8);
    k->lane[RATE_LANES - 1] ^= 0x8000000000000000; /* the last bit of the block */
    permute(k->lane);
    for (size_t i = 0; i < HASH_BYTES; i++)
        out[i] = (uint8_t)(k->lane[i / 8] >> (i % 8 * 8));
}

void keccak256(const void *bytes, size_t n, uint8_t out[HASH_BYTES])
{
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, bytes, n);
    keccak_end(&k, out);
}
