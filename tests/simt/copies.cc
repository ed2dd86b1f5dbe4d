/* Memory of the runtime's interface: allocation, copies, fills. */
#include "tests/simt/engine.h"
#include "tests/simt/memory.h"
#include "tests/simt/runtime.h"

#include <string.h>

namespace simt {

typedef std::lock_guard<std::recursive_mutex> locked;

static cudaError_t check_device()
{
    if (!gpu_at(current_gpu()))
        return failed(cudaErrorNoDevice);
    cudaError_t lost = device_error(current_gpu());
    if (lost != cudaSuccess)
        return failed(lost);
    return cudaSuccess;
}

/* Calls that a capturing thread may not make. */
static cudaError_t check_synchronous()
{
    cudaError_t rc = check_device();
    if (rc == cudaSuccess && capturing_here())
        return failed(cudaErrorStreamCaptureUnsupported);
    return rc;
}

/* On the device or pinned: inside an allocation. Elsewhere it is the host's. */
static bool is_valid(const void *p, size_t bytes) { return memory_device(p) == -2 || memory_is_valid(p, bytes); }

static bool is_direction(const void *to, const void *from, enum cudaMemcpyKind kind)
{
    bool to_device = memory_device(to) >= 0, from_device = memory_device(from) >= 0;
    switch (kind) {
    case cudaMemcpyHostToHost: return !to_device && !from_device;
    case cudaMemcpyHostToDevice: return to_device && !from_device;
    case cudaMemcpyDeviceToHost: return !to_device && from_device;
    case cudaMemcpyDeviceToDevice: return to_device && from_device;
    case cudaMemcpyDefault: return true;
    }
    return false;
}

static cudaError_t enqueue_copy(CUstream_st *s, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    if (!s)
        return failed(cudaErrorInvalidResourceHandle);
    if (!bytes)
        return cudaSuccess;
    if (!to || !from || !is_valid(to, bytes) || !is_valid(from, bytes))
        return failed(cudaErrorInvalidValue);
    if (!is_direction(to, from, kind))
        return failed(kind < 0 || kind > 4 ? cudaErrorInvalidMemcpyDirection : cudaErrorInvalidValue);
    work w = {};
    w.kind = WORK_COPY;
    w.to = to;
    w.from = from;
    w.bytes = bytes;
    cudaError_t rc = enqueue(s, std::move(w));
    if (rc == cudaSuccess && memory_device(to) == -2 && !s->recording)
        finish_stream(s); /* pageable memory has been written when the call returns */
    return rc == cudaSuccess ? rc : failed(rc);
}

static cudaError_t enqueue_set(CUstream_st *s, void *to, int value, size_t bytes)
{
    if (!s)
        return failed(cudaErrorInvalidResourceHandle);
    if (!bytes)
        return cudaSuccess;
    if (memory_device(to) < 0 || !memory_is_valid(to, bytes))
        return failed(cudaErrorInvalidValue);
    work w = {};
    w.kind = WORK_SET;
    w.to = to;
    w.bytes = bytes;
    w.value = value;
    return enqueue(s, std::move(w));
}

} // namespace simt

using namespace simt;

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    locked guard(engine);
    cudaError_t rc = check_synchronous();
    *out = nullptr;
    if (rc != cudaSuccess)
        return rc;
    gpu *g = gpu_at(current_gpu());
    if (!bytes)
        return cudaSuccess;
    if (refuse_allocation() || bytes > g->properties.totalGlobalMem - g->allocated_bytes ||
        !(*out = memory_allocate(current_gpu(), bytes)))
        return failed(cudaErrorMemoryAllocation);
    g->allocated_bytes += bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    locked guard(engine);
    size_t bytes;
    cudaError_t rc = check_synchronous();
    if (rc != cudaSuccess || !p)
        return rc;
    int device = memory_device(p);
    if (device < 0 || !memory_is_valid(p, 0))
        return failed(cudaErrorInvalidValue);
    finish_device(device); /* it waits for all that may use the memory */
    if (!memory_free(p, &bytes))
        return failed(cudaErrorInvalidValue);
    gpu_at(device)->allocated_bytes -= bytes;
    return device_error(device) == cudaSuccess ? cudaSuccess : failed(device_error(device));
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned)
{
    locked guard(engine);
    cudaError_t rc = check_synchronous();
    *out = nullptr;
    if (rc != cudaSuccess)
        return rc;
    *out = memory_allocate(-1, bytes);
    return *out ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaMallocHost(void **out, size_t bytes) { return cudaHostAlloc(out, bytes, 0); }

cudaError_t cudaFreeHost(void *p)
{
    locked guard(engine);
    size_t bytes;
    cudaError_t rc = check_synchronous();
    if (rc != cudaSuccess || !p)
        return rc;
    for (int i = 0; i < gpu_count(); i++)
        finish_device(i);
    return memory_device(p) == -1 && memory_free(p, &bytes) ? cudaSuccess : failed(cudaErrorInvalidValue);
}

cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned)
{
    if (memory_device(host) != -1)
        return failed(cudaErrorInvalidValue);
    *device = host;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    locked guard(engine);
    cudaError_t rc = check_device();
    if (rc != cudaSuccess)
        return rc;
    const gpu *g = gpu_at(current_gpu());
    *total_bytes = g->properties.totalGlobalMem;
    *free_bytes = *total_bytes - g->allocated_bytes;
    return cudaSuccess;
}

/* Through the legacy stream. The host comes after the copy, unless that goes from pageable memory to the device: then it
 * may still be on its way when the call returns, and streams that do not wait for the legacy stream may overtake it. */
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    locked guard(engine);
    cudaError_t rc = check_synchronous();
    CUstream_st *s = rc == cudaSuccess ? stream_of(nullptr) : nullptr;
    if (rc == cudaSuccess)
        rc = enqueue_copy(s, to, from, bytes, kind);
    if (rc == cudaSuccess && !(memory_device(from) == -2 && memory_device(to) >= 0))
        finish_stream(s);
    return rc == cudaSuccess ? check_device() : rc;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    locked guard(engine);
    cudaError_t rc = check_device();
    return rc == cudaSuccess ? enqueue_copy(stream_of(stream), to, from, bytes, kind) : rc;
}

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device, size_t bytes,
                                cudaStream_t stream)
{
    locked guard(engine);
    cudaError_t rc = check_device();
    if (rc == cudaSuccess && (memory_device(to) != to_device || memory_device(from) != from_device))
        rc = failed(cudaErrorInvalidValue);
    return rc == cudaSuccess ? enqueue_copy(stream_of(stream), to, from, bytes, cudaMemcpyDeviceToDevice) : rc;
}

/* Does not wait for itself, either: it is the legacy stream's. */
cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    locked guard(engine);
    cudaError_t rc = check_synchronous();
    return rc == cudaSuccess ? enqueue_set(stream_of(nullptr), to, value, bytes) : rc;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    locked guard(engine);
    cudaError_t rc = check_device();
    return rc == cudaSuccess ? enqueue_set(stream_of(stream), to, value, bytes) : rc;
}

cudaError_t cudaFuncSetAttribute(const void *, enum cudaFuncAttribute which, int value)
{
    locked guard(engine);
    cudaError_t rc = check_device();
    if (rc == cudaSuccess && which == cudaFuncAttributeMaxDynamicSharedMemorySize &&
        (value < 0 || (size_t)value > gpu_at(current_gpu())->properties.sharedMemPerBlockOptin))
        return failed(cudaErrorInvalidValue);
    return rc;
}
