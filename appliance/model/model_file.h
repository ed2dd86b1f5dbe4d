/* A base model on disk, whatever its format: a GGUF file, or a directory of safetensors with config.json.
 *
 * Architectures are rows of a table (arch.c): which tensors a layer has, how files of each format name them, how
 * to read the configuration. An unknown architecture, a missing tensor, a wrong shape or type is refused by name. */
#ifndef OPENLORA_MODEL_MODEL_FILE_H
#define OPENLORA_MODEL_MODEL_FILE_H

#include "base/err.h"
#include "kernels/ops.h"

#include <stdbool.h>
#include <stdint.h>

struct gguf;

enum rope_scaling { ROPE_NONE, ROPE_LINEAR, ROPE_LLAMA3 };

struct model_config {
    char arch[32];          /* "llama", "mistral", "qwen2", "qwen3" */
    char name[96];          /* for people; may be empty */
    int32_t n_layers, hidden, n_heads, n_kv_heads, head_dim, ffn, vocab;
    int32_t context;        /* trained context; a sliding window below it is taken as the limit */
    float rms_eps;
    double rope_theta;
    enum rope_scaling rope_scaling;
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor, rope_original_context;
    bool has_rope_freq_factors; /* GGUF's rope_freqs.weight: each inverse frequency is divided by its factor */
    float rope_freq_factors[MAX_HEAD_DIM / 2];
    bool tied;              /* head shares the embedding */
    bool qk_norm;           /* RMSNorm on each head of q and k (Qwen3) */
    bool qkv_bias;          /* biases on q, k, v */
    bool o_bias;
};

enum tensor_role {
    T_EMBED, T_OUT_NORM, T_HEAD,                      /* once per model (layer is ignored) */
    T_ATTN_NORM, T_Q, T_K, T_V, T_O, T_Q_BIAS, T_K_BIAS, T_V_BIAS, T_O_BIAS, T_Q_NORM, T_K_NORM,
    T_FFN_NORM, T_GATE, T_UP, T_DOWN,
    T_ROLES
};

struct model_file;

int model_file_open(const char *path, struct model_file **out, struct err *e) __attribute__((warn_unused_result));
void model_file_close(struct model_file *);
const struct model_config *model_file_config(const struct model_file *);
/* One tensor, shape and type already checked at open. Vectors have rows = 1. `unpermute_heads` is set for q and k
 * of files that store them in interleaved-pair order. OL_ENOTFOUND for a role this model does not have. */
int model_file_tensor(const struct model_file *, enum tensor_role, int layer, struct weight_part *out, struct err *e);
const struct gguf *model_file_gguf(const struct model_file *);    /* NULL for a directory */
const char *model_file_dir(const struct model_file *);            /* NULL for a GGUF file */
bool model_file_permuted_qk(const struct model_file *); /* GGUF llama/mistral order: adapters in GGUF share it */
void model_file_drop_pages(struct model_file *);                  /* after packing: memory then holds one copy */
/* SHA-256 (hex, 65 bytes with NUL) naming the base version: over config and tensor data; cached beside nothing,
 * computed from file identity (inode, size, mtime) through the user's cache folder. */
int model_file_version(const struct model_file *, char out[65], struct err *e);

/* Radians per position of each pair of a head, scaling applied; zero beyond head_dim / 2. */
void rope_frequencies(const struct model_config *config, float out[MAX_HEAD_DIM / 2]);

#endif
