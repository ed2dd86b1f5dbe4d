/* Sine and cosine of the rotary embedding, part of the numerical contract (ops.h): the same additions and products in
 * float64, in the same order, on every device. A math library would do as well on one machine, but no two agree in
 * every last bit (glibc even chooses by the CPU it finds).
 *
 * x = n·π/2 + r: π/2 in three parts, of which the first two have 26 bits, so that n·part and both differences are exact
 * for a float32 x and |n| < 2^27. Then Taylor series on |r| ≤ π/4, whose first term left out is below 2^-63 of the
 * result. Both errors together stay near 1 ulp of float64, half a billionth of one of float32: rounded to that, the
 * values are libm's (test_sincos.c compares millions). */
#ifndef OPENLORA_KERNELS_SINCOS_H
#define OPENLORA_KERNELS_SINCOS_H

#include "kernels/host_device.h"

#include <stdint.h>
#include <string.h>

#define HALF_PI_HI 0x1.921fb5p+0        /* 25 bits, the last of them 2^-24 */
#define HALF_PI_MID 0x1.110b46p-26      /* the next ones, down to 2^-49 */
#define HALF_PI_LO 0x1.1a62633145c07p-54
#define TWO_OVER_PI 0x1.45f306dc9c883p-1
#define SINCOS_ROUND 0x1.8p+52          /* adding it rounds to an integer, which then lies in the low bits */

HOST_DEVICE double sin_near_0(double r)
{
    double z = r * r;
    double p = 1.0 / 355687428096000.0; /* 1 / 17! */
    p = p * z - 1.0 / 1307674368000.0;
    p = p * z + 1.0 / 6227020800.0;
    p = p * z - 1.0 / 39916800.0;
    p = p * z + 1.0 / 362880.0;
    p = p * z - 1.0 / 5040.0;
    p = p * z + 1.0 / 120.0;
    p = p * z - 1.0 / 6.0;
    return r + r * (z * p);
}

HOST_DEVICE double cos_near_0(double r)
{
    double z = r * r;
    double p = 1.0 / 20922789888000.0; /* 1 / 16! */
    p = p * z - 1.0 / 87178291200.0;
    p = p * z + 1.0 / 479001600.0;
    p = p * z - 1.0 / 3628800.0;
    p = p * z + 1.0 / 40320.0;
    p = p * z - 1.0 / 720.0;
    p = p * z + 1.0 / 24.0;
    p = p * z - 0.5;
    return 1.0 + z * p;
}

HOST_DEVICE void sincos_(float x, float *sine, float *cosine)
{
    double t = x * TWO_OVER_PI + SINCOS_ROUND, n = t - SINCOS_ROUND;
    double r = ((x - n * HALF_PI_HI) - n * HALF_PI_MID) - n * HALF_PI_LO;
    double s = sin_near_0(r), c = cos_near_0(r);
    uint64_t quarter;
    memcpy(&quarter, &t, sizeof quarter);
    double a = quarter & 1 ? c : s, b = quarter & 1 ? s : c;
    *sine = (float)(quarter & 2 ? -a : a);
    *cosine = (float)((quarter + 1) & 2 ? -b : b);
}

#endif
