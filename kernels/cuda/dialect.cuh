/* The CUDA that kernels are written in: a small set of names with two meanings.
 *
 * Under nvcc they are PTX. Under a plain C++ compiler they are the emulator's (tests/simt/simt.h), which runs the same
 * kernel text on the CPU and reports races, divergence, deadlocks, addresses out of bounds and traffic.
 *
 * Rules, so that both read the same text (tests/style.py looks for what is forbidden):
 *  1. Global memory is read and written through ld, ldg, ldg_stream, st and the asynchronous copies: that is what is
 *     checked and counted. Shared memory too: lds, sts, ldmatrix, cp_async.
 *  2. Shared memory is SHARED(type, name, offset_bytes) into the one dynamic block whose size the launch states.
 *  3. No <<<>>>: launch(). No asm outside this file. No warp-synchronous guessing: what another lane wrote is read
 *     after syncwarp or a barrier.
 *  4. float arithmetic means what IEEE says: compiled with --fmad=false, so fmaf is a fused multiply-add and a · b + c
 *     is not. kernels/ops.h fixes every order.
 *  5. Loops that wait spin in wait_flag() only.
 *
 * Fragments of mma: PTX ISA, "Matrix Fragments for mma.m16n8k16/k32". With g = lane / 4, t = lane % 4:
 *   A (16 × 32 bytes, row-major)   a[0]: row g,     bytes 4t .. 4t+3     a[2]: row g,     bytes 16 + 4t ..
 *                                  a[1]: row g + 8, bytes 4t ..          a[3]: row g + 8, bytes 16 + 4t ..
 *   B (32 bytes × 8, column-major) b[0]: column g, bytes 4t ..           b[1]: column g, bytes 16 + 4t ..
 *   C, D (16 × 8)                  c[0], c[1]: row g, columns 2t, 2t+1   c[2], c[3]: row g + 8
 * m16n8k16 of 16-bit elements has the same picture with 32 bytes = 16 elements; m16n8k16 of s8 is its half: a[0], a[1]
 * (rows g, g + 8), b[0]. */
#ifndef OPENLORA_KERNELS_CUDA_DIALECT_CUH
#define OPENLORA_KERNELS_CUDA_DIALECT_CUH

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

enum { WARP = 32 };

#ifdef __CUDACC__

#include <cuda_runtime.h>

/* KERNEL(threads, blocks): at most so many threads a block, at least so many blocks on an SM. */
#define KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define DEVICE __device__ __forceinline__
#define SHARED(type, name, offset_bytes) type *name = (type *)(dynamic_shared + (offset_bytes))
extern __shared__ __align__(128) unsigned char dynamic_shared[];

/* Types are 1, 2, 4, 8 or 16 bytes, pointers aligned to them. */
template <class T> DEVICE T ld(const T *p) { return *p; }          /* written by this kernel or before it */
template <class T> DEVICE T ldg(const T *p) { return __ldg(p); }   /* nobody writes it during this kernel */
template <class T> DEVICE T ldg_stream(const T *p) { return __ldcs(p); } /* the same, read once: leaves caches alone */
template <class T> DEVICE void st(T *p, T v) { *p = v; }
template <class T> DEVICE T lds(const T *p) { return *p; }
template <class T> DEVICE void sts(T *p, T v) { *p = v; }

DEVICE void syncthreads() { __syncthreads(); }
DEVICE void syncwarp() { __syncwarp(); }
/* Named barriers 1 .. 15 of `threads` threads (a multiple of 32): those who sync wait for those who sync or arrive. */
DEVICE void bar_sync(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
DEVICE void bar_arrive(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }

/* Whole warps only; T is 4 or 8 bytes. */
template <class T> DEVICE T shfl(T v, int lane) { return __shfl_sync(~0u, v, lane); }
template <class T> DEVICE T shfl_xor(T v, int mask) { return __shfl_xor_sync(~0u, v, mask); }
template <class T> DEVICE T shfl_up(T v, int by) { return __shfl_up_sync(~0u, v, by); } /* lanes < by keep theirs */
template <class T> DEVICE T shfl_down(T v, int by) { return __shfl_down_sync(~0u, v, by); }
DEVICE unsigned warp_ballot(bool v) { return __ballot_sync(~0u, v); }
DEVICE bool warp_any(bool v) { return __any_sync(~0u, v); } /* CUDA's headers keep ballot and any for themselves */

/* Asynchronous copies, global to shared, BYTES = 4, 8 or 16 (16: past L1). `bytes` of them are read, the rest is 0. */
DEVICE unsigned shared_address(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }
template <int BYTES> DEVICE void cp_async(void *to, const void *from, int bytes = BYTES)
{
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(from), "n"(BYTES),
                     "r"(bytes)
                     : "memory");
}
/* The same of 16 bytes that are read once: the first to leave L2, so that what is read again stays. */
DEVICE void cp_async_stream(void *to, const void *from)
{
    uint64_t evict_first;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(evict_first));
    asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "l"(evict_first)
                 : "memory");
}
DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* All but the newest N of this thread's groups have landed; others see them after a barrier. */
template <int N> DEVICE void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

DEVICE void mma_s8_k32(int d[4], const uint32_t a[4], const uint32_t b[2], const int c[4])
{
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
        : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}

DEVICE void mma_s8_k16(int d[4], const uint32_t a[2], uint32_t b, const int c[4])
{
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%7,%8,%9,%10};"
        : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(b), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}

DEVICE void mma_f16_k16(float d[4], const uint32_t a[4], const uint32_t b[2], const float c[4])
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}

DEVICE void mma_bf16_k16(float d[4], const uint32_t a[4], const uint32_t b[2], const float c[4])
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}

/* 8 × 8 matrices of 16-bit elements out of shared memory: lane l gives the address of row l % 8 of matrix l / 8 (16
 * bytes, aligned); r[i] is matrix i's fragment: row lane / 4, elements 2 · (lane % 4) and the next. */
DEVICE void ldmatrix_x4(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

DEVICE void ldmatrix_x2(uint32_t r[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}

DEVICE void ldmatrix_x4_trans(uint32_t r[4], const void *row) /* each matrix transposed */
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

DEVICE void ldmatrix_x2_trans(uint32_t r[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}

/* Between blocks, on global memory. atomic_add: what it was; release and acquire, so that the block which counts last
 * may read what the others wrote before they counted. */
DEVICE uint32_t atomic_add(uint32_t *p, uint32_t v)
{
    uint32_t old;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(v) : "memory");
    return old;
}
DEVICE void store_release(uint32_t *p, uint32_t v)
{
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}
/* Until *p ≥ value; system scope: a copy from the host may raise it. */
DEVICE void wait_flag(const uint32_t *p, uint32_t value)
{
    uint32_t now;
    do
        asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(now) : "l"(p) : "memory");
    while (now < value);
}
/* Shared memory, counts only. */
DEVICE uint32_t shared_atomic_add(uint32_t *p, uint32_t v) { return atomicAdd(p, v); }
DEVICE uint32_t shared_atomic_max(uint32_t *p, uint32_t v) { return atomicMax(p, v); }

DEVICE float bits_to_float(uint32_t u) { return __uint_as_float(u); }
DEVICE uint32_t float_to_bits(float f) { return __float_as_uint(f); }
DEVICE float half_to_float(uint16_t h)
{
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
    return f;
}
DEVICE uint16_t float_to_half(float f) /* round to nearest even */
{
    uint16_t h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
    return h;
}
DEVICE int float_to_int_rn(float f) { return __float2int_rn(f); } /* to nearest even */
DEVICE int dot4_s8(uint32_t a, uint32_t b, int c) { return __dp4a((int)a, (int)b, c); }

/* Starts a kernel; its arguments are converted to the kernel's own types. */
template <class... P, class... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, A... args)
{
    if (shared_bytes > 48 * 1024) {
        cudaError_t rc = cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              (int)shared_bytes);
        if (rc != cudaSuccess)
            return rc;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, P(args)...);
}
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    launch(kernel, grid, block, shared_bytes, stream, __VA_ARGS__)

#else
#include "simt.h" /* the same names */
#endif

DEVICE float bf16_to_float(uint16_t h) { return bits_to_float((uint32_t)h << 16); }
DEVICE int lane_id() { return (int)threadIdx.x % WARP; }
DEVICE int warp_id() { return (int)threadIdx.x / WARP; }

#endif
