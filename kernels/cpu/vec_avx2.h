/* vec.h on AVX2, FMA and F16C: lanes 0–7 in lo, 8–15 in hi. */
#define VEC(name) name##_avx2
#define VEC_REGISTERS 8

typedef struct { __m256 lo, hi; } vf;
typedef struct { __m256i lo, hi; } vi;
typedef struct { __m256 lo, hi; } vm; /* all bits of a lane alike */

static inline vm vm_first(int n)
{
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (vm){_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane)),
                _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), lane))};
}
static inline int vm_any(vm m) { return _mm256_movemask_ps(_mm256_or_ps(m.lo, m.hi)) != 0; }
static inline uint32_t vm_bits(vm m)
{
    return (uint32_t)_mm256_movemask_ps(m.lo) | (uint32_t)_mm256_movemask_ps(m.hi) << 8;
}

static inline vf v_zero(void) { return (vf){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
static inline vf v_set1(float x) { return (vf){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
static inline vf v_load(const float *p) { return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline vf v_load_n(const float *p, int n)
{
    vm m = vm_first(n);
    return (vf){_mm256_maskload_ps(p, _mm256_castps_si256(m.lo)), _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.hi))};
}
static inline void v_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
}
static inline void v_store_n(float *p, vf x, int n)
{
    vm m = vm_first(n);
    _mm256_maskstore_ps(p, _mm256_castps_si256(m.lo), x.lo);
    _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.hi), x.hi);
}
static inline vf v_load_f16(const uint16_t *p)
{
    return (vf){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
static inline void v_store_f16(uint16_t *p, vf x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(x.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

static inline vf v_add(vf a, vf b) { return (vf){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
static inline vf v_sub(vf a, vf b) { return (vf){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
static inline vf v_mul(vf a, vf b) { return (vf){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
static inline vf v_div(vf a, vf b) { return (vf){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
static inline vf v_fma(vf a, vf b, vf c)
{
    return (vf){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
/* b where a is NaN */
static inline vf v_max(vf a, vf b) { return (vf){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
static inline vf v_min(vf a, vf b) { return (vf){_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
static inline vf v_abs(vf a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (vf){_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
static inline vf v_negate(vf a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (vf){_mm256_xor_ps(sign, a.lo), _mm256_xor_ps(sign, a.hi)};
}

static inline vm v_less(vf a, vf b)
{
    return (vm){_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
static inline vm v_equal(vf a, vf b)
{
    return (vm){_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)};
}
static inline vf v_select(vm m, vf yes, vf no)
{
    return (vf){_mm256_blendv_ps(no.lo, yes.lo, m.lo), _mm256_blendv_ps(no.hi, yes.hi, m.hi)};
}

static inline vi v_as_int(vf x) { return (vi){_mm256_castps_si256(x.lo), _mm256_castps_si256(x.hi)}; }
static inline vf v_as_float(vi x) { return (vf){_mm256_castsi256_ps(x.lo), _mm256_castsi256_ps(x.hi)}; }
/* To nearest even; INT32_MIN if out of range. */
static inline vi v_round(vf x) { return (vi){_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)}; }
static inline vi vi_zero(void) { return (vi){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
static inline vi vi_set1(int32_t x) { return (vi){_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
static inline vi vi_load(const void *p)
{
    return (vi){_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1)};
}
static inline void vi_store(void *p, vi x)
{
    _mm256_storeu_si256(p, x.lo);
    _mm256_storeu_si256((__m256i *)p + 1, x.hi);
}
static inline vi vi_add(vi a, vi b) { return (vi){_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
static inline vi vi_shift_left(vi x, int n) { return (vi){_mm256_slli_epi32(x.lo, n), _mm256_slli_epi32(x.hi, n)}; }
static inline vm vi_greater(vi a, vi b)
{
    return (vm){_mm256_castsi256_ps(_mm256_cmpgt_epi32(a.lo, b.lo)),
                _mm256_castsi256_ps(_mm256_cmpgt_epi32(a.hi, b.hi))};
}
static inline vi vi_select(vm m, vi yes, vi no) { return v_as_int(v_select(m, v_as_float(yes), v_as_float(no))); }

static inline __m128i vi_to_i8(vi x) /* saturated */
{
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.lo, x.hi), 0xd8);
    return _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

/* sum plus the halves of 16 non-negative int32, as 8 int64. */
static inline vi vi_widen_add(vi sum, vi x)
{
    __m256i low = _mm256_set1_epi64x(0xffffffff);
    sum.lo = _mm256_add_epi64(sum.lo, _mm256_add_epi64(_mm256_and_si256(x.lo, low), _mm256_srli_epi64(x.lo, 32)));
    sum.hi = _mm256_add_epi64(sum.hi, _mm256_add_epi64(_mm256_and_si256(x.hi, low), _mm256_srli_epi64(x.hi, 32)));
    return sum;
}
static inline uint64_t vi_sum64(vi x)
{
    __m256i a = _mm256_add_epi64(x.lo, x.hi);
    __m128i b = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    return (uint64_t)_mm_cvtsi128_si64(b) + (uint64_t)_mm_extract_epi64(b, 1);
}
static inline int32_t vi_sum(vi x)
{
    __m256i a = _mm256_add_epi32(x.lo, x.hi);
    __m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_add_epi32(b, _mm_shuffle_epi32(b, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}

/* The contract's tree over 16 partial sums. */
static inline float v_tree(vf x)
{
    __m256 a = _mm256_add_ps(x.lo, x.hi);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

static inline float v_largest(vf x)
{
    __m256 a = _mm256_max_ps(x.lo, x.hi);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

/* 8 (a, b) pairs taken apart. */
static inline void split_pairs(__m256 x, __m256 y, __m256 *a, __m256 *b)
{
    *a = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(x, y, 0x88)), 0xd8));
    *b = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(x, y, 0xdd)), 0xd8));
}

/* 16 (a, b) pairs taken apart; n ≤ 16 of them are read. */
static inline void v_load_pairs_n(const float *p, int n, vf *a, vf *b)
{
    vf x = v_load_n(p, n < 8 ? 2 * n : 16), y = n > 8 ? v_load_n(p + 16, 2 * n - 16) : v_zero();
    split_pairs(x.lo, x.hi, &a->lo, &b->lo);
    split_pairs(y.lo, y.hi, &a->hi, &b->hi);
}

/* The chosen lanes, closed up; returns how many. All 16 places at p may be written. */
static inline int vi_store_chosen(uint32_t *p, vi x, vm chosen)
{
    uint32_t lanes[16];
    int n = 0;
    vi_store(lanes, x);
    for (uint32_t bits = vm_bits(chosen); bits; bits &= bits - 1)
        p[n++] = lanes[__builtin_ctz(bits)];
    return n;
}
