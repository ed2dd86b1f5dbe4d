/* Counted traffic of kernels whose traffic is known. */
#include "kernels/cuda/dialect.cuh"
#include "tests/simt/test_support.h"
#include "tests/simt/traffic.h"

enum { N = 1024 };

KERNEL(256, 1) k_copy(const float *x, float *y) { st(y + blockIdx.x * 256 + threadIdx.x, ldg(x + blockIdx.x * 256 + threadIdx.x)); }
KERNEL(256, 1) k_strided(const float *x, float *y)
{
    float v = 0;
    for (int i = 0; i < 8; i++)
        v += ldg(x + threadIdx.x % 32 * 8 + i);
    st(y + threadIdx.x, v);
}
KERNEL(32, 1) k_banks(float *out, int stride)
{
    SHARED(float, s, 0);
    sts(s + threadIdx.x * stride, 1.0f);
    syncwarp();
    st(out + threadIdx.x, lds(s + threadIdx.x * stride));
}
KERNEL(32, 1) k_wide(float *out, const float4 *in)
{
    SHARED(float4, s, 0);
    cp_async<16>(s + threadIdx.x, in + threadIdx.x);
    cp_async_commit();
    cp_async_wait<0>();
    syncthreads();
    uint32_t r[4];
    ldmatrix_x4(r, s + threadIdx.x);
    st(out + threadIdx.x, lds(s + threadIdx.x).x + bits_to_float(r[0] & 0));
}

static float *floats(size_t n)
{
    float *p = device_copy(std::vector<float>(n));
    cudaDeviceSynchronize();
    return p;
}

static simt_traffic counted(const char *kernel)
{
    simt_traffic t;
    cudaDeviceSynchronize();
    ck_assert_int_eq(simt_traffic_get(kernel, &t), 1);
    return t;
}

START_TEST(straight)
{
    simt_traffic_start();
    LAUNCH(k_copy, 4, 256, 0, 0, floats(N), floats(N));
    simt_traffic t = counted("k_copy");
    ck_assert_uint_eq(t.launches, 1);
    ck_assert_uint_eq(t.blocks, 4);
    ck_assert_uint_eq(t.loads, N / 32);
    ck_assert_uint_eq(t.load_bytes, 4 * N);
    ck_assert_uint_eq(t.load_sector_bytes, 4 * N);
    ck_assert_uint_eq(t.l2_bytes, 4 * N);
    ck_assert_uint_eq(t.dram_read_bytes, 4 * N);
    ck_assert_uint_eq(t.dram_write_bytes, 4 * N);
    ck_assert_uint_eq(t.store_sector_bytes, 4 * N);
}
END_TEST

/* Each lane walks a sector of its own: 32 sectors a request, of which L1 keeps all for the seven that follow. */
START_TEST(strided)
{
    simt_traffic_start();
    LAUNCH(k_strided, 1, 256, 0, 0, floats(N), floats(N));
    simt_traffic t = counted("k_strided");
    ck_assert_uint_eq(t.loads, 8 * 8);
    ck_assert_uint_eq(t.load_sector_bytes, 8 * 8 * 32 * 32);
    ck_assert_uint_eq(t.l2_bytes, 32 * 32);
    ck_assert_uint_eq(t.dram_read_bytes, 32 * 32);
}
END_TEST

START_TEST(banks)
{
    static const int stride[] = {1, 2, 32, 33}, wavefronts[] = {1, 2, 32, 1};
    for (int i = 0; i < 4; i++) {
        simt_traffic_start();
        LAUNCH(k_banks, 1, 32, 33 * 32 * 4, 0, floats(32), stride[i]);
        simt_traffic t = counted("k_banks");
        ck_assert_uint_eq(t.shared_loads, 1);
        ck_assert_uint_eq(t.shared_stores, 1);
        ck_assert_uint_eq(t.syncwarps, 1);
        ck_assert_uint_eq(t.shared_parts, 2);
        ck_assert_uint_eq(t.shared_wavefronts, 2 * (unsigned)wavefronts[i]);
    }
}
END_TEST

START_TEST(wide)
{
    simt_traffic_start();
    LAUNCH(k_wide, 1, 32, 512, 0, floats(32), (const float4 *)floats(128));
    simt_traffic t = counted("k_wide");
    ck_assert_uint_eq(t.copies, 1);
    ck_assert_uint_eq(t.l2_bytes, 512);
    ck_assert_uint_eq(t.ldmatrix, 1);
    ck_assert_uint_eq(t.barriers, 1);
    ck_assert_uint_eq(t.shared_parts, 8);
    ck_assert_uint_eq(t.shared_wavefronts, 8);
    char path[] = "/tmp/simt-traffic-XXXXXX", text[2048] = "";
    int file = mkstemp(path);
    ck_assert_int_eq(simt_traffic_dump(path), 0);
    ck_assert_int_gt(read(file, text, sizeof text - 1), 0);
    ck_assert(strstr(text, "\"k_wide\": {\"launches\": 1, \"blocks\": 1, \"load_bytes\": 512"));
    close(file);
    unlink(path);
}
END_TEST

int main()
{
    Suite *s = suite_create("simt traffic");
    TCase *t = tcase_create("traffic");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, straight);
    tcase_add_test(t, strided);
    tcase_add_test(t, banks);
    tcase_add_test(t, wide);
    suite_add_tcase(s, t);
    return run_suite(s);
}
