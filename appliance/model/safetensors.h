/* One safetensors file, memory-mapped read-only. As the format asks, the tensors must cover the data exactly: no
 * holes, no overlaps, nothing after the last one. Names and data are borrowed until safetensors_close. */
#ifndef OPENLORA_MODEL_SAFETENSORS_H
#define OPENLORA_MODEL_SAFETENSORS_H

#include "model/gguf.h"

struct safetensors;

enum { SAFETENSORS_MAX_DIMS = 4, SAFETENSORS_MAX_NAME_BYTES = 255, SAFETENSORS_MAX_HEADER_BYTES = 32 << 20 };

struct safetensor {
    struct text name;
    enum dtype dtype; /* F32, F16 or BF16; files with other types are refused */
    int64_t dims[SAFETENSORS_MAX_DIMS]; /* the last one is contiguous; unused ones are 1 */
    int n_dims;
    const void *data; /* aligned to the element size */
    size_t bytes;
};

int safetensors_open(const char *path, struct safetensors **out, struct err *e) __attribute__((warn_unused_result));
/* The same over memory the caller keeps. */
int safetensors_parse(const void *bytes, size_t len, struct safetensors **out, struct err *e)
    __attribute__((warn_unused_result));
void safetensors_close(struct safetensors *);

size_t safetensors_count(const struct safetensors *);
const struct safetensor *safetensors_at(const struct safetensors *, size_t i);
const struct safetensor *safetensors_find(const struct safetensors *, const char *name); /* NULL if absent */
/* A string of "__metadata__", borrowed; NULL: not there. */
const char *safetensors_note(const struct safetensors *, const char *key);
void safetensors_drop_pages(struct safetensors *);

#endif
