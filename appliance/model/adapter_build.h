/* Inside the adapter readers: what each format's reader gathers, and the packing into an image. */
#ifndef OPENLORA_MODEL_ADAPTER_BUILD_H
#define OPENLORA_MODEL_ADAPTER_BUILD_H

#include "model/adapter_file.h"
#include "model/arch.h"
#include "model/safetensors.h"

#include <jansson.h>

struct lora_side { /* A: (rank, in), B: (out, rank), as it lies in the file */
    enum dtype dtype;
    int64_t rows, cols;
    const void *data; /* borrowed; NULL: not there */
    size_t bytes;
};

struct lora_pair { /* one (layer, target) */
    struct lora_side a, b;
    double scale;
    int32_t unpermute_heads; /* > 0: rows of B are in GGUF's pair order, see weight_part */
};

struct lora_pairs {
    const struct model_config *model; /* borrowed */
    struct lora_pair *pairs;          /* owned; (n_layers, LORA_TARGETS), see lora_site_index */
    int32_t n_pairs;
};

int lora_pairs_init(struct lora_pairs *p, const struct model_config *model, struct err *e)
    __attribute__((warn_unused_result));
void lora_pairs_deinit(struct lora_pairs *p);

/* The pair that adapts the weight of this name in files of `format`; NULL, with an error, for anything that is not
 * one of the linear layers of the model. */
struct lora_pair *lora_pairs_find(struct lora_pairs *p, enum file_format format, struct text weight, struct err *e);

/* "layer 3 q_proj", for messages. */
void lora_pair_name(const struct lora_pairs *p, const struct lora_pair *pair, char *out, size_t bytes);
enum lora_target lora_pair_target(const struct lora_pairs *p, const struct lora_pair *pair);
static inline int32_t lora_pair_rank(const struct lora_pair *pair) { return (int32_t)pair->a.rows; }

enum tensor_role lora_target_role(int target); /* the weight it adapts */
const char *lora_target_name(int target);      /* "q_proj" */
/* in and out of the target's weight. */
void lora_target_shape(const struct model_config *model, int target, int64_t *in, int64_t *out);

/* Every pair is whole, of the model's shapes and of a rank from 1 to LORA_MAX_RANK; at least one pair is there. */
int lora_pairs_check(const struct lora_pairs *p, struct err *e) __attribute__((warn_unused_result));

/* Packs checked pairs. Refuses values that are not finite. */
int adapter_image_build(const struct lora_pairs *p, size_t page_bytes, struct adapter_image *out, struct err *e)
    __attribute__((warn_unused_result));

int adapter_peft_read(const char *directory, struct lora_pairs *p, size_t page_bytes, struct adapter_image *out,
                      struct err *e) __attribute__((warn_unused_result));
int adapter_gguf_read(const char *path, struct lora_pairs *p, size_t page_bytes, struct adapter_image *out,
                      struct err *e) __attribute__((warn_unused_result));

/* The same from opened files (adapter_config.json and adapter_model.safetensors, or a GGUF file). */
int adapter_peft_build(const json_t *config, const struct safetensors *s, struct lora_pairs *p, size_t page_bytes,
                       struct adapter_image *out, struct err *e) __attribute__((warn_unused_result));
int adapter_gguf_build(const struct gguf *g, struct lora_pairs *p, size_t page_bytes, struct adapter_image *out,
                       struct err *e) __attribute__((warn_unused_result));

#endif
