/* vec.h on AVX-512. */
#define VEC(name) name##_avx512
#define VEC_REGISTERS 32

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

static inline vm vm_first(int n) { return (vm)((1u << n) - 1); }
static inline int vm_any(vm m) { return m != 0; }
static inline uint32_t vm_bits(vm m) { return m; }

static inline vf v_zero(void) { return _mm512_setzero_ps(); }
static inline vf v_set1(float x) { return _mm512_set1_ps(x); }
static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline vf v_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(vm_first(n), p); }
static inline void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline void v_store_n(float *p, vf x, int n) { _mm512_mask_storeu_ps(p, vm_first(n), x); }
static inline vf v_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
static inline void v_store_f16(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

static inline vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); } /* b where a is NaN */
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); } /* b where a is NaN */
static inline vf v_abs(vf a) { return _mm512_abs_ps(a); }
static inline vf v_negate(vf a)
{
    return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), _mm512_set1_epi32(INT32_MIN)));
}

static inline vm v_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vm v_equal(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vf v_select(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }

static inline vi v_as_int(vf x) { return _mm512_castps_si512(x); }
static inline vf v_as_float(vi x) { return _mm512_castsi512_ps(x); }
static inline vi v_round(vf x) { return _mm512_cvtps_epi32(x); } /* to nearest even; INT32_MIN if out of range */
static inline vi vi_zero(void) { return _mm512_setzero_si512(); }
static inline vi vi_set1(int32_t x) { return _mm512_set1_epi32(x); }
static inline vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
static inline void vi_store(void *p, vi x) { _mm512_storeu_si512(p, x); }
static inline vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi vi_shift_left(vi x, int n) { return _mm512_slli_epi32(x, (unsigned)n); }
static inline vm vi_greater(vi a, vi b) { return _mm512_cmpgt_epi32_mask(a, b); }
static inline vi vi_select(vm m, vi yes, vi no) { return _mm512_mask_blend_epi32(m, no, yes); }

static inline __m128i vi_to_i8(vi x) { return _mm512_cvtsepi32_epi8(x); } /* saturated */

/* sum plus the two halves of 16 non-negative int32, as 8 int64. */
static inline vi vi_widen_add(vi sum, vi x)
{
    sum = _mm512_add_epi64(sum, _mm512_and_si512(x, _mm512_set1_epi64(0xffffffff)));
    return _mm512_add_epi64(sum, _mm512_srli_epi64(x, 32));
}
static inline uint64_t vi_sum64(vi x) { return (uint64_t)_mm512_reduce_add_epi64(x); }
static inline int32_t vi_sum(vi x) { return _mm512_reduce_add_epi32(x); }

/* The contract's tree over 16 partial sums. */
static inline float v_tree(vf x)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

static inline float v_largest(vf x) { return _mm512_reduce_max_ps(x); }

/* 16 (a, b) pairs taken apart; n ≤ 16 of them are read. */
static inline void v_load_pairs_n(const float *p, int n, vf *a, vf *b)
{
    __m512 lo = v_load_n(p, n < 8 ? 2 * n : 16), hi = n > 8 ? v_load_n(p + 16, 2 * n - 16) : v_zero();
    __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *a = _mm512_permutex2var_ps(lo, even, hi);
    *b = _mm512_permutex2var_ps(lo, _mm512_add_epi32(even, _mm512_set1_epi32(1)), hi);
}

/* The chosen lanes, closed up; returns how many. All 16 places at p may be written. */
static inline int vi_store_chosen(uint32_t *p, vi x, vm chosen)
{
    _mm512_storeu_si512(p, _mm512_maskz_compress_epi32(chosen, x));
    return __builtin_popcount(chosen);
}
