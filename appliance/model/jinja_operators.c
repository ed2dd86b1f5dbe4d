/* Arithmetic and comparison, with Python's meaning, except that whole numbers have 64 bits: a result outside of them is
 * an error, never a wrong number. */
#include "model/jinja_eval.h"

#include <math.h>

static struct jinja_value no_operation(struct jinja_run *r, struct jinja_value a, struct jinja_value b)
{
    struct jinja_value u = a.type == JINJA_UNDEFINED ? a : b;
    if (u.type == JINJA_UNDEFINED)
        return jinja_fail(r, OL_EINVAL, "'%.*s' is undefined", (int)u.text.len, u.text.data);
    return jinja_fail(r, OL_EINVAL, "this operation is not possible with %s and %s", jinja_type_name(a),
                      jinja_type_name(b));
}

static struct jinja_value overflow(struct jinja_run *r)
{
    return jinja_fail(r, OL_ELIMIT, "a whole number over 64 bits");
}

static struct jinja_value int_power(struct jinja_run *r, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    if (exponent < 0)
        return base ? jinja_float(pow((double)base, (double)exponent)) : jinja_fail(r, OL_EINVAL, "division by zero");
    for (; exponent; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result))
            return overflow(r);
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base))
            return overflow(r);
    }
    return jinja_int(result);
}

/* Division rounds down, and a remainder has the divisor's sign; C rounds towards zero. */
static struct jinja_value int_arithmetic(struct jinja_run *r, enum jinja_operator op, int64_t x, int64_t y)
{
    int64_t z = 0;
    if (op == OP_ADD)
        return __builtin_add_overflow(x, y, &z) ? overflow(r) : jinja_int(z);
    if (op == OP_SUBTRACT)
        return __builtin_sub_overflow(x, y, &z) ? overflow(r) : jinja_int(z);
    if (op == OP_MULTIPLY)
        return __builtin_mul_overflow(x, y, &z) ? overflow(r) : jinja_int(z);
    if (op == OP_POWER)
        return int_power(r, x, y);
    if (!y)
        return jinja_fail(r, OL_EINVAL, "division by zero");
    if (op == OP_DIVIDE)
        return jinja_float((double)x / (double)y);
    if (y == -1) /* INT64_MIN / −1 overflows */
        return op == OP_MODULO ? jinja_int(0) : int_arithmetic(r, OP_SUBTRACT, 0, x);
    bool adjust = x % y && (x < 0) != (y < 0); /* Python rounds down */
    return jinja_int(op == OP_FLOOR_DIVIDE ? x / y - adjust : x % y + (adjust ? y : 0));
}

static struct jinja_value float_arithmetic(struct jinja_run *r, enum jinja_operator op, double x, double y)
{
    if (op == OP_ADD)
        return jinja_float(x + y);
    if (op == OP_SUBTRACT)
        return jinja_float(x - y);
    if (op == OP_MULTIPLY)
        return jinja_float(x * y);
    if (op == OP_POWER)
        return jinja_float(pow(x, y));
    if (y == 0)
        return jinja_fail(r, OL_EINVAL, "division by zero");
    if (op == OP_DIVIDE)
        return jinja_float(x / y);
    double rest = fmod(x, y);
    if (rest != 0 && (rest < 0) != (y < 0))
        rest += y;
    return jinja_float(op == OP_MODULO ? rest : floor((x - rest) / y + 0.5));
}

/* "ab" * 3. The step per copy bounds the time, the buffer's maximum the memory. */
static struct jinja_value repeat_text(struct jinja_run *r, struct text s, int64_t times)
{
    struct buf b;
    buf_init(&b, JINJA_MAX_MEMORY_BYTES);
    for (int64_t i = 0; s.len && i < times && !b.failed && jinja_charge(r, 1); i++)
        buf_add(&b, s.data, s.len);
    return jinja_take(r, &b);
}

static void push_all(struct jinja_run *r, struct jinja_value list, const struct jinja_list *items)
{
    for (size_t i = 0; i < items->n && !r->rc; i++)
        jinja_push(r, list, items->items[i]);
}

static struct jinja_value repeat_list(struct jinja_run *r, struct jinja_value v, int64_t times)
{
    struct jinja_value list = jinja_new_list(r, v.type);
    for (int64_t i = 0; v.list->n && i < times && !r->rc; i++)
        push_all(r, list, v.list);
    return list;
}

/* Texts and lists join; anything else, a text and a number too, is a type error as in Python. */
static struct jinja_value add(struct jinja_run *r, struct jinja_value a, struct jinja_value b)
{
    if (a.type == JINJA_STRING && b.type == JINJA_STRING) {
        struct buf joined;
        buf_init(&joined, JINJA_MAX_MEMORY_BYTES);
        buf_add(&joined, a.text.data, a.text.len);
        buf_add(&joined, b.text.data, b.text.len);
        return jinja_take(r, &joined);
    }
    if (a.type != b.type || !jinja_is_list(a) || !jinja_is_list(b) || a.type == JINJA_ITERATOR)
        return no_operation(r, a, b);
    struct jinja_value list = jinja_new_list(r, a.type);
    push_all(r, list, a.list);
    push_all(r, list, b.list);
    return list;
}

static struct jinja_value arithmetic(struct jinja_run *r, enum jinja_operator op, struct jinja_value a,
                                     struct jinja_value b)
{
    if (jinja_is_number(a) && jinja_is_number(b)) {
        int64_t x, y;
        if (a.type == JINJA_FLOAT || b.type == JINJA_FLOAT)
            return float_arithmetic(r, op, jinja_as_float(a), jinja_as_float(b));
        return jinja_as_int(r, a, &x) && jinja_as_int(r, b, &y) ? int_arithmetic(r, op, x, y) : jinja_none();
    }
    if (op == OP_ADD)
        return add(r, a, b);
    if (op == OP_MULTIPLY && a.type == JINJA_INT) { /* 3 * "ab" */
        struct jinja_value swap = a;
        a = b;
        b = swap;
    }
    if (op == OP_MULTIPLY && b.type == JINJA_INT && a.type == JINJA_STRING)
        return repeat_text(r, a.text, b.number);
    if (op == OP_MULTIPLY && b.type == JINJA_INT && jinja_is_list(a) && a.type != JINJA_ITERATOR)
        return repeat_list(r, a, b.number);
    return no_operation(r, a, b);
}

static bool is_nan(struct jinja_value v) { return v.type == JINJA_FLOAT && isnan(v.real); }

struct jinja_value jinja_binary(struct jinja_run *r, enum jinja_operator op, struct jinja_value a, struct jinja_value b)
{
    switch (op) {
    case OP_EQ: return jinja_bool(jinja_equal(r, a, b));
    case OP_NE: return jinja_bool(!jinja_equal(r, a, b));
    case OP_IN: return jinja_bool(jinja_contains(r, b, a));
    case OP_NOT_IN: return jinja_bool(!jinja_contains(r, b, a));
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE: {
        if (a.type == JINJA_UNDEFINED || b.type == JINJA_UNDEFINED)
            return no_operation(r, a, b);
        int order = jinja_compare(r, a, b);
        bool yes = op == OP_LT ? order < 0 : op == OP_LE ? order <= 0 : op == OP_GT ? order > 0 : order >= 0;
        return jinja_bool(yes && !is_nan(a) && !is_nan(b));
    }
    default: return arithmetic(r, op, a, b);
    }
}
