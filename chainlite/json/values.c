/* Bytes of any length are written in chunks of the stack: a batch's body has megabytes of them. */
#include "chainlite/json/values.h"

#include "base/err.h"
#include "chainlite/core/hex.h"
#include "chainlite/core/secp.h"

#include <string.h>

bool hex_from_json(const json_t *text, void *out, size_t n)
{
    const char *s = json_string_value(text);
    return s && strncmp(s, "0x", 2) == 0 && hex_decode(s, out, n);
}

bool wei_from_json(const json_t *text, wei_t *out)
{
    const char *s = json_string_value(text);
    return s && wei_parse(s, out) && (s[0] != '0' || s[1] == '\0');
}

json_t *hex_to_json(const void *bytes, size_t n)
{
    char text[2 * SIGNATURE_BYTES + 3] = "0x";
    CHECK(n <= SIGNATURE_BYTES);
    hex_encode(bytes, n, text + 2);
    return json_string(text);
}

json_t *wei_to_json(wei_t wei)
{
    char text[WEI_TEXT_BYTES];
    wei_format(wei, text);
    return json_string(text);
}

void put_hex(struct buf *out, const void *bytes, size_t n)
{
    enum { CHUNK_BYTES = 128 };
    const uint8_t *at = bytes;
    char text[2 * CHUNK_BYTES + 1];
    buf_add(out, "\"0x", 3);
    for (size_t done = 0, part; done < n; done += part) {
        part = n - done < CHUNK_BYTES ? n - done : CHUNK_BYTES;
        hex_encode(at + done, part, text);
        buf_add(out, text, 2 * part);
    }
    buf_add_char(out, '"');
}

void put_wei(struct buf *out, wei_t wei)
{
    char text[WEI_TEXT_BYTES];
    wei_format(wei, text);
    buf_printf(out, "\"%s\"", text);
}

void put_text(struct buf *out, const char *text)
{
    buf_add_char(out, '"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c == '"' || *c == '\\')
            buf_printf(out, "\\%c", *c);
        else if (*c < 0x20)
            buf_printf(out, "\\u%04x", *c);
        else
            buf_add_char(out, (char)*c);
    buf_add_char(out, '"');
}
