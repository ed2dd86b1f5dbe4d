/* 16 float lanes: one AVX-512 register or a pair of AVX2 registers, whichever the file is compiled for. The
 * operations are those of the contract in ops.h, lane by lane the same in both.
 *
 *   vf, vi, vm     16 floats, 16 int32, 16 truth values
 *   v_X_n          only the first n lanes (n ≤ 16) touch memory; a load gives 0 in the others
 *   VEC(name)      name_avx512 or name_avx2: how sources compiled for both name what they export
 *   VEC_REGISTERS  vf values that fit the register file */
#ifndef OPENLORA_KERNELS_CPU_VEC_H
#define OPENLORA_KERNELS_CPU_VEC_H

#include "kernels/cpu/math.h"

#include <immintrin.h>
#include <stdint.h>

enum { LANES = 16 };

#if defined(__AVX512F__)
#include "kernels/cpu/vec_avx512.h"
#else
#include "kernels/cpu/vec_avx2.h"
#endif

/* exp_ of math.h, the same operations in the same order. */
static inline vf v_exp(vf x)
{
    vf round = v_set1(EXP_ROUND), t = v_fma(x, v_set1(EXP_LOG2E), round), n = v_sub(t, round);
    vf r = v_fma(n, v_set1(-EXP_LN2_LO), v_fma(n, v_set1(-EXP_LN2_HI), x));
    vf p = v_fma(v_set1(EXP_C6), r, v_set1(EXP_C5));
    p = v_fma(p, r, v_set1(EXP_C4));
    p = v_fma(p, r, v_set1(EXP_C3));
    p = v_fma(p, r, v_set1(EXP_C2));
    p = v_fma(p, r, v_set1(1.0f));
    p = v_fma(p, r, v_set1(1.0f));
    p = v_as_float(vi_add(v_as_int(p), vi_shift_left(v_as_int(t), 23)));
    p = v_select(v_less(x, v_set1(EXP_MIN)), v_zero(), p);
    return v_select(v_less(v_set1(EXP_MAX), x), v_set1(INFINITY), p);
}

/* The first n of 16 lanes where n may be 16 or more; the usual case is a whole vector. */
static inline vf v_load_upto(const float *p, int n) { return n >= LANES ? v_load(p) : v_load_n(p, n); }
static inline void v_store_upto(float *p, vf x, int n)
{
    if (n >= LANES)
        v_store(p, x);
    else
        v_store_n(p, x, n);
}

/* One more link of dot16: sum + a·b in the first n lanes, sum in the others. */
static inline vf v_fma_n(vf a, vf b, vf sum, int n) { return v_select(vm_first(n), v_fma(a, b, sum), sum); }

static inline float v_dot16(const float *a, const float *b, int64_t n)
{
    vf sum = v_zero();
    int64_t k = 0;
    for (; k + LANES <= n; k += LANES)
        sum = v_fma(v_load(a + k), v_load(b + k), sum);
    if (k < n)
        sum = v_fma_n(v_load_n(a + k, (int)(n - k)), v_load_n(b + k, (int)(n - k)), sum, (int)(n - k));
    return v_tree(sum);
}

#endif
