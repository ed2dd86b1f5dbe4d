/* cuBLASLt for products of F16 and BF16 weights (cublaslt.h).
 *
 * y (rows, n) = a (rows, k) · w (n, k)ᵀ, all row-major, is in cuBLASLt's columns yᵀ (n, rows) = w (k, n)ᵀ · aᵀ (k, rows):
 *
 *          k                     rows                       rows
 *      ┌───────┐              ┌────────┐                 ┌────────┐
 *    n │   w   │    ×       k │   a    │       =       n │   y    │    float32 sums and results
 *      └───────┘              └────────┘                 └────────┘
 *    16 bits, padded          rounded to 16 bits         leading dimension ldy
 *    with zeros               by gpu_round_rows
 *
 * Nothing is allocated after the device is open but what a new shape needs on the host: its layouts and the algorithm
 * that cuBLASLt's heuristic proposes, chosen once per shape and bucket of rows, in the warm-up as a rule. More rows than
 * the buffer of rounded activations holds go piece by piece. */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/weight.h"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

enum { WORKSPACE_BYTES = 32 << 20, ROUNDED_BYTES = 16 << 20, MOST_PLANS = 512 };

struct shape {
    int64_t ldy;
    int32_t n, k, rows, alignment; /* of y, in bytes */
    enum dtype dtype;
    bool add; /* to what is in y */
};

struct plan {
    struct shape shape;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t w, a, y;
    cublasLtMatmulAlgo_t algorithm;
    bool usable;
};

struct gpu_blas {
    cublasLtHandle_t handle;
    dptr workspace, rounded;
    int n_plans;
    struct plan plans[MOST_PLANS];
};

int gpu_blas_open(struct device *d, struct gpu_blas **out, struct err *e)
{
    *out = NULL;
    struct gpu_blas *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, OL_ENOMEM, "cuda", "no memory for cuBLASLt's shapes");
    int rc = gpu_alloc(d, WORKSPACE_BYTES, &b->workspace, e);
    if (!rc)
        rc = gpu_alloc(d, ROUNDED_BYTES, &b->rounded, e);
    if (!rc && cublasLtCreate(&b->handle) != CUBLAS_STATUS_SUCCESS)
        rc = err_set(e, OL_EDEVICE, "cuda", "cuBLASLt does not start on GPU %d; serve without `fast`", d->index);
    if (rc) {
        gpu_blas_close(d, b);
        return rc;
    }
    *out = b;
    return 0;
}

static void drop_plan(struct plan *p)
{
    if (p->product)
        cublasLtMatmulDescDestroy(p->product);
    if (p->w)
        cublasLtMatrixLayoutDestroy(p->w);
    if (p->a)
        cublasLtMatrixLayoutDestroy(p->a);
    if (p->y)
        cublasLtMatrixLayoutDestroy(p->y);
}

void gpu_blas_close(struct device *d, struct gpu_blas *b)
{
    if (!b)
        return;
    for (int i = 0; i < b->n_plans; i++)
        drop_plan(&b->plans[i]);
    if (b->handle)
        cublasLtDestroy(b->handle);
    gpu_free(d, b->workspace);
    gpu_free(d, b->rounded);
    free(b);
}

static bool describe(struct plan *p)
{
    const struct shape *s = &p->shape;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    cudaDataType type = s->dtype == DTYPE_F16 ? CUDA_R_16F : CUDA_R_16BF;
    return cublasLtMatmulDescCreate(&p->product, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) ==
               CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutCreate(&p->w, type, (uint64_t)s->k, (uint64_t)s->n, s->k) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutCreate(&p->a, type, (uint64_t)s->k, (uint64_t)s->rows, s->k) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutCreate(&p->y, CUDA_R_32F, (uint64_t)s->n, (uint64_t)s->rows, s->ldy) == CUBLAS_STATUS_SUCCESS;
}

static bool choose_algorithm(struct gpu_blas *b, struct plan *p)
{
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t best;
    const size_t workspace = WORKSPACE_BYTES;
    const uint32_t alignment = (uint32_t)p->shape.alignment;
    int found = 0;
    if (cublasLtMatmulPreferenceCreate(&preference) != CUBLAS_STATUS_SUCCESS)
        return false;
    bool set = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                    sizeof workspace) == CUBLAS_STATUS_SUCCESS &&
               cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &alignment,
                                                    sizeof alignment) == CUBLAS_STATUS_SUCCESS &&
               cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &alignment,
                                                    sizeof alignment) == CUBLAS_STATUS_SUCCESS;
    if (set && cublasLtMatmulAlgoGetHeuristic(b->handle, p->product, p->w, p->a, p->y, p->y, preference, 1, &best,
                                              &found) != CUBLAS_STATUS_SUCCESS)
        found = 0;
    cublasLtMatmulPreferenceDestroy(preference);
    if (found)
        p->algorithm = best.algo;
    return found > 0;
}

/* NULL: cuBLASLt cannot do it, or there is no room for one more shape. */
static const struct plan *plan_of(struct gpu_blas *b, const struct shape *s)
{
    for (int i = 0; i < b->n_plans; i++)
        if (!memcmp(&b->plans[i].shape, s, sizeof *s))
            return b->plans[i].usable ? &b->plans[i] : NULL;
    if (b->n_plans == MOST_PLANS)
        return NULL;
    struct plan *p = &b->plans[b->n_plans++];
    memcpy(&p->shape, s, sizeof *s);
    p->usable = describe(p) && choose_algorithm(b, p);
    return p->usable ? p : NULL;
}

static const struct plan *plan_piece(struct gpu_blas *b, const struct op_matmul *op, int32_t k, int32_t rows)
{
    struct shape s;
    memset(&s, 0, sizeof s); /* shapes are compared byte by byte */
    s.ldy = op->ldy;
    s.n = (int32_t)op->w->rows;
    s.k = k;
    s.rows = rows;
    s.alignment = op->y % 16 == 0 ? 16 : op->y % 8 == 0 ? 8 : 4; /* rows of y lie multiples of 64 bytes apart */
    s.dtype = op->w->dtype;
    s.add = op->bias != 0;
    return plan_of(b, &s);
}

static cudaError_t multiply(struct gpu_blas *b, const struct plan *p, const struct op_matmul *op, float *y, cudaStream_t stream)
{
    const float one = 1.0f, add = p->shape.add ? 1.0f : 0.0f;
    cublasStatus_t rc = cublasLtMatmul(b->handle, p->product, &one, GPU_POINTER(const void, op->w->data), p->w,
                                       GPU_POINTER(const void, b->rounded), p->a, &add, y, p->y, y, p->y, &p->algorithm,
                                       GPU_POINTER(void, b->workspace), WORKSPACE_BYTES, stream);
    return rc == CUBLAS_STATUS_SUCCESS ? cudaSuccess : cudaErrorLaunchFailure;
}

cudaError_t gpu_matmul_blas(struct gpu_blas *b, const struct op_matmul *op, const struct gpu_bucket *bucket, int32_t rows,
                            cudaStream_t stream)
{
    const int32_t k = (int32_t)(op->w->stride / 2), most = ROUNDED_BYTES / (int32_t)op->w->stride;
    const int32_t last = most ? (rows - 1) % most + 1 : 0;
    if (!most || !plan_piece(b, op, k, last) || (last < rows && !plan_piece(b, op, k, most)))
        return cudaErrorNotSupported;
    cudaError_t rc = cudaSuccess;
    for (int32_t row0 = 0; rc == cudaSuccess && row0 < rows; row0 += most) {
        int32_t n = rows - row0 < most ? rows - row0 : most;
        rc = gpu_round_rows(op, bucket, GPU_POINTER(void, b->rounded), row0, n, k, stream);
        if (rc == cudaSuccess && op->bias)
            rc = gpu_fill_bias(op, row0, n, stream);
        if (rc == cudaSuccess)
            rc = multiply(b, plan_piece(b, op, k, n), op, GPU_POINTER(float, op->y) + row0 * op->ldy, stream);
    }
    return rc;
}
