/* Random numbers of training, in integers alone: equal on every machine, whatever its libm.
 *
 * Nothing is carried from draw to draw but a 64-bit counter, and every use has a stream of its own: what epoch 7 draws
 * follows from (seed, stream, 7) alone. So a resumed training has no generator to restore.
 *
 *   mix(z):  z ^= z >> 30; z *= 0xbf58476d1ce4e5b9; z ^= z >> 27; z *= 0x94d049bb133111eb; z ^= z >> 31   (mod 2^64)
 *   state of (seed, stream, index) = mix(mix(mix(seed) + stream) + index)
 *   next:    state += 0x9e3779b97f4a7c15; the draw is mix(state)                                          (SplitMix64)
 *   below n: the high 64 bits of draw · n, drawn again while the low 64 bits are below 2^64 mod n (no bias)
 *   signed unit: (draw >> 40) − 2^23, divided by 2^23: exact, in [−1, 1)
 *   order:   identity, then for i = n−1 … 1: swap i with below(i + 1)                               (Fisher, Yates) */
#ifndef OPENLORA_TRAINING_RANDOM_H
#define OPENLORA_TRAINING_RANDOM_H

#include <stdint.h>

enum random_stream {
    RANDOM_INIT = 1,    /* index: the place in the adapter */
    RANDOM_ORDER = 2,   /* index: the epoch, from 0 */
    RANDOM_SPLIT = 3,   /* index 0 */
    RANDOM_DROPOUT = 4, /* index: the example's running number over all epochs */
};

struct random {
    uint64_t state;
};

struct random random_start(uint64_t seed, enum random_stream stream, uint64_t index);
uint64_t random_next(struct random *r);
uint64_t random_below(struct random *r, uint64_t n); /* n ≥ 1 */
float random_signed_unit(struct random *r);
void random_order(struct random *r, uint32_t *order, uint32_t n); /* fills (n) with a permutation of 0 … n−1 */

#endif
