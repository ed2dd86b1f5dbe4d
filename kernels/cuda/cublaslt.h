/* Products of F16 and BF16 weights with many rows, by NVIDIA's cuBLASLt. They keep no order of additions and round the
 * activations to 16 bits, so only a device opened to be fast uses them (device_config.fast, NUMERICS_ID_FAST). */
#ifndef OPENLORA_KERNELS_CUDA_CUBLASLT_H
#define OPENLORA_KERNELS_CUDA_CUBLASLT_H

#include "kernels/cuda/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gpu_blas;

/* Handle and all the memory that products will need; the device must be in use. */
int gpu_blas_open(struct device *d, struct gpu_blas **out, struct err *e);
void gpu_blas_close(struct device *d, struct gpu_blas *blas); /* NULL is ignored */

/* `rows`: the bucket's; the products of one device follow each other on one stream. cudaErrorNotSupported: cuBLASLt has
 * no algorithm for this shape, or no more shapes can be kept; nothing was started. */
cudaError_t gpu_matmul_blas(struct gpu_blas *blas, const struct op_matmul *op, const struct gpu_bucket *bucket,
                            int32_t rows, cudaStream_t stream);

/* round_rows.cu: rows row0 .. row0 + rows − 1 of float32 activations (pitch pad_cols(cols)) to `to` (rows, pitch) in the
 * weight's type; columns beyond cols and rows beyond the step's are 0. */
cudaError_t gpu_round_rows(const struct op_matmul *op, const struct gpu_bucket *bucket, void *to, int32_t row0,
                           int32_t rows, int32_t pitch, cudaStream_t stream);
/* y = bias in each of these rows, for the product to be added to. */
cudaError_t gpu_fill_bias(const struct op_matmul *op, int32_t row0, int32_t rows, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
