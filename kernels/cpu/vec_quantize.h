/* Quantization of one row of activations (contract: quantize in ops.h), by vectors. */
#ifndef OPENLORA_KERNELS_CPU_VEC_QUANTIZE_H
#define OPENLORA_KERNELS_CPU_VEC_QUANTIZE_H

#include "kernels/cpu/vec.h"
#include "kernels/ops.h"

/* 16 values times `inverse`, rounded and stored; returns their sum. A NaN becomes −128, as in the reference. */
static inline int32_t v_quantize_16(const float *x, vf inverse, int8_t *q)
{
    __m128i bytes = vi_to_i8(v_round(v_mul(v_load(x), inverse)));
    _mm_storeu_si128((__m128i *)q, bytes);
    /* sums of 8 unsigned bytes, each 128 too large */
    __m128i sums = _mm_sad_epu8(_mm_xor_si128(bytes, _mm_set1_epi8(-128)), _mm_setzero_si128());
    return _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums))) - 16 * 128;
}

/* x: cols values, a multiple of 32; q8: q8_row_bytes(cols). Divisions are done for 16 blocks at a time. */
static inline void v_quantize_row(const float *x, int64_t cols, void *q8)
{
    int8_t *q = q8;
    struct q8_meta *meta = (struct q8_meta *)(q + cols);
    float max[LANES] = {0}, inverse[LANES], d[LANES];
    for (int64_t left = cols / 32; left > 0; left -= LANES) {
        int blocks = left < LANES ? (int)left : LANES;
        for (int i = 0; i < blocks; i++) /* v_max skips NaN, as the reference does */
            max[i] = v_largest(v_max(v_abs(v_load(x + 32 * i + LANES)), v_max(v_abs(v_load(x + 32 * i)), v_zero())));
        vf m = v_load(max), inv = v_div(v_set1(127.0f), m);
        v_store(inverse, v_select(v_less(inv, v_set1(INFINITY)), inv, v_zero()));
        v_store(d, v_div(m, v_set1(127.0f)));
        for (int i = 0; i < blocks; i++, x += 32, q += 32, meta++) {
            meta->d = d[i];
            meta->sum_lo = v_quantize_16(x, v_set1(inverse[i]), q);
            meta->sum = meta->sum_lo + v_quantize_16(x + LANES, v_set1(inverse[i]), q + LANES);
            meta->ds = meta->d * (float)meta->sum;
        }
    }
}

#endif
