/* Filters on single values: texts, numbers, defaults, JSON. A filter on text takes any value and works on str(value);
 * arguments have Jinja's names and order, or, for tojson, those of transformers' replacement. */
#include "model/jinja_builtin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct jinja_value text_value(struct text t) { return jinja_text(t.data, t.len); }

static bool truth_arg(const struct jinja_args *a, size_t i, const char *name)
{
    return jinja_truth(jinja_arg(a, i, name, jinja_bool(false)));
}

static struct jinja_value f_trim(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    struct text s = jinja_str(r, v);
    jinja_charge(r, s.len / 64);
    return text_value(jinja_strip(s, jinja_arg(a, 0, "chars", jinja_none()), JINJA_LEFT | JINJA_RIGHT));
}

static struct jinja_value f_upper(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    return jinja_change_case(r, jinja_str(r, v), JINJA_UPPER);
}

static struct jinja_value f_lower(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    return jinja_change_case(r, jinja_str(r, v), JINJA_LOWER);
}

static struct jinja_value f_capitalize(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    return jinja_change_case(r, jinja_str(r, v), JINJA_CAPITALIZE);
}

/* Unlike the method of that name, words begin only after white space, "-" and opening brackets. */
static struct jinja_value f_title(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    struct text s = jinja_str(r, v);
    struct jinja_value words = jinja_new_list(r, JINJA_LIST);
    for (size_t from = 0, i = 0; i < s.len && !r->rc; from = i) {
        while (i < s.len && !strchr("-({[<", s.data[i]) && !jinja_is_space((unsigned char)s.data[i]))
            i++;
        while (i < s.len && (strchr("-({[<", s.data[i]) || jinja_is_space((unsigned char)s.data[i])))
            i++;
        jinja_push(r, words, jinja_change_case(r, (struct text){s.data + from, i - from}, JINJA_CAPITALIZE));
    }
    return jinja_join(r, (struct text){"", 0}, words);
}

static struct jinja_value f_replace(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    struct jinja_value count = jinja_arg(a, 2, "count", jinja_none());
    int64_t n = -1;
    if (count.type != JINJA_NONE && !jinja_as_int(r, count, &n))
        return v;
    return jinja_replace(r, jinja_str(r, v), jinja_str(r, jinja_arg(a, 0, "old", jinja_none())),
                         jinja_str(r, jinja_arg(a, 1, "new", jinja_none())), n);
}

static struct jinja_value f_string(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    return text_value(jinja_str(r, v));
}

static struct jinja_value f_safe(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return f_string(r, v, a); /* nothing is escaped anyway */
}

static struct jinja_value f_default(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r;
    bool missing = v.type == JINJA_UNDEFINED || (truth_arg(a, 1, "boolean") && !jinja_truth(v));
    return missing ? jinja_arg(a, 0, "default_value", jinja_text("", 0)) : v;
}

/* Jinja indents every line but the first, and no empty line, unless asked to. */
static struct jinja_value f_indent(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    struct jinja_value width = jinja_arg(a, 0, "width", jinja_int(4));
    struct text s = jinja_str(r, v), pad = width.text;
    bool first = truth_arg(a, 1, "first"), blank = truth_arg(a, 2, "blank");
    char spaces[256];
    if (width.type != JINJA_STRING) {
        int64_t n = 0;
        if (!jinja_as_int(r, width, &n) || n < 0 || n > (int64_t)sizeof spaces)
            return jinja_fail(r, OL_EINVAL, "indent: a width of 0 to %zu is needed", sizeof spaces);
        memset(spaces, ' ', sizeof spaces);
        pad = (struct text){spaces, (size_t)n};
    }
    struct buf b;
    buf_init(&b, JINJA_MAX_MEMORY_BYTES);
    bool start = first;
    for (size_t i = 0; i < s.len && !b.failed; i++) {
        if (start && (s.data[i] != '\n' || blank || !i))
            buf_add(&b, pad.data, pad.len);
        buf_add_char(&b, s.data[i]);
        start = s.data[i] == '\n';
    }
    if (start && (blank || !s.len))
        buf_add(&b, pad.data, pad.len);
    return jinja_take(r, &b);
}

/* The number that a string spells out, surrounded by blanks at most. */
static bool parse_number(struct text s, double *real, int64_t *whole, bool *is_whole)
{
    char digits[64], *end;
    s = jinja_strip(s, jinja_none(), JINJA_LEFT | JINJA_RIGHT);
    if (!s.len || s.len >= sizeof digits || memchr(s.data, 'x', s.len) || memchr(s.data, 'X', s.len))
        return false;
    memcpy(digits, s.data, s.len);
    digits[s.len] = 0;
    *whole = strtoll(digits, &end, 10);
    *is_whole = !*end && s.len < 19;
    *real = strtod(digits, &end);
    return !*end;
}

static bool to_number(struct jinja_value v, double *real, int64_t *whole, bool *is_whole)
{
    if (v.type == JINJA_STRING)
        return parse_number(v.text, real, whole, is_whole);
    if (!jinja_is_number(v))
        return false;
    *real = jinja_as_float(v);
    *is_whole = v.type != JINJA_FLOAT;
    *whole = v.type == JINJA_INT ? v.number : v.type == JINJA_BOOL ? v.truth : 0;
    return true;
}

/* What cannot be read as a number gives the default: never an error. */
static struct jinja_value f_int(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    double real;
    int64_t whole;
    bool is_whole;
    struct jinja_value fallback = jinja_arg(a, 0, "default", jinja_int(0));
    if (a->n > 1)
        return jinja_fail(r, OL_EUNSUPPORTED, "int: a base is not supported");
    if (!to_number(v, &real, &whole, &is_whole))
        return fallback;
    if (is_whole)
        return jinja_int(whole);
    return fabs(real) < 9e18 ? jinja_int((int64_t)real) : fallback;
}

static struct jinja_value f_float(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r;
    double real;
    int64_t whole;
    bool is_whole;
    return to_number(v, &real, &whole, &is_whole) ? jinja_float(real) : jinja_arg(a, 0, "default", jinja_float(0));
}

static struct jinja_value f_abs(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    int64_t i = 0;
    if (v.type == JINJA_FLOAT)
        return jinja_float(fabs(v.real));
    if (!jinja_as_int(r, v, &i) || i == INT64_MIN)
        return jinja_fail(r, OL_EINVAL, "abs: a number is needed");
    return jinja_int(i < 0 ? -i : i);
}

static struct jinja_value f_round(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    struct jinja_value how = jinja_arg(a, 1, "method", jinja_string("common"));
    int64_t precision = 0;
    if (!jinja_as_int(r, jinja_arg(a, 0, "precision", jinja_int(0)), &precision) || !jinja_is_number(v) ||
        precision < 0 || precision > 15)
        return jinja_fail(r, OL_EINVAL, "round: a number, and 0 to 15 decimals, are needed");
    double scale = pow(10, (double)precision), x = jinja_as_float(v);
    if (jinja_is_text(how, "ceil"))
        return jinja_float(ceil(x * scale) / scale);
    if (jinja_is_text(how, "floor"))
        return jinja_float(floor(x * scale) / scale);
    if (v.type != JINJA_FLOAT)
        return v;
    char digits[400]; /* printing rounds the exact value, half to even, as Python does */
    snprintf(digits, sizeof digits, "%.*f", (int)precision, x);
    return jinja_float(strtod(digits, NULL));
}

/* Arguments in transformers' order. */
static struct jinja_value f_tojson(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    struct jinja_value indent = jinja_arg(a, 1, "indent", jinja_none());
    struct jinja_value separators = jinja_arg(a, 2, "separators", jinja_none());
    int64_t width = -1;
    if (indent.type != JINJA_NONE && jinja_as_int(r, indent, &width))
        width = width < 0 ? 0 : width > 100 ? 100 : width;
    struct jinja_json_style style = {
        .indent = (int)width,
        .item_separator = {", ", width < 0 ? 2 : 1},
        .key_separator = {": ", 2},
        .ascii = truth_arg(a, 0, "ensure_ascii"),
        .sorted = truth_arg(a, 3, "sort_keys"),
    };
    if (jinja_is_list(separators) && separators.list->n == 2) {
        style.item_separator = jinja_str(r, separators.list->items[0]);
        style.key_separator = jinja_str(r, separators.list->items[1]);
    }
    struct buf b;
    buf_init(&b, JINJA_MAX_MEMORY_BYTES);
    jinja_dump_json(r, v, &style, &b);
    return jinja_take(r, &b);
}

const struct jinja_filter jinja_text_filters[] = {
    {"trim", f_trim},       {"upper", f_upper},     {"lower", f_lower},   {"capitalize", f_capitalize},
    {"title", f_title},     {"replace", f_replace}, {"string", f_string}, {"safe", f_safe},
    {"default", f_default}, {"d", f_default},       {"indent", f_indent}, {"int", f_int},
    {"float", f_float},     {"abs", f_abs},         {"round", f_round},   {"tojson", f_tojson},
    {NULL, NULL},
};

const struct jinja_filter *jinja_find_filter(struct text name)
{
    const struct jinja_filter *tables[] = {jinja_text_filters, jinja_list_filters};
    for (size_t i = 0; i < 2; i++)
        for (const struct jinja_filter *f = tables[i]; f->name; f++)
            if (strlen(f->name) == name.len && !memcmp(f->name, name.data, name.len))
                return f;
    return NULL;
}
