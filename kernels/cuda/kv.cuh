/* KV pages as kernels see them (layout: kernels/ops.h): where a page's keys and values of one layer lie. */
#ifndef OPENLORA_KERNELS_CUDA_KV_CUH
#define OPENLORA_KERNELS_CUDA_KV_CUH

#include "kernels/cpu/kv.h"
#include "kernels/cuda/dialect.cuh"
#include "kernels/cuda/gpu.h"

struct kv_view {
    unsigned char *pool;
    size_t page_bytes;
    size_t k, v;           /* byte offset in a page of the layer's first head */
    size_t k_head, v_head; /* bytes of one head */
};

static inline struct kv_view kv_view_of(const struct kv_shape *s, dptr pool, int layer)
{
    return {GPU_POINTER(unsigned char, pool), s->page_bytes, kv_k_offset(s, layer, 0), kv_v_offset(s, layer, 0),
            kv_head_bytes_k(s), kv_head_bytes_v(s)};
}

DEVICE uint16_t *kv_keys(const struct kv_view &kv, int32_t page, int head) /* (head_dim, 16) */
{
    return (uint16_t *)(kv.pool + (size_t)page * kv.page_bytes + kv.k + (size_t)head * kv.k_head);
}

DEVICE uint16_t *kv_values(const struct kv_view &kv, int32_t page, int head) /* (16, pad_cols(head_dim)) */
{
    return (uint16_t *)(kv.pool + (size_t)page * kv.page_bytes + kv.v + (size_t)head * kv.v_head);
}

#endif
