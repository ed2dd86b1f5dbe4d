/* GGUF v3 files, memory-mapped read-only. Every size is checked against the file before it is used; names, strings
 * and tensor data are borrowed from the mapping and live until gguf_close.
 * Format: ggml's docs/gguf.md. */
#ifndef OPENLORA_MODEL_GGUF_H
#define OPENLORA_MODEL_GGUF_H

#include "base/err.h"
#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gguf;

struct text { /* borrowed bytes, not NUL-terminated */
    const char *data;
    size_t len;
};

struct gguf_tensor {
    struct text name;
    enum dtype dtype;
    int64_t dims[4]; /* dims[0] is contiguous (columns) */
    int n_dims;
    const void *data;
    size_t bytes;
};

int gguf_open(const char *path, struct gguf **out, struct err *e) __attribute__((warn_unused_result));
/* The same over memory the caller keeps (fuzzing, tests). */
int gguf_parse(const void *bytes, size_t len, struct gguf **out, struct err *e) __attribute__((warn_unused_result));
void gguf_close(struct gguf *);

/* Metadata: true and *out set if the key exists with a type that converts without loss. */
bool gguf_u64(const struct gguf *, const char *key, uint64_t *out);
bool gguf_f64(const struct gguf *, const char *key, double *out);
bool gguf_bool(const struct gguf *, const char *key, bool *out);
bool gguf_text(const struct gguf *, const char *key, struct text *out);
/* Arrays: number of elements, or 0. Elements by index; strings are indexed at open, so each is O(1). */
size_t gguf_array_len(const struct gguf *, const char *key);
bool gguf_array_text(const struct gguf *, const char *key, size_t i, struct text *out);
bool gguf_array_i64(const struct gguf *, const char *key, size_t i, int64_t *out);
bool gguf_array_f64(const struct gguf *, const char *key, size_t i, double *out);

size_t gguf_tensor_count(const struct gguf *);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *, size_t i);
const struct gguf_tensor *gguf_tensor_find(const struct gguf *, const char *name); /* hash lookup; NULL if absent */
/* Tells the kernel that the pages of tensor data are no longer needed (they were packed by the device). */
void gguf_drop_pages(struct gguf *);

#endif
