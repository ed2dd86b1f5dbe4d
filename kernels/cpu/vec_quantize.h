/* Quantization of one row of activations (contract: quantize in ops.h), by vectors. */
#ifndef OPENLORA_KERNELS_CPU_VEC_QUANTIZE_H
#define OPENLORA_KERNELS_CPU_VEC_QUANTIZE_H

#include "kernels/cpu/vec.h"
#include "kernels/ops.h"

/* x: cols values, a multiple of 32; q8: q8_row_bytes(cols). */
static inline void v_quantize_row(const float *x, int64_t cols, void *q8)
{
    int8_t *q = q8;
    struct q8_meta *meta = (struct q8_meta *)(q + cols);
    for (int64_t c = 0; c < cols; c += 32, meta++) {
        vf lo = v_load(x + c), hi = v_load(x + c + LANES);
        float max = v_largest(v_max(v_abs(hi), v_max(v_abs(lo), v_zero()))); /* skips NaN, as the reference */
        float inverse = 127.0f / max;
        if (!(inverse < INFINITY))
            inverse = 0.0f;
        /* −128 at least, as stored: a NaN converts to INT32_MIN */
        vi q_lo = vi_max(v_round(v_mul(lo, v_set1(inverse))), vi_set1(-128));
        vi q_hi = vi_max(v_round(v_mul(hi, v_set1(inverse))), vi_set1(-128));
        vi_store_i8(q + c, q_lo);
        vi_store_i8(q + c + LANES, q_hi);
        meta->sum_lo = vi_sum(q_lo);
        meta->sum = meta->sum_lo + vi_sum(q_hi);
        meta->d = max / 127.0f;
        meta->ds = meta->d * (float)meta->sum;
    }
}

#endif
