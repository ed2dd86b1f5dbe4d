/* Hexadecimal text and checksummed addresses; see hex.h. */
#include "chainlite/core/hex.h"

#include <string.h>

void hex_encode(const void *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(const char *text, void *out, size_t n)
{
    uint8_t *p = out;
    if (text[0] == '0' && text[1] == 'x')
        text += 2;
    for (size_t i = 0; i < n; i++, text += 2) {
        int high = digit_value(text[0]), low = high < 0 ? -1 : digit_value(text[1]);
        if (low < 0)
            return false;
        p[i] = (uint8_t)(high << 4 | low);
    }
    return *text == '\0';
}

void address_format(const uint8_t address[ADDRESS_BYTES], char out[ADDRESS_TEXT_BYTES])
{
    uint8_t hash[HASH_BYTES];
    out[0] = '0';
    out[1] = 'x';
    char *digits = out + 2;
    hex_encode(address, ADDRESS_BYTES, digits);
    keccak256(digits, 2 * (size_t)ADDRESS_BYTES, hash);
    for (int i = 0; i < 2 * ADDRESS_BYTES; i++) { /* a letter is upper-case where the hash's digit is 8 or more */
        int nibble = i % 2 ? hash[i / 2] & 15 : hash[i / 2] >> 4;
        if (digits[i] >= 'a' && nibble >= 8)
            digits[i] = (char)(digits[i] - 'a' + 'A');
    }
}

bool address_parse(const char *text, uint8_t out[ADDRESS_BYTES])
{
    char right[ADDRESS_TEXT_BYTES];
    bool lower = false, upper = false;
    if (strncmp(text, "0x", 2) != 0 || !hex_decode(text, out, ADDRESS_BYTES))
        return false;
    for (const char *c = text + 2; *c; c++) {
        lower |= *c >= 'a';
        upper |= *c >= 'A' && *c <= 'F';
    }
    address_format(out, right);
    return !(lower && upper) || strcmp(text, right) == 0;
}
