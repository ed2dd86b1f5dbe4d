/* Expressions. Recursion follows the tree, whose height the parser bounds, and macro calls, which r->depth bounds.
 *
 * Undefined is a value: it prints as nothing, is false and iterates over nothing, but its attributes, and arithmetic
 * with it, are errors. Templates rely on both. */
#include "model/jinja_eval.h"

#include "model/utf8.h"

struct jinja_scope *jinja_push_scope(struct jinja_run *r, struct jinja_scope *parent)
{
    struct jinja_scope *s = jinja_alloc(r, sizeof *s);
    if (s)
        s->parent = parent;
    return s;
}

void jinja_set_variable(struct jinja_run *r, struct jinja_scope *s, struct text name, struct jinja_value v)
{
    if (s)
        jinja_put(r, (struct jinja_value){.type = JINJA_DICT, .dict = &s->variables}, jinja_text(name.data, name.len),
                  v);
}

/* Innermost scope first; functions last, so that variables may hide them. */
static struct jinja_value find_variable(struct jinja_run *r, struct text name)
{
    for (const struct jinja_scope *s = r->scope; s; s = s->parent) {
        const struct jinja_value *v = jinja_dict_get(&s->variables, name);
        if (v)
            return *v;
    }
    const struct jinja_function *f = jinja_find_function(name);
    return f ? (struct jinja_value){.type = JINJA_FUNCTION, .function = f} : jinja_undefined(name);
}

/* The attributes of "loop". Computed together, since templates ask for few of them and seldom. */
static struct jinja_value loop_attribute(const struct jinja_loop *l, struct text name)
{
    int64_t n = (int64_t)l->items->n, i = (int64_t)l->index;
    const struct {
        const char *name;
        struct jinja_value value;
    } attributes[] = {
        {"index", jinja_int(i + 1)},    {"index0", jinja_int(i)},           {"first", jinja_bool(i == 0)},
        {"last", jinja_bool(i + 1 == n)}, {"length", jinja_int(n)},         {"revindex", jinja_int(n - i)},
        {"revindex0", jinja_int(n - i - 1)}, {"depth", jinja_int(1)},         {"depth0", jinja_int(0)},
        {"previtem", i > 0 ? l->items->items[i - 1] : jinja_undefined(name)},
        {"nextitem", i + 1 < n ? l->items->items[i + 1] : jinja_undefined(name)},
    };
    for (size_t k = 0; k < sizeof attributes / sizeof *attributes; k++)
        if (name.len == strlen(attributes[k].name) && !memcmp(name.data, attributes[k].name, name.len))
            return attributes[k].value;
    return jinja_undefined(name);
}

/* Methods hide keys: {"items": 1}.items is the method, and {"items": 1}["items"] is 1, as in Jinja. */
struct jinja_value jinja_attribute(struct jinja_run *r, struct jinja_value v, struct text name)
{
    if (v.type == JINJA_UNDEFINED)
        return jinja_fail(r, OL_EINVAL, "'%.*s' is undefined (its '%.*s' was asked for)", (int)v.text.len, v.text.data,
                          (int)name.len, name.data);
    if (v.type == JINJA_LOOP)
        return loop_attribute(v.loop, name);
    struct jinja_value method = jinja_bind_method(r, v, name);
    if (method.type != JINJA_UNDEFINED || !jinja_is_dict(v))
        return method;
    const struct jinja_value *found = jinja_dict_get(v.dict, name);
    return found ? *found : jinja_undefined(name);
}

/* The i-th character of a string; undefined past its ends. Negative positions count from the end. */
static struct jinja_value character(struct jinja_run *r, struct text s, int64_t i)
{
    if (i < 0)
        i += jinja_length(r, jinja_text(s.data, s.len));
    jinja_charge(r, s.len / 64);
    for (size_t at = 0; i >= 0 && at < s.len; i--) {
        uint32_t c;
        int n = utf8_scan(s.data + at, s.len - at, &c);
        n = n > 0 ? n : 1;
        if (!i)
            return jinja_text(s.data + at, (size_t)n);
        at += (size_t)n;
    }
    return jinja_undefined((struct text){"index", 5});
}

/* Keys come first here; a name that is no key may still be a method. */
struct jinja_value jinja_item(struct jinja_run *r, struct jinja_value v, struct jinja_value key)
{
    if (v.type == JINJA_DICT && v.dict) {
        const struct jinja_value *found = jinja_dict_find(r, v.dict, key);
        if (found)
            return *found;
    }
    if (key.type == JINJA_STRING || v.type == JINJA_UNDEFINED)
        return jinja_attribute(r, v, key.type == JINJA_STRING ? key.text : (struct text){"item", 4});
    int64_t i;
    bool sequence = v.type == JINJA_STRING || ((v.type == JINJA_LIST || v.type == JINJA_TUPLE) && v.list);
    if (!sequence || (key.type != JINJA_INT && key.type != JINJA_BOOL) || !jinja_as_int(r, key, &i))
        return jinja_undefined((struct text){"item", 4});
    if (v.type == JINJA_STRING)
        return character(r, v.text, i);
    i += i < 0 ? (int64_t)v.list->n : 0;
    return i >= 0 && i < (int64_t)v.list->n ? v.list->items[i] : jinja_undefined((struct text){"index", 5});
}

static bool slice_bound(struct jinja_run *r, const struct jinja_node *n, int64_t *out)
{
    struct jinja_value v = n ? jinja_eval(r, n) : jinja_none();
    return v.type != JINJA_NONE && jinja_as_int(r, v, out);
}

static int64_t clamp(int64_t i, int64_t low, int64_t high) { return i < low ? low : i > high ? high : i; }

/* Python's slice of a list's items; a string's slice joins its characters again. */
static struct jinja_value slice(struct jinja_run *r, struct jinja_value v, const struct jinja_node *n)
{
    int64_t start = 0, stop = 0, step = 1;
    bool has_start = slice_bound(r, n->slice.start, &start), has_stop = slice_bound(r, n->slice.stop, &stop);
    slice_bound(r, n->slice.step, &step);
    bool sequence = v.type == JINJA_STRING || v.type == JINJA_LIST || v.type == JINJA_TUPLE;
    if (!sequence || !step)
        return v.type == JINJA_UNDEFINED ? jinja_attribute(r, v, (struct text){"slice", 5})
                                         : jinja_fail(r, OL_EINVAL, "%s cannot be sliced so", jinja_type_name(v));
    const struct jinja_list *items = jinja_iterate(r, v);
    struct jinja_value list = jinja_new_list(r, v.type == JINJA_STRING ? JINJA_LIST : v.type);
    if (r->rc || !items)
        return list;
    int64_t size = (int64_t)items->n, low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    start = !has_start ? step > 0 ? 0 : size - 1 : clamp(start < 0 ? start + size : start, low, high);
    stop = !has_stop ? step > 0 ? size : -1 : clamp(stop < 0 ? stop + size : stop, low, high);
    step = clamp(step, -size - 1, size + 1); /* so that i + step cannot overflow */
    for (int64_t i = start; (step > 0 ? i < stop : i > stop) && !r->rc; i += step)
        jinja_push(r, list, items->items[i]);
    return v.type == JINJA_STRING ? jinja_join(r, (struct text){"", 0}, list) : list;
}

static struct jinja_value eval_items(struct jinja_run *r, const struct jinja_node *n)
{
    struct jinja_value list = jinja_new_list(r, n->kind == NODE_LIST ? JINJA_LIST : JINJA_TUPLE);
    for (const struct jinja_node *item = n->items; item && !r->rc; item = item->next)
        jinja_push(r, list, jinja_eval(r, item));
    return list;
}

static struct jinja_value eval_dict(struct jinja_run *r, const struct jinja_node *n)
{
    struct jinja_value dict = jinja_new_dict(r, JINJA_DICT);
    for (const struct jinja_node *key = n->items; key && key->next && !r->rc; key = key->next->next) {
        struct jinja_value k = jinja_eval(r, key);
        jinja_put(r, dict, k, jinja_eval(r, key->next));
    }
    return dict;
}

static struct jinja_value eval_concat(struct jinja_run *r, const struct jinja_node *n)
{
    struct buf b;
    buf_init(&b, JINJA_MAX_MEMORY_BYTES);
    for (const struct jinja_node *item = n->items; item && !r->rc; item = item->next)
        jinja_print(r, jinja_eval(r, item), &b);
    return jinja_take(r, &b);
}

static struct jinja_value eval_unary(struct jinja_run *r, const struct jinja_node *n)
{
    struct jinja_value v = jinja_eval(r, n->op.left);
    if (n->op.op == OP_NOT)
        return jinja_bool(!jinja_truth(v));
    if (!jinja_is_number(v))
        return jinja_fail(r, OL_EINVAL, "a sign in front of %s", jinja_type_name(v));
    return n->op.op == OP_POSITIVE ? v : jinja_binary(r, OP_MULTIPLY, v, jinja_int(-1));
}

/* "and" and "or" give one of their operands and leave the right one alone where the left one decides. */
static struct jinja_value eval_binary(struct jinja_run *r, const struct jinja_node *n)
{
    struct jinja_value left = jinja_eval(r, n->op.left);
    if (n->op.op == OP_AND || n->op.op == OP_OR)
        return jinja_truth(left) == (n->op.op == OP_AND) ? jinja_eval(r, n->op.right) : left;
    struct jinja_value right = jinja_eval(r, n->op.right);
    return r->rc ? left : jinja_binary(r, n->op.op, left, right);
}

/* Evaluates arguments into lists of the run. */
static struct jinja_args eval_arguments(struct jinja_run *r, const struct jinja_node *list)
{
    struct jinja_value values = {.type = JINJA_NONE}, named = values;
    struct jinja_args a = {0};
    for (; list && !r->rc; list = list->next) {
        if (list->kind == NODE_NAMED) {
            named = named.type == JINJA_NONE ? jinja_new_dict(r, JINJA_DICT) : named;
            jinja_put(r, named, jinja_text(list->named.name.data, list->named.name.len),
                      jinja_eval(r, list->named.value));
        } else {
            values = values.type == JINJA_NONE ? jinja_new_list(r, JINJA_LIST) : values;
            jinja_push(r, values, jinja_eval(r, list));
        }
    }
    if (r->rc)
        return a;
    if (values.type == JINJA_LIST)
        a = (struct jinja_args){.values = values.list->items, .n = values.list->n};
    if (named.type == JINJA_DICT) {
        a.named = named.dict->pairs;
        a.n_named = named.dict->n;
    }
    return a;
}

static struct jinja_value apply_filter(struct jinja_run *r, const struct jinja_node *n, struct jinja_value operand)
{
    struct jinja_args a = eval_arguments(r, n->filter.arguments);
    return r->rc ? operand : n->filter.filter->call(r, operand, &a);
}

struct jinja_value jinja_apply_chain(struct jinja_run *r, const struct jinja_node *chain, struct jinja_value operand)
{
    if (chain->filter.operand) /* the inner filters come first; the chain is as deep as the parser allows */
        operand = jinja_apply_chain(r, chain->filter.operand, operand);
    return apply_filter(r, chain, operand);
}

static struct jinja_value eval_test(struct jinja_run *r, const struct jinja_node *n)
{
    struct jinja_value v = jinja_eval(r, n->test.operand);
    struct jinja_args a = eval_arguments(r, n->test.arguments);
    return jinja_bool(!r->rc && n->test.test->call(r, v, &a) != n->test.negated);
}

struct jinja_value jinja_call(struct jinja_run *r, struct jinja_value callee, const struct jinja_args *a)
{
    if (r->rc)
        return callee;
    if (callee.type == JINJA_FUNCTION)
        return callee.function->call(r, a);
    if (callee.type == JINJA_METHOD)
        return callee.method->call(r, callee.method->self, a);
    if (callee.type == JINJA_MACRO)
        return jinja_call_macro(r, callee.macro, a);
    if (callee.type == JINJA_UNDEFINED)
        return jinja_fail(r, OL_EINVAL, "'%.*s' is undefined, so it cannot be called", (int)callee.text.len,
                          callee.text.data);
    return jinja_fail(r, OL_EINVAL, "%s cannot be called", jinja_type_name(callee));
}

static struct jinja_value eval_call(struct jinja_run *r, const struct jinja_node *n)
{
    struct jinja_value callee = jinja_eval(r, n->call.callee);
    struct jinja_args a = eval_arguments(r, n->call.arguments);
    return jinja_call(r, callee, &a);
}

static struct jinja_value eval_index(struct jinja_run *r, const struct jinja_node *n)
{
    struct jinja_value v = jinja_eval(r, n->index.object);
    if (r->rc)
        return v;
    return n->index.index->kind == NODE_SLICE ? slice(r, v, n->index.index)
                                              : jinja_item(r, v, jinja_eval(r, n->index.index));
}

static struct jinja_value eval_condition(struct jinja_run *r, const struct jinja_node *n)
{
    if (jinja_truth(jinja_eval(r, n->condition.test)))
        return jinja_eval(r, n->condition.yes);
    return n->condition.no ? jinja_eval(r, n->condition.no)
                           : jinja_undefined((struct text){"the inline if without else", 26});
}

static struct jinja_value eval_node(struct jinja_run *r, const struct jinja_node *n)
{
    switch (n->kind) {
    case NODE_LITERAL: return n->literal;
    case NODE_NAME: return find_variable(r, n->name);
    case NODE_LIST:
    case NODE_TUPLE: return eval_items(r, n);
    case NODE_DICT: return eval_dict(r, n);
    case NODE_ATTRIBUTE: return jinja_attribute(r, jinja_eval(r, n->attribute.object), n->attribute.name);
    case NODE_INDEX: return eval_index(r, n);
    case NODE_UNARY: return eval_unary(r, n);
    case NODE_BINARY: return eval_binary(r, n);
    case NODE_CONCAT: return eval_concat(r, n);
    case NODE_CONDITION: return eval_condition(r, n);
    case NODE_FILTER: return apply_filter(r, n, jinja_eval(r, n->filter.operand));
    case NODE_TEST: return eval_test(r, n);
    case NODE_CALL: return eval_call(r, n);
    default: return jinja_none(); /* no other kind stands where an expression does */
    }
}

struct jinja_value jinja_eval(struct jinja_run *r, const struct jinja_node *n)
{
    struct jinja_value v = jinja_none();
    if (!jinja_charge(r, 1))
        return v;
    if (++r->depth > JINJA_MAX_CALL_DEPTH)
        jinja_fail(r, OL_ELIMIT, "calls nested too deeply");
    else
        v = eval_node(r, n);
    r->depth--;
    return v;
}
