/* Kernels that break the rules, one rule each: every one of them must be reported, by name and line. */
#include "kernels/cuda/dialect.cuh"
#include "tests/simt/test_support.h"

static int *ints(size_t n) { return device_copy(std::vector<int>(n)); }

/* --- Divergence. --- */

KERNEL(64, 1) k_divergent_barrier()
{
    if (threadIdx.x < 32)
        syncthreads();
    else
        syncthreads();
}
static void divergent_barrier() { LAUNCH(k_divergent_barrier, 1, 64, 0, 0); }

KERNEL(32, 1) k_divergent_lanes(int *out)
{
    int v = threadIdx.x < 16 ? shfl_xor(1, 1)
                             : shfl_xor(2, 1);
    st(out + threadIdx.x, v);
}
static void divergent_lanes() { LAUNCH(k_divergent_lanes, 1, 32, 0, 0, ints(32)); }

KERNEL(32, 1) k_exited_lane(int *out)
{
    if (threadIdx.x == 7)
        return;
    st(out + threadIdx.x, shfl_xor(1, 1));
}
static void exited_lane() { LAUNCH(k_exited_lane, 1, 32, 0, 0, ints(32)); }

KERNEL(48, 1) k_half_warp() { syncwarp(); }
static void half_warp() { LAUNCH(k_half_warp, 1, 48, 0, 0); }

/* --- Barriers that never open, or are not agreed upon. --- */

KERNEL(64, 1) k_deadlock()
{
    if (warp_id() == 0)
        bar_sync(1, 64);
    else
        syncthreads();
}
static void deadlock() { LAUNCH(k_deadlock, 1, 64, 0, 0); }

KERNEL(64, 1) k_barrier_counts() { bar_sync(1, warp_id() == 0 ? 64 : 32); }
static void barrier_counts() { LAUNCH(k_barrier_counts, 1, 64, 0, 0); }

KERNEL(32, 1) k_flag_nobody_raises(uint32_t *flag) { wait_flag(flag, 1); }
static void flag_nobody_raises()
{
    setenv("OPENLORA_SIMT_PATIENCE_MS", "50", 1);
    LAUNCH(k_flag_nobody_raises, 1, 32, 0, 0, (uint32_t *)ints(1));
}

/* --- Addresses. --- */

KERNEL(32, 1) k_shared_past_end(int *out)
{
    SHARED(int, s, 0);
    sts(s + threadIdx.x, 1);
    syncthreads();
    st(out + threadIdx.x, lds(s + threadIdx.x + 1));
}
static void shared_past_end() { LAUNCH(k_shared_past_end, 1, 32, 128, 0, ints(32)); }

KERNEL(32, 1) k_global_past_end(int *out) { st(out + threadIdx.x + 1, 1); }
static void global_past_end() { LAUNCH(k_global_past_end, 1, 32, 0, 0, ints(32)); }

static void freed_memory()
{
    int *p = ints(64);
    cudaFree(p);
    LAUNCH(k_global_past_end, 1, 32, 0, 0, p);
}

KERNEL(32, 1) k_misaligned(int *out)
{
    uint4 v = ld((const uint4 *)(out + 1));
    st(out, (int)v.x);
}
static void misaligned() { LAUNCH(k_misaligned, 1, 32, 0, 0, ints(64)); }

KERNEL(32, 1) k_misaligned_copy(const int *x)
{
    SHARED(char, s, 0);
    cp_async<16>(s, x + 1);
}
static void misaligned_copy() { LAUNCH(k_misaligned_copy, 1, 32, 128, 0, ints(64)); }

KERNEL(32, 1) k_global_as_shared(int *out) { sts(out, 1); }
static void global_as_shared() { LAUNCH(k_global_as_shared, 1, 32, 128, 0, ints(64)); }

KERNEL(32, 1) k_around_ld(int *out) { out[threadIdx.x] = 1; }
static void around_ld() { LAUNCH(k_around_ld, 1, 32, 0, 0, ints(32)); }

KERNEL(32, 1) k_written_under_ldg(int *x)
{
    int v = ldg(x + (threadIdx.x + 1) % 32);
    st(x + threadIdx.x, v);
}
static void written_under_ldg() { LAUNCH(k_written_under_ldg, 1, 32, 0, 0, ints(32)); }

/* --- Asynchronous copies. --- */

KERNEL(64, 1) k_missing_wait(const int *x, int *out)
{
    SHARED(int, s, 0);
    cp_async<4>(s + threadIdx.x, x + threadIdx.x);
    cp_async_commit();
    syncthreads();
    st(out + threadIdx.x, lds(s + 63 - threadIdx.x));
}
static void missing_wait() { LAUNCH(k_missing_wait, 1, 64, 256, 0, ints(64), ints(64)); }

KERNEL(64, 1) k_wait_for_too_few(const int *x, int *out)
{
    SHARED(int, s, 0);
    cp_async<4>(s + threadIdx.x, x + threadIdx.x);
    cp_async_commit();
    cp_async_wait<1>();
    syncthreads();
    st(out + threadIdx.x, lds(s + 63 - threadIdx.x));
}
static void wait_for_too_few() { LAUNCH(k_wait_for_too_few, 1, 64, 256, 0, ints(64), ints(64)); }

/* Refills a stage that others have not read. */
KERNEL(64, 1) k_early_refill(const int *x, int *out)
{
    SHARED(int, s, 0);
    sts(s + threadIdx.x, (int)threadIdx.x);
    syncthreads();
    cp_async<4>(s + threadIdx.x, x + threadIdx.x);
    cp_async_commit();
    int v = lds(s + 63 - threadIdx.x);
    syncthreads();
    cp_async_wait<0>();
    syncthreads();
    st(out + threadIdx.x, v + lds(s + threadIdx.x));
}
static void early_refill() { LAUNCH(k_early_refill, 1, 64, 256, 0, ints(64), ints(64)); }

static const struct {
    const char *name;
    void (*program)();
    const char *words;
} faults[] = {
    {"divergent_barrier", divergent_barrier, "divergent barrier: other threads wait for this one at line"},
    {"divergent_lanes", divergent_lanes, "divergence: this lane is at a shuffle"},
    {"exited_lane", exited_lane, "exited"},
    {"half_warp", half_warp, "needs a whole warp"},
    {"deadlock", deadlock, "deadlock: 32 threads (first: 0) wait for a barrier"},
    {"barrier_counts", barrier_counts, "this thread says it is of"},
    {"flag_nobody_raises", flag_nobody_raises, "deadlock: 32 threads (first: 0) wait for a flag"},
    {"shared_past_end", shared_past_end, "at offset 128 of shared memory, of which the block has 128 bytes"},
    {"global_past_end", global_past_end, "0 bytes past the end of an allocation of 128 bytes"},
    {"freed_memory", freed_memory, "outside any allocation"},
    {"misaligned", misaligned, "misaligned load of 16 bytes"},
    {"misaligned_copy", misaligned_copy, "misaligned cp.async of 16 bytes"},
    {"global_as_shared", global_as_shared, "which is no address of shared memory"},
    {"around_ld", around_ld, "without ld, st or their like"},
    {"written_under_ldg", written_under_ldg, "reads by ldg what it also writes"},
    {"missing_wait", missing_wait, "to which a cp.async is under way"},
    {"wait_for_too_few", wait_for_too_few, "to which a cp.async is under way"},
    {"early_refill", early_refill, "to which a cp.async is under way"},
};

static void (*program)();
static void and_wait()
{
    program();
    cudaDeviceSynchronize();
}

START_TEST(fault)
{
    program = faults[_i].program;
    must_report(and_wait, faults[_i].words);
}
END_TEST

int main()
{
    Suite *s = suite_create("simt faults");
    TCase *t = tcase_create("faults");
    tcase_add_loop_test(t, fault, 0, sizeof faults / sizeof faults[0]);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return run_suite(s);
}
