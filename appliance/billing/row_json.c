#include "billing/row_json.h"

#include "chainlite/core/hex.h"
#include "chainlite/core/wei.h"

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

static bool read_integer(const json_t *v, json_int_t least, json_int_t most, json_int_t *out)
{
    *out = json_integer_value(v);
    return json_is_integer(v) && *out >= least && *out <= most;
}

static bool read_field(const struct field *f, const json_t *v, void *to)
{
    json_int_t x = 0;
    switch (f->type) {
    case FIELD_HASH:
        return hex_from_json(v, to, HASH_BYTES);
    case FIELD_ADDRESS:
        return hex_from_json(v, to, ADDRESS_BYTES);
    case FIELD_WEI:
        return wei_from_json(v, to);
    case FIELD_U8:
        if (!read_integer(v, 0, UINT8_MAX, &x))
            return false;
        *(uint8_t *)to = (uint8_t)x;
        return true;
    case FIELD_U32:
        if (!read_integer(v, 0, UINT32_MAX, &x))
            return false;
        *(uint32_t *)to = (uint32_t)x;
        return true;
    case FIELD_I32:
        if (!read_integer(v, INT32_MIN, INT32_MAX, &x))
            return false;
        *(int32_t *)to = (int32_t)x;
        return true;
    case FIELD_U64:
        if (!read_integer(v, 0, INT64_MAX, &x))
            return false;
        *(uint64_t *)to = (uint64_t)x;
        return true;
    default:
        return false;
    }
}

int row_from_json(const struct schema *s, const json_t *object, void *out, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->field[i];
        if (!read_field(f, json_object_get(object, f->name), (char *)out + f->offset))
            return err_set(e, OL_EFORMAT, "billing", "chainlited's %s has no valid '%s'", s->name, f->name);
    }
    return 0;
}
