/* The GGUF reader: a good file read back, a table of single faults each refused by name, and every truncation and
 * every flipped bit of a small file survived (under ASan: without a read outside of it). */
#include "model/gguf.h"
#include "model_files.h"

#include <stddef.h>

/* Where in the good file the faults go. */
struct places {
    size_t version, n_tensors, n_keys, bool_key, bool_value, text_len, array_type, array_count, texts_count, alignment,
        w_name, w_n_dims, w_cols, w_type, w_offset, q_name, q_cols;
};

static void good_file(struct buf *out, struct places *at)
{
    struct gguf_file g;
    float w[64];
    unsigned char q[68] = {0};
    const double pi = 3.25;
    for (int i = 0; i < 64; i++)
        w[i] = (float)i;
    gguf_file_begin(&g);
    gguf_file_key(&g, "b", 7);
    at->bool_key = g.keys.len - 5;
    at->bool_value = g.keys.len;
    buf_add_char(&g.keys, 1);
    at->text_len = g.keys.len + 8 + 1 + 4;
    gguf_file_text(&g, "s", "hello");
    gguf_file_key(&g, "a", 9);
    at->array_type = g.keys.len;
    put_u32(&g.keys, 5);
    at->array_count = g.keys.len;
    put_u64(&g.keys, 3);
    put_u32(&g.keys, 7);
    put_u32(&g.keys, (uint32_t)-8);
    put_u32(&g.keys, 9);
    gguf_file_key(&g, "t", 9);
    put_u32(&g.keys, 8);
    at->texts_count = g.keys.len;
    put_u64(&g.keys, 2);
    put_text(&g.keys, "one");
    put_text(&g.keys, "");
    gguf_file_key(&g, "d", 12);
    buf_add(&g.keys, &pi, sizeof pi);
    gguf_file_u32(&g, "general.alignment", 32);
    at->alignment = g.keys.len - 4;
    gguf_file_tensor(&g, "w", 0, 32, 2, w, sizeof w);
    at->q_name = g.table.len + 8;
    gguf_file_tensor(&g, "q", 8, 64, 0, q, sizeof q);
    size_t keys = 24, table = 24 + g.keys.len; /* section starts */
    for (size_t *p = &at->bool_key; p <= &at->alignment; p++)
        *p += keys;
    at->version = 4;
    at->n_tensors = 8;
    at->n_keys = 16;
    at->w_name = table + 8;
    at->w_n_dims = table + 9;
    at->w_cols = table + 13;
    at->w_type = table + 29;
    at->w_offset = table + 33;
    at->q_name += table;
    at->q_cols = at->q_name + 1 + 4;
    gguf_file_end(&g, out);
}

START_TEST(reads_what_was_written)
{
    struct buf file;
    struct places at;
    struct gguf *g;
    struct err e;
    good_file(&file, &at);
    ck_assert_int_eq(gguf_parse(file.data, file.len, &g, &e), 0);
    bool b = false;
    struct text t;
    int64_t i;
    double d;
    uint64_t u;
    ck_assert(gguf_bool(g, "b", &b) && b);
    ck_assert(gguf_text(g, "s", &t) && t.len == 5 && !memcmp(t.data, "hello", 5));
    ck_assert_uint_eq(gguf_array_len(g, "a"), 3);
    ck_assert(gguf_array_i64(g, "a", 1, &i) && i == -8);
    ck_assert(gguf_array_f64(g, "a", 2, &d) && d == 9);
    ck_assert(!gguf_array_i64(g, "a", 3, &i) && !gguf_array_text(g, "a", 0, &t));
    ck_assert(gguf_array_text(g, "t", 0, &t) && t.len == 3 && !memcmp(t.data, "one", 3));
    ck_assert(gguf_array_text(g, "t", 1, &t) && t.len == 0);
    ck_assert(gguf_f64(g, "d", &d) && d == 3.25);
    ck_assert(gguf_u64(g, "general.alignment", &u) && u == 32);
    ck_assert(!gguf_u64(g, "s", &u) && !gguf_u64(g, "d", &u) && !gguf_u64(g, "a", &u) && !gguf_u64(g, "none", &u));
    ck_assert_uint_eq(gguf_tensor_count(g), 2);
    const struct gguf_tensor *w = gguf_tensor_find(g, "w"), *q = gguf_tensor_find(g, "q");
    ck_assert(w && w->dtype == DTYPE_F32 && w->n_dims == 2 && w->dims[0] == 32 && w->dims[1] == 2 && w->bytes == 256);
    ck_assert(((const float *)w->data)[63] == 63.0f);
    ck_assert(q && q->dtype == DTYPE_Q8_0 && q->n_dims == 1 && q->dims[0] == 64 && q->bytes == 68);
    ck_assert_ptr_null(gguf_tensor_find(g, "v"));
    gguf_close(g);
    buf_deinit(&file);
}
END_TEST

#define AT(place) offsetof(struct places, place)
static const struct {
    size_t place;
    int bytes;
    uint64_t value;
    int code;
    const char *names;
} faults[] = {
    {AT(version), 4, 2, OL_EUNSUPPORTED, "version 2"},
    {AT(version), 4, 3u << 24, OL_EUNSUPPORTED, "big-endian"},
    {AT(n_tensors), 8, UINT64_MAX, OL_EFORMAT, "18446744073709551615 tensors"},
    {AT(n_tensors), 8, 3, OL_EFORMAT, "tensor 2"},
    {AT(n_keys), 8, (uint64_t)1 << 40, OL_EFORMAT, "metadata keys"},
    {AT(bool_key), 1, '\n', OL_EFORMAT, "metadata key 0"},
    {AT(bool_key), 1, 's', OL_EFORMAT, "key s: appears twice"},
    {AT(bool_value), 1, 2, OL_EFORMAT, "key b"},
    {AT(text_len), 8, UINT64_MAX - 3, OL_EFORMAT, "key s"},
    {AT(array_type), 4, 9, OL_EFORMAT, "key a: arrays of arrays"},
    {AT(array_type), 4, 13, OL_EFORMAT, "key a: unknown value type"},
    {AT(array_count), 8, UINT64_MAX / 4 + 1, OL_EFORMAT, "key a"},
    {AT(array_count), 8, 1 << 20, OL_EFORMAT, "key a"},
    {AT(texts_count), 8, (uint64_t)1 << 59, OL_EFORMAT, "key t"},
    {AT(alignment), 4, 24, OL_EFORMAT, "general.alignment is 24"},
    {AT(w_name), 1, 0, OL_EFORMAT, "name of tensor 0"},
    {AT(w_n_dims), 4, 5, OL_EFORMAT, "tensor w"},
    {AT(w_n_dims), 4, 0, OL_EFORMAT, "tensor w"},
    {AT(w_cols), 8, 0, OL_EFORMAT, "tensor w: a dimension"},
    {AT(w_cols), 8, UINT64_MAX, OL_EFORMAT, "tensor w: a dimension"},
    {AT(w_cols), 8, INT32_MAX, OL_EFORMAT, "tensor w: its data ends beyond"},
    {AT(w_type), 4, 17, OL_EUNSUPPORTED, "tensor w has type IQ2_XS"},
    {AT(w_type), 4, 999, OL_EUNSUPPORTED, "tensor w has type unknown (999)"},
    {AT(w_offset), 8, 1, OL_EFORMAT, "tensor w: its data is not aligned"},
    {AT(w_offset), 8, UINT64_MAX - 31, OL_EFORMAT, "tensor w: its data ends beyond"},
    {AT(q_name), 1, 'w', OL_EFORMAT, "tensor w: appears twice"},
    {AT(q_cols), 8, 33, OL_EFORMAT, "tensor q: its rows are not whole blocks"},
};

START_TEST(refuses_each_fault_by_name)
{
    struct buf file;
    struct places at;
    struct gguf *g;
    struct err e;
    good_file(&file, &at);
    memcpy(file.data + *(size_t *)(void *)((char *)&at + faults[_i].place), &faults[_i].value,
           (size_t)faults[_i].bytes);
    assert_refused(gguf_parse(file.data, file.len, &g, &e), e, faults[_i].code, faults[_i].names);
    ck_assert_ptr_null(g);
    buf_deinit(&file);
}
END_TEST

/* Touches all that an accepted file offers. */
static unsigned walk(const struct gguf *g)
{
    static const char *const keys[] = {"b", "s", "a", "t", "d", "general.alignment"};
    unsigned sum = 0;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        struct text t;
        int64_t n;
        double d;
        uint64_t u;
        bool b;
        sum += gguf_bool(g, keys[k], &b) + gguf_u64(g, keys[k], &u) + gguf_f64(g, keys[k], &d);
        if (gguf_text(g, keys[k], &t))
            sum += t.len ? (unsigned char)t.data[t.len - 1] : 0;
        for (size_t i = 0; i < gguf_array_len(g, keys[k]); i++) {
            sum += gguf_array_i64(g, keys[k], i, &n) + gguf_array_f64(g, keys[k], i, &d);
            if (gguf_array_text(g, keys[k], i, &t) && t.len)
                sum += (unsigned char)t.data[t.len - 1];
        }
    }
    for (size_t i = 0; i < gguf_tensor_count(g); i++)
        for (size_t j = 0; j < gguf_tensor_at(g, i)->bytes; j++)
            sum += ((const unsigned char *)gguf_tensor_at(g, i)->data)[j];
    return sum;
}

/* Parses a copy of exactly this size, so that a read beyond it is seen. Returns whether it was accepted. */
static bool survives(const char *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);
    struct gguf *g;
    struct err e = {0};
    memcpy(copy, bytes, len);
    int rc = gguf_parse(copy, len, &g, &e);
    if (rc)
        ck_assert(g == NULL && e.message[0]);
    else
        ck_assert_uint_ne(walk(g), 0);
    gguf_close(g);
    free(copy);
    return rc == 0;
}

START_TEST(survives_truncation_and_flipped_bits)
{
    struct buf file;
    struct places at;
    good_file(&file, &at);
    size_t needed = file.len - 28; /* the last tensor's padding may be missing */
    for (size_t n = 0; n <= file.len; n++)
        ck_assert_int_eq(survives(file.data, n), n >= needed);
    for (size_t bit = 0; bit < file.len * 8; bit++) {
        file.data[bit / 8] = (char)(file.data[bit / 8] ^ 1 << bit % 8);
        survives(file.data, file.len);
        file.data[bit / 8] = (char)(file.data[bit / 8] ^ 1 << bit % 8);
    }
    buf_deinit(&file);
}
END_TEST

START_TEST(names_the_path)
{
    struct gguf *g;
    struct err e;
    assert_refused(gguf_open("/nonexistent/x.gguf", &g, &e), e, OL_ENOTFOUND, "/nonexistent/x.gguf");
    assert_refused(gguf_open("/dev/null", &g, &e), e, OL_EINVAL, "/dev/null");
    char *folder = scratch_make(), *path = scratch_path(folder, "x");
    scratch_write(folder, "x", "GG", 2);
    assert_refused(gguf_open(path, &g, &e), e, OL_EFORMAT, path);
    free(path);
    scratch_remove(folder, (const char *const[]){"x"}, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gguf");
    TCase *c = tcase_create("gguf");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, reads_what_was_written);
    tcase_add_loop_test(c, refuses_each_fault_by_name, 0, (int)(sizeof faults / sizeof *faults));
    tcase_add_test(c, survives_truncation_and_flipped_bits);
    tcase_add_test(c, names_the_path);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
