/* The run (failures, work, memory), containers, and comparison. Work that depends on data is charged where it is done,
 * so that a template's cost is bounded by JINJA_MAX_STEPS whatever the data is. */
#include "model/jinja_value.h"

#include "model/utf8.h"

#include <stdio.h>

struct jinja_value jinja_fail(struct jinja_run *r, int code, const char *format, ...)
{
    if (!r->rc) {
        char message[ERR_MESSAGE_BYTES];
        va_list ap;
        va_start(ap, format);
        vsnprintf(message, 200, format, ap);
        va_end(ap);
        message[utf8_valid_prefix(message, strlen(message))] = 0; /* a cut may fall inside a character */
        r->rc = err_set(r->e, code, "template", "chat template, line %d: %s", r->line, message);
    }
    return jinja_undefined((struct text){"", 0});
}

bool jinja_charge(struct jinja_run *r, size_t steps)
{
    r->steps += steps;
    if (r->steps > JINJA_MAX_STEPS)
        jinja_fail(r, OL_ELIMIT, "more than %d steps", JINJA_MAX_STEPS);
    return !r->rc;
}

void *jinja_alloc(struct jinja_run *r, size_t bytes)
{
    void *p = r->rc ? NULL : arena_alloc(&r->memory, bytes);
    if (!p && r->memory.max_bytes - r->memory.used < bytes)
        jinja_fail(r, OL_ELIMIT, "more than %d MiB of memory", JINJA_MAX_MEMORY_BYTES >> 20);
    else if (!p)
        jinja_fail(r, OL_ENOMEM, "no memory");
    return p;
}

struct jinja_value jinja_take(struct jinja_run *r, struct buf *b)
{
    struct jinja_value v = jinja_text("", 0);
    if (b->no_memory)
        jinja_fail(r, OL_ENOMEM, "no memory for a text");
    else if (b->failed)
        jinja_fail(r, OL_ELIMIT, "a text over the limit of %zu bytes", b->max_bytes);
    else if (b->len && jinja_charge(r, b->len / 64)) {
        char *copy = jinja_alloc(r, b->len);
        if (copy) {
            memcpy(copy, b->data, b->len);
            v = jinja_text(copy, b->len);
        }
    }
    buf_deinit(b);
    return v;
}

struct jinja_value jinja_new_list(struct jinja_run *r, enum jinja_type type)
{
    return (struct jinja_value){.type = type, .list = jinja_alloc(r, sizeof(struct jinja_list))};
}

struct jinja_value jinja_new_dict(struct jinja_run *r, enum jinja_type type)
{
    return (struct jinja_value){.type = type, .dict = jinja_alloc(r, sizeof(struct jinja_dict))};
}

/* Room for one more item: the old array stays in the arena, so growth doubles. */
static void *grow(struct jinja_run *r, void *items, size_t n, size_t *cap, size_t item_bytes)
{
    if (n < *cap)
        return items;
    size_t bigger = *cap ? *cap * 2 : 4;
    void *p = jinja_alloc(r, bigger * item_bytes);
    if (p && n)
        memcpy(p, items, n * item_bytes);
    *cap = p ? bigger : *cap;
    return p;
}

void jinja_push(struct jinja_run *r, struct jinja_value list, struct jinja_value item)
{
    if (!list.list || !jinja_charge(r, 1))
        return;
    struct jinja_value *items = grow(r, list.list->items, list.list->n, &list.list->cap, sizeof item);
    if (!items)
        return;
    list.list->items = items;
    items[list.list->n++] = item;
}

void jinja_put(struct jinja_run *r, struct jinja_value dict, struct jinja_value key, struct jinja_value value)
{
    struct jinja_value *old = dict.dict ? (struct jinja_value *)jinja_dict_find(r, dict.dict, key) : NULL;
    if (old)
        *old = value;
    else
        jinja_put_new(r, dict, key, value);
}

void jinja_put_new(struct jinja_run *r, struct jinja_value dict, struct jinja_value key, struct jinja_value value)
{
    if (!dict.dict || !jinja_charge(r, 1))
        return;
    struct jinja_pair *pairs = grow(r, dict.dict->pairs, dict.dict->n, &dict.dict->cap, sizeof *pairs);
    if (!pairs)
        return;
    dict.dict->pairs = pairs;
    pairs[dict.dict->n++] = (struct jinja_pair){key, value};
}

const struct jinja_value *jinja_dict_find(struct jinja_run *r, const struct jinja_dict *d, struct jinja_value key)
{
    if (!jinja_charge(r, d->n / 16))
        return NULL;
    for (size_t i = 0; i < d->n; i++)
        if (jinja_equal(r, d->pairs[i].key, key))
            return &d->pairs[i].value;
    return NULL;
}

const struct jinja_value *jinja_dict_get(const struct jinja_dict *d, struct text key)
{
    for (size_t i = 0; i < d->n; i++) {
        struct jinja_value k = d->pairs[i].key;
        if (k.type == JINJA_STRING && k.text.len == key.len && !memcmp(k.text.data, key.data, key.len))
            return &d->pairs[i].value;
    }
    return NULL;
}

const char *jinja_type_name(struct jinja_value v)
{
    static const char *const names[] = {"Undefined", "NoneType", "bool", "int", "float", "str", "list", "tuple",
                                        "generator", "dict", "Namespace", "LoopContext", "Macro", "function", "method"};
    return names[v.type];
}

bool jinja_truth(struct jinja_value v)
{
    switch (v.type) {
    case JINJA_UNDEFINED:
    case JINJA_NONE: return false;
    case JINJA_BOOL: return v.truth;
    case JINJA_INT: return v.number != 0;
    case JINJA_FLOAT: return v.real != 0;
    case JINJA_STRING: return v.text.len > 0;
    case JINJA_LIST:
    case JINJA_TUPLE: return v.list && v.list->n > 0;
    case JINJA_DICT: return v.dict && v.dict->n > 0;
    default: return true;
    }
}

double jinja_as_float(struct jinja_value v)
{
    return v.type == JINJA_FLOAT ? v.real : v.type == JINJA_BOOL ? v.truth : (double)v.number;
}

bool jinja_as_int(struct jinja_run *r, struct jinja_value v, int64_t *out)
{
    if (v.type != JINJA_INT && v.type != JINJA_BOOL) {
        jinja_fail(r, OL_EINVAL, "a whole number is needed, not %s", jinja_type_name(v));
        return false;
    }
    *out = v.type == JINJA_BOOL ? v.truth : v.number;
    return true;
}

/* The caller bounds the depth, here and for dicts. */
static bool equal_lists(struct jinja_run *r, const struct jinja_list *a, const struct jinja_list *b)
{
    for (size_t i = 0; a->n == b->n && i < a->n; i++)
        if (!jinja_equal(r, a->items[i], b->items[i]))
            return false;
    return a->n == b->n;
}

static bool equal_dicts(struct jinja_run *r, const struct jinja_dict *a, const struct jinja_dict *b)
{
    for (size_t i = 0; a->n == b->n && i < a->n; i++) {
        const struct jinja_value *v = jinja_dict_find(r, b, a->pairs[i].key);
        if (!v || !jinja_equal(r, a->pairs[i].value, *v))
            return false;
    }
    return a->n == b->n;
}

bool jinja_equal(struct jinja_run *r, struct jinja_value a, struct jinja_value b)
{
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.type == JINJA_FLOAT || b.type == JINJA_FLOAT)
            return jinja_as_float(a) == jinja_as_float(b);
        return (a.type == JINJA_BOOL ? a.truth : a.number) == (b.type == JINJA_BOOL ? b.truth : b.number);
    }
    if (a.type != b.type)
        return false;
    if (a.type == JINJA_STRING)
        return a.text.len == b.text.len && !memcmp(a.text.data, b.text.data, a.text.len);
    if (a.type == JINJA_NONE || a.type == JINJA_UNDEFINED)
        return true;
    if (!jinja_is_list(a) && a.type != JINJA_DICT)
        return a.list == b.list; /* identity, whatever the pointer's type */
    if (!a.list || !b.list || !jinja_charge(r, 1))
        return false;
    if (++r->depth > JINJA_MAX_CALL_DEPTH)
        jinja_fail(r, OL_ELIMIT, "data nested too deeply to compare");
    bool same = !r->rc && (a.type == JINJA_DICT ? equal_dicts(r, a.dict, b.dict) : equal_lists(r, a.list, b.list));
    r->depth--;
    return same;
}

static int compare_text(struct text a, struct text b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

int jinja_compare(struct jinja_run *r, struct jinja_value a, struct jinja_value b)
{
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.type == JINJA_FLOAT || b.type == JINJA_FLOAT) {
            double x = jinja_as_float(a), y = jinja_as_float(b);
            return (x > y) - (x < y);
        }
        int64_t x = a.type == JINJA_BOOL ? a.truth : a.number, y = b.type == JINJA_BOOL ? b.truth : b.number;
        return (x > y) - (x < y);
    }
    if (a.type == JINJA_STRING && b.type == JINJA_STRING)
        return compare_text(a.text, b.text);
    if (a.type == b.type && jinja_is_list(a) && jinja_is_list(b) && ++r->depth < JINJA_MAX_CALL_DEPTH) {
        int order = 0;
        size_t n = a.list->n < b.list->n ? a.list->n : b.list->n;
        for (size_t i = 0; !order && i < n && jinja_charge(r, 1); i++)
            if (!jinja_equal(r, a.list->items[i], b.list->items[i]))
                order = jinja_compare(r, a.list->items[i], b.list->items[i]);
        r->depth--;
        return order ? order : (a.list->n > b.list->n) - (a.list->n < b.list->n);
    }
    jinja_fail(r, OL_EINVAL, "%s and %s cannot be ordered", jinja_type_name(a), jinja_type_name(b));
    return 0;
}

/* "item in container": a part of a string, a key of a dict, an item of anything else that iterates. */
bool jinja_contains(struct jinja_run *r, struct jinja_value container, struct jinja_value item)
{
    if (container.type == JINJA_STRING) {
        if (item.type != JINJA_STRING) {
            jinja_fail(r, OL_EINVAL, "'in <string>' needs a string, not %s", jinja_type_name(item));
            return false;
        }
        jinja_charge(r, container.text.len / 64);
        return !item.text.len || memmem(container.text.data, container.text.len, item.text.data, item.text.len);
    }
    if (container.type == JINJA_DICT && container.dict)
        return jinja_dict_find(r, container.dict, item) != NULL;
    const struct jinja_list *list = jinja_iterate(r, container);
    for (size_t i = 0; list && i < list->n && jinja_charge(r, 1); i++)
        if (jinja_equal(r, list->items[i], item))
            return true;
    return false;
}

int64_t jinja_length(struct jinja_run *r, struct jinja_value v)
{
    if (v.type == JINJA_STRING) {
        int64_t n = 0;
        jinja_charge(r, v.text.len / 64);
        for (size_t i = 0; i < v.text.len; i++)
            n += ((unsigned char)v.text.data[i] & 0xc0) != 0x80;
        return n;
    }
    if ((v.type == JINJA_LIST || v.type == JINJA_TUPLE) && v.list)
        return (int64_t)v.list->n;
    if (v.type == JINJA_DICT && v.dict)
        return (int64_t)v.dict->n;
    if (v.type != JINJA_UNDEFINED)
        jinja_fail(r, OL_EINVAL, "%s has no length", jinja_type_name(v));
    return 0;
}

/* Each character is a slice of the string. */
static void push_characters(struct jinja_run *r, struct text s, struct jinja_value list)
{
    for (size_t i = 0; i < s.len && !r->rc;) {
        uint32_t c;
        int n = utf8_scan(s.data + i, s.len - i, &c);
        n = n > 0 ? n : 1;
        jinja_push(r, list, jinja_text(s.data + i, (size_t)n));
        i += (size_t)n;
    }
}

const struct jinja_list *jinja_iterate(struct jinja_run *r, struct jinja_value v)
{
    if (jinja_is_list(v))
        return v.list;
    struct jinja_value list = jinja_new_list(r, JINJA_LIST);
    if (v.type == JINJA_STRING)
        push_characters(r, v.text, list);
    else if (v.type == JINJA_DICT && v.dict)
        for (size_t i = 0; i < v.dict->n && !r->rc; i++)
            jinja_push(r, list, v.dict->pairs[i].key);
    else if (v.type != JINJA_UNDEFINED)
        jinja_fail(r, OL_EINVAL, "%s is not iterable", jinja_type_name(v));
    return list.list;
}

struct jinja_value jinja_arg(const struct jinja_args *a, size_t i, const char *name, struct jinja_value fallback)
{
    if (i < a->n)
        return a->values[i];
    for (size_t k = 0; k < a->n_named; k++)
        if (jinja_is_text(a->named[k].key, name))
            return a->named[k].value;
    return fallback;
}
