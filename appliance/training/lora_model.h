/* LoRA over a frozen base in float32: loss, gradient and logits of whole token sequences (teacher forcing).
 *
 * This is the canonical pass of training and of gradient attribution: weights are dequantized to float32 once, and
 * every activation is float32, unlike serving, which multiplies in int8 (kernels/ops.h). All architectures of
 * model/arch.c are computed, with the base's biases, norms and rotary scalings.
 *
 * INVARIANTS. Results depend on the example alone: not on the other examples of a batch, on how a batch is packed, nor
 * on the number of threads or the instruction set; equal inputs give equal bits. Sums over examples are added in
 * the order of the examples. Memory is bounded by lora_model_bytes and taken at open and at the first call.
 *
 * One lora_model serves one call at a time. */
#ifndef OPENLORA_TRAINING_LORA_MODEL_H
#define OPENLORA_TRAINING_LORA_MODEL_H

#include "base/err.h"
#include "kernels/lora_image.h"
#include "model/model_file.h"

#include <stdbool.h>
#include <stdint.h>

/* One adapted linear layer: y = W·x + scale · B·(A·x). */
struct lora_place {
    int32_t layer;
    enum lora_target target;
    int32_t rank, in, out;
    float scale;  /* alpha / rank, or alpha / sqrt(rank) for rsLoRA */
    int64_t a, b; /* offsets in the flat vector: A is (rank, in), B is (out, rank), row-major, rows in halves order */
};

/* Order of PEFT's state dict: layers ascending, in a layer q, k, v, o, gate, up, down; A, then B. No gaps. */
struct lora_layout {
    struct lora_place *places; /* owned by the model */
    int32_t n_places;
    int64_t n_params;
};

enum { LORA_NAME_BYTES = 96 };
/* "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" (side 'A' or 'B'). */
void lora_place_name(const struct lora_place *p, char side, char out[LORA_NAME_BYTES]);

/* "q_proj,v_proj", "all" or PEFT's "all-linear" → bits 1 << LORA_Q …. Unknown names are refused by name. */
int lora_targets_parse(const char *text, uint32_t *targets, struct err *e) __attribute__((warn_unused_result));

struct train_config {
    int threads;      /* 0: one per core this process may use */
    uint32_t targets; /* bits 1 << LORA_Q …, adapted in every layer; 0: none, until an adapter is loaded */
    int32_t rank;     /* of all places; 1 … LORA_MAX_RANK when targets is not 0 */
    float alpha;
    bool rslora;
    float dropout;    /* 0 ≤ p < 1: on the input of A, in gradients only, inverted (scaled by 1 / (1 − p)) */
    int32_t max_rows; /* tokens computed together, and the longest example; 0: LORA_DEFAULT_ROWS */
    const char *isa;  /* NULL: the best instruction set here; "avx2", "avx512" give the same bits */
};

enum { LORA_DEFAULT_ROWS = 1024, LORA_MOST_ROWS = 1 << 17 };

struct lora_model;

/* Bytes that open and the calls after it will hold together at most, gradients of the caller not counted. With
 * targets 0, for an adapter of any kind of this rank (0: LORA_MAX_RANK). 0 for a configuration that open refuses. */
size_t lora_model_bytes(const struct model_file *file, const struct train_config *config);

/* The file may be closed afterwards. Parameters are zero until the caller fills them: the adapter does nothing. */
int lora_model_open(const struct model_file *file, const struct train_config *config, struct lora_model **out,
                    struct err *e) __attribute__((warn_unused_result));
void lora_model_close(struct lora_model *m); /* NULL is fine */

const struct model_config *lora_model_config(const struct lora_model *m);
const struct lora_layout *lora_model_layout(const struct lora_model *m);
float *lora_model_params(struct lora_model *m); /* (n_params), to be changed freely between calls */

/* The layout, parameters and scales of an adapter as it lies on disk (a PEFT directory or a GGUF file), exact: F16 and
 * BF16 values are float32 values. Layout and parameters from before become invalid. */
int lora_model_load_adapter(struct lora_model *m, const char *path, struct err *e) __attribute__((warn_unused_result));

struct train_example {
    const uint32_t *tokens; /* (n) */
    const float *weight;    /* (n), finite: loss weight of predicting tokens[i] from those before it; weight[0] is 0.
                               What no weight needs is not computed: tokens after the last one, logits without one. */
    int32_t n;              /* 2 or more */
    uint64_t dropout_seed;  /* names the dropout masks: equal seeds give equal masks, on any run */
};

struct train_loss {
    double loss;       /* Σ weight[i] · (−ln p(tokens[i])) */
    double weight_sum; /* Σ weight[i] */
};

/* gradient (n_params) += ∂loss/∂parameters. An example without any weight is refused. */
int lora_model_gradient(struct lora_model *m, const struct train_example *example, float *gradient,
                        struct train_loss *loss, struct err *e) __attribute__((warn_unused_result));

/* The same for many examples, as many of them together as max_rows allows: several times faster than one by one.
 * Example i is added at gradient + i · stride: stride 0 sums them all, n_params keeps them apart. losses: (n). On
 * failure gradient and losses hold nothing of use. */
int lora_model_gradient_batch(struct lora_model *m, const struct train_example *examples, int32_t n, float *gradient,
                              int64_t stride, struct train_loss *losses, struct err *e)
    __attribute__((warn_unused_result));

/* Forward only, without dropout. */
int lora_model_loss_batch(struct lora_model *m, const struct train_example *examples, int32_t n,
                          struct train_loss *losses, struct err *e) __attribute__((warn_unused_result));

/* logits (n_rows, vocab) after the tokens at positions rows[] (ascending), without dropout. */
int lora_model_logits(struct lora_model *m, const uint32_t *tokens, int32_t n, const int32_t *rows, int32_t n_rows,
                      float *logits, struct err *e) __attribute__((warn_unused_result));

#endif
