/* The CUDA device: opening, what is known of it, and the table of operations. */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gpu_error(struct device *d, cudaError_t rc, const char *doing, struct err *e)
{
    if (rc == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* not sticky: the device goes on */
        return err_set(e, OL_ENOMEM, "cuda", "%s: GPU %d has not so much memory left", doing, d->index);
    }
    if (!d->lost) {
        d->lost = true;
        snprintf(d->why_lost, sizeof d->why_lost, "%s: %s (%s)", doing, cudaGetErrorString(rc), cudaGetErrorName(rc));
    }
    return err_set(e, OL_EDEVICE, "cuda", "GPU %d is lost: %s", d->index, d->why_lost);
}

int gpu_use(struct device *d, struct err *e)
{
    if (d->lost)
        return err_set(e, OL_EDEVICE, "cuda", "GPU %d is lost: %s", d->index, d->why_lost);
    cudaError_t rc = cudaSetDevice(d->index);
    return rc == cudaSuccess ? 0 : gpu_error(d, rc, "choosing the GPU", e);
}

/* Two transfers a clock over the whole bus; 0 where the driver does not tell. */
static uint64_t bandwidth(int index)
{
    int kilohertz = 0, bits = 0;
    if (cudaDeviceGetAttribute(&kilohertz, cudaDevAttrMemoryClockRate, index) != cudaSuccess ||
        cudaDeviceGetAttribute(&bits, cudaDevAttrGlobalMemoryBusWidth, index) != cudaSuccess)
        return 0;
    return 2 * (uint64_t)kilohertz * 1000 * (uint64_t)bits / 8;
}

static int open_device(struct device *d, int index, struct err *e)
{
    int count = 0;
    cudaError_t rc = cudaGetDeviceCount(&count);
    if (rc != cudaSuccess)
        return err_set(e, OL_ENOTFOUND, "cuda", "no GPU: %s", cudaGetErrorString(rc));
    if (index < 0 || index >= count)
        return err_set(e, OL_EINVAL, "cuda", "there is no GPU %d: this machine has %d, counted from 0", index, count);
    struct cudaDeviceProp p;
    rc = cudaGetDeviceProperties(&p, index);
    if (rc != cudaSuccess)
        return gpu_error(d, rc, "asking what the GPU is", e);
    if (p.major < 8)
        return err_set(e, OL_EUNSUPPORTED, "cuda", "GPU %d (%s, sm_%d%d) is too old: sm_80 (Ampere) or later is needed",
                       index, p.name, p.major, p.minor);
    d->index = index;
    d->sms = p.multiProcessorCount;
    d->shared_bytes = p.sharedMemPerBlockOptin;
    d->memory_bytes = p.totalGlobalMem;
    d->memory_bytes_s = bandwidth(index);
    snprintf(d->name, sizeof d->name, "%.63s", p.name);
    snprintf(d->isa, sizeof d->isa, "sm_%d%d", p.major, p.minor);
    return gpu_use(d, e);
}

static void gpu_close(struct device *d)
{
    if (!d)
        return;
    gpu_blas_close(d, d->blas);
    gpu_forget_memory(d);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

static int gpu_open(const struct device_config *config, struct device **out, struct err *e)
{
    *out = NULL;
    struct device *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, OL_ENOMEM, "cuda", "no memory for the device");
    d->tensor_attention = config->fast;
    pthread_mutex_init(&d->mutex, NULL);
    int rc = open_device(d, config->index, e);
    if (!rc && config->fast)
        rc = gpu_blas_open(d, &d->blas, e);
    if (rc) {
        gpu_close(d);
        return rc;
    }
    *out = d;
    return 0;
}

static void gpu_info(struct device *d, struct device_info *out)
{
    size_t free_bytes = 0, all_bytes = 0;
    if (!gpu_use(d, NULL))
        cudaMemGetInfo(&free_bytes, &all_bytes);
    *out = (struct device_info){.backend = "cuda", .isa = d->isa, .index = d->index, .threads = 1,
                                .numerics = d->tensor_attention ? NUMERICS_ID_FAST : NUMERICS_ID,
                                .memory_bytes = d->memory_bytes, .memory_bytes_s = d->memory_bytes_s,
                                .free_bytes = free_bytes, .allocated_bytes = d->allocated_bytes,
                                .graphs = d->graphs, .replays = d->replays};
    memcpy(out->name, d->name, sizeof out->name);
}

static size_t attention_workspace(struct device *d, const struct kv_shape *kv, const struct step_limits *limits)
{
    (void)d;
    return gpu_attention_workspace(kv, limits);
}

static size_t sample_workspace(struct device *d, int32_t vocab, const struct step_limits *limits)
{
    (void)d;
    return gpu_sample_workspace(vocab, limits);
}

const struct device_ops *device_cuda(void)
{
    static const struct device_ops ops = {
        .name = "cuda",
        .open = gpu_open,
        .close = gpu_close,
        .info = gpu_info,
        .alloc = gpu_alloc,
        .free = gpu_free,
        .host_alloc = gpu_host_alloc,
        .host_free = gpu_host_free,
        .upload = gpu_upload,
        .download = gpu_download,
        .weight_load = gpu_weight_load,
        .weight_free = gpu_weight_free,
        .attention_workspace = attention_workspace,
        .sample_workspace = sample_workspace,
        .stream_open = gpu_stream_open,
        .stream_close = gpu_stream_close,
        .keeps_steps = true,
        .begin = gpu_enqueue_begin,
        .copy_in = gpu_enqueue_copy_in,
        .copy_out = gpu_enqueue_copy_out,
        .copy_pages = gpu_enqueue_copy_pages,
        .embed = gpu_enqueue_embed,
        .rope_table = gpu_enqueue_rope_table,
        .add_norm = gpu_enqueue_add_norm,
        .matmul = gpu_enqueue_matmul,
        .lora = gpu_enqueue_lora,
        .rope_kv = gpu_enqueue_rope_kv,
        .attention = gpu_enqueue_attention,
        .silu_mul = gpu_enqueue_silu_mul,
        .sample = gpu_enqueue_sample,
        .submit = gpu_submit,
        .wait = gpu_wait,
    };
    return &ops;
}
