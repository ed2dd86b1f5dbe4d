#include "billing/json_values.h"

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
    return s && wei_parse(s, out);
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
