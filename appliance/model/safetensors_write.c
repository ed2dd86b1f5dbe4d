#include "model/safetensors_write.h"

#include "base/file_replace.h"
#include "model/name_index.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "safetensors"

enum { ALIGN = 8, FILE_MODE = 0644 }; /* the data begins aligned for every type */

static int tensor_error(const struct safetensor *t, const char *what, struct err *e)
{
    return err_set(e, OL_EINVAL, MODULE, "writing tensor %.*s: %s", (int)(t->name.len < 100 ? t->name.len : 100),
                   t->name.data, what);
}

/* What the reader checks of one tensor at `offset` of the data. */
static int check_tensor(const struct safetensor *t, size_t offset, struct err *e)
{
    if (t->name.len > SAFETENSORS_MAX_NAME_BYTES || !name_is_plain(t->name.data, t->name.len))
        return err_set(e, OL_EINVAL, MODULE, "a tensor's name is empty, too long or not text");
    if (t->dtype != DTYPE_F32 && t->dtype != DTYPE_F16 && t->dtype != DTYPE_BF16)
        return tensor_error(t, "its type is not F32, F16 or BF16", e);
    if (t->n_dims < 1 || t->n_dims > SAFETENSORS_MAX_DIMS)
        return tensor_error(t, "it has neither 1, 2, 3 nor 4 dimensions", e);
    size_t element = (size_t)dtype_info(t->dtype)->bytes, bytes = element;
    for (int d = 0; d < t->n_dims; d++)
        if (t->dims[d] < 1 || t->dims[d] > INT32_MAX || __builtin_mul_overflow(bytes, (size_t)t->dims[d], &bytes))
            return tensor_error(t, "a dimension is out of range", e);
    if (bytes != t->bytes)
        return tensor_error(t, "its shape and its data differ in size", e);
    return offset % element ? tensor_error(t, "its data would not be aligned", e) : 0;
}

static json_t *tensor_entry(const struct safetensor *t, size_t offset)
{
    json_t *shape = json_array();
    for (int d = 0; d < t->n_dims; d++)
        json_array_append_new(shape, json_integer(t->dims[d]));
    return json_pack("{ss so s[II]}", "dtype", dtype_info(t->dtype)->name, "shape", shape, "data_offsets",
                     (json_int_t)offset, (json_int_t)(offset + t->bytes));
}

static bool add_notes(json_t *header, const struct safetensors_note *notes, size_t n)
{
    json_t *object = json_object();
    bool ok = object != NULL;
    for (size_t i = 0; i < n && ok; i++)
        ok = json_object_set_new(object, notes[i].key, json_string(notes[i].value)) == 0;
    return json_object_set_new(header, "__metadata__", object) == 0 && ok;
}

static int fill_header(json_t *header, const struct safetensor *tensors, size_t n, struct err *e)
{
    size_t offset = 0;
    for (size_t i = 0; i < n; i++) {
        const struct safetensor *t = &tensors[i];
        int rc = check_tensor(t, offset, e);
        if (rc)
            return rc;
        if (json_object_getn(header, t->name.data, t->name.len))
            return tensor_error(t, "the name appears twice", e);
        if (json_object_setn_new(header, t->name.data, t->name.len, tensor_entry(t, offset)))
            return err_set(e, OL_ENOMEM, MODULE, "no memory for the header");
        if (__builtin_add_overflow(offset, t->bytes, &offset))
            return tensor_error(t, "it is too large", e);
    }
    return n ? 0 : err_set(e, OL_EINVAL, MODULE, "no tensors to write");
}

/* The length, the header's text padded with blanks, and the tensors: parts of one file. */
static int write_parts(const char *path, const char *text, const struct safetensor *tensors, size_t n, struct err *e)
{
    static const char blanks[ALIGN] = "        ";
    size_t len = strlen(text), padding = (ALIGN - len % ALIGN) % ALIGN;
    uint64_t header_bytes = len + padding;
    if (header_bytes > SAFETENSORS_MAX_HEADER_BYTES)
        return err_set(e, OL_ELIMIT, MODULE, "a header of %zu bytes; %d at most", len, SAFETENSORS_MAX_HEADER_BYTES);
    struct iovec *parts = calloc(n + 3, sizeof *parts);
    if (!parts)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu tensors", n);
    parts[0] = (struct iovec){&header_bytes, sizeof header_bytes};
    parts[1] = (struct iovec){(void *)(uintptr_t)text, len};
    parts[2] = (struct iovec){(void *)(uintptr_t)blanks, padding};
    for (size_t i = 0; i < n; i++)
        parts[3 + i] = (struct iovec){(void *)(uintptr_t)tensors[i].data, tensors[i].bytes};
    int rc = file_replace_parts(path, parts, n + 3, FILE_MODE, e);
    free(parts);
    return rc;
}

int safetensors_write(const char *path, const struct safetensor *tensors, size_t n,
                      const struct safetensors_note *notes, size_t n_notes, struct err *e)
{
    json_t *header = json_object();
    int rc = header && add_notes(header, notes, n_notes) ? fill_header(header, tensors, n, e)
                                                         : err_set(e, OL_ENOMEM, MODULE, "no memory for the header");
    char *text = rc ? NULL : json_dumps(header, JSON_COMPACT);
    if (!rc)
        rc = text ? write_parts(path, text, tensors, n, e) : err_set(e, OL_ENOMEM, MODULE, "no memory for the header");
    free(text);
    json_decref(header);
    return rc;
}
