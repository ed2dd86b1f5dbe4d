/* Inside the stand-in runtime: emulated GPUs, and how calls fail. */
#ifndef SIMT_RUNTIME_H
#define SIMT_RUNTIME_H

#include "tests/simt/machine.h"

namespace simt {

struct gpu {
    cudaDeviceProp properties;
    int memory_khz;
    size_t allocated_bytes;
};

int gpu_count();      /* OPENLORA_SIMT_DEVICES: names separated by commas; default one a100 */
gpu *gpu_at(int index);
int current_gpu();    /* of the calling thread */

/* What every call returns: remembers the error for cudaGetLastError. */
cudaError_t failed(cudaError_t rc);

} // namespace simt

#endif
