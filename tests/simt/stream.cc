/* Streams and events: work is done when it is enqueued. */
#include "tests/simt/launch.h"
#include "tests/simt/memory.h"
#include "tests/simt/runtime.h"

#include <string.h>

struct CUstream_st { int device; };
struct CUevent_st { int device; };
struct CUgraph_st { std::vector<std::function<void()>> work; };
struct CUgraphExec_st { std::vector<std::function<void()>> work; };

/* While a thread records, what it enqueues goes here. */
static thread_local CUgraph_st *recording;

static void enqueue(std::function<void()> work)
{
    if (recording)
        recording->work.push_back(std::move(work));
    else
        work();
}

namespace simt {

cudaError_t enqueue_kernel(cudaStream_t, kernel &&k)
{
    const gpu *g = gpu_at(current_gpu());
    uint64_t threads = (uint64_t)k.block.x * k.block.y * k.block.z;
    if (!g)
        return failed(cudaErrorNoDevice);
    if (!threads || threads > MAX_THREADS || !k.grid.x || !k.grid.y || !k.grid.z || k.grid.y > 65535 || k.grid.z > 65535)
        return failed(cudaErrorInvalidConfiguration);
    if (k.shared_bytes > g->properties.sharedMemPerBlockOptin)
        return failed(cudaErrorInvalidValue);
    enqueue([k = std::move(k)] {
        kernel copy = k;
        run_kernel(&copy);
    });
    return cudaSuccess;
}

static cudaError_t copy(void *to, const void *from, size_t bytes)
{
    if ((memory_device(to) > -2 && !memory_is_valid(to, bytes)) || (memory_device(from) > -2 && !memory_is_valid(from, bytes)))
        return failed(cudaErrorInvalidValue);
    enqueue([=] { memmove(memory_real(to), memory_real(from), bytes); });
    return cudaSuccess;
}

static cudaError_t set(void *to, int value, size_t bytes)
{
    if (!memory_is_valid(to, bytes))
        return failed(cudaErrorInvalidValue);
    enqueue([=] { memset(memory_real(to), value, bytes); });
    return cudaSuccess;
}

} // namespace simt

using namespace simt;

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    gpu *g = gpu_at(current_gpu());
    *out = nullptr;
    if (!g)
        return failed(cudaErrorNoDevice);
    if (bytes > g->properties.totalGlobalMem - g->allocated_bytes || !(*out = memory_allocate(current_gpu(), bytes)))
        return failed(cudaErrorMemoryAllocation);
    g->allocated_bytes += bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    size_t bytes;
    if (!p)
        return cudaSuccess;
    int device = memory_device(p);
    if (device < 0 || !memory_free(p, &bytes))
        return failed(cudaErrorInvalidValue);
    gpu_at(device)->allocated_bytes -= bytes;
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned)
{
    *out = memory_allocate(-1, bytes);
    return *out ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaMallocHost(void **out, size_t bytes) { return cudaHostAlloc(out, bytes, 0); }

cudaError_t cudaFreeHost(void *p)
{
    size_t bytes;
    return !p || (memory_device(p) == -1 && memory_free(p, &bytes)) ? cudaSuccess : failed(cudaErrorInvalidValue);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind) { return copy(to, from, bytes); }
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind, cudaStream_t)
{
    return copy(to, from, bytes);
}
cudaError_t cudaMemset(void *to, int value, size_t bytes) { return set(to, value, bytes); }
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t) { return set(to, value, bytes); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    *out = new CUstream_st{current_gpu()};
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *out) { return cudaStreamCreateWithFlags(out, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    delete s;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    *out = new CUevent_st{current_gpu()};
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *out) { return cudaEventCreateWithFlags(out, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    delete e;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize(void) { return cudaSuccess; }
cudaError_t cudaFuncSetAttribute(const void *, enum cudaFuncAttribute, int) { return cudaSuccess; }

cudaError_t cudaStreamBeginCapture(cudaStream_t, enum cudaStreamCaptureMode)
{
    recording = new CUgraph_st;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *out)
{
    *out = recording;
    recording = nullptr;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long)
{
    *out = new CUgraphExec_st{g->work};
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t g, cudaStream_t)
{
    for (auto &w : g->work)
        enqueue(w);
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    delete g;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g)
{
    delete g;
    return cudaSuccess;
}
