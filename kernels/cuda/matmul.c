/* Which kernel computes a product. Ours give the same bits for the same row (kernels/ops.h), so the choice among them is
 * one of speed alone; cuBLASLt's is made where the device was opened for it. */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/weight.h"

cudaError_t gpu_matmul(const struct op_matmul *op, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    int32_t rows = op->rows == ROWS_ALL ? bucket->rows : bucket->logits;
    if (!rows)
        return cudaSuccess;
    if (op->w->blas && rows > DECODE_ROWS) {
        cudaError_t rc = gpu_matmul_blas(op->w->blas, op, bucket, rows, stream);
        if (rc != cudaErrorNotSupported)
            return rc;
    }
    if (!dtype_is_quantized(op->w->dtype))
        return gpu_matmul_float(op, bucket, rows, stream);
    if (rows <= DECODE_ROWS)
        return gpu_matmul_decode(op, bucket, rows, stream);
    return gpu_matmul_prefill(op, bucket, rows, stream);
}
