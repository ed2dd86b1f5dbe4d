/* LoRA adapters on disk: a PEFT directory (adapter_config.json + adapter_model.safetensors) or a GGUF adapter file,
 * read into the image of kernels/lora_image.h. All sizes are checked against the model before allocation. */
#ifndef OPENLORA_MODEL_ADAPTER_FILE_H
#define OPENLORA_MODEL_ADAPTER_FILE_H

#include "base/err.h"
#include "model/model_file.h"

#include <stddef.h>
#include <stdint.h>

struct adapter_image {
    unsigned char *pages; /* owned, n_pages · page_bytes, zero-padded: copied page by page into the pool */
    int32_t n_pages;
    size_t page_bytes;
    size_t bytes;         /* of slabs and tables, padding not counted */
    int32_t max_rank;
    int64_t parameters;
    char hash[65];        /* SHA-256 hex of the adapter's weights and configuration */
};

/* page_bytes must be at least adapter_min_page_bytes. A wrong shape, an unknown target, a rank over 256, an
 * unsupported variant (DoRA, bias, modules_to_save, embedding targets, …) is refused by name. */
int adapter_file_load(const char *path, const struct model_config *model, size_t page_bytes, struct adapter_image *out,
                      struct err *e) __attribute__((warn_unused_result));
void adapter_image_deinit(struct adapter_image *);
/* The image's hash alone. */
int adapter_file_hash(const char *path, const struct model_config *model, char out[65], struct err *e)
    __attribute__((warn_unused_result));
size_t adapter_min_page_bytes(const struct model_config *model);
/* Pages of an F16 adapter of this rank on every linear layer. */
int adapter_pages_of_rank(const struct model_config *model, int32_t rank, size_t page_bytes, int32_t *n_pages,
                          struct err *e) __attribute__((warn_unused_result));

#endif
