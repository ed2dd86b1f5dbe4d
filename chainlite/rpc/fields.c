#include "chainlite/rpc/fields.h"
#include "chainlite/core/hex.h"

#include <stdlib.h>
#include <string.h>

/* The digits after "0x", or NULL. */
static const char *digits_of(const json_t *value, size_t *n)
{
    const char *text = json_string_value(value);
    if (!text || text[0] != '0' || text[1] != 'x')
        return NULL;
    *n = json_string_length(value) - 2;
    return text + 2;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool field_wei(const json_t *value, wei_t *out)
{
    size_t n;
    const char *digits = digits_of(value, &n);
    if (!digits || !n)
        return false;
    wei_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        int digit = digit_value(digits[i]);
        if (digit < 0 || sum >> 124)
            return false;
        sum = sum << 4 | (wei_t)digit;
    }
    *out = sum;
    return true;
}

bool field_u64(const json_t *value, uint64_t *out)
{
    wei_t wide;
    if (!field_wei(value, &wide) || wide > UINT64_MAX)
        return false;
    *out = (uint64_t)wide;
    return true;
}

bool field_length(const json_t *value, size_t *n)
{
    size_t digits;
    if (!digits_of(value, &digits) || digits % 2)
        return false;
    *n = digits / 2;
    return true;
}

bool field_bytes(const json_t *value, uint8_t *out, size_t n)
{
    size_t length;
    const char *digits = digits_of(value, &length);
    return digits && length == 2 * n && strlen(digits) == length && hex_decode(digits - 2, out, n);
}

json_t *json_hex(const void *bytes, size_t n)
{
    char *text = malloc(2 * n + 3);
    if (!text)
        return NULL;
    text[0] = '0', text[1] = 'x';
    hex_encode(bytes, n, text + 2);
    json_t *value = json_string_nocheck(text);
    free(text);
    return value;
}

json_t *json_quantity_wei(wei_t value)
{
    char text[2 + 32 + 1];
    size_t at = sizeof text - 1;
    text[at] = '\0';
    do {
        text[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    text[--at] = 'x';
    text[--at] = '0';
    return json_string_nocheck(text + at);
}

json_t *json_quantity(uint64_t value) { return json_quantity_wei(value); }
