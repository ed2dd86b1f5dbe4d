/* Packed weights on the GPU: one allocation of tiles, whose layout matmul.cuh describes. */
#ifndef OPENLORA_KERNELS_CUDA_WEIGHT_H
#define OPENLORA_KERNELS_CUDA_WEIGHT_H

#include "kernels/ops.h"

struct weight {
    enum dtype dtype;
    int64_t rows, cols; /* as loaded, before padding */
    dptr data;
    size_t bytes;
};

#endif
