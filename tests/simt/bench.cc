/* What the emulator costs, in processor time: a switch between fibers, a warp-wide product, a load. Built on demand:
 * ninja -C build simt_bench && build/tests/simt_bench */
#include "kernels/cuda/dialect.cuh"

#include <stdio.h>
#include <time.h>

KERNEL(256, 1) k_shuffles(int *out, int n)
{
    int v = (int)threadIdx.x;
    for (int i = 0; i < n; i++)
        v += shfl_xor(v, 1);
    st(out + threadIdx.x, v);
}

KERNEL(256, 1) k_products(int *out, int n)
{
    int d[4] = {0, 0, 0, 0};
    uint32_t a[4] = {1, 2, 3, threadIdx.x}, b[2] = {5, 6};
    for (int i = 0; i < n; i++)
        mma_s8_k32(d, a, b, d);
    st(out + threadIdx.x, d[0]);
}

KERNEL(256, 1) k_half_products(int *out, int n)
{
    float d[4] = {0, 0, 0, 0};
    uint32_t a[4] = {1, 2, 3, threadIdx.x}, b[2] = {5, 6};
    for (int i = 0; i < n; i++)
        mma_f16_k16(d, a, b, d);
    st(out + threadIdx.x, (int)d[0]);
}

KERNEL(256, 1) k_loads(int *out, int n)
{
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += ld(out + (threadIdx.x + (unsigned)i) % 256);
    st(out + threadIdx.x, sum);
}

KERNEL(256, 1) k_copies(int *out, int n)
{
    SHARED(int4, s, 0);
    for (int i = 0; i < n; i++) {
        cp_async<16>(s + threadIdx.x, (int4 *)out + threadIdx.x % 64);
        cp_async_commit();
        cp_async_wait<0>();
        out += lds((int *)(s + threadIdx.x)) & 0;
    }
    st(out + threadIdx.x, 1);
}

KERNEL(256, 1) k_barriers(int *out, int n)
{
    for (int i = 0; i < n; i++)
        syncthreads();
    st(out + threadIdx.x, n);
}

static double seconds()
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void measure(const char *what, void (*kernel)(int *, int), int n, double each)
{
    void *out;
    cudaMalloc(&out, 1024 * sizeof(int));
    cudaMemset(out, 0, 1024 * sizeof(int));
    double start = seconds();
    simt::launch(what, kernel, 4, 256, 4096, 0, (int *)out, n);
    cudaDeviceSynchronize();
    printf("%-28s %8.1f ns\n", what, (seconds() - start) * 1e9 / (4.0 * n * each));
    cudaFree(out);
}

int main()
{
    measure("first launch", k_barriers, 1, 1);
    measure("shuffle, a lane", k_shuffles, 5000, 256);
    measure("barrier, a thread", k_barriers, 5000, 256);
    measure("mma s8 m16n8k32, a warp", k_products, 2000, 8);
    measure("mma f16 m16n8k16, a warp", k_half_products, 2000, 8);
    measure("ld, a lane", k_loads, 20000, 256);
    measure("cp.async 16 + wait, a lane", k_copies, 2000, 256);
    return 0;
}
