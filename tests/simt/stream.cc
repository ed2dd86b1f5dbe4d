/* Streams and events of the runtime's interface. */
#include "tests/simt/engine.h"
#include "tests/simt/launch.h"
#include "tests/simt/runtime.h"

#include <set>

struct CUevent_st {
    int device;
    std::shared_ptr<simt::marker> last; /* where it was recorded last; none: never */
};

namespace simt {

typedef std::lock_guard<std::recursive_mutex> locked;

/* All there are; not destroyed at exit, when some may still be in use. */
static std::set<cudaEvent_t> &events = *new std::set<cudaEvent_t>();

/* For calls about a stream: who may not be asked, and what has already gone wrong. */
static cudaError_t check_stream(const CUstream_st *s)
{
    if (!s)
        return failed(cudaErrorInvalidResourceHandle);
    cudaError_t lost = device_error(s->device);
    return lost == cudaSuccess ? cudaSuccess : failed(lost);
}

cudaError_t enqueue_kernel(cudaStream_t stream, kernel &&k)
{
    locked guard(engine);
    CUstream_st *s = stream_of(stream);
    cudaError_t rc = check_stream(s);
    if (rc != cudaSuccess)
        return rc;
    const cudaDeviceProp &p = gpu_at(s->device)->properties;
    uint64_t threads = (uint64_t)k.block.x * k.block.y * k.block.z;
    if (s->device != current_gpu())
        return failed(cudaErrorInvalidResourceHandle);
    if (!threads || threads > MAX_THREADS || k.block.z > 64 || !k.grid.x || !k.grid.y || !k.grid.z ||
        k.grid.x > 0x7fffffff || k.grid.y > 65535 || k.grid.z > 65535)
        return failed(cudaErrorInvalidConfiguration);
    if (k.shared_bytes > p.sharedMemPerBlockOptin)
        return failed(cudaErrorInvalidValue);
    work w = {};
    w.kind = WORK_KERNEL;
    w.launch = std::move(k);
    rc = enqueue(s, std::move(w));
    return rc == cudaSuccess ? rc : failed(rc);
}

static cudaError_t create_stream(cudaStream_t *out, bool blocking)
{
    locked guard(engine);
    if (!gpu_at(current_gpu()))
        return failed(cudaErrorNoDevice);
    if (device_error(current_gpu()) != cudaSuccess)
        return failed(device_error(current_gpu()));
    *out = new_stream(current_gpu(), blocking);
    return cudaSuccess;
}

/* Polling must get somewhere: something may happen with each call. */
static void time_passes()
{
    if (random_bits() % 4)
        run_one();
}

} // namespace simt

using namespace simt;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    return create_stream(out, !(flags & cudaStreamNonBlocking));
}

cudaError_t cudaStreamCreate(cudaStream_t *out) { return create_stream(out, true); }

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int)
{
    return cudaStreamCreateWithFlags(out, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    locked guard(engine);
    CUstream_st *s = stream ? stream_of(stream) : nullptr;
    if (!s)
        return failed(cudaErrorInvalidResourceHandle);
    finish_stream(s);
    delete_stream(s);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    locked guard(engine);
    CUstream_st *s = stream_of(stream);
    cudaError_t rc = check_stream(s);
    if (rc != cudaSuccess)
        return rc;
    if (s->recording)
        return capture_broken(s);
    finish_stream(s);
    return check_stream(s);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    locked guard(engine);
    CUstream_st *s = stream_of(stream);
    cudaError_t rc = check_stream(s);
    if (rc != cudaSuccess)
        return rc;
    if (s->recording)
        return capture_broken(s);
    time_passes();
    if (!s->queue.empty())
        return cudaErrorNotReady;
    order_host(s->clock);
    return check_stream(s);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t e, unsigned)
{
    locked guard(engine);
    CUstream_st *s = stream_of(stream);
    cudaError_t rc = check_stream(s);
    if (rc != cudaSuccess)
        return rc;
    if (!events.count(e))
        return failed(cudaErrorInvalidResourceHandle);
    if (!e->last)
        return cudaSuccess; /* never recorded: nothing to wait for */
    work w = {};
    w.kind = WORK_WAIT;
    w.mark = e->last;
    rc = enqueue(s, std::move(w));
    return rc == cudaSuccess ? rc : failed(rc);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t call, void *data)
{
    locked guard(engine);
    CUstream_st *s = stream_of(stream);
    cudaError_t rc = check_stream(s);
    if (rc != cudaSuccess)
        return rc;
    work w = {};
    w.kind = WORK_HOST;
    w.call = call;
    w.data = data;
    return enqueue(s, std::move(w));
}

cudaError_t cudaDeviceSynchronize(void)
{
    locked guard(engine);
    int device = current_gpu();
    if (capturing_here())
        return failed(cudaErrorStreamCaptureUnsupported);
    if (device_error(device) == cudaSuccess)
        finish_device(device);
    return device_error(device) == cudaSuccess ? cudaSuccess : failed(device_error(device));
}

cudaError_t cudaDeviceReset(void)
{
    cudaError_t rc = cudaDeviceSynchronize();
    return rc;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    locked guard(engine);
    *out = new CUevent_st{current_gpu(), nullptr};
    events.insert(*out);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *out) { return cudaEventCreateWithFlags(out, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    locked guard(engine);
    if (!events.erase(e))
        return failed(cudaErrorInvalidResourceHandle);
    delete e;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t stream)
{
    locked guard(engine);
    CUstream_st *s = stream_of(stream);
    cudaError_t rc = check_stream(s);
    if (rc != cudaSuccess)
        return rc;
    if (!events.count(e) || e->device != s->device)
        return failed(cudaErrorInvalidResourceHandle);
    work w = {};
    w.kind = WORK_RECORD;
    w.mark = std::make_shared<marker>();
    e->last = w.mark;
    return enqueue(s, std::move(w));
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    locked guard(engine);
    if (!events.count(e))
        return failed(cudaErrorInvalidResourceHandle);
    if (e->last && e->last->recording)
        return failed(cudaErrorCapturedEvent);
    if (e->last && device_error(e->device) == cudaSuccess)
        finish_marker(e->last);
    return device_error(e->device) == cudaSuccess ? cudaSuccess : failed(device_error(e->device));
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    locked guard(engine);
    if (!events.count(e))
        return failed(cudaErrorInvalidResourceHandle);
    if (e->last && e->last->recording)
        return failed(cudaErrorCapturedEvent);
    time_passes();
    if (device_error(e->device) != cudaSuccess)
        return failed(device_error(e->device));
    if (e->last && !e->last->done)
        return cudaErrorNotReady;
    if (e->last)
        order_host(e->last->clock);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    locked guard(engine);
    if (!events.count(start) || !events.count(end) || !start->last || !end->last)
        return failed(cudaErrorInvalidResourceHandle);
    if (!start->last->done || !end->last->done)
        return cudaErrorNotReady;
    *ms = (float)(end->last->when_ms - start->last->when_ms);
    return cudaSuccess;
}
