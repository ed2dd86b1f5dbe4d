/* Races that ThreadSanitizer must see through the emulator, with the kernel's own lines; and kernels that have none. Other
 * builds run the latter only. */
#include "kernels/cuda/dialect.cuh"
#include "tests/simt/test_support.h"

static int *ints(size_t n) { return device_copy(std::vector<int>(n)); }
static float *floats(size_t n) { return device_copy(std::vector<float>(n)); }

DEVICE float sum_with_one_barrier(float *scratch, float v)
{
    for (int m = 16; m; m /= 2)
        v += shfl_xor(v, m);
    if (lane_id() == 0)
        sts(scratch + warp_id(), v); /* RACE with the reads of the call before */
    syncthreads();
    v = lane_id() < (int)blockDim.x / WARP ? lds(scratch + lane_id()) : 0.0f;
    for (int m = 16; m; m /= 2)
        v += shfl_xor(v, m);
    return v;
}
#ifdef SIMT_TSAN
KERNEL(64, 1) k_missing_barrier(int *out)
{
    SHARED(int, s, 0);
    sts(s + threadIdx.x, (int)threadIdx.x);
    st(out + threadIdx.x, lds(s + 63 - threadIdx.x)); /* RACE */
}
static void missing_barrier() { LAUNCH(k_missing_barrier, 1, 64, 256, 0, ints(64)); }

KERNEL(256, 1) k_reduction_twice(float *out)
{
    SHARED(float, scratch, 0);
    float a = sum_with_one_barrier(scratch, 1), b = sum_with_one_barrier(scratch, 2);
    if (threadIdx.x == 0)
        st(out, a + b);
}
static void reduction_twice() { LAUNCH(k_reduction_twice, 1, 256, 32, 0, floats(1)); }

/* A shuffle gathers lanes but orders nothing. */
KERNEL(32, 1) k_ordered_by_shuffle(int *out)
{
    SHARED(int, s, 0);
    sts(s + threadIdx.x, 1);
    int v = shfl_xor(1, 1);
    st(out + threadIdx.x, v + lds(s + (threadIdx.x ^ 1)));
}
static void ordered_by_shuffle() { LAUNCH(k_ordered_by_shuffle, 1, 32, 128, 0, ints(32)); }

KERNEL(32, 1) k_blocks_write_one(int *out)
{
    if (threadIdx.x == 0)
        st(out, (int)blockIdx.x);
}
static void blocks_write_one() { LAUNCH(k_blocks_write_one, 4, 32, 0, 0, ints(1)); }

/* Every lane writes the same value: still a race. */
KERNEL(32, 1) k_lanes_write_one(int *out) { st(out, 1); }
static void lanes_write_one() { LAUNCH(k_lanes_write_one, 1, 32, 0, 0, ints(1)); }

/* Waited for by the copying thread, but no barrier before another one reads. */
KERNEL(32, 1) k_wait_without_barrier(const int *x, int *out)
{
    SHARED(int, s, 0);
    cp_async<4>(s + threadIdx.x, x + threadIdx.x);
    cp_async_commit();
    cp_async_wait<0>();
    int v = shfl_xor(0, 1);
    st(out + threadIdx.x, v + lds(s + (threadIdx.x ^ 1)));
}
static void wait_without_barrier() { LAUNCH(k_wait_without_barrier, 1, 32, 128, 0, ints(32), ints(32)); }

KERNEL(32, 1) k_count_without_order(uint32_t *count, int *data, int *out)
{
    if (threadIdx.x == 0 && blockIdx.x == 0)
        st(data, 1);
    if (threadIdx.x == 0 && blockIdx.x == 1)
        st(out, ld(data));
    if (threadIdx.x == 0)
        atomic_add(count, 1);
}
static void count_without_order() { LAUNCH(k_count_without_order, 2, 32, 0, 0, (uint32_t *)ints(1), ints(1), ints(1)); }

static const struct {
    const char *name;
    void (*program)();
} races[] = {
    {"k_missing_barrier", missing_barrier},
    {"sum_with_one_barrier", reduction_twice},
    {"k_ordered_by_shuffle", ordered_by_shuffle},
    {"k_blocks_write_one", blocks_write_one},
    {"k_lanes_write_one", lanes_write_one},
    {"k_wait_without_barrier", wait_without_barrier},
    {"k_count_without_order", count_without_order},
};

static void (*program)();
static void and_wait()
{
    program();
    cudaDeviceSynchronize();
}

START_TEST(race)
{
    int status;
    program = races[_i].program;
    std::vector<char> text = report_of(and_wait, &status);
    ck_assert_msg(status && strstr(text.data(), "WARNING: ThreadSanitizer: data race"), "%s: no race seen:\n%s",
                  races[_i].name, text.data());
    ck_assert_msg(strstr(text.data(), races[_i].name) && strstr(text.data(), "test_races.cc:"), "no line:\n%s",
                  text.data());
}
END_TEST
#endif

/* --- Without races. --- */

KERNEL(256, 1) k_two_barriers(float *out)
{
    SHARED(float, scratch, 0);
    float a = sum_with_one_barrier(scratch, 1);
    syncthreads();
    float b = sum_with_one_barrier(scratch, 2);
    if (threadIdx.x == 0)
        st(out + blockIdx.x, a + b);
}

/* The block that counts last adds up what the others wrote before they counted. */
KERNEL(64, 1) k_last_block(uint32_t *count, int *parts, int *total)
{
    SHARED(int, last, 0);
    if (threadIdx.x == 0) {
        st(parts + blockIdx.x, (int)blockIdx.x);
        sts(last, atomic_add(count, 1) == gridDim.x - 1 ? 1 : 0);
    }
    syncthreads();
    if (lds(last) && threadIdx.x == 0) {
        int sum = 0;
        for (unsigned i = 0; i < gridDim.x; i++)
            sum += ld(parts + i);
        st(total, sum);
    }
}

KERNEL(32, 1) k_syncwarp(int *out)
{
    SHARED(int, s, 0);
    for (int i = 0; i < 4; i++) {
        sts(s + threadIdx.x, (int)threadIdx.x + i);
        syncwarp();
        st(out + threadIdx.x + 32 * i, lds(s + 31 - threadIdx.x));
        syncwarp();
    }
}

static void without_races()
{
    float *sums = floats(5);
    int *total = ints(1), *out = ints(128), *order = ints(1), *parts = ints(9);
    LAUNCH(k_two_barriers, 5, 256, 32, 0, sums);
    LAUNCH(k_last_block, 9, 64, 4, 0, (uint32_t *)order, parts, total);
    LAUNCH(k_last_block, 9, 64, 4, 0, (uint32_t *)order, parts, total); /* and again, over the same memory */
    LAUNCH(k_syncwarp, 1, 32, 128, 0, out);
    cudaDeviceSynchronize();
    if (host_copy(sums, 1)[0] != 768 || host_copy(total, 1)[0] != 36 || host_copy(out + 96, 1)[0] != 34) {
        fprintf(stderr, "wrong results\n");
        exit(1);
    }
}

START_TEST(none)
{
    int status;
    std::vector<char> text = report_of(without_races, &status);
    ck_assert_msg(!status, "%s", text.data());
}
END_TEST

int main()
{
    Suite *s = suite_create("simt races");
    TCase *t = tcase_create("races");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, none);
#ifdef SIMT_TSAN
    tcase_add_loop_test(t, race, 0, sizeof races / sizeof races[0]);
#endif
    suite_add_tcase(s, t);
    return run_suite(s);
}
