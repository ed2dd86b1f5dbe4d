/* Values as text: Python's str and repr, and json.dumps; and values from JSON. Models were trained on what Python
 * prints, so every comma counts; all three recurse with the data, bounded by r->depth. */
#include "model/jinja_value.h"

#include "model/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

/* The shortest digits that read back as the same number, laid out as Python does: an exponent below 1e-4 and from
 * 1e16 on, otherwise plain with ".0" for whole numbers. */
void jinja_print_float(double f, struct buf *out)
{
    if (!isfinite(f)) {
        buf_add_str(out, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    char s[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*e", digits - 1, f);
        if (strtod(s, NULL) == f)
            break;
    }
    char *exponent_at = strchr(s, 'e');
    long exponent = exponent_at ? strtol(exponent_at + 1, NULL, 10) : 0;
    if (exponent < -4 || exponent >= 16) {
        *exponent_at = 0;
        buf_printf(out, "%se%c%02ld", s, exponent < 0 ? '-' : '+', labs(exponent));
        return;
    }
    long digits = exponent_at - s - (s[0] == '-'); /* with the point, if there is one */
    digits -= digits > 1;
    long decimals = digits - 1 - exponent;
    buf_printf(out, "%.*f", (int)(decimals > 1 ? decimals : 1), f);
}

/* Python's isprintable: escaped are the categories Other and Separator, except the space. */
static bool printable(uint32_t c)
{
    if (c < 0x7f)
        return c >= ' ';
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k != UTF8PROC_CATEGORY_CN && !(k >= UTF8PROC_CATEGORY_ZS && k <= UTF8PROC_CATEGORY_CO);
}

static void repr_text(struct text s, struct buf *out)
{
    char quote = memchr(s.data, '\'', s.len) && !memchr(s.data, '"', s.len) ? '"' : '\'';
    buf_add_char(out, quote);
    for (size_t i = 0; i < s.len;) {
        uint32_t c;
        int n = utf8_scan(s.data + i, s.len - i, &c);
        if (n <= 0)
            break;
        if (c == (unsigned char)quote || c == '\\')
            buf_printf(out, "\\%c", (int)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            buf_printf(out, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (printable(c))
            buf_add(out, s.data + i, (size_t)n);
        else
            buf_printf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
        i += (size_t)n;
    }
    buf_add_char(out, quote);
}

static void repr_list(struct jinja_run *r, struct jinja_value v, struct buf *out)
{
    bool tuple = v.type == JINJA_TUPLE;
    buf_add_char(out, tuple ? '(' : '[');
    for (size_t i = 0; i < v.list->n && !r->rc; i++) {
        buf_add_str(out, i ? ", " : "");
        jinja_repr(r, v.list->items[i], out);
    }
    buf_add_str(out, tuple ? v.list->n == 1 ? ",)" : ")" : "]");
}

static void repr_dict(struct jinja_run *r, struct jinja_value v, struct buf *out)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < v.dict->n && !r->rc; i++) {
        buf_add_str(out, i ? ", " : "");
        jinja_repr(r, v.dict->pairs[i].key, out);
        buf_add_str(out, ": ");
        jinja_repr(r, v.dict->pairs[i].value, out);
    }
    buf_add_char(out, '}');
}

void jinja_repr(struct jinja_run *r, struct jinja_value v, struct buf *out)
{
    if (!jinja_charge(r, 1) || out->failed)
        return;
    if (++r->depth > JINJA_MAX_CALL_DEPTH)
        jinja_fail(r, OL_ELIMIT, "data nested too deeply to print");
    else if (v.type == JINJA_NONE)
        buf_add_str(out, "None");
    else if (v.type == JINJA_UNDEFINED)
        buf_add_str(out, "Undefined");
    else if (v.type == JINJA_BOOL)
        buf_add_str(out, v.truth ? "True" : "False");
    else if (v.type == JINJA_INT)
        buf_printf(out, "%lld", (long long)v.number);
    else if (v.type == JINJA_FLOAT)
        jinja_print_float(v.real, out);
    else if (v.type == JINJA_STRING)
        repr_text(v.text, out);
    else if (jinja_is_list(v))
        repr_list(r, v, out);
    else if (jinja_is_dict(v))
        repr_dict(r, v, out);
    else
        buf_printf(out, "<%s>", jinja_type_name(v));
    r->depth--;
}

void jinja_print(struct jinja_run *r, struct jinja_value v, struct buf *out)
{
    if (v.type == JINJA_STRING)
        buf_add(out, v.text.data, v.text.len);
    else if (v.type != JINJA_UNDEFINED)
        jinja_repr(r, v, out);
}

struct text jinja_str(struct jinja_run *r, struct jinja_value v)
{
    if (v.type == JINJA_STRING)
        return v.text;
    struct buf b;
    buf_init(&b, JINJA_MAX_MEMORY_BYTES);
    jinja_print(r, v, &b);
    return jinja_take(r, &b).text;
}

static void dump_text(struct text s, bool ascii, struct buf *out)
{
    static const char escapes[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    buf_add_char(out, '"');
    size_t from = 0; /* what is written as it stands is added in long pieces */
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= ' ' && c != '"' && c != '\\' && (c < 0x80 || !ascii))
            continue;
        buf_add(out, s.data + from, i - from);
        const char *escape = c ? strchr(escapes, c) : NULL;
        uint32_t point = c;
        int n = c < 0x80 ? 1 : utf8_scan(s.data + i, s.len - i, &point);
        if (escape)
            buf_printf(out, "\\%c", letters[escape - escapes]);
        else if (point >= 0x10000)
            buf_printf(out, "\\u%04x\\u%04x", 0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
        else
            buf_printf(out, "\\u%04x", point);
        i += n > 1 ? (size_t)n - 1 : 0;
        from = i + 1;
    }
    buf_add(out, s.data + from, s.len - from);
    buf_add_char(out, '"');
}

/* With an indent, each item is on a line of its own. */
static void new_line(const struct jinja_json_style *style, int level, struct buf *out)
{
    if (style->indent < 0)
        return;
    buf_add_char(out, '\n');
    for (int i = 0; i < level * style->indent && !out->failed; i++)
        buf_add_char(out, ' ');
}

static void dump(struct jinja_run *r, struct jinja_value v, const struct jinja_json_style *style, int level,
                 struct buf *out);

/* JSON's keys are strings: numbers, truth values and none are written as such. */
static void dump_key(struct jinja_run *r, struct jinja_value key, const struct jinja_json_style *style, struct buf *out)
{
    if (key.type == JINJA_STRING) {
        dump_text(key.text, style->ascii, out);
        return;
    }
    if (key.type != JINJA_NONE && !jinja_is_number(key))
        jinja_fail(r, OL_EINVAL, "tojson: a key of type %s", jinja_type_name(key));
    buf_add_char(out, '"');
    dump(r, key, style, 0, out);
    buf_add_char(out, '"');
}

static int by_key(const void *a, const void *b)
{
    const struct jinja_pair *x = a, *y = b;
    size_t n = x->key.text.len < y->key.text.len ? x->key.text.len : y->key.text.len;
    int order = memcmp(x->key.text.data, y->key.text.data, n);
    return order ? order : (x->key.text.len > y->key.text.len) - (x->key.text.len < y->key.text.len);
}

/* The dict's pairs, sorted if the style asks for it (and all keys are strings). */
static const struct jinja_pair *ordered_pairs(struct jinja_run *r, const struct jinja_dict *d, bool sorted)
{
    if (!sorted || !d->n)
        return d->pairs;
    struct jinja_pair *copy = jinja_alloc(r, d->n * sizeof *copy);
    for (size_t i = 0; copy && i < d->n; i++) {
        copy[i] = d->pairs[i];
        if (copy[i].key.type != JINJA_STRING)
            jinja_fail(r, OL_EINVAL, "tojson: sort_keys needs keys that are strings");
    }
    if (!r->rc)
        qsort(copy, d->n, sizeof *copy, by_key);
    return r->rc ? NULL : copy;
}

static void dump_dict(struct jinja_run *r, const struct jinja_dict *d, const struct jinja_json_style *style, int level,
                      struct buf *out)
{
    const struct jinja_pair *pairs = ordered_pairs(r, d, style->sorted);
    buf_add_char(out, '{');
    for (size_t i = 0; i < d->n && !r->rc; i++) {
        if (i)
            buf_add(out, style->item_separator.data, style->item_separator.len);
        new_line(style, level + 1, out);
        dump_key(r, pairs[i].key, style, out);
        buf_add(out, style->key_separator.data, style->key_separator.len);
        dump(r, pairs[i].value, style, level + 1, out);
    }
    if (d->n)
        new_line(style, level, out);
    buf_add_char(out, '}');
}

static void dump_list(struct jinja_run *r, const struct jinja_list *list, const struct jinja_json_style *style,
                      int level, struct buf *out)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < list->n && !r->rc; i++) {
        if (i)
            buf_add(out, style->item_separator.data, style->item_separator.len);
        new_line(style, level + 1, out);
        dump(r, list->items[i], style, level + 1, out);
    }
    if (list->n)
        new_line(style, level, out);
    buf_add_char(out, ']');
}

static void dump_number(struct jinja_value v, struct buf *out)
{
    if (v.type == JINJA_BOOL)
        buf_add_str(out, v.truth ? "true" : "false");
    else if (v.type == JINJA_INT)
        buf_printf(out, "%lld", (long long)v.number);
    else if (isfinite(v.real))
        jinja_print_float(v.real, out);
    else
        buf_add_str(out, isnan(v.real) ? "NaN" : v.real < 0 ? "-Infinity" : "Infinity");
}

static void dump(struct jinja_run *r, struct jinja_value v, const struct jinja_json_style *style, int level,
                 struct buf *out)
{
    if (!jinja_charge(r, 1) || out->failed)
        return;
    if (++r->depth > JINJA_MAX_CALL_DEPTH)
        jinja_fail(r, OL_ELIMIT, "data nested too deeply for tojson");
    else if (v.type == JINJA_NONE)
        buf_add_str(out, "null");
    else if (jinja_is_number(v))
        dump_number(v, out);
    else if (v.type == JINJA_STRING)
        dump_text(v.text, style->ascii, out);
    else if (jinja_is_list(v) && v.type != JINJA_ITERATOR)
        dump_list(r, v.list, style, level, out);
    else if (v.type == JINJA_DICT && v.dict)
        dump_dict(r, v.dict, style, level, out);
    else
        jinja_fail(r, OL_EINVAL, "tojson: %s is not JSON", jinja_type_name(v));
    r->depth--;
}

void jinja_dump_json(struct jinja_run *r, struct jinja_value v, const struct jinja_json_style *style, struct buf *out)
{
    dump(r, v, style, 0, out);
}

/* Strings are borrowed: the caller's JSON outlives the run. */
struct jinja_value jinja_from_json(struct jinja_run *r, const json_t *j)
{
    if (!j || json_is_null(j))
        return jinja_none();
    if (json_is_boolean(j))
        return jinja_bool(json_is_true(j));
    if (json_is_integer(j))
        return jinja_int(json_integer_value(j));
    if (json_is_real(j))
        return jinja_float(json_real_value(j));
    if (json_is_string(j))
        return jinja_text(json_string_value(j), json_string_length(j));
    if (r->depth >= JINJA_MAX_NESTING)
        return jinja_fail(r, OL_ELIMIT, "the request's data is nested more than %d levels deep", JINJA_MAX_NESTING);
    r->depth++;
    struct jinja_value v;
    if (json_is_array(j)) {
        v = jinja_new_list(r, JINJA_LIST);
        for (size_t i = 0; i < json_array_size(j) && !r->rc; i++)
            jinja_push(r, v, jinja_from_json(r, json_array_get(j, i)));
    } else {
        v = jinja_new_dict(r, JINJA_DICT);
        void *at = json_object_iter((json_t *)j);
        for (; at && !r->rc; at = json_object_iter_next((json_t *)j, at))
            jinja_put_new(r, v, jinja_text(json_object_iter_key(at), json_object_iter_key_len(at)),
                          jinja_from_json(r, json_object_iter_value(at)));
    }
    r->depth--;
    return v;
}
