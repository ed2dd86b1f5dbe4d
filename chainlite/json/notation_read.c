/* JSON into structs; see notation.h. */
#include "chainlite/json/notation.h"

#include "chainlite/core/hex.h"
#include "chainlite/core/secp.h"
#include "chainlite/json/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int wrong(struct err *e, const char *expected)
{
    return err_set(e, OL_EFORMAT, "json", "%s is expected", expected);
}

/* The lower-case digits behind "0x", or NULL. */
static const char *hex_digits(const json_t *value, size_t *n)
{
    const char *text = json_string_value(value);
    if (!text || text[0] != '0' || text[1] != 'x')
        return NULL;
    text += 2;
    *n = strspn(text, "0123456789abcdef");
    return text[*n] == '\0' ? text : NULL;
}

static int read_fixed(const json_t *value, size_t bytes, void *out, struct err *e)
{
    size_t digits;
    const char *text = hex_digits(value, &digits);
    if (!text || digits != 2 * bytes)
        return err_set(e, OL_EFORMAT, "json", "0x and %zu lower-case hexadecimal digits are expected", 2 * bytes);
    CHECK(hex_decode(text, out, bytes));
    return 0;
}

static int read_bytes(const json_t *value, size_t max_bytes, struct byte_string *out, struct err *e)
{
    size_t digits;
    const char *text = hex_digits(value, &digits);
    if (!text || digits % 2)
        return wrong(e, "0x and lower-case hexadecimal digits, two per byte,");
    if (digits / 2 > max_bytes)
        return err_set(e, OL_ELIMIT, "json", "%zu bytes; %zu at most", digits / 2, max_bytes);
    if (!(out->at = malloc(digits / 2 + 1)))
        return err_set(e, OL_ENOMEM, "json", "no memory for %zu bytes", digits / 2);
    out->n = digits / 2;
    CHECK(hex_decode(text, out->at, out->n));
    return 0;
}

static int read_integer(const struct field *f, const json_t *value, void *at, struct err *e)
{
    json_int_t n = json_integer_value(value);
    if (f->type == FIELD_I32) {
        int32_t i32 = (int32_t)n;
        if (!json_is_integer(value) || i32 != n)
            return wrong(e, "an integer of 32 bits");
        memcpy(at, &i32, sizeof i32);
        return 0;
    }
    const json_int_t max = f->type == FIELD_U8 ? UINT8_MAX : f->type == FIELD_U32 ? (json_int_t)UINT32_MAX : INT64_MAX;
    if (!json_is_integer(value) || n < 0 || n > max)
        return err_set(e, OL_EFORMAT, "json", "an integer from 0 to %lld is expected", (long long)max);
    if (f->type == FIELD_U8)
        memcpy(at, &(uint8_t){(uint8_t)n}, sizeof(uint8_t));
    else if (f->type == FIELD_U32)
        memcpy(at, &(uint32_t){(uint32_t)n}, sizeof(uint32_t));
    else
        memcpy(at, &(uint64_t){(uint64_t)n}, sizeof(uint64_t));
    return 0;
}

static int read_version(const json_t *value, size_t expected, uint8_t *at, struct err *e)
{
    if (!json_is_integer(value) || json_integer_value(value) != (json_int_t)expected)
        return err_set(e, OL_EUNSUPPORTED, "json", "this program reads version %zu of the format", expected);
    *at = (uint8_t)expected;
    return 0;
}

static int read_word(const struct field *f, const json_t *value, uint8_t *at, struct err *e)
{
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < f->max; i++)
        if (f->words[i] && strcmp(f->words[i], text) == 0) {
            *at = (uint8_t)i;
            return 0;
        }
    err_set(e, OL_EFORMAT, "json", "one of");
    for (size_t i = 0, n = strlen(e->message); i < f->max; i++, n = strlen(e->message))
        if (f->words[i])
            snprintf(e->message + n, sizeof e->message - n, " \"%s\"", f->words[i]);
    return OL_EFORMAT;
}

static int read_wei(const json_t *value, void *at, struct err *e)
{
    wei_t wei;
    if (!wei_from_json(value, &wei))
        return wrong(e, "a string with a decimal number below 2^128, without leading zeros,");
    memcpy(at, &wei, sizeof wei);
    return 0;
}

static int read_text(const json_t *value, size_t room, char *at, struct err *e)
{
    const char *text = json_string_value(value);
    if (!text)
        return wrong(e, "a text");
    size_t n = strlen(text);
    if (n >= room)
        return err_set(e, OL_ELIMIT, "json", "a text of %zu bytes; %zu at most", n, room - 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return err_set(e, OL_EFORMAT, "json", "a text with a control character");
    memcpy(at, text, n + 1);
    return 0;
}

static int read_value(const struct schema *, const json_t *value, void *object, struct err *);

/* Elements are in the list, zeroed, before the first is read: what a failure leaves can always be freed. */
static int read_list(const struct field *f, const json_t *value, struct list *out, struct err *e)
{
    size_t n = json_array_size(value);
    if (!json_is_array(value))
        return wrong(e, "a list");
    if (n > f->max)
        return err_set(e, OL_ELIMIT, "json", "%zu elements; %zu at most", n, f->max);
    if (n && !(out->at = calloc(n, f->of->bytes)))
        return err_set(e, OL_ENOMEM, "json", "no memory for %zu elements", n);
    out->n = n;
    for (size_t i = 0; i < n; i++)
        if (read_value(f->of, json_array_get(value, i), (char *)out->at + i * f->of->bytes, e))
            return err_prefix(e, "[%zu]", i);
    return 0;
}

static int read_optional(const struct field *f, const json_t *value, void *object, struct err *e)
{
    bool *there = (bool *)((char *)object + f->flag);
    *there = !json_is_null(value);
    return *there ? read_value(f->of, value, (char *)object + f->offset, e) : 0;
}

static int read_field(const struct field *f, const json_t *value, void *object, struct err *e)
{
    void *at = (char *)object + f->offset;
    switch (f->type) {
    case FIELD_HASH:
        return read_fixed(value, HASH_BYTES, at, e);
    case FIELD_ADDRESS:
        return read_fixed(value, ADDRESS_BYTES, at, e);
    case FIELD_WORD:
        return read_word(f, value, at, e);
    case FIELD_SIGNATURE:
        return read_fixed(value, SIGNATURE_BYTES, at, e);
    case FIELD_U8:
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_I32:
        return read_integer(f, value, at, e);
    case FIELD_WEI:
        return read_wei(value, at, e);
    case FIELD_VERSION:
        return read_version(value, f->max, at, e);
    case FIELD_TEXT:
        return read_text(value, f->max, at, e);
    case FIELD_BYTES:
        return read_bytes(value, f->max, at, e);
    case FIELD_BOOL:
        *(bool *)at = json_is_true(value);
        return json_is_boolean(value) ? 0 : wrong(e, "true or false");
    case FIELD_STRUCT:
        return read_value(f->of, value, at, e);
    case FIELD_OPTIONAL:
        return read_optional(f, value, object, e);
    case FIELD_LIST:
        return read_list(f, value, at, e);
    case FIELD_OPEN:
        if (!json_is_object(value))
            return wrong(e, "an object");
        *(json_t **)at = json_deep_copy(value);
        return *(json_t **)at ? 0 : err_set(e, OL_ENOMEM, "json", "no memory");
    case FIELD_INLINE:
        break;
    }
    CHECK(f->type != FIELD_INLINE); /* has no value of its own */
    return OL_EINVAL;
}

static bool known(const struct schema *s, const char *key)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->field[i].type == FIELD_INLINE ? known(s->field[i].of, key) : strcmp(s->field[i].name, key) == 0)
            return true;
    return false;
}

static int read_members(const struct schema *s, const json_t *value, void *object, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->field[i];
        int rc;
        if (f->type == FIELD_INLINE) {
            rc = read_members(f->of, value, (char *)object + f->offset, e);
        } else {
            const json_t *member = json_object_get(value, f->name);
            rc = member ? read_field(f, member, object, e) : err_set(e, OL_EFORMAT, "json", "is missing");
            if (rc)
                err_prefix(e, "%s", f->name);
        }
        if (rc)
            return rc;
    }
    return 0;
}

static int read_object(const struct schema *s, const json_t *value, void *object, struct err *e)
{
    const char *key;
    json_t *member;
    if (!json_is_object(value))
        return wrong(e, "an object");
    json_object_foreach((json_t *)value, key, member)
        if (!known(s, key))
            return err_set(e, OL_EFORMAT, "json", "\"%.64s\" is not a field of a %s", key, s->name);
    return read_members(s, value, object, e);
}

static int read_value(const struct schema *s, const json_t *value, void *object, struct err *e)
{
    if (s->notation == NOTATION_BARE)
        return read_field(s->field, value, object, e);
    if (s->notation == NOTATION_OBJECT)
        return read_object(s, value, object, e);
    if (!json_is_array(value) || json_array_size(value) != s->n)
        return err_set(e, OL_EFORMAT, "json", "a list of %zu values is expected", s->n);
    for (size_t i = 0; i < s->n; i++)
        if (read_field(&s->field[i], json_array_get(value, i), object, e))
            return err_prefix(e, "%s", s->field[i].name);
    return 0;
}

int notation_read(const struct schema *s, const json_t *value, void *out, struct err *e)
{
    struct err local;
    memset(out, 0, s->bytes);
    int rc = read_value(s, value, out, e ? e : &local);
    if (rc)
        schema_free(s, out);
    return rc;
}

json_t *notation_load(const char *text, size_t n, struct err *e)
{
    json_error_t why;
    json_t *value = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!value)
        err_set(e, OL_EFORMAT, "json", "line %d, column %d: %s", why.line, why.column, why.text);
    return value;
}

int notation_parse(const struct schema *s, const char *text, size_t n, void *out, struct err *e)
{
    json_t *value = notation_load(text, n, e);
    if (!value) {
        memset(out, 0, s->bytes);
        return OL_EFORMAT;
    }
    int rc = notation_read(s, value, out, e);
    json_decref(value);
    return rc;
}

static void free_field(const struct field *f, void *object)
{
    void *at = (char *)object + f->offset;
    struct list *list = at;
    switch (f->type) {
    case FIELD_BYTES:
        free(((struct byte_string *)at)->at);
        return;
    case FIELD_LIST:
        for (size_t i = 0; i < list->n; i++)
            schema_free(f->of, (char *)list->at + i * f->of->bytes);
        free(list->at);
        return;
    case FIELD_OPEN:
        json_decref(*(json_t **)at);
        return;
    case FIELD_STRUCT:
    case FIELD_INLINE:
    case FIELD_OPTIONAL:
        schema_free(f->of, at);
        return;
    default:
        return;
    }
}

void schema_free(const struct schema *s, void *object)
{
    for (size_t i = 0; i < s->n; i++)
        free_field(&s->field[i], object);
    memset(object, 0, s->bytes);
}
