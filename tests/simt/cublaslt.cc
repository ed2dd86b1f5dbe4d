/* A stand-in of cuBLASLt: D = alpha · Aᵀ · B + beta · C in columns, by an emulated kernel, so that streams, graphs and
 * addresses are checked as for all others. Its sums go in an order of their own (8 partial sums over k), as the real
 * library's do. It refuses what the real one would: layouts that do not fit each other, results that lie closer than
 * the alignment it was promised, a workspace that is too small. */
#include <cublasLt.h>

#include "kernels/cuda/dialect.cuh"

struct simt_blas { int unused; };
struct simt_product { cublasOperation_t a; };
struct simt_layout {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t ld;
};
struct simt_preference {
    size_t workspace_bytes;
    uint32_t c_alignment, d_alignment;
};

namespace {

enum { THREADS = 64 };
struct chosen { uint64_t workspace_bytes, alignment; }; /* what an algorithm remembers */

struct product_args {
    const uint16_t *a, *b;
    const float *c;
    float *d;
    int64_t lda, ldb, ldc, ldd;
    int n, k;
    float alpha, beta;
    bool bf16;
};

KERNEL(THREADS, 1) k_cublaslt(product_args p)
{
    const int row = (int)blockIdx.y, n = (int)blockIdx.x * THREADS + (int)threadIdx.x;
    if (n >= p.n)
        return;
    float sum[8] = {};
    for (int i = 0; i < p.k; i++) {
        uint16_t w = ldg(p.a + n * p.lda + i), x = ldg(p.b + row * p.ldb + i);
        sum[i % 8] += p.bf16 ? bf16_to_float(w) * bf16_to_float(x) : half_to_float(w) * half_to_float(x);
    }
    float total = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    float before = p.beta != 0.0f ? p.beta * ld(p.c + row * p.ldc + n) : 0.0f;
    st(p.d + row * p.ldd + n, p.alpha * total + before);
}

bool fits(const simt_product *product, const simt_layout *a, const simt_layout *b, const simt_layout *c, const simt_layout *d)
{
    return product->a == CUBLAS_OP_T && a->type == b->type && a->type != CUDA_R_32F && c->type == CUDA_R_32F &&
           d->type == CUDA_R_32F && a->rows == b->rows && d->rows == a->cols && d->cols == b->cols && c->rows == d->rows &&
           c->cols == d->cols && a->ld >= (int64_t)a->rows && b->ld >= (int64_t)b->rows && c->ld >= (int64_t)c->rows &&
           d->ld >= (int64_t)d->rows && a->rows && d->rows && d->cols;
}

template <class T> cublasStatus_t make(T **out, const T &value)
{
    *out = new T(value);
    return CUBLAS_STATUS_SUCCESS;
}

template <class T> cublasStatus_t drop(T *p)
{
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out) { return make(out, simt_blas()); }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return drop(handle); }
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute, cudaDataType scale)
{
    (void)compute;
    return scale == CUDA_R_32F ? make(out, simt_product{CUBLAS_OP_N}) : CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes)
{
    if (which != CUBLASLT_MATMUL_DESC_TRANSA || bytes != sizeof product->a)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&product->a, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) { return drop(product); }
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type, uint64_t rows, uint64_t cols,
                                          int64_t leading)
{
    return make(out, simt_layout{type, rows, cols, leading});
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return drop(layout); }
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    return make(out, simt_preference{0, 256, 256}); /* the alignment it assumes if nothing is said */
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t which, const void *value, size_t bytes)
{
    void *to = which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES     ? (void *)&preference->workspace_bytes
               : which == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES ? (void *)&preference->c_alignment
                                                                     : (void *)&preference->d_alignment;
    if (bytes != (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? sizeof(size_t) : sizeof(uint32_t)))
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) { return drop(preference); }

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *found)
{
    (void)handle;
    *found = 0;
    if (wanted < 1 || !fits(product, a, b, c, d))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    const uint32_t least = preference->c_alignment < preference->d_alignment ? preference->c_alignment : preference->d_alignment;
    const chosen c_for = {preference->workspace_bytes, least};
    results[0] = {};
    memcpy(results[0].algo.data, &c_for, sizeof c_for);
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    (void)handle;
    chosen of;
    memcpy(&of, algorithm->data, sizeof of);
    if (!fits(product, a_layout, b_layout, c_layout, d_layout) || !workspace || workspace_bytes < of.workspace_bytes ||
        (uintptr_t)a % 16 || (uintptr_t)b % 16 || (uintptr_t)c % of.alignment || (uintptr_t)d % of.alignment)
        return CUBLAS_STATUS_INVALID_VALUE;
    product_args p = {(const uint16_t *)a, (const uint16_t *)b, (const float *)c, (float *)d, a_layout->ld, b_layout->ld,
                      c_layout->ld, d_layout->ld, (int)d_layout->rows, (int)a_layout->rows, *(const float *)alpha,
                      *(const float *)beta, a_layout->type == CUDA_R_16BF};
    dim3 grid((unsigned)((d_layout->rows + THREADS - 1) / THREADS), (unsigned)d_layout->cols);
    cudaError_t rc = LAUNCH(k_cublaslt, grid, dim3(THREADS), 0, stream, p);
    return rc == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
