/* Where keys and values lie: addresses inside KV pages (layout in ops.h). */
#ifndef OPENLORA_KERNELS_CPU_KV_H
#define OPENLORA_KERNELS_CPU_KV_H

#include "kernels/ops.h"

/* Byte offset inside a page of K of one layer and head: (head_dim, 16) F16. */
static inline size_t kv_k_offset(const struct kv_shape *s, int layer, int kv_head)
{
    return (size_t)layer * kv_layer_bytes(s) + (size_t)kv_head * kv_head_bytes_k(s);
}

/* Byte offset inside a page of V of one layer and head: (16, pad_cols(head_dim)) F16. */
static inline size_t kv_v_offset(const struct kv_shape *s, int layer, int kv_head)
{
    return (size_t)layer * kv_layer_bytes(s) + (size_t)s->n_kv_heads * kv_head_bytes_k(s) +
           (size_t)kv_head * kv_head_bytes_v(s);
}

#endif
