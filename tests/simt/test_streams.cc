/* Streams, events, graphs, and faults on demand: what is ordered works in every order, what is not is reported. */
#include "kernels/cuda/dialect.cuh"
#include "tests/simt/faults.h"
#include "tests/simt/test_support.h"

enum { N = 64 };

KERNEL(64, 1) k_fill(int *out, int value) { st(out + threadIdx.x, value); }
KERNEL(64, 1) k_add(const int *in, int *out, int value) { st(out + threadIdx.x, ld(in + threadIdx.x) + value); }
KERNEL(64, 1) k_await(const uint32_t *flag, const int *in, int *out)
{
    wait_flag(flag, 1);
    st(out + threadIdx.x, ld(in + threadIdx.x));
}

static int *ints()
{
    void *p;
    ck_assert_int_eq(cudaMalloc(&p, N * sizeof(int)), cudaSuccess);
    return (int *)p;
}

static cudaStream_t stream()
{
    cudaStream_t s;
    ck_assert_int_eq(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess);
    return s;
}

static cudaEvent_t event()
{
    cudaEvent_t e;
    ck_assert_int_eq(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), cudaSuccess);
    return e;
}

static int *pinned()
{
    void *p;
    ck_assert_int_eq(cudaMallocHost(&p, N * sizeof(int)), cudaSuccess);
    return (int *)p;
}

/* --- Reported. --- */

static void read_of_other_stream()
{
    int *a = ints(), *b = ints();
    cudaStream_t one = stream(), two = stream();
    LAUNCH(k_fill, 1, N, 0, one, a, 1);
    LAUNCH(k_add, 1, N, 0, two, a, b, 1);
    cudaDeviceSynchronize();
}

static void write_under_reader()
{
    int *a = ints(), *b = ints();
    cudaStream_t one = stream(), two = stream();
    LAUNCH(k_fill, 1, N, 0, one, a, 1);
    cudaStreamSynchronize(one);
    LAUNCH(k_add, 1, N, 0, one, a, b, 1);
    LAUNCH(k_fill, 1, N, 0, two, a, 1);
    cudaDeviceSynchronize();
}

static void event_too_early()
{
    int *a = ints(), *b = ints();
    cudaStream_t one = stream(), two = stream();
    cudaEvent_t e = event();
    cudaEventRecord(e, one);
    LAUNCH(k_fill, 1, N, 0, one, a, 1);
    cudaStreamWaitEvent(two, e, 0);
    LAUNCH(k_add, 1, N, 0, two, a, b, 1);
    cudaDeviceSynchronize();
}

static void memset_does_not_wait()
{
    int *a = ints(), *b = ints();
    cudaStream_t one = stream();
    cudaMemset(a, 0, N * sizeof *a);
    LAUNCH(k_add, 1, N, 0, one, a, b, 1);
    cudaDeviceSynchronize();
}

static void upload_of_pageable_memory()
{
    int *a = ints(), *b = ints(), host[N] = {0};
    cudaStream_t one = stream();
    cudaMemcpy(a, host, sizeof host, cudaMemcpyHostToDevice);
    LAUNCH(k_add, 1, N, 0, one, a, b, 1);
    cudaDeviceSynchronize();
}

static void download_without_waiting()
{
    int *a = ints(), host[N];
    cudaStream_t one = stream();
    LAUNCH(k_fill, 1, N, 0, one, a, 1);
    cudaMemcpy(host, a, sizeof host, cudaMemcpyDeviceToHost);
    cudaDeviceSynchronize();
}

static void changed_under_copy()
{
    int *a = ints(), *host = pinned();
    cudaStream_t one = stream();
    host[3] = 1;
    cudaMemcpyAsync(a, host, N * sizeof *a, cudaMemcpyHostToDevice, one);
    host[3] = 2;
    cudaStreamSynchronize(one);
}

static void host_reads_device()
{
    volatile int *a = ints();
    exit(a[3]);
}

static cudaGraphExec_t graph_of(cudaStream_t s, int *a, int *b, int *c, bool conflict)
{
    cudaStream_t side = stream();
    cudaEvent_t fork = event(), join = event();
    cudaGraph_t g;
    cudaGraphExec_t x;
    ck_assert_int_eq(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    LAUNCH(k_add, 1, N, 0, s, a, a, 1);
    cudaEventRecord(fork, s);
    ck_assert_int_eq(cudaStreamWaitEvent(side, fork, 0), cudaSuccess);
    LAUNCH(k_add, 1, N, 0, side, a, b, 10);
    LAUNCH(k_add, 1, N, 0, s, a, conflict ? b : c, 100);
    cudaEventRecord(join, side);
    ck_assert_int_eq(cudaStreamWaitEvent(s, join, 0), cudaSuccess);
    LAUNCH(k_add, 1, N, 0, s, b, b, 1000);
    ck_assert_int_eq(cudaStreamEndCapture(s, &g), cudaSuccess);
    ck_assert_int_eq(cudaGraphInstantiate(&x, g, 0), cudaSuccess);
    cudaGraphDestroy(g);
    return x;
}

static void branches_write_one_place()
{
    int *a = ints(), *b = ints();
    cudaStream_t s = stream();
    LAUNCH(k_fill, 1, N, 0, s, a, 0);
    cudaGraphLaunch(graph_of(s, a, b, b, true), s);
    cudaStreamSynchronize(s);
}

static const struct {
    void (*program)();
    const char *words;
} faults[] = {
    {read_of_other_stream, "and nothing orders the two"},
    {write_under_reader, "and nothing orders the two"},
    {event_too_early, "and nothing orders the two"},
    {memset_does_not_wait, "and nothing orders the two"},
    {upload_of_pageable_memory, "and nothing orders the two"},
    {download_without_waiting, "and nothing orders the two"},
    {changed_under_copy, "the host changed pinned memory"},
    {host_reads_device, "by the host: only the runtime's copies can"},
    {branches_write_one_place, "and nothing orders the two"},
};

START_TEST(fault)
{
    must_report(faults[_i].program, faults[_i].words);
}
END_TEST

/* --- In order. --- */

START_TEST(events_order)
{
    int *a = ints(), *b = ints(), *host = pinned();
    cudaStream_t one = stream(), two = stream();
    cudaEvent_t e = event(), back = event();
    for (int i = 0; i < 20; i++) {
        LAUNCH(k_fill, 1, N, 0, one, a, i);
        cudaEventRecord(e, one);
        cudaStreamWaitEvent(two, e, 0);
        LAUNCH(k_add, 1, N, 0, two, a, b, 100);
        cudaMemcpyAsync(host, b, N * sizeof *b, cudaMemcpyDeviceToHost, two);
        cudaEventRecord(back, two);
        ck_assert_int_ne(host[5], 100 + i);
        cudaStreamWaitEvent(one, back, 0);
        LAUNCH(k_fill, 1, N, 0, one, a, -1);
        while (cudaEventQuery(back) == cudaErrorNotReady)
            ;
        ck_assert_int_eq(host[5], 100 + i);
    }
    ck_assert_int_eq(cudaDeviceSynchronize(), cudaSuccess);
}
END_TEST

START_TEST(graphs_replay)
{
    int *a = ints(), *b = ints(), *c = ints();
    cudaStream_t s = stream();
    LAUNCH(k_fill, 1, N, 0, s, a, 0);
    cudaGraphExec_t x = graph_of(s, a, b, c, false);
    for (int i = 1; i < 9; i++)
        ck_assert_int_eq(cudaGraphLaunch(x, s), cudaSuccess);
    ck_assert_int_eq(cudaStreamSynchronize(s), cudaSuccess);
    ck_assert_int_eq(host_copy(a, N)[1], 8);
    ck_assert_int_eq(host_copy(b, N)[1], 8 + 10 + 1000);
    ck_assert_int_eq(host_copy(c, N)[1], 8 + 100);
    ck_assert_int_eq(cudaGraphExecDestroy(x), cudaSuccess);
}
END_TEST

START_TEST(graphs_are_updated)
{
    int *a = ints();
    cudaStream_t s = stream();
    cudaGraph_t g[3];
    cudaGraphExec_t x;
    cudaGraphExecUpdateResultInfo info;
    for (int i = 0; i < 3; i++) {
        cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal);
        if (i < 2)
            LAUNCH(k_fill, 1, N, 0, s, a, i);
        else
            LAUNCH(k_add, 1, N, 0, s, a, a, i);
        ck_assert_int_eq(cudaStreamEndCapture(s, &g[i]), cudaSuccess);
    }
    cudaGraphInstantiate(&x, g[0], 0);
    ck_assert_int_eq(cudaGraphExecUpdate(x, g[1], &info), cudaSuccess);
    cudaGraphLaunch(x, s);
    cudaStreamSynchronize(s);
    ck_assert_int_eq(host_copy(a, N)[0], 1);
    ck_assert_int_eq(cudaGraphExecUpdate(x, g[2], &info), cudaErrorGraphExecUpdateFailure);
    ck_assert_int_eq(info.result, cudaGraphExecUpdateErrorFunctionChanged);
}
END_TEST

START_TEST(captures_fail)
{
    int *a = ints();
    void *p;
    cudaStream_t s = stream(), side = stream();
    cudaEvent_t outside = event(), fork = event();
    cudaGraph_t g;
    cudaEventRecord(outside, side);
    cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal);
    ck_assert_int_eq(cudaStreamWaitEvent(s, outside, 0), cudaErrorStreamCaptureIsolation);
    ck_assert_int_eq(cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported);
    cudaEventRecord(fork, s);
    cudaStreamWaitEvent(side, fork, 0);
    LAUNCH(k_fill, 1, N, 0, side, a, 1);
    ck_assert_int_eq(cudaStreamEndCapture(s, &g), cudaErrorStreamCaptureUnjoined);
    cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal);
    ck_assert_int_eq(cudaStreamSynchronize(s), cudaErrorStreamCaptureUnsupported);
    ck_assert_int_eq(cudaStreamEndCapture(s, &g), cudaErrorStreamCaptureInvalidated);
    ck_assert_ptr_null(g);
    ck_assert_int_eq(cudaStreamWaitEvent(s, fork, 0), cudaErrorCapturedEvent);
    ck_assert_int_eq(LAUNCH(k_fill, 1, N, 0, s, a, 1), cudaSuccess);
    ck_assert_int_eq(cudaDeviceSynchronize(), cudaSuccess);
}
END_TEST

/* A kernel waits for a flag that a copy on another stream raises, after it brought data. */
START_TEST(copies_raise_flags)
{
    int *in = ints(), *out = ints(), *host = pinned();
    uint32_t *flag = (uint32_t *)ints();
    cudaStream_t work = stream(), copies = stream();
    cudaMemset(flag, 0, N * sizeof *flag);
    cudaDeviceSynchronize();
    for (int i = 0; i < N; i++)
        host[i] = 1;
    LAUNCH(k_await, 1, N, 0, work, flag, in, out);
    cudaMemcpyAsync(in, host, N * sizeof *in, cudaMemcpyHostToDevice, copies);
    cudaMemcpyAsync(flag, host, sizeof *flag, cudaMemcpyHostToDevice, copies);
    ck_assert_int_eq(cudaStreamSynchronize(work), cudaSuccess);
    ck_assert_int_eq(host_copy(out, N)[9], 1);
}
END_TEST

START_TEST(faults_stick)
{
    static const struct {
        const char *text;
        cudaError_t code;
    } kinds[] = {{"address@2", cudaErrorIllegalAddress}, {"launch@2", cudaErrorLaunchFailure}, {"ecc@2", cudaErrorECCUncorrectable}};
    int *a = ints();
    cudaStream_t s = stream();
    for (size_t i = 0; i < 3; i++) {
        simt_fault(kinds[i].text);
        LAUNCH(k_fill, 1, N, 0, s, a, 1);
        ck_assert_int_eq(cudaStreamSynchronize(s), cudaSuccess);
        ck_assert_int_eq(LAUNCH(k_fill, 1, N, 0, s, a, 2), cudaSuccess);
        ck_assert_int_eq(cudaStreamSynchronize(s), kinds[i].code);
        ck_assert_int_eq(LAUNCH(k_fill, 1, N, 0, s, a, 3), kinds[i].code);
        ck_assert_int_eq(cudaMemset(a, 0, 4), kinds[i].code);
        ck_assert_int_eq(cudaGetLastError(), kinds[i].code);
    }
    simt_fault("memory@2");
    void *p;
    ck_assert_int_eq(cudaMalloc(&p, 4), cudaSuccess);
    ck_assert_int_eq(cudaMalloc(&p, 4), cudaErrorMemoryAllocation);
    ck_assert_int_eq(cudaMalloc(&p, 4), cudaSuccess);
}
END_TEST

START_TEST(arguments)
{
    int *a = ints(), host[N] = {0};
    ck_assert_int_eq(LAUNCH(k_fill, 0, N, 0, 0, a, 1), cudaErrorInvalidConfiguration);
    ck_assert_int_eq(LAUNCH(k_fill, 1, 2048, 0, 0, a, 1), cudaErrorInvalidConfiguration);
    ck_assert_int_eq(LAUNCH(k_fill, 1, N, 164 * 1024, 0, a, 1), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemcpy(a, host, sizeof host + 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemcpy(a, host, sizeof host, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaSetDevice(1), cudaErrorInvalidDevice);
    ck_assert_int_eq(cudaPeekAtLastError(), cudaErrorInvalidDevice);
    void *p;
    ck_assert_int_eq(cudaMalloc(&p, (size_t)1 << 40), cudaErrorMemoryAllocation);
}
END_TEST

int main()
{
    Suite *s = suite_create("simt streams");
    TCase *t = tcase_create("streams");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, fault, 0, sizeof faults / sizeof faults[0]);
    tcase_add_test(t, events_order);
    tcase_add_test(t, graphs_replay);
    tcase_add_test(t, graphs_are_updated);
    tcase_add_test(t, captures_fail);
    tcase_add_test(t, copies_raise_flags);
    tcase_add_test(t, faults_stick);
    tcase_add_test(t, arguments);
    suite_add_tcase(s, t);
    return run_suite(s);
}
