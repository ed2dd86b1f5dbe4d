/* struct model as the forward pass sees it: an architecture's plan (which weights a layer has, which are fused) and
 * the packed weights. Immutable after model_load; shared by every forward. */
#ifndef OPENLORA_ENGINE_MODEL_H
#define OPENLORA_ENGINE_MODEL_H

#include "engine/forward.h"

enum { FUSED_PARTS = 3 };

/* Products that read the same activations and write side by side into one row of outputs. Neighbours of one element
 * type are stacked into one weight, so that q, k, v are usually one product, and so are gate and up. */
struct fused {
    struct weight *w[FUSED_PARTS]; /* owned */
    int32_t col0[FUSED_PARTS];     /* first output column of each weight */
    int32_t n;
    int32_t out;                   /* outputs together */
    dptr bias;                     /* (out) float32, or 0 */
};

struct model_layer {
    dptr attn_norm, ffn_norm; /* (hidden) */
    dptr q_norm, k_norm;      /* (head_dim), or 0 */
    struct fused qkv, o, gate_up, down;
};

struct model {
    struct model_config config;
    const struct device_ops *ops;
    struct device *device;
    struct weight *embed; /* also the head when tied */
    struct weight *head;  /* NULL when tied */
    dptr out_norm, inv_freq;
    struct model_layer *layers;
    float attention_scale; /* 1 / sqrt(head_dim) */
    bool quantized;       /* some product reads int8 activations */
    size_t weight_bytes;
};

#endif
