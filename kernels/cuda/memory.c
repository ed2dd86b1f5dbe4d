/* Device memory and copies that wait for themselves. Every allocation is written down, so that what is reserved is known
 * to the byte: the size of the page pool follows from it. */
#include "kernels/cuda/gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct allocation {
    struct allocation *next;
    dptr address;
    size_t bytes;
};

static void write_down(struct device *d, struct allocation *a, const void *p, size_t bytes)
{
    pthread_mutex_lock(&d->mutex);
    *a = (struct allocation){d->allocations, (dptr)(uintptr_t)p, bytes};
    d->allocations = a;
    d->allocated_bytes += bytes;
    pthread_mutex_unlock(&d->mutex);
}

int gpu_alloc(struct device *d, size_t bytes, dptr *out, struct err *e)
{
    void *p = NULL;
    char doing[64];
    *out = 0;
    int rc = gpu_use(d, e);
    if (rc)
        return rc;
    struct allocation *a = malloc(sizeof *a);
    if (!a)
        return err_set(e, OL_ENOMEM, "cuda", "no memory");
    snprintf(doing, sizeof doing, "reserving %zu bytes", bytes);
    cudaError_t failed = cudaMalloc(&p, bytes ? bytes : 1);
    if (failed == cudaSuccess)
        failed = cudaMemset(p, 0, bytes ? bytes : 1);
    if (failed == cudaSuccess)
        failed = cudaDeviceSynchronize(); /* a memset need not wait for itself */
    if (failed != cudaSuccess) {
        cudaFree(p);
        free(a);
        return gpu_error(d, failed, doing, e);
    }
    write_down(d, a, p, bytes);
    *out = (dptr)(uintptr_t)p;
    return 0;
}

void gpu_free(struct device *d, dptr p)
{
    if (!p)
        return;
    struct allocation **at = &d->allocations, *a;
    pthread_mutex_lock(&d->mutex);
    while (*at && (*at)->address != p)
        at = &(*at)->next;
    a = *at;
    CHECK(a);
    *at = a->next;
    d->allocated_bytes -= a->bytes;
    pthread_mutex_unlock(&d->mutex);
    free(a);
    if (!gpu_use(d, NULL))
        cudaFree(GPU_POINTER(void, p));
}

void gpu_forget_memory(struct device *d)
{
    for (struct allocation *a = d->allocations, *next; a; a = next) {
        next = a->next;
        free(a);
    }
}

int gpu_host_alloc(struct device *d, size_t bytes, void **out, struct err *e)
{
    int rc = gpu_use(d, e);
    if (rc)
        return rc;
    cudaError_t failed = cudaMallocHost(out, bytes ? bytes : 1);
    if (failed != cudaSuccess)
        return gpu_error(d, failed, "pinning host memory", e);
    memset(*out, 0, bytes);
    return 0;
}

void gpu_host_free(struct device *d, void *p)
{
    if (p && !gpu_use(d, NULL))
        cudaFreeHost(p);
}

int gpu_upload(struct device *d, dptr dst, const void *src, size_t bytes, struct err *e)
{
    if (bytes && (!dst || !src))
        return err_set(e, OL_EINVAL, "cuda", "copy of %zu bytes: source or destination is null", bytes);
    int rc = gpu_use(d, e);
    if (rc)
        return rc;
    cudaError_t failed = cudaMemcpy(GPU_POINTER(void, dst), src, bytes, cudaMemcpyHostToDevice);
    if (failed == cudaSuccess)
        failed = cudaStreamSynchronize(NULL); /* from pageable memory a copy may return before its bytes have arrived */
    return failed == cudaSuccess ? 0 : gpu_error(d, failed, "copying to the GPU", e);
}

int gpu_download(struct device *d, void *dst, dptr src, size_t bytes, struct err *e)
{
    if (bytes && (!dst || !src))
        return err_set(e, OL_EINVAL, "cuda", "copy of %zu bytes: source or destination is null", bytes);
    int rc = gpu_use(d, e);
    if (rc)
        return rc;
    cudaError_t failed = cudaMemcpy(dst, GPU_POINTER(const void, src), bytes, cudaMemcpyDeviceToHost);
    return failed == cudaSuccess ? 0 : gpu_error(d, failed, "copying from the GPU", e);
}
