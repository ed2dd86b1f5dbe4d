/* The product with AVX-512 and VNNI: one vector is 16 rows of weights, vpdpbusd multiplies unsigned weight bytes
 * with signed activations. */
#include "kernels/cpu/matmul.h"

#include <immintrin.h>

#define LANES 16
#define QUANT_VECTORS(R) 1
#ifdef MATMUL_SMALL_TILES
#define ROWS_MAX 2
#define FLOAT_VECTORS(R) 2
#else
#define ROWS_MAX 8
#define FLOAT_VECTORS(R) ((R) <= 4 ? 4 : 2)
#endif
#define INLINE static inline __attribute__((always_inline))

typedef __m512 vf;
typedef __m512i vi;

INLINE vi v_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE vi v_set1_i8(int x) { return _mm512_set1_epi8((char)x); }
INLINE vi v_set1_i32(int x) { return _mm512_set1_epi32(x); }
INLINE vi v_and(vi a, vi b) { return _mm512_and_si512(a, b); }
INLINE vi v_or(vi a, vi b) { return _mm512_or_si512(a, b); }
#define v_srl16(a, n) _mm512_srli_epi16(a, n)
#define v_sll16(a, n) _mm512_slli_epi16(a, n)
INLINE vi v_add_i32(vi a, vi b) { return _mm512_add_epi32(a, b); }
INLINE vi v_sub_i32(vi a, vi b) { return _mm512_sub_epi32(a, b); }
INLINE vi v_mul_i32(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
INLINE vf v_cvt_f32(vi a) { return _mm512_cvtepi32_ps(a); }

INLINE vf v_zero(void) { return _mm512_setzero_ps(); }
INLINE vf v_set1(float x) { return _mm512_set1_ps(x); }
INLINE vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf v_neg(vf a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }

INLINE vf v_load_f32(const void *p) { return _mm512_loadu_ps(p); }
INLINE vf v_load_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
INLINE vf v_load_bf16(const void *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
INLINE vf v_load_u8(const void *p) { return v_cvt_f32(_mm512_cvtepu8_epi32(_mm_loadu_si128(p))); }
INLINE vi v_load_i8(const void *p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128(p)); }
INLINE vf v_load_part(const float *p, int lanes)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << lanes) - 1), p);
}
INLINE void v_store_part(float *p, int lanes, vf a) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << lanes) - 1), a); }
INLINE void v_prefetch(const void *p) { _mm_prefetch(p, _MM_HINT_T0); }

/* Four bytes of activations to all lanes. */
INLINE vi v_dot4(vi acc, vi weights, const int8_t *a)
{
    int32_t four;
    __builtin_memcpy(&four, a, 4);
    return _mm512_dpbusd_epi32(acc, weights, _mm512_set1_epi32(four));
}

INLINE vi v_dots(enum dtype t, const vi *w, int n, const int8_t *a)
{
    (void)t;
    vi sum[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()}; /* two chains hide the latency */
    for (int i = 0; i < n; i++)
        sum[i & 1] = v_dot4(sum[i & 1], w[i], a + 4 * i);
    return v_add_i32(sum[0], sum[1]);
}

INLINE int32_t v_offset(enum dtype t)
{
    return t == DTYPE_Q4_0 ? 8 : t == DTYPE_Q5_0 ? 16 : t == DTYPE_Q6_K ? 32 : t == DTYPE_Q8_0 ? 128 : 0;
}

#include "kernels/cpu/matmul.inc.h"

const struct cpu_phase matmul_avx512 = {matmul_tiles, run};
