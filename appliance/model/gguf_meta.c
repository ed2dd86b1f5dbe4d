/* GGUF metadata: reading the key-value section, and the accessors. Numbers are read with memcpy, since the format
 * does not align them. */
#include "model/gguf_private.h"

#include <stdlib.h>
#include <string.h>

/* A key's record is at least its length, one byte of name, its type and one byte of value: a count of keys that the
 * rest of the file cannot hold is refused before memory is taken for it. */
enum { MAX_KEYS = 65536, MAX_KEY_BYTES = 65535, MIN_KEY_RECORD_BYTES = 8 + 1 + 4 + 1 };

/* Of one value; 0 where the length is in the file (strings, arrays). */
static const unsigned char type_bytes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

bool cursor_u32(struct gguf_cursor *c, uint32_t *out)
{
    if (cursor_left(c) < sizeof *out)
        return false;
    memcpy(out, c->data + c->pos, sizeof *out);
    c->pos += sizeof *out;
    return true;
}

bool cursor_u64(struct gguf_cursor *c, uint64_t *out)
{
    if (cursor_left(c) < sizeof *out)
        return false;
    memcpy(out, c->data + c->pos, sizeof *out);
    c->pos += sizeof *out;
    return true;
}

bool cursor_text(struct gguf_cursor *c, struct text *out)
{
    uint64_t len;
    if (!cursor_u64(c, &len) || len > cursor_left(c))
        return false;
    *out = (struct text){(const char *)c->data + c->pos, (size_t)len};
    c->pos += (size_t)len;
    return true;
}

static int value_error(const struct gguf_entry *x, struct err *e, const char *what)
{
    return err_set(e, OL_EFORMAT, "gguf", "key %.*s: %s", (int)(x->key.len < 80 ? x->key.len : 80), x->key.data, what);
}

/* All elements of a string array (or the one string), so that each can be found at once later. */
static int read_texts(struct gguf_entry *x, struct gguf_cursor *c, struct err *e)
{
    if (x->count > cursor_left(c) / sizeof(uint64_t)) /* each string takes at least its length */
        return value_error(x, e, "more strings than the file has room for");
    x->texts = calloc(x->count ? x->count : 1, sizeof *x->texts);
    if (!x->texts)
        return err_set(e, OL_ENOMEM, "gguf", "no memory for an array of %zu strings", x->count);
    for (size_t i = 0; i < x->count; i++)
        if (!cursor_text(c, &x->texts[i]))
            return value_error(x, e, "a string ends beyond the end of the file");
    return 0;
}

/* Type and value of the key that was just read. Numbers stay where they are in the file. */
static int read_value(struct gguf_entry *x, struct gguf_cursor *c, struct err *e)
{
    uint32_t type;
    uint64_t count = 1;
    if (!cursor_u32(c, &type))
        return value_error(x, e, "the file ends before its value");
    if (type == GGUF_ARRAY) {
        x->is_array = true;
        if (!cursor_u32(c, &type) || !cursor_u64(c, &count))
            return value_error(x, e, "the file ends before its value");
        if (type == GGUF_ARRAY)
            return value_error(x, e, "arrays of arrays are not supported");
    }
    if (type >= GGUF_TYPES)
        return value_error(x, e, "unknown value type");
    if (count > SIZE_MAX / 8)
        return value_error(x, e, "array too long");
    x->type = type;
    x->count = (size_t)count;
    if (type == GGUF_STRING)
        return read_texts(x, c, e);
    if (x->count > cursor_left(c) / type_bytes[type])
        return value_error(x, e, "its value ends beyond the end of the file");
    x->data = c->data + c->pos;
    c->pos += x->count * type_bytes[type];
    if (type == GGUF_BOOL)
        for (size_t i = 0; i < x->count; i++)
            if (x->data[i] > 1)
                return value_error(x, e, "a boolean is neither 0 nor 1");
    return 0;
}

int gguf_meta_read(struct gguf *g, struct gguf_cursor *c, uint64_t count, struct err *e)
{
    if (count > MAX_KEYS || count > cursor_left(c) / MIN_KEY_RECORD_BYTES)
        return err_set(e, OL_EFORMAT, "gguf", "%llu metadata keys: more than the file can hold or than %d",
                       (unsigned long long)count, MAX_KEYS);
    int rc = name_index_init(&g->entry_index, (size_t)count, e);
    if (rc)
        return rc;
    g->entries = calloc(count ? (size_t)count : 1, sizeof *g->entries);
    if (!g->entries)
        return err_set(e, OL_ENOMEM, "gguf", "no memory for %llu metadata keys", (unsigned long long)count);
    for (uint32_t i = 0; i < count; i++) {
        struct gguf_entry *x = &g->entries[i];
        if (!cursor_text(c, &x->key))
            return err_set(e, OL_EFORMAT, "gguf", "the file ends within metadata key %u of %llu", i,
                           (unsigned long long)count);
        if (x->key.len > MAX_KEY_BYTES || !name_is_plain(x->key.data, x->key.len))
            return err_set(e, OL_EFORMAT, "gguf", "metadata key %u is empty, too long or not text", i);
        g->n_entries = i + 1; /* from here on gguf_meta_deinit frees what the value owns */
        rc = read_value(x, c, e);
        if (rc)
            return rc;
        if (!name_index_add(&g->entry_index, x->key.data, x->key.len, i))
            return value_error(x, e, "appears twice");
    }
    return 0;
}

void gguf_meta_deinit(struct gguf *g)
{
    for (size_t i = 0; i < g->n_entries; i++)
        free(g->entries[i].texts);
    free(g->entries);
    name_index_deinit(&g->entry_index);
}

/* The entry of a key, if it is an array exactly when one is asked for. */
static const struct gguf_entry *find(const struct gguf *g, const char *key, bool array)
{
    uint32_t i;
    if (!name_index_find(&g->entry_index, key, strlen(key), &i) || g->entries[i].is_array != array)
        return NULL;
    return &g->entries[i];
}

/* Element i as an integer; *negative tells how to read the 64 bits. */
static bool element_int(const struct gguf_entry *x, size_t i, uint64_t *bits, bool *negative)
{
    const unsigned char *p = x->data + i * type_bytes[x->type];
    int64_t v = 0;
    switch (x->type) {
    case GGUF_U8: v = p[0]; break;
    case GGUF_I8: v = (int8_t)p[0]; break;
    case GGUF_U16: { uint16_t t; memcpy(&t, p, sizeof t); v = t; break; }
    case GGUF_I16: { int16_t t; memcpy(&t, p, sizeof t); v = t; break; }
    case GGUF_U32: { uint32_t t; memcpy(&t, p, sizeof t); v = t; break; }
    case GGUF_I32: { int32_t t; memcpy(&t, p, sizeof t); v = t; break; }
    case GGUF_I64: memcpy(&v, p, sizeof v); break;
    case GGUF_U64: memcpy(bits, p, sizeof *bits); *negative = false; return true;
    default: return false;
    }
    *bits = (uint64_t)v;
    *negative = v < 0;
    return true;
}

/* Element i as a double, if that loses nothing. */
static bool element_f64(const struct gguf_entry *x, size_t i, double *out)
{
    const unsigned char *p = x->data + i * type_bytes[x->type];
    uint64_t bits;
    bool negative;
    if (x->type == GGUF_F32) {
        float f;
        memcpy(&f, p, sizeof f);
        *out = f;
        return true;
    }
    if (x->type == GGUF_F64) {
        memcpy(out, p, sizeof *out);
        return true;
    }
    const uint64_t exact = (uint64_t)1 << 53; /* integers up to here convert without loss */
    if (!element_int(x, i, &bits, &negative) || (negative ? -bits : bits) > exact)
        return false;
    *out = negative ? (double)(int64_t)bits : (double)bits;
    return true;
}

bool gguf_u64(const struct gguf *g, const char *key, uint64_t *out)
{
    const struct gguf_entry *x = find(g, key, false);
    uint64_t bits;
    bool negative;
    if (!x || x->type == GGUF_STRING || !element_int(x, 0, &bits, &negative) || negative)
        return false;
    *out = bits;
    return true;
}

bool gguf_f64(const struct gguf *g, const char *key, double *out)
{
    const struct gguf_entry *x = find(g, key, false);
    return x && x->type != GGUF_STRING && element_f64(x, 0, out);
}

bool gguf_bool(const struct gguf *g, const char *key, bool *out)
{
    const struct gguf_entry *x = find(g, key, false);
    if (!x || x->type != GGUF_BOOL)
        return false;
    *out = x->data[0] != 0;
    return true;
}

bool gguf_text(const struct gguf *g, const char *key, struct text *out)
{
    const struct gguf_entry *x = find(g, key, false);
    if (!x || x->type != GGUF_STRING)
        return false;
    *out = x->texts[0];
    return true;
}

size_t gguf_array_len(const struct gguf *g, const char *key)
{
    const struct gguf_entry *x = find(g, key, true);
    return x ? x->count : 0;
}

bool gguf_array_text(const struct gguf *g, const char *key, size_t i, struct text *out)
{
    const struct gguf_entry *x = find(g, key, true);
    if (!x || x->type != GGUF_STRING || i >= x->count)
        return false;
    *out = x->texts[i];
    return true;
}

bool gguf_array_i64(const struct gguf *g, const char *key, size_t i, int64_t *out)
{
    const struct gguf_entry *x = find(g, key, true);
    uint64_t bits;
    bool negative;
    if (!x || x->type == GGUF_STRING || i >= x->count || !element_int(x, i, &bits, &negative))
        return false;
    if (!negative && bits > INT64_MAX)
        return false;
    *out = (int64_t)bits;
    return true;
}

bool gguf_array_f64(const struct gguf *g, const char *key, size_t i, double *out)
{
    const struct gguf_entry *x = find(g, key, true);
    return x && x->type != GGUF_STRING && i < x->count && element_f64(x, i, out);
}
