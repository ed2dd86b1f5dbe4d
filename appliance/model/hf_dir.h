/* A model directory as transformers writes it: config.json and model.safetensors, or the shards that
 * model.safetensors.index.json lists. Shard names must be plain file names: an index cannot point elsewhere. */
#ifndef OPENLORA_MODEL_HF_DIR_H
#define OPENLORA_MODEL_HF_DIR_H

#include "model/safetensors.h"

#include <jansson.h>

struct hf_dir {
    json_t *config;           /* owned */
    struct hf_shard {
        char *name;           /* owned; file name within the directory */
        struct safetensors *file;
    } *shards;                /* owned, sorted by name */
    size_t n_shards;
};

/* On failure *d is empty; deinit is allowed after either. */
int hf_dir_init(struct hf_dir *d, const char *path, struct err *e) __attribute__((warn_unused_result));
void hf_dir_deinit(struct hf_dir *d);
bool hf_dir_has(const struct hf_dir *d, const char *tensor);
void hf_dir_drop_pages(struct hf_dir *d);

/* "directory/name", returned owned; NULL without memory. */
char *hf_dir_join(const char *directory, const char *name) __attribute__((malloc));

#endif
