/* The dialect that kernels are written in (kernels/cuda/dialect.cuh), for g++: the emulator's meaning of its names.
 * dialect.cuh includes this file; nothing else does. */
#ifndef SIMT_SIMT_H
#define SIMT_SIMT_H

#include "tests/simt/async.h"
#include "tests/simt/launch.h"
#include "tests/simt/memory.h"
#include "tests/simt/warp.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define KERNEL(threads, blocks) __attribute__((noinline, unused)) static void
#define DEVICE static __attribute__((unused)) inline
#define SHARED(type, name, offset_bytes) type *name = (type *)(simt::memory.shared + (size_t)(offset_bytes))
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    simt::launch(#kernel, kernel, grid, block, shared_bytes, stream, ##__VA_ARGS__)

#define threadIdx (simt::current->thread)
#define blockIdx (simt::current->block->index)
#define blockDim (simt::current->block->launch->block)
#define gridDim (simt::current->block->launch->grid)

/* --- Memory. --- */

template <class T> SIMT_INLINE T ld(const T *p, SIMT_AT) { return *simt::global(p, simt::READ, "load", SIMT_HERE); }
template <class T> SIMT_INLINE T ldg(const T *p, SIMT_AT) { return *simt::global(p, simt::CONSTANT, "load", SIMT_HERE); }
template <class T> SIMT_INLINE T ldg_stream(const T *p, SIMT_AT) { return *simt::global(p, simt::STREAM, "load", SIMT_HERE); }
template <class T> SIMT_INLINE void st(T *p, T v, SIMT_AT) { *simt::global(p, simt::WRITE, "store", SIMT_HERE) = v; }
template <class T> SIMT_INLINE T lds(const T *p, SIMT_AT) { return *simt::shared(p, simt::COUNT_SHARED_LOAD, "load", SIMT_HERE); }
template <class T> SIMT_INLINE void sts(T *p, T v, SIMT_AT) { *simt::shared(p, simt::COUNT_SHARED_STORE, "store", SIMT_HERE) = v; }

SIMT_INLINE uint32_t atomic_add(uint32_t *p, uint32_t v, SIMT_AT)
{
    return __atomic_fetch_add(simt::global(p, simt::SHARED_USE, "atomic add", SIMT_HERE), v, __ATOMIC_ACQ_REL);
}
SIMT_INLINE void store_release(uint32_t *p, uint32_t v, SIMT_AT)
{
    __atomic_store_n(simt::global(p, simt::SHARED_USE, "store", SIMT_HERE), v, __ATOMIC_RELEASE);
}
SIMT_INLINE void wait_flag(const uint32_t *p, uint32_t value, SIMT_AT)
{
    const uint32_t *flag = simt::flag(p, SIMT_HERE);
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) < value)
        simt::spin(SIMT_HERE);
    simt::order_flag_seen(p);
}
SIMT_INLINE uint32_t shared_atomic_add(uint32_t *p, uint32_t v, SIMT_AT)
{
    return __atomic_fetch_add(simt::shared(p, simt::COUNT_SHARED_STORE, "atomic add", SIMT_HERE), v, __ATOMIC_RELAXED);
}
SIMT_INLINE uint32_t shared_atomic_max(uint32_t *p, uint32_t v, SIMT_AT)
{
    uint32_t *to = simt::shared(p, simt::COUNT_SHARED_STORE, "atomic max", SIMT_HERE), old = __atomic_load_n(to, __ATOMIC_RELAXED);
    while (old < v && !__atomic_compare_exchange_n(to, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return old;
}

/* --- Asynchronous copies. --- */

SIMT_INLINE unsigned shared_address(const void *p) { return (unsigned)((uintptr_t)p - simt::memory.shared); }
template <int BYTES> SIMT_INLINE void cp_async(void *to, const void *from, int bytes = BYTES, SIMT_AT)
{
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "4, 8 or 16 bytes");
    simt::touch(nullptr, 0, simt::copy_issue(to, from, BYTES, bytes, SIMT_HERE), BYTES);
}
SIMT_INLINE void cp_async_stream(void *to, const void *from, SIMT_AT)
{
    cp_async<16>(to, from, 16, simt_file, simt_line);
}
SIMT_INLINE void cp_async_commit() { simt::copy_commit(); }
template <int N> SIMT_INLINE void cp_async_wait()
{
    int n = simt::copy_wait(N);
    const simt::async_copy *c = simt::landed();
    for (int i = 0; i < n; i++)
        simt::touch(c[i].from, c[i].bytes, c[i].to, c[i].size);
}

/* --- Barriers and warp operations. --- */

SIMT_INLINE void syncthreads(SIMT_AT) { simt::barrier_wait(0, 0, SIMT_HERE); }
SIMT_INLINE void syncwarp(SIMT_AT) { simt::converge(simt::OP_SYNC, SIMT_HERE); }
SIMT_INLINE void bar_sync(int id, int threads, SIMT_AT) { simt::barrier_wait(id, threads, SIMT_HERE); }
SIMT_INLINE void bar_arrive(int id, int threads, SIMT_AT) { simt::barrier_arrive(id, threads, SIMT_HERE); }

template <class T> SIMT_INLINE T simt_shuffle(T v, int source, simt::place at)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof v);
    bits = simt::shuffle(bits, source, at);
    memcpy(&v, &bits, sizeof v);
    return v;
}
SIMT_INLINE int simt_lane() { return simt::current->number % WARP; }
template <class T> SIMT_INLINE T shfl(T v, int lane, SIMT_AT) { return simt_shuffle(v, lane & 31, SIMT_HERE); }
template <class T> SIMT_INLINE T shfl_xor(T v, int mask, SIMT_AT) { return simt_shuffle(v, simt_lane() ^ mask, SIMT_HERE); }
template <class T> SIMT_INLINE T shfl_up(T v, int by, SIMT_AT) { return simt_shuffle(v, simt_lane() - by, SIMT_HERE); }
template <class T> SIMT_INLINE T shfl_down(T v, int by, SIMT_AT) { return simt_shuffle(v, simt_lane() + by, SIMT_HERE); }
SIMT_INLINE unsigned warp_ballot(bool v, SIMT_AT) { return simt::ballot(v, SIMT_HERE); }
SIMT_INLINE bool warp_any(bool v, SIMT_AT) { return simt::ballot(v, SIMT_HERE) != 0; }

/* --- Tensor cores. --- */

SIMT_INLINE void mma_s8_k32(int d[4], const uint32_t a[4], const uint32_t b[2], const int c[4], SIMT_AT)
{
    simt::mma(simt::OP_MMA_S8_K32, d, a, 4, b, 2, c, SIMT_HERE);
}
SIMT_INLINE void mma_s8_k16(int d[4], const uint32_t a[2], uint32_t b, const int c[4], SIMT_AT)
{
    simt::mma(simt::OP_MMA_S8_K16, d, a, 2, &b, 1, c, SIMT_HERE);
}
SIMT_INLINE void mma_f16_k16(float d[4], const uint32_t a[4], const uint32_t b[2], const float c[4], SIMT_AT)
{
    simt::mma(simt::OP_MMA_F16, d, a, 4, b, 2, c, SIMT_HERE);
}
SIMT_INLINE void mma_bf16_k16(float d[4], const uint32_t a[4], const uint32_t b[2], const float c[4], SIMT_AT)
{
    simt::mma(simt::OP_MMA_BF16, d, a, 4, b, 2, c, SIMT_HERE);
}

/* Lane l reads its part of n matrices at the addresses that other lanes brought. */
SIMT_INLINE void simt_ldmatrix(uint32_t *r, int n, const void *row, bool transposed, simt::place at)
{
    const void *of[8];
    int from[8], g = simt_lane() / 4, t = simt_lane() % 4;
    for (int i = 0; i < n; i++) {
        from[2 * i] = 8 * i + (transposed ? 2 * t : g);
        from[2 * i + 1] = 8 * i + (transposed ? 2 * t + 1 : g);
    }
    if (simt_lane() < 8 * n && ((uintptr_t)row & 15))
        simt::bad_shared(row, 16, "ldmatrix", at);
    simt::gather_addresses(row, of, from, 2 * n, at);
    if (__builtin_expect(simt::watching & simt::WATCH_TRAFFIC, 0) && simt_lane() < 8 * n)
        simt::count_access(simt::COUNT_LDMATRIX, shared_address(row), 16, at);
    for (int i = 0; i < n; i++) {
        const uint16_t *first = (const uint16_t *)of[2 * i], *second = (const uint16_t *)of[2 * i + 1];
        if (transposed)
            r[i] = *simt::shared(first + g, simt::COUNT_LDMATRIX, "ldmatrix", at) |
                   (uint32_t)*simt::shared(second + g, simt::COUNT_LDMATRIX, "ldmatrix", at) << 16;
        else
            r[i] = *simt::shared((const uint32_t *)of[2 * i] + t, simt::COUNT_LDMATRIX, "ldmatrix", at);
    }
}
SIMT_INLINE void ldmatrix_x4(uint32_t r[4], const void *row, SIMT_AT) { simt_ldmatrix(r, 4, row, false, SIMT_HERE); }
SIMT_INLINE void ldmatrix_x2(uint32_t r[2], const void *row, SIMT_AT) { simt_ldmatrix(r, 2, row, false, SIMT_HERE); }
SIMT_INLINE void ldmatrix_x4_trans(uint32_t r[4], const void *row, SIMT_AT) { simt_ldmatrix(r, 4, row, true, SIMT_HERE); }
SIMT_INLINE void ldmatrix_x2_trans(uint32_t r[2], const void *row, SIMT_AT) { simt_ldmatrix(r, 2, row, true, SIMT_HERE); }

/* --- Arithmetic. --- */

SIMT_INLINE float bits_to_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
SIMT_INLINE uint32_t float_to_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
SIMT_INLINE float half_to_float(uint16_t h) { return _cvtsh_ss(h); }
SIMT_INLINE uint16_t float_to_half(float f) { return (uint16_t)_cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT); }
SIMT_INLINE int float_to_int_rn(float f) /* out of range: the nearest; NaN: 0, as on a GPU */
{
    return f != f ? 0 : f >= 2147483648.0f ? INT32_MAX : f < -2147483648.0f ? INT32_MIN : _mm_cvtss_si32(_mm_set_ss(f));
}
SIMT_INLINE int dot4_s8(uint32_t a, uint32_t b, int c)
{
    uint32_t sum = (uint32_t)c;
    for (int i = 0; i < 32; i += 8)
        sum += (uint32_t)((int8_t)(a >> i) * (int8_t)(b >> i));
    return (int)sum;
}

#endif
