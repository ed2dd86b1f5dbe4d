/* RLP: the Ethereum Foundation's vectors both ways, its invalid encodings refused, and every truncation refused. */
#include "unit/vectors.h"
#include "chainlite/core/rlp.h"

static void put(struct rlp_writer *w, const json_t *value)
{
    const char *text = json_string_value(value);
    wei_t big;
    if (json_is_array(value)) {
        size_t mark = rlp_list_open(w), i;
        json_t *item;
        json_array_foreach(value, i, item)
            put(w, item);
        rlp_list_close(w, mark);
    } else if (text && text[0] == '#' && wei_parse(text + 1, &big)) {
        rlp_put_wei(w, big);
    } else if (text && text[0] == '#') { /* more than 128 bits: we write such numbers as bytes */
        uint8_t be[40], *first = be;
        be_of_decimal(text + 1, be, sizeof be);
        while (*first == 0)
            first++;
        rlp_put_bytes(w, first, (size_t)(be + sizeof be - first));
    } else if (text) {
        rlp_put_bytes(w, text, json_string_length(value));
    } else {
        rlp_put_u64(w, (uint64_t)json_integer_value(value));
    }
}

/* Reads everything below the item and writes it again; the depth of the vectors is small. */
static void copy(struct rlp_writer *w, const struct rlp *item)
{
    if (!item->list) {
        rlp_put_bytes(w, item->data, item->len);
        return;
    }
    size_t mark = rlp_list_open(w);
    for (struct rlp_reader r = rlp_items(item); rlp_more(&r);) {
        struct rlp child;
        ck_assert_int_eq(rlp_next(&r, &child, NULL), 0);
        copy(w, &child);
    }
    rlp_list_close(w, mark);
}

START_TEST(test_published)
{
    json_t *root = json_load_file("tests/unit/data/ethereum/rlptest.json", JSON_ALLOW_NUL, NULL), *vector;
    const char *name;
    int n = 0;
    ck_assert(root != NULL);
    json_object_foreach(root, name, vector) {
        struct bytes out = bytes_at(vector, "out");
        uint8_t *made = malloc(out.len), *again = malloc(out.len);
        struct rlp_writer w;
        struct rlp item;
        rlp_writer_init(&w, made, out.len);
        put(&w, json_object_get(vector, "in"));
        ck_assert_msg(!w.failed && w.len == out.len && memcmp(made, out.data, w.len) == 0, "%s", name);
        ck_assert_int_eq(rlp_parse(out.data, out.len, &item, NULL), 0);
        rlp_writer_init(&w, again, out.len);
        copy(&w, &item);
        ck_assert_msg(!w.failed && w.len == out.len && memcmp(again, out.data, w.len) == 0, "%s again", name);
        for (size_t cut = 0; cut < out.len; cut++) {
            ck_assert_int_eq(rlp_parse(out.data, cut, &item, NULL), OL_EFORMAT);
            rlp_writer_init(&w, made, cut);
            put(&w, json_object_get(vector, "in"));
            ck_assert_msg(w.failed && w.len <= cut, "%s in %zu bytes", name, cut);
        }
        uint8_t *longer = calloc(1, out.len + 1);
        memcpy(longer, out.data, out.len);
        ck_assert_int_eq(rlp_parse(longer, out.len + 1, &item, NULL), OL_EFORMAT);
        free(longer);
        free(out.data);
        free(made);
        free(again);
        n++;
    }
    ck_assert_int_ge(n, 28);
    json_decref(root);
}
END_TEST

/* Some invalid vectors are wrong only inside a list. */
static int parse_all(const uint8_t *bytes, size_t len)
{
    struct rlp item;
    int rc = rlp_parse(bytes, len, &item, NULL);
    if (rc || !item.list)
        return rc;
    for (struct rlp_reader r = rlp_items(&item); rlp_more(&r);) {
        const uint8_t *start = r.at;
        if ((rc = rlp_next(&r, &item, NULL)) || (item.list && (rc = parse_all(start, (size_t)(r.at - start)))))
            return rc;
    }
    return 0;
}

START_TEST(test_invalid)
{
    json_t *root = vectors_load("tests/unit/data/ethereum/invalidRLPTest.json"), *vector;
    const char *name;
    int n = 0;
    json_object_foreach(root, name, vector) {
        struct bytes out = bytes_at(vector, "out");
        ck_assert_msg(parse_all(out.data, out.len) == OL_EFORMAT, "%s accepted", name);
        free(out.data);
        n++;
    }
    ck_assert_int_ge(n, 25);
    json_decref(root);
    root = vectors_load("tests/unit/data/ethereum/example.json");
    struct bytes valid = bytes_at(json_object_get(root, "listsoflists2"), "out");
    ck_assert_int_eq(parse_all(valid.data, valid.len), 0);
    free(valid.data);
    json_decref(root);
}
END_TEST

START_TEST(test_typed)
{
    static const uint8_t bytes[] = {0xd2, 0x80, 0x7f, 0x88, 1, 2, 3, 4, 5, 6, 7, 8, 0x82, 1, 0, 0x00, 0xc1, 0x05, 0x80};
    struct rlp list;
    struct err e;
    uint64_t u;
    wei_t w;
    uint8_t two[2];
    ck_assert_int_eq(rlp_parse(bytes, sizeof bytes, &list, NULL), 0);
    struct rlp_reader r = rlp_items(&list);
    ck_assert(rlp_next_u64(&r, &u, NULL) == 0 && u == 0);
    ck_assert(rlp_next_wei(&r, &w, NULL) == 0 && w == 127);
    ck_assert(rlp_next_u64(&r, &u, NULL) == 0 && u == 0x0102030405060708);
    ck_assert(rlp_next_bytes(&r, two, 2, NULL) == 0 && two[0] == 1 && two[1] == 0);
    struct rlp_reader at = r;
    ck_assert(rlp_next_u64(&at, &u, &e) == OL_EFORMAT && strstr(e.message, "zero byte")); /* 0x00 */
    ck_assert_int_eq(rlp_next(&r, &list, NULL), 0);
    at = r;
    ck_assert_int_eq(rlp_next_u64(&at, &u, NULL), OL_EFORMAT); /* a list */
    at = r;
    ck_assert_int_eq(rlp_next_bytes(&at, two, 1, NULL), OL_EFORMAT);
    ck_assert(rlp_next(&r, &list, NULL) == 0 && list.list && list.len == 1);
    ck_assert(rlp_next_bytes(&r, two, 0, NULL) == 0 && !rlp_more(&r));
    ck_assert_int_eq(rlp_next(&r, &list, NULL), OL_EFORMAT);
    static const uint8_t nine[] = {0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9}, zero_first[] = {0x82, 0, 1};
    at = (struct rlp_reader){nine, nine + sizeof nine};
    ck_assert_int_eq(rlp_next_u64(&at, &u, NULL), OL_EFORMAT);
    at = (struct rlp_reader){nine, nine + sizeof nine};
    ck_assert(rlp_next_wei(&at, &w, NULL) == 0 && w == ((wei_t)0x0102030405060708 << 8 | 9));
    at = (struct rlp_reader){zero_first, zero_first + sizeof zero_first};
    ck_assert_int_eq(rlp_next_wei(&at, &w, NULL), OL_EFORMAT);
}
END_TEST

int main(void) { return RUN_SUITE("rlp", test_published, test_invalid, test_typed); }
