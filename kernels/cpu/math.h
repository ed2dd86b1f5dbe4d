/* Scalar arithmetic of the numerical contract (ops.h), as the reference uses it. vec.h holds the same sequences of
 * operations on 16 lanes; constants are shared, code is not. */
#ifndef OPENLORA_KERNELS_CPU_MATH_H
#define OPENLORA_KERNELS_CPU_MATH_H

#include "kernels/cpu/f16.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* exp_: x = n·ln 2 + r with |r| ≤ ln 2 / 2, a polynomial of degree 6 for e^r (minimax, relative error 3e-9), times
 * 2^n by adding n to the exponent. Error at most 1 ulp (test_norm.c). Results are 0, normal or infinite, never
 * denormal: below EXP_MIN 0, above EXP_MAX infinity. */
#define EXP_LOG2E 0x1.715476p+0f
#define EXP_LN2_HI 0x1.63p-1f         /* 9 bits: n·LN2_HI is exact */
#define EXP_LN2_LO -0x1.bd0106p-13f
#define EXP_ROUND 0x1.8p+23f          /* adding it rounds to an integer, which then lies in the low bits */
#define EXP_MIN -87.33f
#define EXP_MAX 0x1.62e42ep+6f        /* largest x whose e^x is finite */
#define EXP_C2 0x1.fffffcp-2f
#define EXP_C3 0x1.555492p-3f
#define EXP_C4 0x1.5558bp-5f
#define EXP_C5 0x1.12398ap-7f
#define EXP_C6 0x1.6a4d14p-10f

static inline uint32_t float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float bits_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float exp_(float x)
{
    float t = fmaf(x, EXP_LOG2E, EXP_ROUND), n = t - EXP_ROUND;
    float r = fmaf(n, -EXP_LN2_LO, fmaf(n, -EXP_LN2_HI, x));
    float p = fmaf(EXP_C6, r, EXP_C5);
    p = fmaf(p, r, EXP_C4);
    p = fmaf(p, r, EXP_C3);
    p = fmaf(p, r, EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    if (x < EXP_MIN)
        return 0.0f;
    if (x > EXP_MAX)
        return INFINITY;
    return bits_float(float_bits(p) + (float_bits(t) << 23));
}

/* Round to nearest even, with denormals; overflow gives infinity (as vcvtps2ph). */
static inline uint16_t f32_to_f16(float x)
{
    uint32_t u = float_bits(x), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
    if (magnitude >= 0x477ff000) /* 65520 and more round beyond the largest finite F16 */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) /* below 2^-14: the sum's last mantissa bit is worth 2^-24 */
        return (uint16_t)(sign | (float_bits(bits_float(magnitude) + 0.5f) - 0x3f000000));
    uint32_t odd = magnitude >> 13 & 1; /* to nearest, ties to even, then rebias the exponent from 127 to 15 */
    return (uint16_t)(sign | ((magnitude + 0xfff + odd - (112u << 23)) >> 13));
}

#endif
