/* What the plugin exports: its table, and the GPUs of this machine. */
#include "kernels/cuda/gpu.h"
#include "kernels/plugin.h"

#include <stdio.h>
#include <string.h>

enum { LEAST_MAJOR = 8 };

static void describe_uuid(const struct cudaDeviceProp *p, char *out, size_t bytes)
{
    const unsigned char *u = (const unsigned char *)p->uuid.bytes;
    snprintf(out, bytes, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2],
             u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

static void describe(int index, struct device_description *out)
{
    struct cudaDeviceProp p;
    size_t free_bytes = 0, bytes = 0;
    int driver = 0;
    memset(out, 0, sizeof *out);
    snprintf(out->backend, sizeof out->backend, "cuda");
    out->index = index;
    cudaError_t rc = cudaGetDeviceProperties(&p, index);
    if (rc != cudaSuccess) {
        snprintf(out->why_not, sizeof out->why_not, "the driver cannot describe it: %s; nvidia-smi may tell more",
                 cudaGetErrorString(rc));
        return;
    }
    snprintf(out->name, sizeof out->name, "%.63s", p.name);
    snprintf(out->isa, sizeof out->isa, "sm_%d%d", p.major, p.minor);
    snprintf(out->pci, sizeof out->pci, "%04x:%02x:%02x.0", p.pciDomainID, p.pciBusID, p.pciDeviceID);
    describe_uuid(&p, out->uuid, sizeof out->uuid);
    if (cudaDriverGetVersion(&driver) == cudaSuccess)
        snprintf(out->driver, sizeof out->driver, "CUDA %d.%d", driver / 1000, driver % 1000 / 10);
    out->memory_bytes = p.totalGlobalMem;
    if (p.major < LEAST_MAJOR) {
        snprintf(out->why_not, sizeof out->why_not, "%s is too old: sm_%d0 (Ampere) or later is needed", out->isa,
                 LEAST_MAJOR);
        return;
    }
    rc = cudaSetDevice(index);
    if (rc == cudaSuccess)
        rc = cudaMemGetInfo(&free_bytes, &bytes);
    if (rc != cudaSuccess)
        snprintf(out->why_not, sizeof out->why_not, "it cannot be used: %s; nvidia-smi may tell by whom it is",
                 cudaGetErrorString(rc));
    out->free_bytes = free_bytes;
}

/* Why there can be no GPU; cudaGetDeviceCount fails with the driver's own reason. */
static int no_device(cudaError_t why, struct err *e)
{
    if (why == cudaErrorInsufficientDriver)
        return err_set(e, OL_ENOTFOUND, "cuda", "no NVIDIA driver, or one too old for CUDA %d: install driver %d or newer",
                       CUDART_VERSION / 1000, CUDART_VERSION >= 13000 ? 580 : 550);
    if (why == cudaErrorNoDevice)
        return err_set(e, OL_ENOTFOUND, "cuda", "the NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES hides some or all)");
    return err_set(e, OL_EDEVICE, "cuda", "the NVIDIA driver does not answer: %s; nvidia-smi may tell more",
                   cudaGetErrorString(why));
}

static int list(struct device_description *out, int max, int *n, struct err *e)
{
    *n = 0;
    cudaError_t rc = cudaGetDeviceCount(n);
    if (rc != cudaSuccess)
        return no_device(rc, e);
    for (int i = 0; i < *n && i < max; i++)
        describe(i, &out[i]);
    return 0;
}

__attribute__((visibility("default"))) const struct device_plugin *openlora_device_plugin(void)
{
    static const struct device_plugin plugin = {OPENLORA_VERSION, device_cuda, list};
    return &plugin;
}
