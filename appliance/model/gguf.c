/* GGUF: the file, its header and its tensor table. */
#include "model/gguf_private.h"

#include <stdlib.h>
#include <string.h>

/* The file, in this order, all little-endian:
 *   "GGUF", u32 version, u64 number of tensors, u64 number of keys
 *   keys: text name, u32 type, value            (gguf_meta.c)
 *   tensor table: text name, u32 n_dims, u64 dims[], u32 type, u64 offset
 *   padding to general.alignment, then the data, to which the offsets are relative
 * A text is a u64 length and that many bytes. The limits below are far above real files; they bound what a hostile
 * header can make us allocate before its records are read. */
enum { VERSION = 3, MAX_TENSORS = 65536, MAX_NAME_BYTES = 255, MIN_TENSOR_RECORD_BYTES = 8 + 1 + 4 + 8 + 4 + 8 };

struct ggml_type { /* the format's numbering; served is false for types that we refuse by name */
    const char *name;
    bool served;
    enum dtype dtype;
};

static const struct ggml_type ggml_types[] = {
    [0] = {"F32", true, DTYPE_F32}, [1] = {"F16", true, DTYPE_F16}, [2] = {"Q4_0", true, DTYPE_Q4_0},
    [3] = {"Q4_1", true, DTYPE_Q4_1}, [6] = {"Q5_0", true, DTYPE_Q5_0}, [7] = {.name = "Q5_1"},
    [8] = {"Q8_0", true, DTYPE_Q8_0}, [9] = {.name = "Q8_1"}, [10] = {.name = "Q2_K"}, [11] = {.name = "Q3_K"},
    [12] = {"Q4_K", true, DTYPE_Q4_K}, [13] = {.name = "Q5_K"}, [14] = {"Q6_K", true, DTYPE_Q6_K},
    [15] = {.name = "Q8_K"}, [16] = {.name = "IQ2_XXS"}, [17] = {.name = "IQ2_XS"}, [18] = {.name = "IQ3_XXS"},
    [19] = {.name = "IQ1_S"}, [20] = {.name = "IQ4_NL"}, [21] = {.name = "IQ3_S"}, [22] = {.name = "IQ2_S"},
    [23] = {.name = "IQ4_XS"}, [24] = {.name = "I8"}, [25] = {.name = "I16"}, [26] = {.name = "I32"},
    [27] = {.name = "I64"}, [28] = {.name = "F64"}, [29] = {.name = "IQ1_M"}, [30] = {"BF16", true, DTYPE_BF16},
    [34] = {.name = "TQ1_0"}, [35] = {.name = "TQ2_0"}, [39] = {.name = "MXFP4"},
};

static int tensor_error(const struct gguf_tensor *t, struct err *e, const char *what)
{
    return err_set(e, OL_EFORMAT, "gguf", "tensor %.*s: %s", (int)(t->name.len < 80 ? t->name.len : 80), t->name.data,
                   what);
}

static int read_type(struct gguf_tensor *t, uint32_t type, struct err *e)
{
    const struct ggml_type *known = type < sizeof ggml_types / sizeof *ggml_types ? &ggml_types[type] : NULL;
    if (known && known->served) {
        t->dtype = known->dtype;
        return 0;
    }
    return err_set(e, OL_EUNSUPPORTED, "gguf",
                   "tensor %.*s has type %s (%u): not supported; supported: F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q8_0 Q4_K Q6_K",
                   (int)(t->name.len < 80 ? t->name.len : 80), t->name.data,
                   known && known->name ? known->name : "unknown", type);
}

/* One record of the tensor table: name, shape, type, and the offset of its data. */
static int read_tensor(struct gguf_tensor *t, struct gguf_cursor *c, uint32_t i, uint64_t *offset, struct err *e)
{
    uint32_t n_dims, type;
    if (!cursor_text(c, &t->name))
        return err_set(e, OL_EFORMAT, "gguf", "the file ends within the name of tensor %u", i);
    if (t->name.len > MAX_NAME_BYTES || !name_is_plain(t->name.data, t->name.len))
        return err_set(e, OL_EFORMAT, "gguf", "the name of tensor %u is empty, too long or not text", i);
    if (!cursor_u32(c, &n_dims))
        return tensor_error(t, e, "the file ends within its shape");
    if (n_dims < 1 || n_dims > 4)
        return tensor_error(t, e, "it has neither 1, 2, 3 nor 4 dimensions");
    t->n_dims = (int)n_dims;
    for (int d = 0; d < 4; d++) {
        uint64_t n = 1;
        if (d < t->n_dims && !cursor_u64(c, &n))
            return tensor_error(t, e, "the file ends within its shape");
        if (n < 1 || n > INT32_MAX)
            return tensor_error(t, e, "a dimension is zero or too large");
        t->dims[d] = (int64_t)n;
    }
    if (!cursor_u32(c, &type) || !cursor_u64(c, offset))
        return tensor_error(t, e, "the file ends within its record");
    return read_type(t, type, e);
}

/* Finds the data of one tensor. Tensors may share bytes: nothing here is ever written. */
static int place_tensor(const struct gguf *g, struct gguf_tensor *t, uint64_t offset, uint64_t alignment, struct err *e)
{
    size_t bytes = dtype_row_bytes(t->dtype, t->dims[0]);
    if (!bytes)
        return tensor_error(t, e, "its rows are not whole blocks of its type");
    for (int d = 1; d < 4; d++)
        if (__builtin_mul_overflow(bytes, (size_t)t->dims[d], &bytes))
            return tensor_error(t, e, "it is too large");
    if (offset % alignment)
        return tensor_error(t, e, "its data is not aligned");
    if (offset > g->tensor_bytes || bytes > g->tensor_bytes - offset)
        return tensor_error(t, e, "its data ends beyond the end of the file");
    t->data = g->tensor_data + offset;
    t->bytes = bytes;
    return 0;
}

/* At least 8, so that every element and block can be read in place. */
static int read_alignment(const struct gguf *g, uint64_t *alignment, struct err *e)
{
    *alignment = 32;
    gguf_u64(g, "general.alignment", alignment);
    if (*alignment < 8 || *alignment > 65536 || *alignment & (*alignment - 1))
        return err_set(e, OL_EFORMAT, "gguf", "general.alignment is %llu, not a power of two from 8 to 65536",
                       (unsigned long long)*alignment);
    return 0;
}

static int read_tensors(struct gguf *g, struct gguf_cursor *c, uint64_t count, struct err *e)
{
    uint64_t alignment, *offsets = NULL;
    int rc = read_alignment(g, &alignment, e);
    if (!rc)
        rc = name_index_init(&g->tensor_index, (size_t)count, e);
    if (rc)
        return rc;
    g->tensors = calloc(count ? (size_t)count : 1, sizeof *g->tensors);
    offsets = calloc(count ? (size_t)count : 1, sizeof *offsets);
    if (!g->tensors || !offsets)
        rc = err_set(e, OL_ENOMEM, "gguf", "no memory for %llu tensors", (unsigned long long)count);
    for (uint32_t i = 0; !rc && i < count; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        rc = read_tensor(t, c, i, &offsets[i], e);
        if (!rc && !name_index_add(&g->tensor_index, t->name.data, t->name.len, i))
            rc = tensor_error(t, e, "appears twice");
    }
    /* The data follows the table at the next aligned byte, so offsets can be checked only now. */
    size_t start = c->pos + (size_t)((alignment - c->pos % alignment) % alignment);
    g->tensor_data = c->data + (start < c->len ? start : c->len);
    g->tensor_bytes = start < c->len ? c->len - start : 0;
    for (size_t i = 0; !rc && i < count; i++)
        rc = place_tensor(g, &g->tensors[i], offsets[i], alignment, e);
    g->n_tensors = (size_t)count;
    free(offsets);
    return rc;
}

static int read_header(struct gguf_cursor *c, uint64_t *n_tensors, uint64_t *n_keys, struct err *e)
{
    uint32_t version;
    if (c->len < 4 || memcmp(c->data, "GGUF", 4))
        return err_set(e, OL_EFORMAT, "gguf", "not a GGUF file");
    c->pos = 4;
    if (!cursor_u32(c, &version))
        return err_set(e, OL_EFORMAT, "gguf", "the file ends within its header");
    if (version == (uint32_t)VERSION << 24)
        return err_set(e, OL_EUNSUPPORTED, "gguf", "the file is big-endian: not supported");
    if (version != VERSION)
        return err_set(e, OL_EUNSUPPORTED, "gguf", "GGUF version %u is not supported, only version %d", version,
                       VERSION);
    if (!cursor_u64(c, n_tensors) || !cursor_u64(c, n_keys))
        return err_set(e, OL_EFORMAT, "gguf", "the file ends within its header");
    if (*n_tensors > MAX_TENSORS || *n_tensors > cursor_left(c) / MIN_TENSOR_RECORD_BYTES)
        return err_set(e, OL_EFORMAT, "gguf", "%llu tensors: more than the file can hold or than %d",
                       (unsigned long long)*n_tensors, MAX_TENSORS);
    return 0;
}

/* Fills g as far as it gets; the caller closes it on failure. */
static int parse(struct gguf *g, const void *bytes, size_t len, struct err *e)
{
    struct gguf_cursor c = {.data = bytes, .len = len};
    uint64_t n_tensors, n_keys;
    int rc = read_header(&c, &n_tensors, &n_keys, e);
    if (!rc)
        rc = gguf_meta_read(g, &c, n_keys, e);
    if (!rc)
        rc = read_tensors(g, &c, n_tensors, e);
    return rc;
}

int gguf_parse(const void *bytes, size_t len, struct gguf **out, struct err *e)
{
    *out = NULL;
    struct gguf *g = calloc(1, sizeof *g);
    if (!g)
        return err_set(e, OL_ENOMEM, "gguf", "no memory");
    int rc = parse(g, bytes, len, e);
    if (rc) {
        gguf_close(g);
        return rc;
    }
    *out = g;
    return 0;
}

int gguf_open(const char *path, struct gguf **out, struct err *e)
{
    struct file_map map;
    *out = NULL;
    int rc = file_map_init(&map, path, e);
    if (rc)
        return rc;
    rc = gguf_parse(map.data, map.len, out, e);
    if (rc) {
        file_map_deinit(&map);
        err_prefix(e, "%s", path);
        return rc;
    }
    (*out)->map = map;
    return 0;
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    gguf_meta_deinit(g);
    name_index_deinit(&g->tensor_index);
    free(g->tensors);
    file_map_deinit(&g->map);
    free(g);
}

size_t gguf_tensor_count(const struct gguf *g) { return g->n_tensors; }

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i)
{
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const struct gguf_tensor *gguf_tensor_find(const struct gguf *g, const char *name)
{
    uint32_t i;
    return name_index_find(&g->tensor_index, name, strlen(name), &i) ? &g->tensors[i] : NULL;
}

void gguf_drop_pages(struct gguf *g) { file_map_drop(&g->map, g->tensor_data, g->tensor_bytes); }
