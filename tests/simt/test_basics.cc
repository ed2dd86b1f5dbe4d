/* Kernels that keep the rules: the emulator computes what a GPU would. */
#include "kernels/cuda/dialect.cuh"
#include "tests/simt/test_support.h"


/* Sum of a block's row, two barriers: the second lets the buffer be used again. */
DEVICE float block_sum(float *scratch, float v)
{
    for (int m = 16; m; m /= 2)
        v += shfl_xor(v, m);
    if (lane_id() == 0)
        sts(scratch + warp_id(), v);
    syncthreads();
    v = lane_id() < (int)blockDim.x / WARP ? lds(scratch + lane_id()) : 0.0f;
    for (int m = 16; m; m /= 2)
        v += shfl_xor(v, m);
    syncthreads();
    return v;
}

KERNEL(256, 1) k_sums(const float *x, float *out, int n)
{
    SHARED(float, scratch, 0);
    float s = 0;
    for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x)
        s += ldg(x + (size_t)blockIdx.x * n + i);
    float once = block_sum(scratch, s), twice = block_sum(scratch, 2 * s);
    if (threadIdx.x == 0)
        st(out + blockIdx.x, once + twice);
}

START_TEST(sums_of_rows)
{
    const int rows = 37, n = 1000;
    std::vector<float> x((size_t)rows * n);
    for (size_t i = 0; i < x.size(); i++)
        x[i] = (float)(i % 7);
    float *dx = device_copy(x), *out = device_copy(std::vector<float>(rows));
    ck_assert_int_eq(LAUNCH(k_sums, rows, 256, 8 * sizeof(float), 0, dx, out, n), cudaSuccess);
    std::vector<float> got = host_copy(out, rows);
    for (int r = 0; r < rows; r++) {
        float want = 0;
        for (int i = 0; i < n; i++)
            want += x[(size_t)r * n + i];
        ck_assert_float_eq(got[r], 3 * want);
    }
    cudaFree(dx);
    cudaFree(out);
}
END_TEST

KERNEL(32, 1) k_mma(const signed char *a, const signed char *b, int *d)
{
    int g = lane_id() / 4, t = lane_id() % 4, c[4] = {1, 2, 3, 4}, out[4];
    uint32_t fa[4], fb[2];
    for (int i = 0; i < 4; i++)
        fa[i] = ldg((const uint32_t *)(a + (g + i % 2 * 8) * 32 + i / 2 * 16 + 4 * t));
    for (int i = 0; i < 2; i++)
        fb[i] = ldg((const uint32_t *)(b + g * 32 + i * 16 + 4 * t));
    mma_s8_k32(out, fa, fb, c);
    for (int i = 0; i < 4; i++)
        st(d + (g + i / 2 * 8) * 8 + 2 * t + i % 2, out[i]);
}

START_TEST(product_of_bytes)
{
    std::vector<signed char> a(16 * 32), b(8 * 32);
    for (size_t i = 0; i < a.size(); i++)
        a[i] = (signed char)(i * 37 % 256);
    for (size_t i = 0; i < b.size(); i++)
        b[i] = (signed char)(i * 101 % 256);
    int *d = device_copy(std::vector<int>(128));
    LAUNCH(k_mma, 1, 32, 0, 0, device_copy(a), device_copy(b), d);
    std::vector<int> got = host_copy(d, 128);
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 8; n++) {
            int want = 1 + n % 2 + m / 8 * 2;
            for (int k = 0; k < 32; k++)
                want += a[m * 32 + k] * b[n * 32 + k];
            ck_assert_int_eq(got[m * 8 + n], want);
        }
}
END_TEST

/* Two stages of a pipeline; each thread copies what another one reads. */
KERNEL(64, 1) k_pipeline(const int *x, int *out, int tiles)
{
    SHARED(int, stage, 0);
    int me = (int)threadIdx.x, other = 63 - me, sum = 0;
    cp_async<4>(stage + me, x + me);
    cp_async_commit();
    for (int i = 0; i < tiles; i++) {
        if (i + 1 < tiles)
            cp_async<4>(stage + (i + 1) % 2 * 64 + me, x + (i + 1) * 64 + me);
        cp_async_commit();
        cp_async_wait<1>();
        syncthreads();
        sum += lds(stage + i % 2 * 64 + other);
        syncthreads();
    }
    st(out + me, sum);
}

START_TEST(pipeline_of_copies)
{
    std::vector<int> x(64 * 9);
    for (size_t i = 0; i < x.size(); i++)
        x[i] = (int)(i * i % 1000);
    int *out = device_copy(std::vector<int>(64));
    ck_assert_int_eq(LAUNCH(k_pipeline, 1, 64, 512, 0, device_copy(x), out, 9), cudaSuccess);
    std::vector<int> got = host_copy(out, 64);
    for (int t = 0; t < 64; t++) {
        int want = 0;
        for (int i = 0; i < 9; i++)
            want += x[i * 64 + 63 - t];
        ck_assert_int_eq(got[t], want);
    }
}
END_TEST

/* Blocks pass a number on in order: all must be resident at once. */
KERNEL(32, 1) k_chain(uint32_t *flag, uint32_t *sum)
{
    if (threadIdx.x == 0) {
        wait_flag(flag, blockIdx.x);
        st(sum, ld(sum) + blockIdx.x);
        store_release(flag, blockIdx.x + 1);
    }
}

START_TEST(blocks_that_wait_for_each_other)
{
    uint32_t *flag = device_copy(std::vector<uint32_t>(1)), *sum = device_copy(std::vector<uint32_t>(1));
    LAUNCH(k_chain, 20, 32, 0, 0, flag, sum);
    ck_assert_uint_eq(host_copy(sum, 1)[0], 190);
}
END_TEST

/* One warp fills a buffer, the other empties it, by two named barriers. */
KERNEL(64, 1) k_handover(int *out, int rounds)
{
    SHARED(int, box, 0);
    for (int i = 0; i < rounds; i++) {
        if (warp_id() == 0) {
            if (i)
                bar_sync(2, 64);
            sts(box + lane_id(), i * 100 + lane_id());
            bar_arrive(1, 64);
        } else {
            bar_sync(1, 64);
            st(out + i * 32 + lane_id(), lds(box + 31 - lane_id()));
            if (i + 1 < rounds)
                bar_arrive(2, 64);
        }
    }
}

START_TEST(named_barriers)
{
    int *out = device_copy(std::vector<int>(32 * 5));
    LAUNCH(k_handover, 1, 64, 128, 0, out, 5);
    std::vector<int> got = host_copy(out, 32 * 5);
    for (int i = 0; i < 32 * 5; i++)
        ck_assert_int_eq(got[i], i / 32 * 100 + 31 - i % 32);
}
END_TEST

/* Matrices out of shared memory, as they lie and transposed. */
KERNEL(32, 1) k_matrices(uint32_t *out)
{
    SHARED(uint16_t, m, 0);
    uint32_t r[4], rt[2];
    for (int i = 0; i < 8; i++)
        sts(m + lane_id() * 8 + i, (uint16_t)(lane_id() * 8 + i));
    syncwarp();
    ldmatrix_x4(r, m + lane_id() * 8);
    ldmatrix_x2_trans(rt, m + lane_id() % 16 * 8);
    for (int i = 0; i < 4; i++)
        st(out + i * 32 + lane_id(), r[i]);
    for (int i = 0; i < 2; i++)
        st(out + (4 + i) * 32 + lane_id(), rt[i]);
}

START_TEST(matrices)
{
    uint32_t *out = device_copy(std::vector<uint32_t>(6 * 32));
    LAUNCH(k_matrices, 1, 32, 512, 0, out);
    std::vector<uint32_t> got = host_copy(out, 6 * 32);
    for (uint32_t l = 0; l < 32; l++) {
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t e = i * 64 + l / 4 * 8 + l % 4 * 2;
            ck_assert_uint_eq(got[i * 32 + l], e | (e + 1) << 16);
        }
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t e = i * 64 + l % 4 * 2 * 8 + l / 4;
            ck_assert_uint_eq(got[(4 + i) * 32 + l], e | (e + 8) << 16);
        }
    }
}
END_TEST

int main()
{
    Suite *s = suite_create("simt basics");
    TCase *t = tcase_create("basics");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, sums_of_rows);
    tcase_add_test(t, product_of_bytes);
    tcase_add_test(t, pipeline_of_copies);
    tcase_add_test(t, blocks_that_wait_for_each_other);
    tcase_add_test(t, named_barriers);
    tcase_add_test(t, matrices);
    suite_add_tcase(s, t);
    return run_suite(s);
}
