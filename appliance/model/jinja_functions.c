/* Global functions, and the tests after "is". Only what is harmless is here: nothing reads files, the environment or
 * other variables; the clock is read by strftime_now alone, which some models put into their system prompt. */
#include "model/jinja_builtin.h"

#include "model/utf8.h"

#include <time.h>
#include <utf8proc.h>

static bool named(struct text name, const char *s) { return name.len == strlen(s) && !memcmp(name.data, s, name.len); }

/* dict and namespace: a copy of the first argument, and the named ones. */
static struct jinja_value make_dict(struct jinja_run *r, enum jinja_type type, const struct jinja_args *a)
{
    struct jinja_value dict = jinja_new_dict(r, type);
    if (a->n && !jinja_is_dict(a->values[0]))
        return jinja_fail(r, OL_EINVAL, "a dict is needed, not %s", jinja_type_name(a->values[0]));
    for (size_t i = 0; a->n && i < a->values[0].dict->n && !r->rc; i++)
        jinja_put(r, dict, a->values[0].dict->pairs[i].key, a->values[0].dict->pairs[i].value);
    for (size_t i = 0; i < a->n_named && !r->rc; i++)
        jinja_put(r, dict, a->named[i].key, a->named[i].value);
    return dict;
}

static struct jinja_value f_dict(struct jinja_run *r, const struct jinja_args *a)
{
    return make_dict(r, JINJA_DICT, a);
}

static struct jinja_value f_namespace(struct jinja_run *r, const struct jinja_args *a)
{
    return make_dict(r, JINJA_NAMESPACE, a);
}

/* A list, not a lazy range: its size is bounded. Bounds come from data, so the count is computed without overflow. */
static struct jinja_value f_range(struct jinja_run *r, const struct jinja_args *a)
{
    int64_t bounds[3] = {0, 0, 1};
    if (a->n < 1 || a->n > 3)
        return jinja_fail(r, OL_EINVAL, "range takes 1 to 3 numbers");
    for (size_t i = 0; i < a->n; i++)
        if (!jinja_as_int(r, a->values[i], &bounds[a->n == 1 ? 1 : i]))
            return jinja_none();
    int64_t start = bounds[0], stop = bounds[1], step = bounds[2], span;
    if (!step || __builtin_sub_overflow(stop, start, &span))
        return jinja_fail(r, OL_EINVAL, "range: a bad step or bounds too far apart");
    struct jinja_value list = jinja_new_list(r, JINJA_LIST);
    if ((span > 0) != (step > 0) || !span)
        return list;
    int64_t n = step == INT64_MIN ? 1 : (span > 0 ? span - 1 : -(span + 1)) / (step > 0 ? step : -step) + 1;
    if (n > JINJA_MAX_RANGE)
        return jinja_fail(r, OL_ELIMIT, "range: more than %d numbers", JINJA_MAX_RANGE);
    for (int64_t i = 0; i < n && !r->rc; i++)
        jinja_push(r, list, jinja_int(start + i * step));
    return list;
}

/* The template refuses the conversation: the message goes to the client as it stands. */
static struct jinja_value f_raise_exception(struct jinja_run *r, const struct jinja_args *a)
{
    struct text message = jinja_str(r, jinja_arg(a, 0, "message", jinja_string("")));
    size_t len = message.len < ERR_MESSAGE_BYTES ? message.len : ERR_MESSAGE_BYTES - 1;
    if (!r->rc)
        r->rc = err_set(r->e, OL_EINVAL, "template", "%.*s", (int)utf8_valid_prefix(message.data, len), message.data);
    return jinja_none();
}

static struct jinja_value f_strftime_now(struct jinja_run *r, const struct jinja_args *a)
{
    struct jinja_value format = jinja_arg(a, 0, "format", jinja_none());
    char pattern[128], out[512];
    if (format.type != JINJA_STRING || format.text.len >= sizeof pattern)
        return jinja_fail(r, OL_EINVAL, "strftime_now: a format of less than %zu bytes is needed", sizeof pattern);
    memcpy(pattern, format.text.data, format.text.len);
    pattern[format.text.len] = 0;
    time_t now = time(NULL);
    struct tm local;
    struct buf b;
    buf_init(&b, sizeof out);
    if (format.text.len && localtime_r(&now, &local))
        buf_add(&b, out, strftime(out, sizeof out, pattern, &local));
    return jinja_take(r, &b);
}

static const struct jinja_function functions[] = {
    {"dict", f_dict},
    {"namespace", f_namespace},
    {"range", f_range},
    {"raise_exception", f_raise_exception},
    {"strftime_now", f_strftime_now},
};

const struct jinja_function *jinja_find_function(struct text name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (named(name, functions[i].name))
            return &functions[i];
    return NULL;
}

static bool t_defined(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return v.type != JINJA_UNDEFINED;
}
static bool t_undefined(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return !t_defined(r, v, a);
}
static bool t_none(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return v.type == JINJA_NONE;
}
static bool t_string(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return v.type == JINJA_STRING;
}
static bool t_mapping(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return v.type == JINJA_DICT;
}
static bool t_sequence(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a; /* what has a length and can be indexed: strings and dicts too */
    return v.type == JINJA_STRING || v.type == JINJA_LIST || v.type == JINJA_TUPLE || v.type == JINJA_DICT ||
           v.type == JINJA_UNDEFINED;
}
static bool t_iterable(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return t_sequence(r, v, a) || v.type == JINJA_ITERATOR || v.type == JINJA_LOOP;
}
static bool t_number(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return jinja_is_number(v);
}
static bool t_integer(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return v.type == JINJA_INT;
}
static bool t_float(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return v.type == JINJA_FLOAT;
}
static bool t_boolean(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return v.type == JINJA_BOOL;
}
static bool t_true(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return v.type == JINJA_BOOL && v.truth;
}
static bool t_false(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return v.type == JINJA_BOOL && !v.truth;
}
static bool t_callable(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)r, (void)a;
    return v.type == JINJA_MACRO || v.type == JINJA_FUNCTION || v.type == JINJA_METHOD;
}

/* x % −1 overflows for the smallest x, so −1 is answered apart. */
static bool divisible(struct jinja_run *r, struct jinja_value v, struct jinja_value by)
{
    int64_t x = 0, y = 1;
    if (!jinja_as_int(r, v, &x) || !jinja_as_int(r, by, &y))
        return false;
    if (!y)
        jinja_fail(r, OL_EINVAL, "division by zero");
    return y == -1 || (y && x % y == 0);
}
static bool t_even(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    return divisible(r, v, jinja_int(2));
}
static bool t_odd(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    return !divisible(r, v, jinja_int(2)) && !r->rc;
}
static bool t_divisibleby(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return divisible(r, v, jinja_arg(a, 0, "num", jinja_none()));
}

static struct jinja_value other(const struct jinja_args *a) { return jinja_arg(a, 0, "other", jinja_none()); }

static bool t_equal(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return jinja_equal(r, v, other(a));
}
static bool t_unequal(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return !jinja_equal(r, v, other(a));
}
static bool t_less(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return jinja_compare(r, v, other(a)) < 0;
}
static bool t_less_or_equal(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return jinja_compare(r, v, other(a)) <= 0;
}
static bool t_greater(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return jinja_compare(r, v, other(a)) > 0;
}
static bool t_greater_or_equal(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return jinja_compare(r, v, other(a)) >= 0;
}
static bool t_in(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    return jinja_contains(r, other(a), v);
}

/* Does the text have letters of that case and none of the other? */
static bool has_case(struct jinja_run *r, struct jinja_value v, utf8proc_category_t wanted,
                     utf8proc_category_t unwanted)
{
    struct text s = jinja_str(r, v);
    bool found = false;
    for (size_t i = 0; i < s.len;) {
        uint32_t c = 0;
        int n = utf8_scan(s.data + i, s.len - i, &c);
        utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
        if (k == unwanted || k == UTF8PROC_CATEGORY_LT)
            return false;
        found = found || k == wanted;
        i += (size_t)(n > 0 ? n : 1);
    }
    return found;
}
static bool t_upper(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    return has_case(r, v, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LL);
}
static bool t_lower(struct jinja_run *r, struct jinja_value v, const struct jinja_args *a)
{
    (void)a;
    return has_case(r, v, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LU);
}

static const struct jinja_test tests[] = {
    {"defined", t_defined},
    {"undefined", t_undefined},
    {"none", t_none},
    {"string", t_string},
    {"mapping", t_mapping},
    {"sequence", t_sequence},
    {"iterable", t_iterable},
    {"number", t_number},
    {"integer", t_integer},
    {"float", t_float},
    {"boolean", t_boolean},
    {"true", t_true},
    {"false", t_false},
    {"callable", t_callable},
    {"even", t_even},
    {"odd", t_odd},
    {"divisibleby", t_divisibleby},
    {"in", t_in},
    {"upper", t_upper},
    {"lower", t_lower},
    {"eq", t_equal},
    {"equalto", t_equal},
    {"==", t_equal},
    {"ne", t_unequal},
    {"!=", t_unequal},
    {"lt", t_less},
    {"lessthan", t_less},
    {"<", t_less},
    {"le", t_less_or_equal},
    {"<=", t_less_or_equal},
    {"gt", t_greater},
    {"greaterthan", t_greater},
    {">", t_greater},
    {"ge", t_greater_or_equal},
    {">=", t_greater_or_equal},
};

const struct jinja_test *jinja_find_test(struct text name)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (named(name, tests[i].name))
            return &tests[i];
    return NULL;
}
