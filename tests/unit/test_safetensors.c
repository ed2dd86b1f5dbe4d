/* The safetensors reader: a good file, single faults refused by name, truncations and flipped bits survived. */
#include "model/safetensors.h"
#include "model_files.h"

static void good_file(struct buf *out)
{
    static const float a[6] = {1, 2, 3, 4, 5, 6};
    static const uint16_t b[4] = {0x3c00, 0, 0, 0x4000};
    struct st_file s;
    st_file_begin(&s);
    st_file_tensor(&s, "a", "F32", "2,3", a, sizeof a);
    st_file_tensor(&s, "b", "BF16", "4", b, sizeof b);
    st_file_end(&s, out);
}

START_TEST(reads_what_was_written)
{
    struct buf file;
    struct safetensors *s;
    struct err e;
    good_file(&file);
    ck_assert_int_eq(safetensors_parse(file.data, file.len, &s, &e), 0);
    ck_assert_uint_eq(safetensors_count(s), 2);
    const struct safetensor *a = safetensors_find(s, "a"), *b = safetensors_find(s, "b");
    ck_assert(a && a->dtype == DTYPE_F32 && a->n_dims == 2 && a->dims[0] == 2 && a->dims[1] == 3 && a->bytes == 24);
    ck_assert(((const float *)a->data)[5] == 6.0f);
    ck_assert(b && b->dtype == DTYPE_BF16 && b->n_dims == 1 && b->dims[0] == 4 && b->bytes == 8);
    ck_assert_ptr_null(safetensors_find(s, "__metadata__"));
    safetensors_close(s);
    buf_deinit(&file);
}
END_TEST

/* Header and number of data bytes of a faulty file. */
static const struct {
    const char *header;
    size_t data_bytes;
    int code;
    const char *names;
} faults[] = {
    {"", 0, OL_EFORMAT, "header"},
    {"[]      ", 0, OL_EFORMAT, "header is not a JSON object"},
    {"{\"a\":1}", 0, OL_EFORMAT, "tensor a: dtype"},
    {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, OL_EUNSUPPORTED, "tensor a has type I64"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, OL_EFORMAT, "tensor a"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, OL_EFORMAT, "tensor a: a dimension"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, OL_EFORMAT, "tensor a: a dimension"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, OL_EFORMAT, "tensor a: a dimension"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, OL_EFORMAT, "tensor a"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2147483647,2147483647,4],\"data_offsets\":[0,4]}}", 4, OL_EFORMAT,
     "tensor a: it is too large"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, OL_EFORMAT, "tensor a: data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, OL_EFORMAT, "tensor a"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, OL_EFORMAT, "tensor a"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, OL_EFORMAT, "tensor a: its data ends"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 8, OL_EFORMAT, "tensor a: its shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, OL_EFORMAT, "hole"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, OL_EFORMAT, "overlap"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, OL_EFORMAT, "4 bytes after"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, OL_EFORMAT, "duplicate"},
    {"{\"\\n\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, OL_EFORMAT, "name"},
    {"{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}    ",
     6, OL_EUNSUPPORTED, "tensor b: its data is not aligned"},
};

START_TEST(refuses_each_fault_by_name)
{
    static const char data[16];
    struct buf file;
    struct safetensors *s;
    struct err e;
    buf_init(&file, 1 << 16);
    size_t header = strlen(faults[_i].header), padded = (header + 7) / 8 * 8;
    put_u64(&file, padded);
    buf_add_str(&file, faults[_i].header);
    buf_add(&file, "       ", padded - header);
    buf_add(&file, data, faults[_i].data_bytes);
    assert_refused(safetensors_parse(file.data, file.len, &s, &e), e, faults[_i].code, faults[_i].names);
    ck_assert_ptr_null(s);
    buf_deinit(&file);
}
END_TEST

START_TEST(refuses_a_huge_header)
{
    struct buf file;
    struct safetensors *s;
    struct err e;
    good_file(&file);
    uint64_t n = (uint64_t)1 << 40;
    memcpy(file.data, &n, sizeof n);
    assert_refused(safetensors_parse(file.data, file.len, &s, &e), e, OL_ELIMIT, "header of 1099511627776 bytes");
    n = file.len;
    memcpy(file.data, &n, sizeof n);
    assert_refused(safetensors_parse(file.data, file.len, &s, &e), e, OL_EFORMAT, "ends within its header");
    buf_deinit(&file);
}
END_TEST

static bool survives(const char *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);
    struct safetensors *s;
    struct err e = {0};
    memcpy(copy, bytes, len);
    int rc = safetensors_parse(copy, len, &s, &e);
    ck_assert(rc == 0 || (s == NULL && e.message[0]));
    unsigned sum = 0;
    for (size_t i = 0; !rc && i < safetensors_count(s); i++)
        for (size_t j = 0; j < safetensors_at(s, i)->bytes; j++)
            sum += ((const unsigned char *)safetensors_at(s, i)->data)[j];
    ck_assert(rc || sum);
    safetensors_close(s);
    free(copy);
    return rc == 0;
}

START_TEST(survives_truncation_and_flipped_bits)
{
    struct buf file;
    good_file(&file);
    for (size_t n = 0; n <= file.len; n++)
        ck_assert_int_eq(survives(file.data, n), n == file.len);
    for (size_t bit = 0; bit < file.len * 8; bit++) {
        file.data[bit / 8] = (char)(file.data[bit / 8] ^ 1 << bit % 8);
        survives(file.data, file.len);
        file.data[bit / 8] = (char)(file.data[bit / 8] ^ 1 << bit % 8);
    }
    buf_deinit(&file);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("safetensors");
    TCase *c = tcase_create("safetensors");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, reads_what_was_written);
    tcase_add_loop_test(c, refuses_each_fault_by_name, 0, (int)(sizeof faults / sizeof *faults));
    tcase_add_test(c, refuses_a_huge_header);
    tcase_add_test(c, survives_truncation_and_flipped_bits);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
