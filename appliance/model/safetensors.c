/* Format: 8 bytes little-endian header length, a JSON object of that length
 *   {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {...}}
 * and the data, to which the offsets are relative. */
#include "model/safetensors.h"

#include "base/file_map.h"
#include "model/json_file.h"
#include "model/name_index.h"

#include <stdlib.h>
#include <string.h>

struct safetensors {
    struct file_map map;      /* empty when parsed from the caller's memory */
    json_t *header;           /* owns the names */
    struct safetensor *items; /* owned, in order of their data */
    size_t count;
    struct name_index index;
    const unsigned char *data;
    size_t data_start, data_bytes; /* of the data section, within the file */
};

static int item_error(const struct safetensor *t, struct err *e, const char *what)
{
    return err_set(e, OL_EFORMAT, "safetensors", "tensor %.*s: %s", (int)(t->name.len < 100 ? t->name.len : 100),
                   t->name.data, what);
}

static int read_dtype(struct safetensor *t, const json_t *value, struct err *e)
{
    static const enum dtype served[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    const char *name = json_string_value(value);
    if (!name)
        return item_error(t, e, "dtype is missing or not a string");
    for (size_t i = 0; i < sizeof served / sizeof *served; i++)
        if (!strcmp(name, dtype_info(served[i])->name)) {
            t->dtype = served[i];
            return 0;
        }
    return err_set(e, OL_EUNSUPPORTED, "safetensors",
                   "tensor %.*s has type %.16s: not supported; supported: F32 F16 BF16",
                   (int)(t->name.len < 100 ? t->name.len : 100), t->name.data, name);
}

static int read_shape(struct safetensor *t, const json_t *shape, size_t *bytes, struct err *e)
{
    size_t n = json_array_size(shape);
    if (n < 1 || n > SAFETENSORS_MAX_DIMS)
        return item_error(t, e, "it has neither 1, 2, 3 nor 4 dimensions");
    t->n_dims = (int)n;
    *bytes = (size_t)dtype_info(t->dtype)->bytes;
    for (size_t d = 0; d < SAFETENSORS_MAX_DIMS; d++) {
        const json_t *v = d < n ? json_array_get(shape, d) : NULL;
        if (v && (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > INT32_MAX))
            return item_error(t, e, "a dimension is not a whole number from 1 to 2147483647");
        t->dims[d] = v ? json_integer_value(v) : 1;
        if (__builtin_mul_overflow(*bytes, (size_t)t->dims[d], bytes))
            return item_error(t, e, "it is too large");
    }
    return 0;
}

/* One tensor of the header: its data must lie in the file and be as long as its shape says. */
static int read_item(const struct safetensors *s, struct safetensor *t, const json_t *value, struct err *e)
{
    if (t->name.len > SAFETENSORS_MAX_NAME_BYTES || !name_is_plain(t->name.data, t->name.len))
        return err_set(e, OL_EFORMAT, "safetensors", "a tensor's name is empty, too long or not text");
    size_t bytes = 0;
    int rc = read_dtype(t, json_object_get(value, "dtype"), e);
    if (!rc)
        rc = read_shape(t, json_object_get(value, "shape"), &bytes, e);
    if (rc)
        return rc;
    const json_t *offsets = json_object_get(value, "data_offsets");
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return item_error(t, e, "data_offsets are not two whole numbers");
    json_int_t begin = json_integer_value(from), end = json_integer_value(to);
    if (begin < 0 || end < begin || (uint64_t)end > s->data_bytes)
        return item_error(t, e, "its data ends beyond the end of the file");
    if ((uint64_t)(end - begin) != bytes)
        return item_error(t, e, "its shape and its data differ in size");
    if ((s->data_start + (uint64_t)begin) % (size_t)dtype_info(t->dtype)->bytes)
        return err_set(e, OL_EUNSUPPORTED, "safetensors",
                       "tensor %.*s: its data is not aligned; write the file again with a current safetensors library",
                       (int)(t->name.len < 100 ? t->name.len : 100), t->name.data);
    t->data = s->data + begin;
    t->bytes = bytes;
    return 0;
}

/* Order of the data in the file, for check_cover. */
static int by_data(const void *a, const void *b)
{
    const struct safetensor *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    return (p > q) - (p < q);
}

/* Items, sorted, follow each other from the first byte of the data to the last: what a file does not declare, it
 * does not carry, and a file that was cut short is noticed. */
static int check_cover(const struct safetensors *s, struct err *e)
{
    const unsigned char *next = s->data;
    for (size_t i = 0; i < s->count; i++) {
        if (s->items[i].data != next)
            return item_error(&s->items[i], e, "its data overlaps another's or leaves a hole before it");
        next += s->items[i].bytes;
    }
    if (next != s->data + s->data_bytes)
        return err_set(e, OL_EFORMAT, "safetensors", "%zu bytes after the last tensor",
                       (size_t)(s->data + s->data_bytes - next));
    return 0;
}

/* Splits the file into header and data. The limit keeps a hostile length from making us parse gigabytes. */
static int read_header(struct safetensors *s, const unsigned char *bytes, size_t len, struct err *e)
{
    uint64_t header_bytes;
    if (len < sizeof header_bytes)
        return err_set(e, OL_EFORMAT, "safetensors", "the file ends within its header");
    memcpy(&header_bytes, bytes, sizeof header_bytes);
    if (header_bytes > SAFETENSORS_MAX_HEADER_BYTES)
        return err_set(e, OL_ELIMIT, "safetensors", "a header of %llu bytes: more than %d, or not a safetensors file",
                       (unsigned long long)header_bytes, SAFETENSORS_MAX_HEADER_BYTES);
    if (header_bytes > len - sizeof header_bytes)
        return err_set(e, OL_EFORMAT, "safetensors", "the file ends within its header");
    s->data_start = sizeof header_bytes + (size_t)header_bytes;
    s->data = bytes + s->data_start;
    s->data_bytes = len - s->data_start;
    return json_text_read((const char *)bytes + sizeof header_bytes, (size_t)header_bytes, "header", &s->header, e);
}

static int parse(struct safetensors *s, const void *bytes, size_t len, struct err *e)
{
    int rc = read_header(s, bytes, len, e);
    if (rc)
        return rc;
    size_t count = json_object_size(s->header);
    rc = name_index_init(&s->index, count, e);
    if (rc)
        return rc;
    s->items = calloc(count ? count : 1, sizeof *s->items);
    if (!s->items)
        return err_set(e, OL_ENOMEM, "safetensors", "no memory for %zu tensors", count);
    const char *name;
    json_t *value;
    json_object_foreach(s->header, name, value) {
        if (!strcmp(name, "__metadata__"))
            continue;
        struct safetensor *t = &s->items[s->count++];
        t->name = (struct text){name, strlen(name)};
        rc = read_item(s, t, value, e);
        if (rc)
            return rc;
    }
    qsort(s->items, s->count, sizeof *s->items, by_data);
    for (size_t i = 0; i < s->count; i++)
        CHECK(name_index_add(&s->index, s->items[i].name.data, s->items[i].name.len, (uint32_t)i));
    return check_cover(s, e);
}

int safetensors_parse(const void *bytes, size_t len, struct safetensors **out, struct err *e)
{
    *out = NULL;
    struct safetensors *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, OL_ENOMEM, "safetensors", "no memory");
    int rc = parse(s, bytes, len, e);
    if (rc) {
        safetensors_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

int safetensors_open(const char *path, struct safetensors **out, struct err *e)
{
    struct file_map map;
    *out = NULL;
    int rc = file_map_init(&map, path, e);
    if (rc)
        return rc;
    rc = safetensors_parse(map.data, map.len, out, e);
    if (rc) {
        file_map_deinit(&map);
        err_prefix(e, "%s", path);
        return rc;
    }
    (*out)->map = map;
    return 0;
}

void safetensors_close(struct safetensors *s)
{
    if (!s)
        return;
    name_index_deinit(&s->index);
    free(s->items);
    json_decref(s->header);
    file_map_deinit(&s->map);
    free(s);
}

size_t safetensors_count(const struct safetensors *s) { return s->count; }

const struct safetensor *safetensors_at(const struct safetensors *s, size_t i)
{
    return i < s->count ? &s->items[i] : NULL;
}

const struct safetensor *safetensors_find(const struct safetensors *s, const char *name)
{
    uint32_t i;
    return name_index_find(&s->index, name, strlen(name), &i) ? &s->items[i] : NULL;
}

const char *safetensors_note(const struct safetensors *s, const char *key)
{
    return json_string_value(json_object_get(json_object_get(s->header, "__metadata__"), key));
}

void safetensors_drop_pages(struct safetensors *s) { file_map_drop(&s->map, s->data, s->data_bytes); }
