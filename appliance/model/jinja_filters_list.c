/* Filters on sequences and dicts. Where Jinja gives a generator the result is an iterator: always true, without length,
 * as templates written for Jinja expect; its items are computed at once. */
#include "model/jinja_eval.h"

#include <stdlib.h>

static bool truth_arg(const struct jinja_args *a, size_t i, const char *name)
{
    return jinja_truth(jinja_arg(a, i, name, jinja_bool(false)));
}

static struct jinja_value f_length(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    return jinja_int(jinja_length(r, v));
}

static struct jinja_value f_first(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    const struct jinja_list *list = jinja_iterate(r, v);
    return list && list->n ? list->items[0] : jinja_undefined((struct text){"the first item of nothing", 25});
}

static struct jinja_value f_last(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    const struct jinja_list *list = jinja_iterate(r, v);
    return list && list->n ? list->items[list->n - 1] : jinja_undefined((struct text){"the last item of nothing", 24});
}

static struct jinja_value copy_list(struct jinja_run *r, struct jinja_value v)
{
    const struct jinja_list *items = jinja_iterate(r, v);
    struct jinja_value list = jinja_new_list(r, JINJA_LIST);
    for (size_t i = 0; items && i < items->n && !r->rc; i++)
        jinja_push(r, list, items->items[i]);
    return list;
}

static struct jinja_value f_list(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    return copy_list(r, v);
}

/* A text reversed is a text, anything else an iterator. */
static struct jinja_value f_reverse(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    const struct jinja_list *items = jinja_iterate(r, v);
    struct jinja_value list = jinja_new_list(r, v.type == JINJA_STRING ? JINJA_LIST : JINJA_ITERATOR);
    for (size_t i = items ? items->n : 0; i > 0 && !r->rc; i--)
        jinja_push(r, list, items->items[i - 1]);
    return v.type == JINJA_STRING ? jinja_join(r, (struct text){"", 0}, list) : list;
}

static struct jinja_value f_items(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    if (v.type == JINJA_UNDEFINED)
        return jinja_new_list(r, JINJA_ITERATOR);
    if (v.type != JINJA_DICT)
        return jinja_fail(r, OL_EINVAL, "items: a mapping is needed, not %s", jinja_type_name(v));
    struct jinja_value list = jinja_call(r, jinja_bind_method(r, v, (struct text){"items", 5}), a);
    list.type = JINJA_ITERATOR;
    return list;
}

/* Follows "a.b.0": attributes, items and positions. */
static struct jinja_value follow(struct jinja_run *r, struct jinja_value v, struct jinja_value path)
{
    if (path.type != JINJA_STRING)
        return jinja_item(r, v, path);
    struct text rest = path.text;
    while (!r->rc) {
        const char *dot = memchr(rest.data, '.', rest.len);
        struct text part = {rest.data, dot ? (size_t)(dot - rest.data) : rest.len};
        int64_t position = 0;
        size_t digits = 0;
        while (digits < part.len && digits < 9 && part.data[digits] >= '0' && part.data[digits] <= '9')
            position = position * 10 + (part.data[digits++] - '0');
        bool is_position = digits && digits == part.len;
        v = jinja_item(r, v, is_position ? jinja_int(position) : jinja_text(part.data, part.len));
        if (!dot)
            break;
        rest = (struct text){dot + 1, rest.len - part.len - 1};
    }
    return v;
}

/* The arguments after the first `skip`. */
static struct jinja_args later(const struct jinja_args *a, size_t skip)
{
    return (struct jinja_args){.values = a->values + skip, .n = a->n - skip, .named = a->named, .n_named = a->n_named};
}

/* map("filter", arguments…) or map(attribute="a.b", default=…). */
static struct jinja_value f_map(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    struct jinja_value attribute = jinja_arg(a, SIZE_MAX, "attribute", jinja_none());
    struct jinja_value fallback = jinja_arg(a, SIZE_MAX, "default", jinja_none());
    const struct jinja_filter *filter =
        a->n && a->values[0].type == JINJA_STRING ? jinja_find_filter(a->values[0].text) : NULL;
    if (attribute.type == JINJA_NONE && !filter)
        return jinja_fail(r, OL_EUNSUPPORTED, "map: a filter that we have, or attribute=, is needed");
    struct jinja_value list = jinja_new_list(r, JINJA_ITERATOR);
    const struct jinja_list *items = jinja_truth(v) ? jinja_iterate(r, v) : NULL; /* nothing in none, too */
    struct jinja_args rest = filter ? later(a, 1) : *a;
    for (size_t i = 0; items && i < items->n && !r->rc; i++) {
        struct jinja_value item =
            filter ? filter->call(r, items->items[i], &rest) : follow(r, items->items[i], attribute);
        if (!filter && item.type == JINJA_UNDEFINED && fallback.type != JINJA_NONE)
            item = fallback;
        jinja_push(r, list, item);
    }
    return list;
}

/* select, reject, selectattr, rejectattr: keeps the items for which the test, or else the truth, is `wanted`. */
static struct jinja_value choose(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a, bool attribute,
                                 bool wanted)
{
    size_t skip = attribute ? 1 : 0;
    if (a->n < skip)
        return jinja_fail(r, OL_EINVAL, "an attribute's name is missing");
    const struct jinja_test *test = NULL;
    struct jinja_args rest = {0};
    if (a->n > skip) {
        test = a->values[skip].type == JINJA_STRING ? jinja_find_test(a->values[skip].text) : NULL;
        if (!test)
            return jinja_fail(r, OL_EUNSUPPORTED, "a test that is not supported");
        rest = later(a, skip + 1);
    }
    struct jinja_value list = jinja_new_list(r, JINJA_ITERATOR);
    const struct jinja_list *items = jinja_truth(v) ? jinja_iterate(r, v) : NULL; /* nothing in none, too */
    for (size_t i = 0; items && i < items->n && jinja_charge(r, 1); i++) {
        struct jinja_value subject = attribute ? follow(r, items->items[i], a->values[0]) : items->items[i];
        if ((test ? test->call(r, subject, &rest) : jinja_truth(subject)) == wanted)
            jinja_push(r, list, items->items[i]);
    }
    return list;
}

static struct jinja_value f_select(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return choose(r, v, a, false, true);
}
static struct jinja_value f_reject(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return choose(r, v, a, false, false);
}
static struct jinja_value f_selectattr(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return choose(r, v, a, true, true);
}
static struct jinja_value f_rejectattr(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return choose(r, v, a, true, false);
}

static struct jinja_value f_join(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    struct jinja_value attribute = jinja_arg(a, 1, "attribute", jinja_none());
    struct text separator = jinja_str(r, jinja_arg(a, 0, "d", jinja_text("", 0)));
    if (attribute.type != JINJA_NONE) {
        const struct jinja_list *items = jinja_iterate(r, v);
        struct jinja_value parts = jinja_new_list(r, JINJA_LIST);
        for (size_t i = 0; items && i < items->n && !r->rc; i++)
            jinja_push(r, parts, follow(r, items->items[i], attribute));
        v = parts;
    }
    return jinja_join(r, separator, v);
}

/* --- sorting --- */

struct sort_item {
    struct jinja_value key, value;
    size_t position;
};

struct sort_order {
    struct jinja_run *r;
    bool reverse;
};

static int by_order(const void *a, const void *b, void *context)
{
    const struct sort_item *x = a, *y = b;
    const struct sort_order *order = context;
    int c = order->r->rc ? 0 : jinja_compare(order->r, x->key, y->key);
    jinja_charge(order->r, 1);
    if (c)
        return order->reverse ? -c : c;
    return (x->position > y->position) - (x->position < y->position); /* stable, in reverse too */
}

/* What an item is sorted or compared by: an attribute of it, in lower case unless case counts. */
static struct jinja_value sort_key(struct jinja_run *r, struct jinja_value item, struct jinja_value attribute,
                                   bool case_sensitive)
{
    struct jinja_value key = attribute.type == JINJA_NONE ? item : follow(r, item, attribute);
    return key.type == JINJA_STRING && !case_sensitive ? jinja_change_case(r, key.text, JINJA_LOWER) : key;
}

static struct jinja_value sort_list(struct jinja_run *r, const struct jinja_list *items, struct jinja_value attribute,
                                    bool case_sensitive, bool reverse)
{
    struct jinja_value list = jinja_new_list(r, JINJA_LIST);
    struct sort_item *order = items && items->n ? jinja_alloc(r, items->n * sizeof *order) : NULL;
    if (!order)
        return list;
    for (size_t i = 0; i < items->n && !r->rc; i++)
        order[i] = (struct sort_item){sort_key(r, items->items[i], attribute, case_sensitive), items->items[i], i};
    if (!r->rc)
        qsort_r(order, items->n, sizeof *order, by_order, &(struct sort_order){r, reverse});
    for (size_t i = 0; i < items->n && !r->rc; i++)
        jinja_push(r, list, order[i].value);
    return list;
}

static struct jinja_value f_sort(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return sort_list(r, jinja_iterate(r, v), jinja_arg(a, 2, "attribute", jinja_none()),
                     truth_arg(a, 1, "case_sensitive"), truth_arg(a, 0, "reverse"));
}

static struct jinja_value f_dictsort(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    struct jinja_value items = f_items(r, v, &(struct jinja_args){0});
    bool by_value = jinja_is_text(jinja_arg(a, 1, "by", jinja_string("key")), "value");
    return r->rc ? v
                 : sort_list(r, items.list, jinja_int(by_value), truth_arg(a, 0, "case_sensitive"),
                             truth_arg(a, 2, "reverse"));
}

/* The first of equal items stays. Quadratic; every comparison is charged. */
static struct jinja_value f_unique(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    struct jinja_value attribute = jinja_arg(a, 1, "attribute", jinja_none());
    const struct jinja_list *items = jinja_iterate(r, v);
    struct jinja_value list = jinja_new_list(r, JINJA_ITERATOR), seen = jinja_new_list(r, JINJA_LIST);
    for (size_t i = 0; items && i < items->n && !r->rc; i++) {
        struct jinja_value key = sort_key(r, items->items[i], attribute, truth_arg(a, 0, "case_sensitive"));
        if (jinja_contains(r, seen, key))
            continue;
        jinja_push(r, seen, key);
        jinja_push(r, list, items->items[i]);
    }
    return list;
}

static struct jinja_value extreme(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a, bool largest)
{
    struct jinja_value sorted = sort_list(r, jinja_iterate(r, v), jinja_arg(a, 1, "attribute", jinja_none()),
                                          truth_arg(a, 0, "case_sensitive"), largest);
    return f_first(r, sorted, a);
}
static struct jinja_value f_min(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return extreme(r, v, a, false);
}
static struct jinja_value f_max(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return extreme(r, v, a, true);
}

static struct jinja_value f_sum(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    struct jinja_value attribute = jinja_arg(a, 0, "attribute", jinja_none()),
                       sum = jinja_arg(a, 1, "start", jinja_int(0));
    const struct jinja_list *items = jinja_iterate(r, v);
    for (size_t i = 0; items && i < items->n && !r->rc; i++)
        sum = jinja_binary(r, OP_ADD, sum,
                           attribute.type == JINJA_NONE ? items->items[i] : follow(r, items->items[i], attribute));
    return sum;
}

const struct jinja_filter jinja_list_filters[] = {
    {"length", f_length}, {"count", f_length},         {"first", f_first},           {"last", f_last},
    {"list", f_list},     {"reverse", f_reverse},      {"items", f_items},           {"map", f_map},
    {"select", f_select}, {"reject", f_reject},        {"selectattr", f_selectattr}, {"rejectattr", f_rejectattr},
    {"join", f_join},     {"sort", f_sort},            {"dictsort", f_dictsort},     {"unique", f_unique},
    {"min", f_min},       {"max", f_max},              {"sum", f_sum},               {NULL, NULL},
};
