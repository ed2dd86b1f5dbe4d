/* Amounts of money; see wei.h. Text is read digit by digit so that every overflow is seen before it happens. */
#include "chainlite/core/wei.h"

#include <string.h>

enum { COIN_DECIMALS = 18 };

static const wei_t WEI_MAX = ~(wei_t)0;

void wei_format(wei_t amount, char out[WEI_TEXT_BYTES])
{
    char digits[WEI_TEXT_BYTES];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + (int)(amount % 10));
        amount /= 10;
    } while (amount);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    out[n] = '\0';
}

/* value := value * 10 + digit; false when it would pass 128 bits. */
static bool push_digit(wei_t *value, char c)
{
    wei_t digit = (wei_t)(c - '0');
    if (*value > (WEI_MAX - digit) / 10)
        return false;
    *value = *value * 10 + digit;
    return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool wei_parse(const char *text, wei_t *out)
{
    wei_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++)
        if (!is_digit(*text) || !push_digit(&value, *text))
            return false;
    *out = value;
    return true;
}

void wei_to_be16(wei_t amount, uint8_t out[16])
{
    for (int i = 15; i >= 0; i--, amount >>= 8)
        out[i] = (uint8_t)amount;
}

wei_t wei_from_be16(const uint8_t in[16])
{
    wei_t value = 0;
    for (int i = 0; i < 16; i++)
        value = value << 8 | in[i];
    return value;
}

void wei_to_be32(wei_t amount, uint8_t out[32])
{
    memset(out, 0, 16);
    wei_to_be16(amount, out + 16);
}

bool wei_from_be32(const uint8_t in[32], wei_t *out)
{
    for (int i = 0; i < 16; i++)
        if (in[i])
            return false;
    *out = wei_from_be16(in + 16);
    return true;
}

bool wei_add(wei_t a, wei_t b, wei_t *out)
{
    if (a > WEI_MAX - b)
        return false;
    *out = a + b;
    return true;
}

bool wei_parse_coin(const char *text, wei_t *out)
{
    wei_t value = 0;
    int decimals = 0;
    if (!is_digit(*text))
        return false;
    for (; is_digit(*text); text++)
        if (!push_digit(&value, *text))
            return false;
    if (*text == '.') {
        for (text++; is_digit(*text) && decimals < COIN_DECIMALS; text++, decimals++)
            if (!push_digit(&value, *text))
                return false;
        if (decimals == 0)
            return false;
    }
    if (*text)
        return false;
    for (; decimals < COIN_DECIMALS; decimals++)
        if (!push_digit(&value, '0'))
            return false;
    *out = value;
    return true;
}

void wei_format_coin(wei_t amount, char out[WEI_TEXT_BYTES + 2])
{
    wei_t coin = 1;
    for (int i = 0; i < COIN_DECIMALS; i++)
        coin *= 10;
    wei_format(amount / coin, out);
    wei_t fraction = amount % coin;
    if (!fraction)
        return;
    char *at = out + strlen(out);
    *at++ = '.';
    for (; fraction; fraction = fraction * 10 % coin) /* the next decimal is the coin part of fraction * 10 */
        *at++ = (char)('0' + (int)(fraction * 10 / coin));
    *at = '\0';
}
