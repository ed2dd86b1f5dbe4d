/* ABI: the Ethereum Foundation's vectors, call data of well-known functions, and every refusal of the reader. */
#include "unit/vectors.h"
#include "chainlite/core/abi.h"

static uint8_t room[1024];
static struct abi_writer start(void)
{
    struct abi_writer w;
    abi_writer_init(&w, room, sizeof room);
    return w;
}

static void published(const char *name)
{
    json_t *root = vectors_load("tests/unit/data/ethereum/basic_abi_tests.json");
    ck_assert_hex(room, strlen(text_at(json_object_get(root, name), "result")) / 2,
                  text_at(json_object_get(root, name), "result"));
    json_decref(root);
}

START_TEST(test_published)
{
    struct abi_writer w = start();
    abi_put_u64(&w, 98127491);
    published("SingleInteger");
    w = start();
    struct bytes address = bytes_of_hex("0xcd2a3d9f938e13cd947ec05abc7fe734df8dd826");
    abi_put_u64(&w, 324124);
    abi_put_address(&w, address.data);
    published("IntegerAndAddress");
    free(address.data);
    w = start(); /* f(uint256,uint32[],bytes10,bytes) */
    const uint8_t bytes10[32] = "1234567890";
    abi_put_u64(&w, 0x123);
    size_t array = abi_put_offset(&w);
    abi_put_word(&w, bytes10);
    size_t bytes = abi_put_offset(&w);
    abi_set_offset(&w, array, 0);
    abi_put_u64(&w, 2);
    abi_put_u64(&w, 0x456);
    abi_put_u64(&w, 0x789);
    abi_set_offset(&w, bytes, 0);
    abi_put_bytes(&w, "Hello, world!", 13);
    ck_assert(!w.failed);
    published("GithubWikiTest");

    struct abi_reader r = {room, w.len}, items;
    const uint8_t *text;
    size_t n;
    uint64_t u;
    ck_assert(abi_get_bytes(&r, 3, &text, &n, NULL) == 0 && n == 13 && memcmp(text, "Hello, world!", 13) == 0);
    ck_assert(abi_get_array(&r, 1, 1, &items, &n, NULL) == 0 && n == 2);
    ck_assert(abi_get_u64(&items, 1, &u, NULL) == 0 && u == 0x789);
    for (size_t cut = 0; cut < w.len; cut++) { /* the end of the data is the end of the padding */
        r.len = cut;
        ck_assert_int_eq(abi_get_bytes(&r, 3, &text, &n, NULL), OL_EFORMAT);
    }
}
END_TEST

START_TEST(test_call)
{
    struct abi_writer w = start();
    struct bytes to = bytes_of_hex("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed");
    abi_put_selector(&w, "transfer(address,uint256)");
    abi_put_address(&w, to.data);
    abi_put_wei(&w, 1000000000000000000);
    ck_assert_hex(room, w.len,
                  "a9059cbb0000000000000000000000005aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
                  "0000000000000000000000000000000000000000000000000de0b6b3a7640000");
    w = start();
    abi_put_i64(&w, -2);
    abi_put_i64(&w, 2);
    abi_put_bool(&w, true);
    ck_assert_hex(room, w.len,
                  "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe"
                  "0000000000000000000000000000000000000000000000000000000000000002"
                  "0000000000000000000000000000000000000000000000000000000000000001");
    for (size_t cap = 0; cap < 96; cap++) { /* too little room is seen, nothing is written behind it */
        abi_writer_init(&w, room, cap);
        abi_put_u64(&w, 1);
        abi_put_bytes(&w, "x", 1);
        ck_assert(w.failed && w.len <= cap);
    }
    free(to.data);
}
END_TEST

START_TEST(test_refused)
{
    uint8_t word[32] = {0};
    struct abi_reader r = {word, 32};
    uint64_t u;
    wei_t v;
    bool b;
    uint8_t address[ADDRESS_BYTES];
    for (int i = 0; i < 31; i++) { /* a bit in every byte: which types does it leave? */
        word[i] = 0x10;
        ck_assert_int_eq(abi_get_u64(&r, 0, &u, NULL), i < 24 ? OL_EFORMAT : 0);
        ck_assert_int_eq(abi_get_wei(&r, 0, &v, NULL), i < 16 ? OL_EFORMAT : 0);
        ck_assert_int_eq(abi_get_address(&r, 0, address, NULL), i < 12 ? OL_EFORMAT : 0);
        ck_assert_int_eq(abi_get_bool(&r, 0, &b, NULL), OL_EFORMAT);
        word[i] = 0;
    }
    word[31] = 2;
    ck_assert_int_eq(abi_get_bool(&r, 0, &b, NULL), OL_EFORMAT);
    word[31] = 1;
    ck_assert(abi_get_bool(&r, 0, &b, NULL) == 0 && b);
    ck_assert_int_eq(abi_get_word(&r, 1, word, NULL), OL_EFORMAT);
    ck_assert_int_eq(abi_get_word(&r, SIZE_MAX / 16, word, NULL), OL_EFORMAT);
}
END_TEST

/* An offset word and a length word with 32 bytes behind them, each changed. */
START_TEST(test_offsets)
{
    static const struct {
        uint64_t offset, length;
        int bytes, array; /* expected */
    } cases[] = {{32, 32, 0, OL_EFORMAT},
                 {32, 1, OL_EFORMAT, 0}, /* as bytes: the padding is not zero */
                 {32, 0, 0, 0},
                 {32, 33, OL_EFORMAT, OL_EFORMAT},
                 {32, UINT64_MAX, OL_EFORMAT, OL_EFORMAT},
                 {32, UINT64_MAX - 31, OL_EFORMAT, OL_EFORMAT},
                 {0, 0, OL_EFORMAT, OL_EFORMAT},
                 {33, 0, OL_EFORMAT, OL_EFORMAT},
                 {96, 0, OL_EFORMAT, OL_EFORMAT},
                 {UINT64_MAX, 0, OL_EFORMAT, OL_EFORMAT},
                 {UINT64_MAX - 31, 0, OL_EFORMAT, OL_EFORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct abi_writer w = start();
        const uint8_t *out;
        struct abi_reader items;
        size_t n;
        abi_put_u64(&w, cases[i].offset);
        abi_put_u64(&w, cases[i].length);
        abi_put_i64(&w, -1);
        struct abi_reader r = {room, w.len};
        ck_assert_msg(abi_get_bytes(&r, 0, &out, &n, NULL) == cases[i].bytes, "bytes, case %zu", i);
        ck_assert_msg(abi_get_array(&r, 0, 1, &items, &n, NULL) == cases[i].array, "array, case %zu", i);
    }
}
END_TEST

int main(void) { return RUN_SUITE("abi", test_published, test_call, test_refused, test_offsets); }
