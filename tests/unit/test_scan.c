/* The scan for secrets and personal data: what is found, by kind and place, and what is left alone. */
#include "attribution/scan.h"
#include "attribution/scan_checks.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Made up for this test, or the issuers' published test numbers. */
static const struct {
    enum scan_kind kind;
    const char *text; /* begins with the finding */
} found[] = {
    {SCAN_PRIVATE_KEY, "-----BEGIN PRIVATE KEY-----"},
    {SCAN_PRIVATE_KEY, "-----BEGIN EC PRIVATE KEY-----"},
    {SCAN_PRIVATE_KEY, "-----BEGIN PGP PRIVATE KEY BLOCK-----"},
    {SCAN_CREDENTIAL, "AKIA" "IOSFODNN7EXAMPLE"},
    {SCAN_CREDENTIAL, "ghp_" "0123456789abcdefghijABCDEFGHIJ012345"},
    {SCAN_CREDENTIAL, "sk_live_" "4eC39HqLyjWDarjtT1zdp7dc"},
    {SCAN_CREDENTIAL, "xoxb-" "123456789012-abcdef"},
    {SCAN_CREDENTIAL, "password: hunter2hunter2"},
    {SCAN_CREDENTIAL, "API_KEY=\"a1b2c3d4e5\""},
    {SCAN_CREDENTIAL, "https://jane:s3cret@host.org/"},
    {SCAN_CREDENTIAL, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.x"},
    {SCAN_HIGH_ENTROPY, "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"},
    {SCAN_HIGH_ENTROPY, "mF9x2Qz7Lk0VbT4sYwR8nJ5hGd1PcE6aUoXiKtMv"},
    {SCAN_EMAIL, "jane.doe+tag@mail.acme-corp.io"},
    {SCAN_PHONE, "+49 30 1234567"},
    {SCAN_PHONE, "+1 (212) 555-0187"},
    {SCAN_PHONE, "(212) 555-0187"},
    {SCAN_PHONE, "212-555-0187"},
    {SCAN_PHONE, "030/12345678"},
    {SCAN_CARD, "4111 1111 1111 1111"},
    {SCAN_CARD, "5555555555554444"},
    {SCAN_CARD, "378282246310005"},
    {SCAN_IBAN, "DE89 3704 0044 0532 0130 00"},
    {SCAN_IBAN, "GB82WEST12345698765432"},
    {SCAN_IP_ADDRESS, "93.184.216.34"},
    {SCAN_IP_ADDRESS, "2a00:1450:4001:82b::200e"},
};

static const char *const clean[] = {
    "The moon pulls the sea; twice a day she hauls the water up the beach.",
    "write to jane@example.com or admin@localhost.test", /* reserved for examples */
    "on 2024-01-31 at 12:30:45, version 1.2.3.4.5 or 2.7.2.3, page 100-200",
    "4111 1111 1111 1112", /* wrong check digit */
    "DE88370400440532013000",
    "127.0.0.1, 192.168.1.20, 10.1.2.3, 203.0.113.9, 999.1.1.1, ::1, 2001:db8::1, fe80::1",
    "the secret: everybody knows, and the password is a word that you choose",
    "550e8400-e29b-41d4-a716-446655440000", /* a UUID is a name */
    "std::vector<int>::iterator, a::b::c, 10:20:30",
    "https://en.wikipedia.org/wiki/Antidisestablishmentarianism_and_other_long_words_of_English",
    "~/.cache/openlora/SmolLM2-135M-Instruct.gguf in appliance/attribution/Datanet2Version10Export",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0000000000000000000000000000000000000000",
    "In 1969 some 600 million people watched; 1234567890123456789012345 is just a number.",
    "Müller läuft über die Straße — 東京は大きい。",
};

static struct scanner *scanner;
static void open_scanner(void) { ck_assert_int_eq(scanner_open(&scanner, NULL), 0); }
static void close_scanner(void) { scanner_close(scanner); }

static void scan(const char *text, struct scan_finding out[SCAN_KINDS])
{
    struct err e = {0};
    ck_assert_msg(scan_text(scanner, text, strlen(text), out, &e) == 0, "%s", e.message);
}

START_TEST(test_finds)
{
    static const char *const around[][2] = {{"", ""}, {"Say ", " to him."}, {"é\n", "\nand more"}, {"(", ")"}};
    struct scan_finding finding[SCAN_KINDS];
    char text[256];
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        snprintf(text, sizeof text, "%s%s%s", around[i][0], found[_i].text, around[i][1]);
        scan(text, finding);
        const struct scan_finding *f = &finding[found[_i].kind];
        ck_assert_msg(f->bytes, "%s in \"%s\" is not found", scan_kind_names[found[_i].kind], text);
        size_t at = strlen(around[i][0]);
        ck_assert_msg(f->at <= at + 1 && f->at + f->bytes > at + 4, "\"%s\": %zu bytes at %zu", text, f->bytes, f->at);
    }
}
END_TEST

START_TEST(test_leaves_alone)
{
    struct scan_finding finding[SCAN_KINDS];
    scan(clean[_i], finding);
    for (int k = 0; k < SCAN_KINDS; k++)
        ck_assert_msg(!finding[k].bytes, "%s: \"%.*s\"", scan_kind_names[k], (int)finding[k].bytes,
                      clean[_i] + finding[k].at);
}
END_TEST

/* One wrong digit in a row, of any size, is what the check digits are there for. */
START_TEST(test_check_digits)
{
    char card[] = "4111111111111111", iban[] = "DE89370400440532013000";
    ck_assert(is_card_number(card, strlen(card)) && is_iban(iban, strlen(iban)));
    for (size_t at = 1; at < sizeof card - 1; at++)
        for (char c = '0'; c <= '9'; c++) {
            char was = card[at];
            card[at] = c;
            ck_assert_int_eq(is_card_number(card, strlen(card)), c == was);
            card[at] = was;
        }
    for (size_t at = 2; at < sizeof iban - 1; at++)
        for (char c = '0'; c <= '9'; c++) {
            char was = iban[at];
            iban[at] = c;
            ck_assert_int_eq(is_iban(iban, strlen(iban)), c == was);
            iban[at] = was;
        }
}
END_TEST

/* Of a thousand random keys of 256 bits next to none is missed, in hexadecimal or Base64. */
START_TEST(test_random_keys)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                      hex[] = "0123456789abcdef";
    char key[64];
    int missed = 0;
    srandom(1);
    for (int i = 0; i < 1000; i++) {
        for (int k = 0; k < 64; k++)
            key[k] = hex[random() % 16];
        missed += !looks_random(key, 64);
        for (int k = 0; k < 43; k++)
            key[k] = digits[random() % 64];
        missed += !looks_random(key, 43);
    }
    ck_assert_int_le(missed, 20);
}
END_TEST

/* A megabyte of each character that patterns repeat over must not take long, nor give up. */
START_TEST(test_long_runs)
{
    static const char *const runs[] = {"a",  "1",  "1 ", "A0",  "@a",        "a@",          ".1",   ":1",
                                       "1-", "(0", "+",  "eyJ", "password=", "-----BEGIN ", "x://", "DE11 "};
    enum { BYTES = 1 << 20 };
    struct scan_finding finding[SCAN_KINDS];
    char *text = malloc(BYTES);
    size_t n = strlen(runs[_i]);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < BYTES; i++)
        text[i] = runs[_i][i % n];
    struct err e = {0};
    ck_assert_msg(scan_text(scanner, text, BYTES, finding, &e) == 0, "%s: %s", runs[_i], e.message);
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scan");
    TCase *t = tcase_create("scan");
    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, open_scanner, close_scanner);
    tcase_add_loop_test(t, test_finds, 0, sizeof found / sizeof *found);
    tcase_add_loop_test(t, test_leaves_alone, 0, sizeof clean / sizeof *clean);
    tcase_add_test(t, test_check_digits);
    tcase_add_test(t, test_random_keys);
    tcase_add_loop_test(t, test_long_runs, 0, 16);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
