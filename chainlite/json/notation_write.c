/* Structs into JSON; see notation.h. */
#include "chainlite/json/notation.h"

#include "chainlite/core/secp.h"
#include "chainlite/json/values.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void write_open(const json_t *object, struct buf *out)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    buf_add_str(out, text ? text : "{}");
    if (object && !text)
        out->failed = out->no_memory = true;
    free(text);
}

static void write_list(const struct field *f, const struct list *list, struct buf *out)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < list->n && !buf_failed(out); i++) {
        if (i)
            buf_add_char(out, ',');
        notation_write(f->of, (const char *)list->at + i * f->of->bytes, out);
    }
    buf_add_char(out, ']');
}

static void write_field(const struct field *f, const void *object, struct buf *out)
{
    const void *at = (const char *)object + f->offset;
    const struct byte_string *bytes = at;
    wei_t wei;
    switch (f->type) {
    case FIELD_HASH:
        put_hex(out, at, HASH_BYTES);
        return;
    case FIELD_ADDRESS:
        put_hex(out, at, ADDRESS_BYTES);
        return;
    case FIELD_SIGNATURE:
        put_hex(out, at, SIGNATURE_BYTES);
        return;
    case FIELD_BYTES:
        put_hex(out, bytes->at, bytes->n);
        return;
    case FIELD_U8:
    case FIELD_VERSION:
        buf_printf(out, "%u", *(const uint8_t *)at);
        return;
    case FIELD_U32:
        buf_printf(out, "%" PRIu32, *(const uint32_t *)at);
        return;
    case FIELD_U64:
        buf_printf(out, "%" PRIu64, *(const uint64_t *)at);
        return;
    case FIELD_I32:
        buf_printf(out, "%" PRId32, *(const int32_t *)at);
        return;
    case FIELD_WEI:
        memcpy(&wei, at, sizeof wei);
        put_wei(out, wei);
        return;
    case FIELD_WORD:
        CHECK(*(const uint8_t *)at < f->max && f->words[*(const uint8_t *)at]);
        buf_printf(out, "\"%s\"", f->words[*(const uint8_t *)at]);
        return;
    case FIELD_TEXT:
        put_text(out, at);
        return;
    case FIELD_BOOL:
        buf_add_str(out, *(const bool *)at ? "true" : "false");
        return;
    case FIELD_OPTIONAL:
        if (!*(const bool *)((const char *)object + f->flag)) {
            buf_add_str(out, "null");
            return;
        }
        /* fall through */
    case FIELD_STRUCT:
        notation_write(f->of, at, out);
        return;
    case FIELD_LIST:
        write_list(f, at, out);
        return;
    case FIELD_OPEN:
        write_open(*(json_t *const *)at, out);
        return;
    case FIELD_INLINE:
        break;
    }
    CHECK(f->type != FIELD_INLINE); /* has no value of its own */
}

/* Fields that are merged into another struct are notated as that one is. */
static void write_members(const struct schema *s, enum notation notation, const void *object, bool first,
                          struct buf *out)
{
    for (size_t i = 0; i < s->n; i++, first = false) {
        const struct field *f = &s->field[i];
        if (f->type == FIELD_INLINE) {
            write_members(f->of, notation, (const char *)object + f->offset, first, out);
            continue;
        }
        if (!first)
            buf_add_char(out, ',');
        if (notation == NOTATION_OBJECT)
            buf_printf(out, "\"%s\":", f->name);
        write_field(f, object, out);
    }
}

void notation_write(const struct schema *s, const void *object, struct buf *out)
{
    static const char *const brackets[] = {[NOTATION_OBJECT] = "{}", [NOTATION_ARRAY] = "[]", [NOTATION_BARE] = ""};
    const char *around = brackets[s->notation];
    if (*around)
        buf_add_char(out, around[0]);
    write_members(s, s->notation, object, true, out);
    if (*around)
        buf_add_char(out, around[1]);
}
