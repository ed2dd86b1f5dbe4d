/* The emulated GPUs: what they say of themselves. */
#include "tests/simt/count.h"
#include "tests/simt/memory.h"
#include "tests/simt/runtime.h"

#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace simt {

static const size_t KIB = 1024, MIB = 1024 * 1024;

struct model {
    const char *key, *name;
    int major, minor, sms, threads_per_sm, blocks_per_sm;
    size_t shared_optin_bytes, shared_per_sm_bytes, l2_bytes;
    int bus_bits, memory_khz; /* two transfers a clock: 2.04, 3.35, 1.01 TB/s */
};

static const model models[] = {
    {"a100", "Emulated A100-SXM4-80GB", 8, 0, 108, 2048, 32, 163 * KIB, 164 * KIB, 40 * MIB, 5120, 1593000},
    {"h100", "Emulated H100 80GB HBM3", 9, 0, 132, 2048, 32, 227 * KIB, 228 * KIB, 50 * MIB, 5120, 2619000},
    {"rtx4090", "Emulated GeForce RTX 4090", 8, 9, 128, 1536, 24, 99 * KIB, 100 * KIB, 72 * MIB, 384, 10501000},
};

static gpu gpus[MAX_DEVICES];
static int count;

static size_t memory_bytes()
{
    const char *given = getenv("OPENLORA_SIMT_MEMORY_MIB");
    size_t mib = given ? strtoull(given, nullptr, 10) : 0;
    return (mib ? mib : 2048) * MIB;
}

static void describe(gpu *g, const model *m, int index)
{
    cudaDeviceProp *p = &g->properties;
    *p = {};
    snprintf(p->name, sizeof p->name, "%s", m->name);
    snprintf(p->uuid.bytes, sizeof p->uuid.bytes, "%s", "emulated GPU");
    p->uuid.bytes[15] = (char)index;
    p->totalGlobalMem = memory_bytes();
    p->sharedMemPerBlock = 48 * KIB;
    p->sharedMemPerBlockOptin = m->shared_optin_bytes;
    p->sharedMemPerMultiprocessor = m->shared_per_sm_bytes;
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = MAX_THREADS;
    p->maxThreadsPerMultiProcessor = m->threads_per_sm;
    p->maxBlocksPerMultiProcessor = m->blocks_per_sm;
    const int most[2][3] = {{1024, 1024, 64}, {0x7fffffff, 65535, 65535}};
    memcpy(p->maxThreadsDim, most[0], sizeof most[0]);
    memcpy(p->maxGridSize, most[1], sizeof most[1]);
    p->major = m->major;
    p->minor = m->minor;
    p->multiProcessorCount = m->sms;
    p->l2CacheSize = (int)m->l2_bytes;
    p->memoryBusWidth = m->bus_bits;
    g->memory_khz = m->memory_khz;
    p->asyncEngineCount = 3;
    p->concurrentKernels = p->canMapHostMemory = p->unifiedAddressing = 1;
    p->pciBusID = index + 1;
}

static void init()
{
    const char *list = getenv("OPENLORA_SIMT_DEVICES");
    for (const char *at = list ? list : "a100"; *at && count < MAX_DEVICES;) {
        size_t length = strcspn(at, ",");
        const model *found = nullptr;
        for (const model &m : models)
            if (strlen(m.key) == length && !strncmp(m.key, at, length))
                found = &m;
        if (!found) {
            fprintf(stderr, "simt: OPENLORA_SIMT_DEVICES names %.*s; there are a100, h100 and rtx4090\n", (int)length, at);
            abort();
        }
        describe(&gpus[count], found, count);
        count++;
        at += length + (at[length] == ',');
    }
    memory_init();
    traffic_init();
}

int gpu_count()
{
    static std::once_flag once;
    std::call_once(once, init);
    return count;
}

gpu *gpu_at(int index) { return index >= 0 && index < gpu_count() ? &gpus[index] : nullptr; }

static thread_local int chosen;
int current_gpu() { return chosen; }

} // namespace simt

using namespace simt;

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = gpu_count();
    return *n ? cudaSuccess : failed(cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = chosen;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    if (!gpu_at(device))
        return failed(cudaErrorInvalidDevice);
    chosen = device;
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned) { return cudaSuccess; }

cudaError_t cudaInitDevice(int device, unsigned, unsigned)
{
    return gpu_at(device) ? cudaSuccess : failed(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int device)
{
    if (!gpu_at(device))
        return failed(cudaErrorInvalidDevice);
    *out = gpu_at(device)->properties;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr which, int device)
{
    const gpu *g = gpu_at(device);
    if (!g)
        return failed(cudaErrorInvalidDevice);
    const cudaDeviceProp &p = g->properties;
    switch (which) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)p.sharedMemPerBlock; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrPciBusId: *value = p.pciBusID; break;
    case cudaDevAttrPciDeviceId: *value = p.pciDeviceID; break;
    case cudaDevAttrMemoryClockRate: *value = g->memory_khz; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = p.memoryBusWidth; break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = (int)p.sharedMemPerMultiprocessor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = (int)p.sharedMemPerBlockOptin; break;
    default: return failed(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int bytes, int device)
{
    if (!gpu_at(device))
        return failed(cudaErrorInvalidDevice);
    snprintf(id, (size_t)bytes, "0000:%02x:00.0", gpu_at(device)->properties.pciBusID);
    return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    *can = device != peer && gpu_at(device) && gpu_at(peer);
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned)
{
    return gpu_at(peer) ? cudaSuccess : failed(cudaErrorInvalidDevice);
}
