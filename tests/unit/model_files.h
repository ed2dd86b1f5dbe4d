/* Small GGUF and safetensors files for tests, built in memory, and a scratch folder to put them in. */
#ifndef OPENLORA_TESTS_MODEL_FILES_H
#define OPENLORA_TESTS_MODEL_FILES_H

#include "base/buf.h"
#include "base/err.h"
#include "kernels/dtype.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline void put_u32(struct buf *b, uint32_t v) { buf_add(b, &v, sizeof v); }
static inline void put_u64(struct buf *b, uint64_t v) { buf_add(b, &v, sizeof v); }

static inline void put_text(struct buf *b, const char *s)
{
    put_u64(b, strlen(s));
    buf_add_str(b, s);
}

/* A GGUF file in the making: sections are joined by gguf_file_end. */
struct gguf_file {
    struct buf keys, table, data;
    uint64_t n_keys, n_tensors;
};

static inline void gguf_file_begin(struct gguf_file *g)
{
    *g = (struct gguf_file){0};
    buf_init(&g->keys, 1 << 20);
    buf_init(&g->table, 1 << 20);
    buf_init(&g->data, 1 << 24);
}

static inline void gguf_file_key(struct gguf_file *g, const char *key, uint32_t type)
{
    put_text(&g->keys, key);
    put_u32(&g->keys, type);
    g->n_keys++;
}

static inline void gguf_file_u32(struct gguf_file *g, const char *key, uint32_t v)
{
    gguf_file_key(g, key, 4);
    put_u32(&g->keys, v);
}

static inline void gguf_file_f32(struct gguf_file *g, const char *key, float v)
{
    gguf_file_key(g, key, 6);
    buf_add(&g->keys, &v, sizeof v);
}

static inline void gguf_file_text(struct gguf_file *g, const char *key, const char *v)
{
    gguf_file_key(g, key, 8);
    put_text(&g->keys, v);
}

/* cols, rows as in the file; rows = 0 for a vector. `type` is ggml's number, data holds `bytes`. */
static inline void gguf_file_tensor(struct gguf_file *g, const char *name, uint32_t type, uint64_t cols, uint64_t rows,
                                    const void *data, size_t bytes)
{
    static const char zeros[32];
    put_text(&g->table, name);
    put_u32(&g->table, rows ? 2 : 1);
    put_u64(&g->table, cols);
    if (rows)
        put_u64(&g->table, rows);
    put_u32(&g->table, type);
    put_u64(&g->table, g->data.len);
    buf_add(&g->data, data, bytes);
    buf_add(&g->data, zeros, (32 - g->data.len % 32) % 32);
    g->n_tensors++;
}

static inline void gguf_file_end(struct gguf_file *g, struct buf *out)
{
    static const char zeros[32];
    buf_init(out, 1 << 25);
    buf_add_str(out, "GGUF");
    put_u32(out, 3);
    put_u64(out, g->n_tensors);
    put_u64(out, g->n_keys);
    buf_add(out, buf_str(&g->keys), g->keys.len);
    buf_add(out, buf_str(&g->table), g->table.len);
    buf_add(out, zeros, (32 - out->len % 32) % 32);
    buf_add(out, buf_str(&g->data), g->data.len);
    buf_deinit(&g->keys);
    buf_deinit(&g->table);
    buf_deinit(&g->data);
    ck_assert(!buf_failed(out));
}

/* A safetensors file: header entries are added one by one. */
struct st_file {
    struct buf header, data;
};

static inline void st_file_begin(struct st_file *s)
{
    buf_init(&s->header, 1 << 20);
    buf_init(&s->data, 1 << 24);
    buf_add_str(&s->header, "{\"__metadata__\":{\"format\":\"pt\"}");
}

static inline void st_file_tensor(struct st_file *s, const char *name, const char *dtype, const char *shape,
                                  const void *data, size_t bytes)
{
    buf_printf(&s->header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", name, dtype, shape,
               s->data.len, s->data.len + bytes);
    buf_add(&s->data, data, bytes);
}

static inline void st_file_end(struct st_file *s, struct buf *out)
{
    buf_add_char(&s->header, '}');
    while (s->header.len % 8)
        buf_add_char(&s->header, ' ');
    buf_init(out, 1 << 25);
    put_u64(out, s->header.len);
    buf_add(out, buf_str(&s->header), s->header.len);
    buf_add(out, buf_str(&s->data), s->data.len);
    buf_deinit(&s->header);
    buf_deinit(&s->data);
    ck_assert(!buf_failed(out));
}

/* A folder of its own under TMPDIR; removed by scratch_remove with the plain files in it. */
static inline char *scratch_make(void)
{
    const char *tmp = getenv("TMPDIR");
    char *path = NULL;
    ck_assert(asprintf(&path, "%s/openlora-test-XXXXXX", tmp ? tmp : "/tmp") > 0);
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static inline char *scratch_path(const char *folder, const char *name)
{
    char *path = NULL;
    ck_assert(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

static inline void scratch_write(const char *folder, const char *name, const void *bytes, size_t n)
{
    char *path = scratch_path(folder, name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
    free(path);
}

static inline void scratch_remove(char *folder, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *path = scratch_path(folder, names[i]);
        unlink(path);
        free(path);
    }
    ck_assert_int_eq(rmdir(folder), 0);
    free(folder);
}

/* The error has this code and its message names the culprit. */
#define assert_refused(rc, e, want_code, want_text)                                                                   \
    do {                                                                                                              \
        ck_assert_msg((rc) == (want_code), "got %d (%s), expected %d naming \"%s\"", (rc), (e).message, (want_code),  \
                      (want_text));                                                                                   \
        ck_assert_msg(strstr((e).message, (want_text)) != NULL, "\"%s\" does not name \"%s\"", (e).message,           \
                      (want_text));                                                                                   \
    } while (0)

#endif
