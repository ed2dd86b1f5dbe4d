/* Fragments of mma and ldmatrix against a description that is not ours: the atom layouts of CuTe, as NVIDIA's CUTLASS
 * states them (include/cute/atom/mma_traits_sm80.hpp: SM80_16x8x16_F32F16F16F32_TN, SM80_16x8x16_S32S8S8S32_TN,
 * SM80_16x8x32_S32S8S8S32_TN, SM80_16x8_Row; copy_traits_sm75.hpp: SM75_U32x2_LDSM_N, SM75_U32x4_LDSM_N,
 * SM75_U16x4_LDSM_T, SM75_U16x8_LDSM_T).
 *
 * Such a layout maps (thread, value) to a number: both are split into digits, least significant first, and each digit
 * has a stride. For A the number is m + 16 · k, for B n + 8 · k, for C m + 16 · n, for ldmatrix a bit. */
#include "kernels/cuda/dialect.cuh"
#include "tests/simt/test_support.h"

struct digits {
    int size[3], stride[3];
};

struct layout {
    digits thread, value;
};

static int at(const digits &d, int i)
{
    int sum = 0;
    for (int k = 0; k < 3; k++) {
        sum += i % d.size[k] * d.stride[k];
        i /= d.size[k];
    }
    return sum;
}

static int at(const layout &l, int thread, int value) { return at(l.thread, thread) + at(l.value, value); }

struct product {
    int k, a_values, b_values, bits;
    layout a, b;
};

static const layout C = {{{4, 8, 1}, {32, 1, 0}}, {{2, 2, 1}, {16, 8, 0}}};
static const product F16 = {16, 8, 4, 16,
    {{{4, 8, 1}, {32, 1, 0}}, {{2, 2, 2}, {16, 8, 128}}}, {{{4, 8, 1}, {16, 1, 0}}, {{2, 2, 1}, {8, 64, 0}}}};
static const product S8_K16 = {16, 8, 4, 8,
    {{{4, 8, 1}, {64, 1, 0}}, {{4, 2, 1}, {16, 8, 0}}}, {{{4, 8, 1}, {32, 1, 0}}, {{4, 1, 1}, {8, 0, 0}}}};
static const product S8_K32 = {32, 16, 8, 8,
    {{{4, 8, 1}, {64, 1, 0}}, {{4, 2, 2}, {16, 8, 256}}}, {{{4, 8, 1}, {32, 1, 0}}, {{4, 2, 1}, {8, 128, 0}}}};

enum which { IS_F16, IS_BF16, IS_S8_K16, IS_S8_K32 };

/* Words of each lane: a (4), b (2), c (4); d over c. */
KERNEL(32, 1) k_product(uint32_t *words, int op)
{
    uint32_t *mine = words + threadIdx.x * 10, a[4], b[2], c[4];
    int di[4], ci[4];
    float df[4], cf[4];
    for (int i = 0; i < 4; i++) {
        a[i] = ld(mine + i);
        c[i] = ld(mine + 6 + i);
        ci[i] = (int)c[i];
        cf[i] = bits_to_float(c[i]);
    }
    b[0] = ld(mine + 4);
    b[1] = ld(mine + 5);
    if (op == IS_F16)
        mma_f16_k16(df, a, b, cf);
    else if (op == IS_BF16)
        mma_bf16_k16(df, a, b, cf);
    else if (op == IS_S8_K16)
        mma_s8_k16(di, a, b[0], ci);
    else
        mma_s8_k32(di, a, b, ci);
    for (int i = 0; i < 4; i++)
        st(mine + 6 + i, op == IS_F16 || op == IS_BF16 ? float_to_bits(df[i]) : (uint32_t)di[i]);
}

/* A small integer in the element type's bits. */
static uint32_t element(int value, which op)
{
    return op == IS_F16 ? float_to_half((float)value) : op == IS_BF16 ? float_to_bits((float)value) >> 16 : (uint8_t)value;
}

static void put(uint32_t *words, int index, int bits, uint32_t value)
{
    words[index * bits / 32] |= value << (index * bits % 32);
}

static void check_product(const product &p, which op)
{
    std::vector<int> a((size_t)(16 * p.k)), b((size_t)(8 * p.k));
    for (size_t i = 0; i < a.size(); i++)
        a[i] = (int)(i * 37 % 23) - 11;
    for (size_t i = 0; i < b.size(); i++)
        b[i] = (int)(i * 53 % 19) - 9;
    std::vector<uint32_t> words(32 * 10);
    for (int t = 0; t < 32; t++) {
        uint32_t *mine = &words[(size_t)t * 10];
        for (int v = 0; v < p.a_values; v++)
            put(mine, v, p.bits, element(a[(size_t)at(p.a, t, v)], op));
        for (int v = 0; v < p.b_values; v++)
            put(mine + 4, v, p.bits, element(b[(size_t)at(p.b, t, v)], op));
        for (int v = 0; v < 4; v++) {
            int c = at(C, t, v);
            mine[6 + v] = op == IS_F16 || op == IS_BF16 ? float_to_bits((float)c) : (uint32_t)c;
        }
    }
    uint32_t *device = device_copy(words);
    LAUNCH(k_product, 1, 32, 0, 0, device, (int)op);
    words = host_copy(device, words.size());
    for (int t = 0; t < 32; t++)
        for (int v = 0; v < 4; v++) {
            int c = at(C, t, v), want = c;
            for (int k = 0; k < p.k; k++)
                want += a[(size_t)(c % 16 + 16 * k)] * b[(size_t)(c / 16 + 8 * k)];
            uint32_t got = words[(size_t)t * 10 + 6 + (size_t)v];
            ck_assert_int_eq(op == IS_F16 || op == IS_BF16 ? (int)bits_to_float(got) : (int)got, want);
        }
}

START_TEST(products)
{
    check_product(F16, IS_F16);
    check_product(F16, IS_BF16);
    check_product(S8_K16, IS_S8_K16);
    check_product(S8_K32, IS_S8_K32);
}
END_TEST

/* Row l of the matrices lies at 16 · l; every 16 bits hold their own number. */
KERNEL(32, 1) k_matrices(uint32_t *out)
{
    SHARED(uint16_t, m, 0);
    uint32_t r[4][4] = {};
    for (int i = 0; i < 8; i++)
        sts(m + threadIdx.x * 8 + i, (uint16_t)(threadIdx.x * 8 + i));
    syncwarp();
    ldmatrix_x2(r[0], m + threadIdx.x % 16 * 8);
    ldmatrix_x4(r[1], m + threadIdx.x * 8);
    ldmatrix_x2_trans(r[2], m + threadIdx.x % 16 * 8);
    ldmatrix_x4_trans(r[3], m + threadIdx.x * 8);
    for (int i = 0; i < 16; i++)
        st(out + i * 32 + threadIdx.x, r[i / 4][i % 4]);
}

START_TEST(matrices)
{
    /* Values in bits: 16 of a half word first, then which half, then which matrix. */
    static const layout direct = {{{32, 1, 1}, {32, 0, 0}}, {{32, 4, 1}, {1, 1024, 0}}};
    static const layout transposed = {{{4, 8, 1}, {256, 16, 0}}, {{16, 2, 4}, {1, 128, 1024}}};
    uint32_t *out = device_copy(std::vector<uint32_t>(16 * 32));
    LAUNCH(k_matrices, 1, 32, 512, 0, out);
    std::vector<uint32_t> got = host_copy(out, 16 * 32);
    for (int form = 0; form < 4; form++)
        for (int t = 0; t < 32; t++)
            for (int half = 0; half < (form % 2 ? 8 : 4); half++) {
                int bit = at(form < 2 ? direct : transposed, t, half * 16);
                uint32_t word = got[(size_t)((form * 4 + half / 2) * 32 + t)];
                ck_assert_uint_eq(word >> (half % 2 * 16) & 0xffff, (unsigned)bit / 16);
            }
}
END_TEST

int main()
{
    Suite *s = suite_create("simt layouts");
    TCase *t = tcase_create("layouts");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, products);
    tcase_add_test(t, matrices);
    suite_add_tcase(s, t);
    return run_suite(s);
}
