/* Arithmetic of the numerical contract (kernels/ops.h) on the device; constants are those of the CPU. */
#ifndef OPENLORA_KERNELS_CUDA_MATH_CUH
#define OPENLORA_KERNELS_CUDA_MATH_CUH

#include "kernels/cpu/math.h"
#include "kernels/cuda/dialect.cuh"

/* exp_ of kernels/cpu/math.h, operation by operation. */
DEVICE float gpu_exp(float x)
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
        return bits_to_float(0x7f800000u);
    return bits_to_float(float_to_bits(p) + (float_to_bits(t) << 23));
}

/* The tree that ends dot16 and sum16: lanes 0 .. 15 of each half warp hold partial sums; all 16 get the result. Addition
 * of two floats commutes exactly, so a butterfly is the tree. */
DEVICE float tree16(float s)
{
    s = s + shfl_xor(s, 8);
    s = s + shfl_xor(s, 4);
    s = s + shfl_xor(s, 2);
    return s + shfl_xor(s, 1);
}

#endif
