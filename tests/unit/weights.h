/* Random weights in file form and activations, for tests and benchmarks of the product. */
#ifndef OPENLORA_TESTS_WEIGHTS_H
#define OPENLORA_TESTS_WEIGHTS_H

#include "kernels/cpu/kquant.h"
#include "kernels/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static inline uint32_t random_u32(uint64_t *state) /* xorshift64* */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)(*state * 2685821657736338717ull >> 32);
}

static inline float random_float(uint64_t *state) /* −1 .. 1 */
{
    return (float)((double)random_u32(state) / 2147483648.0 - 1.0);
}

/* A finite half: |value| < 2^(limit−15), of any sign, subnormal at times. */
static inline void random_half(uint64_t *state, uint8_t *p, uint32_t limit)
{
    uint32_t exponent = random_u32(state) % limit, h = (random_u32(state) & 0x83ff) | exponent << 10;
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

enum { SCALE_LIMIT = 10, VALUE_LIMIT = 15 }; /* scales below 1/32, F16 weights below 1 */

/* Largest |d·q| + |m| that random_weights makes of each type. */
static inline double weight_bound(enum dtype t)
{
    static const double bound[DTYPE_COUNT] = {
        [DTYPE_F32] = 1, [DTYPE_F16] = 1, [DTYPE_BF16] = 1, [DTYPE_Q4_0] = 8. / 32, [DTYPE_Q4_1] = 16. / 32,
        [DTYPE_Q5_0] = 16. / 32, [DTYPE_Q8_0] = 128. / 32, [DTYPE_Q4_K] = 63. * 16 / 32, [DTYPE_Q6_K] = 128. * 32 / 32,
    };
    return bound[t];
}

/* rows × cols of type t as a file holds them; returns owned. Values are any bits, scales are finite. */
static inline uint8_t *random_weights(uint64_t *state, enum dtype t, int64_t rows, int64_t cols)
{
    size_t bytes = (size_t)rows * dtype_row_bytes(t, cols), step = (size_t)dtype_info(t)->bytes;
    uint8_t *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(random_u32(state) >> 24);
    for (uint8_t *b = data; b < data + bytes; b += step) {
        float value = random_float(state);
        if (t == DTYPE_F32)
            memcpy(b, &value, 4);
        else if (t == DTYPE_F16)
            random_half(state, b, VALUE_LIMIT);
        else if (t == DTYPE_BF16)
            memcpy(b, (const char *)&value + 2, 2);
        else
            random_half(state, t == DTYPE_Q6_K ? b + Q6_K_D : b, SCALE_LIMIT);
        if (t == DTYPE_Q4_1 || t == DTYPE_Q4_K)
            random_half(state, b + 2, SCALE_LIMIT);
    }
    return data;
}

/* One row of activations quantized as the contract in ops.h says. */
static inline void quantize_row(const float *x, int64_t cols, void *out)
{
    int8_t *q = out;
    struct q8_meta *meta = (struct q8_meta *)(q + cols);
    for (int64_t b = 0; b < cols / 32; b++, x += 32, q += 32, meta++) {
        float max = 0;
        for (int i = 0; i < 32; i++)
            max = fmaxf(max, fabsf(x[i]));
        *meta = (struct q8_meta){.d = max / 127};
        for (int i = 0; i < 32; i++) {
            q[i] = max > 0 ? (int8_t)rintf(x[i] * (127 / max)) : 0;
            meta->sum += q[i];
            meta->sum_lo += i < 16 ? q[i] : 0;
        }
        meta->ds = meta->d * (float)meta->sum;
    }
}

#endif
