/* The forward pass: an architecture's layers as operations of a device.
 *
 * struct model holds the packed weights (immutable, shared). struct forward holds one stream, the activation
 * buffers for given step limits and the page pool it works on. One thread uses a forward at a time. */
#ifndef OPENLORA_ENGINE_FORWARD_H
#define OPENLORA_ENGINE_FORWARD_H

#include "base/err.h"
#include "kernels/ops.h"
#include "model/model_file.h"

struct model;

int model_load(const struct model_file *, const struct device_ops *, struct device *, struct model **out, struct err *e)
    __attribute__((warn_unused_result));
void model_unload(struct model *);
const struct model_config *model_config(const struct model *);
size_t model_weight_bytes(const struct model *); /* packed, on the device */
/* Shape of the KV pages this model needs. page_bytes is the larger of one KV page and what an adapter slab needs,
 * rounded up to 4,096. */
struct kv_shape model_kv_shape(const struct model *);

struct forward;

/* pool: n_pages · page_bytes of device memory, owned by the caller, which outlives the forward. */
int forward_open(struct model *, dptr pool, const struct step_limits *, struct forward **out, struct err *e)
    __attribute__((warn_unused_result));
void forward_close(struct forward *);
/* An empty step with this forward's limits, owned by it; fill it, then forward_run. */
struct step *forward_step(struct forward *);
/* Computes the step: copies, KV writes, logits of the rows that want them, and one result per such row.
 * results: (n_logits) host memory. logits: NULL, or host memory for (n_logits, vocab) float32. */
int forward_run(struct forward *, struct step_result *results, float *logits, struct err *e)
    __attribute__((warn_unused_result));
/* Lets a device prepare for decode steps of up to max_rows rows and max_context tokens (CUDA: one graph per bucket).
 * Nothing where that helps nothing. */
int forward_warm(struct forward *, int32_t max_rows, int32_t max_context, struct err *e)
    __attribute__((warn_unused_result));
uint64_t forward_lora_ops(const struct forward *); /* LoRA operations enqueued since open: 0 for base-only work */

#endif
