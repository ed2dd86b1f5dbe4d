/* Keccak-256, hexadecimal and EIP-55 against published values; streaming against the whole; speed is printed. */
#include "unit/vectors.h"

#include <stdio.h>
#include <time.h>

static void hash_is(const char *text, const char *expected)
{
    uint8_t hash[HASH_BYTES];
    keccak256(text, strlen(text), hash);
    ck_assert_hex(hash, sizeof hash, expected);
}

START_TEST(test_published)
{
    hash_is("", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
    hash_is("abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
    hash_is("testing", "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02");
    hash_is("transfer(address,uint256)", "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b");
    hash_is("Transfer(address,address,uint256)", "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
    hash_is("systemconfig.unsafeblocksigner", "65a7ed542fb37fe237fdfbdd70b31598523fe5b32879e307bae27a0bd9581c08");
}
END_TEST

/* In pieces of every size up to two blocks and a bit, at every block boundary. */
START_TEST(test_streaming)
{
    uint8_t data[300], whole[HASH_BYTES], parts[HASH_BYTES];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7 + 1);
    for (size_t n = 0; n <= sizeof data; n++) {
        keccak256(data, n, whole);
        for (size_t step = 1; step <= n; step += step < 20 ? 1 : 13) {
            struct keccak k;
            keccak_init(&k);
            for (size_t at = 0; at < n; at += step)
                keccak_add(&k, data + at, n - at < step ? n - at : step);
            keccak_end(&k, parts);
            ck_assert_mem_eq(whole, parts, HASH_BYTES);
        }
    }
}
END_TEST

START_TEST(test_eip55)
{
    static const char *const published[] = {
        "0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77", "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"};
    uint8_t address[ADDRESS_BYTES];
    char text[ADDRESS_TEXT_BYTES], broken[ADDRESS_TEXT_BYTES];
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        ck_assert(address_parse(published[i], address));
        address_format(address, text);
        ck_assert_str_eq(text, published[i]);
        for (size_t at = 2; i >= 4 && at < 42; at++) { /* every letter in the other case is a wrong checksum */
            memcpy(broken, text, sizeof broken);
            broken[at] ^= broken[at] > '9' ? 0x20 : 0;
            ck_assert_int_eq(address_parse(broken, address), broken[at] <= '9');
        }
    }
    ck_assert(address_parse("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", address));
    ck_assert(address_parse("0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED", address));
    ck_assert(!address_parse("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", address));
    ck_assert(!address_parse("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae", address));
    ck_assert(!address_parse("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaedd", address));
    ck_assert(!address_parse("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaeg", address));
    ck_assert(!address_parse("", address));
}
END_TEST

START_TEST(test_hex)
{
    uint8_t out[3];
    char text[7];
    ck_assert(hex_decode("0x00fFa5", out, 3) && hex_decode("00ffA5", out, 3));
    hex_encode(out, 3, text);
    ck_assert_str_eq(text, "00ffa5");
    ck_assert(!hex_decode("00ffa", out, 3) && !hex_decode("00ffa5b", out, 3) && !hex_decode("00 fa5", out, 3));
    ck_assert(hex_decode("", out, 0) && hex_decode("0x", out, 0) && !hex_decode("x", out, 0));
}
END_TEST

START_TEST(test_speed)
{
    enum { SIZE = 1 << 20, ROUNDS = 16 };
    uint8_t *data = calloc(1, SIZE), hash[HASH_BYTES];
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < ROUNDS; i++) {
        keccak256(data, SIZE, hash);
        data[i] = hash[0];
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    double seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
    printf("keccak256: %.0f MB/s\n", SIZE * (double)ROUNDS / 1e6 / seconds);
    free(data);
}
END_TEST

int main(void) { return RUN_SUITE("keccak", test_published, test_streaming, test_eip55, test_hex, test_speed); }
