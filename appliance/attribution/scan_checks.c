/* Checks of candidates; see scan_checks.h. */
#include "attribution/scan_checks.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }

static double entropy_bits(const char *text, size_t n)
{
    size_t count[256] = {0};
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        count[(unsigned char)text[i]]++;
    for (int c = 0; c < 256; c++)
        if (count[c])
            sum -= (double)count[c] / (double)n * log2((double)count[c] / (double)n);
    return sum;
}

enum char_class { CLASS_LOWER, CLASS_UPPER, CLASS_DIGIT, CLASS_OTHER, CLASSES };

static enum char_class class_of(char c)
{
    return is_lower(c) ? CLASS_LOWER : is_upper(c) ? CLASS_UPPER : is_digit(c) ? CLASS_DIGIT : CLASS_OTHER;
}

static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/* 32 random hexadecimal digits have 3.6 bits each on average, 32 of Base64 4.7. Names and paths may come near that, but
 * their letters keep together: of neighbours in random Base64 64 % are of different classes, in those about a third. */
bool looks_random(const char *text, size_t n)
{
    static const double hex_bits = 3.0, mixed_bits = 4.4, least_changes = 0.42;
    size_t count[CLASSES] = {0}, hex = 0, changes = 0;
    if (n > 2 && memcmp(text, "0x", 2) == 0)
        text += 2, n -= 2;
    for (size_t i = 0; i < n; i++) {
        count[class_of(text[i])]++;
        hex += is_hex(text[i]);
        changes += i && class_of(text[i]) != class_of(text[i - 1]);
    }
    if (n < 32 || !count[CLASS_DIGIT] || count[CLASS_DIGIT] == n)
        return false;
    if (hex == n)
        return entropy_bits(text, n) >= hex_bits;
    return count[CLASS_UPPER] && count[CLASS_LOWER] && entropy_bits(text, n) >= mixed_bits &&
           (double)changes >= least_changes * (double)(n - 1);
}

bool has_letter_and_digit(const char *text, size_t n)
{
    bool letter = false, digit = false;
    for (size_t i = 0; i < n; i++) {
        letter |= is_upper(text[i]) || is_lower(text[i]);
        digit |= is_digit(text[i]);
    }
    return letter && digit;
}

static bool ends_with(const char *text, size_t n, const char *end)
{
    size_t len = strlen(end);
    return n > len && strncasecmp(text + n - len, end, len) == 0 &&
           (text[n - len - 1] == '.' || text[n - len - 1] == '@');
}

bool is_real_mail_domain(const char *text, size_t n)
{
    static const char *const reserved[] = {"example.com", "example.net", "example.org", "example", "test", "invalid",
                                           "localhost"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (ends_with(text, n, reserved[i]))
            return false;
    return true;
}

/* The digits of text, at most room; more count but are not kept. */
static size_t digits_of(const char *text, size_t n, uint8_t *out, size_t room)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (is_digit(text[i])) {
            if (count < room)
                out[count] = (uint8_t)(text[i] - '0');
            count++;
        }
    return count;
}

bool is_phone_number(const char *text, size_t n)
{
    uint8_t none[1];
    size_t digits = digits_of(text, n, none, 0);
    return digits >= (text[0] == '+' ? 8 : 9) && digits <= 15;
}

bool is_card_number(const char *text, size_t n)
{
    uint8_t digit[19];
    size_t count = digits_of(text, n, digit, sizeof digit);
    unsigned sum = 0;
    if (count < 13 || count > sizeof digit || digit[0] < 2 || digit[0] > 6)
        return false;
    for (size_t i = 0; i < count; i++) {
        unsigned d = digit[count - 1 - i];
        d = i % 2 ? 2 * d : d;
        sum += d > 9 ? d - 9 : d;
    }
    return sum % 10 == 0;
}

/* ISO 13616: the first four characters go behind the rest, letters count 10 to 35; the number is 1 mod 97. */
bool is_iban(const char *text, size_t n)
{
    char plain[35];
    size_t count = 0;
    unsigned rest = 0;
    for (size_t i = 0; i < n; i++)
        if (text[i] != ' ') {
            if (count == sizeof plain - 1)
                return false;
            plain[count++] = text[i];
        }
    if (count < 15)
        return false;
    for (size_t i = 0; i < count; i++) {
        char c = plain[(i + 4) % count];
        if (is_digit(c))
            rest = (rest * 10 + (unsigned)(c - '0')) % 97;
        else if (is_upper(c))
            rest = (rest * 100 + (unsigned)(c - 'A') + 10) % 97;
        else
            return false;
    }
    return rest == 1;
}

bool is_public_ipv4(const char *text, size_t n)
{
    static const struct {
        uint32_t net;
        int bits;
    } others[] = {{0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},
                  {0xa9fe0000, 16}, {0xac100000, 12}, {0xc0000200, 24}, {0xc0a80000, 16},
                  {0xc6336400, 24}, {0xcb007100, 24}, {0xe0000000, 3}};
    char address[16];
    struct in_addr in;
    if (n >= sizeof address)
        return false;
    snprintf(address, sizeof address, "%.*s", (int)n, text);
    if (n == strlen("2.7.2.3") || inet_pton(AF_INET, address, &in) != 1) /* four single digits are a version's number */
        return false;
    uint32_t at = ntohl(in.s_addr);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if ((at ^ others[i].net) >> (32 - others[i].bits) == 0)
            return false;
    return true;
}

/* Global unicast is 2000::/3; 2001:db8::/32 is for examples. */
bool is_public_ipv6(const char *text, size_t n)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr in;
    if (n >= sizeof address)
        return false;
    snprintf(address, sizeof address, "%.*s", (int)n, text);
    if (inet_pton(AF_INET6, address, &in) != 1)
        return false;
    const uint8_t *b = in.s6_addr;
    return b[0] >> 5 == 1 && !(b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8);
}
