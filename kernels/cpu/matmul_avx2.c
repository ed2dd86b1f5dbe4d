/* The product with AVX2: one vector is 8 rows of weights. vpmaddubsw adds two products of an unsigned and a signed
 * byte in 16 bits and saturates, so every type keeps its partial sums below 32768: see v_dots. */
#include "kernels/cpu/matmul.h"

#include <immintrin.h>

#define LANES 8
#define QUANT_VECTORS(R) ((R) == 1 ? 2 : 1)
#ifdef MATMUL_SMALL_TILES
#define ROWS_MAX 2
#define FLOAT_VECTORS(R) 2
#else
#define ROWS_MAX 8
#define FLOAT_VECTORS(R) ((R) == 1 ? 8 : (R) == 2 ? 4 : (R) <= 4 ? 2 : 1)
#endif
#define INLINE static inline __attribute__((always_inline))

typedef __m256 vf;
typedef __m256i vi;

INLINE vi v_load(const void *p) { return _mm256_loadu_si256(p); }
INLINE vi v_set1_i8(int x) { return _mm256_set1_epi8((char)x); }
INLINE vi v_set1_i32(int x) { return _mm256_set1_epi32(x); }
INLINE vi v_and(vi a, vi b) { return _mm256_and_si256(a, b); }
INLINE vi v_or(vi a, vi b) { return _mm256_or_si256(a, b); }
#define v_srl16(a, n) _mm256_srli_epi16(a, n)
#define v_sll16(a, n) _mm256_slli_epi16(a, n)
INLINE vi v_add_i32(vi a, vi b) { return _mm256_add_epi32(a, b); }
INLINE vi v_sub_i32(vi a, vi b) { return _mm256_sub_epi32(a, b); }
INLINE vi v_mul_i32(vi a, vi b) { return _mm256_mullo_epi32(a, b); }
INLINE vf v_cvt_f32(vi a) { return _mm256_cvtepi32_ps(a); }

INLINE vf v_zero(void) { return _mm256_setzero_ps(); }
INLINE vf v_set1(float x) { return _mm256_set1_ps(x); }
INLINE vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
INLINE vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf v_neg(vf a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }

INLINE vf v_load_f32(const void *p) { return _mm256_loadu_ps(p); }
INLINE vf v_load_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
INLINE vf v_load_bf16(const void *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
INLINE vf v_load_u8(const void *p) { return v_cvt_f32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p))); }
INLINE vi v_load_i8(const void *p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64(p)); }
INLINE vi lane_mask(int lanes)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vf v_load_part(const float *p, int lanes) { return _mm256_maskload_ps(p, lane_mask(lanes)); }
INLINE void v_store_part(float *p, int lanes, vf a) { _mm256_maskstore_ps(p, lane_mask(lanes), a); }
INLINE void v_prefetch(const void *p) { _mm_prefetch(p, _MM_HINT_T0); }

/* Sums of two products, in 16 bits. */
INLINE vi dot2(enum dtype t, vi weights, const int8_t *a)
{
    int32_t four;
    __builtin_memcpy(&four, a, 4);
    vi x = _mm256_set1_epi32(four);
    if (t != DTYPE_Q8_0)
        return _mm256_maddubs_epi16(weights, x);
    vi w = _mm256_xor_si256(weights, v_set1_i8(-128)); /* signed: |w| times x with w's sign */
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

/* How many results of dot2 may be added up in 16 bits; |x| ≤ 127, with x = −128 still in bounds for all:
 * 4 bits 8·2·15·128 = 30720, 5 bits 4·2·31·128 = 31744, 6 bits 2·2·63·128 = 32256, 8 bits 2·128·127 = 32512. */
INLINE int dot2_run(enum dtype t) { return t == DTYPE_Q8_0 ? 1 : t == DTYPE_Q6_K ? 2 : t == DTYPE_Q5_0 ? 4 : 8; }

INLINE vi v_dots(enum dtype t, const vi *w, int n, const int8_t *a)
{
    vi sum = _mm256_setzero_si256();
    for (int i = 0; i < n; i += dot2_run(t)) {
        vi part = dot2(t, w[i], a + 4 * i);
        for (int j = 1; j < dot2_run(t); j++)
            part = _mm256_add_epi16(part, dot2(t, w[i + j], a + 4 * (i + j)));
        sum = v_add_i32(sum, _mm256_madd_epi16(part, _mm256_set1_epi16(1)));
    }
    return sum;
}

INLINE int32_t v_offset(enum dtype t)
{
    return t == DTYPE_Q4_0 ? 8 : t == DTYPE_Q5_0 ? 16 : t == DTYPE_Q6_K ? 32 : 0; /* Q8_0 is taken as signed */
}

#include "kernels/cpu/matmul.inc.h"

const struct cpu_phase matmul_avx2 = {matmul_tiles, run};
