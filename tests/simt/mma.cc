/* The picture of dialect.cuh read by words of all lanes: lanes 4g .. 4g + 3 of word a[0] are 16 consecutive bytes of row g,
 * those of a[2] the next 16; a[1] and a[3] the same of row g + 8; b[0] and b[1] of column g. (s8 m16n8k16 has a[0], a[1],
 * b[0] only.) So a row is two loads of 16 bytes. */
#include "tests/simt/mma.h"

#include <immintrin.h>
#include <string.h>

namespace simt {

/* 16 bytes of row `row` of A, the half-th. */
static const void *a_bytes(uint32_t (*f)[32], int row, int half) { return &f[MMA_A + row / 8 + 2 * half][row % 8 * 4]; }
static const void *b_bytes(uint32_t (*f)[32], int column, int half) { return &f[MMA_B + half][column * 4]; }

/* Element (row, column) of C or D, from word `first` on. */
static uint32_t *element(uint32_t (*f)[32], int first, int row, int column)
{
    return &f[first + row / 8 * 2 + column % 2][row % 8 * 4 + column / 2];
}

static __m256i widened(const void *bytes) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)bytes)); }

void mma_s8(uint32_t (*f)[32], int halves)
{
    __m256i b[8][2];
    for (int n = 0; n < 8; n++)
        for (int h = 0; h < halves; h++)
            b[n][h] = widened(b_bytes(f, n, h));
    for (int m = 0; m < 16; m++) {
        __m256i sum[8];
        for (int n = 0; n < 8; n++)
            sum[n] = _mm256_setzero_si256();
        for (int h = 0; h < halves; h++) {
            __m256i a = widened(a_bytes(f, m, h));
            for (int n = 0; n < 8; n++)
                sum[n] = _mm256_add_epi32(sum[n], _mm256_madd_epi16(a, b[n][h]));
        }
        alignas(32) int32_t total[8];
        for (int q = 0; q < 2; q++) { /* four columns: their four sums, in both halves of the register */
            __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(sum[4 * q], sum[4 * q + 1]),
                                          _mm256_hadd_epi32(sum[4 * q + 2], sum[4 * q + 3]));
            _mm_store_si128((__m128i *)(total + 4 * q),
                            _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
        }
        for (int n = 0; n < 8; n++)
            *element(f, MMA_D, m, n) = *element(f, MMA_C, m, n) + (uint32_t)total[n];
    }
}

/* a: (16, 16), b: (8, 16), both with k along rows. */
static void multiply(uint32_t (*f)[32], const float a[16][16], const float b[8][16])
{
    alignas(32) float bt[16][8];
    for (int k = 0; k < 16; k++)
        for (int n = 0; n < 8; n++)
            bt[k][n] = b[n][k];
    for (int m = 0; m < 16; m++) {
        alignas(32) float sum[8];
        for (int n = 0; n < 8; n++)
            memcpy(&sum[n], element(f, MMA_C, m, n), sizeof sum[n]);
        __m256 s = _mm256_load_ps(sum);
        for (int k = 0; k < 16; k++)
            s = _mm256_fmadd_ps(_mm256_set1_ps(a[m][k]), _mm256_load_ps(bt[k]), s);
        _mm256_store_ps(sum, s);
        for (int n = 0; n < 8; n++)
            memcpy(element(f, MMA_D, m, n), &sum[n], sizeof sum[n]);
    }
}

static void from_f16(float out[8], const void *in)
{
    _mm256_storeu_ps(out, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)in)));
}

static void from_bf16(float out[8], const void *in)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)in));
    _mm256_storeu_ps(out, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
}

static void mma_half(uint32_t (*f)[32], void (*convert)(float *, const void *))
{
    float a[16][16], b[8][16];
    for (int h = 0; h < 2; h++) {
        for (int m = 0; m < 16; m++)
            convert(&a[m][8 * h], a_bytes(f, m, h));
        for (int n = 0; n < 8; n++)
            convert(&b[n][8 * h], b_bytes(f, n, h));
    }
    multiply(f, a, b);
}

void mma_f16(uint32_t (*f)[32]) { mma_half(f, from_f16); }
void mma_bf16(uint32_t (*f)[32]) { mma_half(f, from_bf16); }

} // namespace simt
