/* Inside the GGUF reader: what gguf.c (file, tensors) and gguf_meta.c (metadata) share. */
#ifndef OPENLORA_MODEL_GGUF_PRIVATE_H
#define OPENLORA_MODEL_GGUF_PRIVATE_H

#include "base/file_map.h"
#include "model/gguf.h"
#include "model/name_index.h"

enum gguf_type { /* numbers of the format */
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY,
    GGUF_U64, GGUF_I64, GGUF_F64, GGUF_TYPES
};

/* Reads forward through the file; every read is checked against `len`. */
struct gguf_cursor {
    const unsigned char *data;
    size_t len, pos;
};

struct gguf_entry { /* one metadata key */
    struct text key;
    enum gguf_type type;       /* of the value, or of the elements if is_array */
    bool is_array;
    size_t count;              /* elements; 1 for a plain value */
    const unsigned char *data; /* borrowed: first element (numbers) */
    struct text *texts;        /* owned: all elements, if type is GGUF_STRING */
};

struct gguf {
    struct file_map map;       /* empty when parsed from the caller's memory */
    struct gguf_entry *entries;
    size_t n_entries;
    struct name_index entry_index;
    struct gguf_tensor *tensors;
    size_t n_tensors;
    struct name_index tensor_index;
    const unsigned char *tensor_data;
    size_t tensor_bytes;
};

static inline size_t cursor_left(const struct gguf_cursor *c) { return c->len - c->pos; }
bool cursor_u32(struct gguf_cursor *c, uint32_t *out);
bool cursor_u64(struct gguf_cursor *c, uint64_t *out);
bool cursor_text(struct gguf_cursor *c, struct text *out);

/* Reads `count` keys; what was read so far is in g even on failure and is freed by gguf_meta_deinit. */
int gguf_meta_read(struct gguf *g, struct gguf_cursor *c, uint64_t count, struct err *e);
void gguf_meta_deinit(struct gguf *g);

#endif
