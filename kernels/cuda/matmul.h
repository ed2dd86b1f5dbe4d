/* The launchers among which gpu_matmul chooses. */
#ifndef OPENLORA_KERNELS_CUDA_MATMUL_H
#define OPENLORA_KERNELS_CUDA_MATMUL_H

#include "kernels/cuda/gpu.h"

enum { DECODE_ROWS = 16 }; /* most rows of activations that matmul_decode serves */

#ifdef __cplusplus
extern "C" {
#endif

/* `rows`: upper bound of the rows of activations, > 0. */
cudaError_t gpu_matmul_decode(const struct op_matmul *, const struct gpu_bucket *, int32_t rows, cudaStream_t stream);
cudaError_t gpu_matmul_prefill(const struct op_matmul *, const struct gpu_bucket *, int32_t rows, cudaStream_t stream);
cudaError_t gpu_matmul_float(const struct op_matmul *, const struct gpu_bucket *, int32_t rows, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
