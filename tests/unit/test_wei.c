/* Amounts: text and words both ways, every refusal, the limits of 128 bits. */
#include "unit/vectors.h"
#include "chainlite/core/wei.h"

static const wei_t MAX = ~(wei_t)0;
static const char MAX_TEXT[] = "340282366920938463463374607431768211455";

static void decimal(wei_t value, const char *text)
{
    char out[WEI_TEXT_BYTES];
    wei_t back;
    wei_format(value, out);
    ck_assert_str_eq(out, text);
    ck_assert(wei_parse(text, &back) && back == value);
}

static void coin(wei_t value, const char *text)
{
    char out[WEI_TEXT_BYTES + 2];
    wei_t back;
    wei_format_coin(value, out);
    ck_assert_str_eq(out, text);
    ck_assert(wei_parse_coin(text, &back) && back == value);
}

START_TEST(test_decimal)
{
    wei_t out = 7;
    decimal(0, "0");
    decimal(1, "1");
    decimal(UINT64_MAX, "18446744073709551615");
    decimal((wei_t)UINT64_MAX + 1, "18446744073709551616");
    decimal(MAX, MAX_TEXT);
    decimal(MAX - 5, "340282366920938463463374607431768211450");
    ck_assert(wei_parse("007", &out) && out == 7);
    static const char *const refused[] = {"",     "-1",  "+1",  " 1", "1 ", "1.0", "0x1", "1e3",
                                          "١", "1,0", "340282366920938463463374607431768211456",
                                          "3402823669209384634633746074317682114550"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        ck_assert_msg(!wei_parse(refused[i], &out) && out == 7, "accepted: %s", refused[i]);
}
END_TEST

START_TEST(test_coin)
{
    wei_t out = 7, one = (wei_t)1000000000000000000;
    coin(0, "0");
    coin(1, "0.000000000000000001");
    coin(one, "1");
    coin(one + one / 2, "1.5");
    coin(1234000000000000, "0.001234");
    coin(10 * one + 10, "10.00000000000000001");
    coin(MAX, "340282366920938463463.374607431768211455");
    ck_assert(wei_parse_coin("1.500", &out) && out == one + one / 2);
    static const char *const refused[] = {"",      ".",    ".5",    "1.",   "-1", "1.0000000000000000001",
                                          "1.5.5", "1e18", "0x1.8", "1,5",  "340282366920938463463.374607431768211456",
                                          "340282366920938463464", "1 ", " 1"};
    out = 7;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        ck_assert_msg(!wei_parse_coin(refused[i], &out) && out == 7, "accepted: %s", refused[i]);
}
END_TEST

START_TEST(test_words)
{
    uint8_t word[32], half[16];
    wei_t value = (wei_t)0x0102030405060708 << 64 | 0x090a0b0c0d0e0f10, out = 7;
    wei_to_be16(value, half);
    ck_assert_hex(half, 16, "0102030405060708090a0b0c0d0e0f10");
    ck_assert(wei_from_be16(half) == value);
    wei_to_be32(MAX, word);
    ck_assert(wei_from_be32(word, &out) && out == MAX);
    for (int i = 0; i < 16; i++) { /* any bit above 128 */
        word[i] = (uint8_t)(1 << (i % 8));
        ck_assert(!wei_from_be32(word, &out) && out == MAX);
        word[i] = 0;
    }
    out = 7;
    ck_assert(wei_add(MAX - 1, 1, &out) && out == MAX);
    ck_assert(!wei_add(MAX, 1, &out) && out == MAX);
    ck_assert(!wei_add(1, MAX, &out) && !wei_add(MAX, MAX, &out) && wei_add(0, 0, &out) && out == 0);
}
END_TEST

int main(void) { return RUN_SUITE("wei", test_decimal, test_coin, test_words); }
