/* Expressions. Binding strength, weakest first: if-else, or, and, not, comparison and in, + and -, ~, * / // %, **,
 * unary minus and plus, then calls, attributes, subscripts, filters and tests. */
#include "model/jinja_parse.h"

#include "model/jinja_builtin.h"

static struct jinja_node *parse_unary(struct jinja_parser *p, bool with_filters);

/* One level deeper; false if that is too deep. Every enter is followed by a leave. */
static bool enter(struct jinja_parser *p)
{
    if (++p->depth <= JINJA_MAX_NESTING)
        return true;
    jinja_parse_error(p, OL_ELIMIT, "nested more than %d levels deep", JINJA_MAX_NESTING);
    return false;
}

static void leave(struct jinja_parser *p) { p->depth--; }

static struct jinja_node *operation(struct jinja_parser *p, enum jinja_kind kind, enum jinja_operator op,
                                    struct jinja_node *left, struct jinja_node *right)
{
    struct jinja_node *n = jinja_node_new(p, kind);
    n->op.op = op;
    n->op.left = left;
    n->op.right = right;
    jinja_adopt(p, n, left);
    jinja_adopt(p, n, right);
    return n;
}

struct binary { /* an operator of one level */
    const char *text;
    enum jinja_operator op;
};

static bool accept_binary(struct jinja_parser *p, const struct binary *level, enum jinja_operator *op)
{
    for (; level->text; level++)
        if (jinja_accept(p, level->text)) {
            *op = level->op;
            return true;
        }
    return false;
}

static struct jinja_node *parse_power(struct jinja_parser *p)
{
    struct jinja_node *left = parse_unary(p, true);
    while (jinja_accept(p, "**"))
        left = operation(p, NODE_BINARY, OP_POWER, left, parse_unary(p, true));
    return left;
}

static struct jinja_node *parse_product(struct jinja_parser *p)
{
    static const struct binary level[] = {
        {"*", OP_MULTIPLY}, {"/", OP_DIVIDE}, {"//", OP_FLOOR_DIVIDE}, {"%", OP_MODULO}, {0}};
    struct jinja_node *left = parse_power(p);
    enum jinja_operator op;
    while (accept_binary(p, level, &op))
        left = operation(p, NODE_BINARY, op, left, parse_power(p));
    return left;
}

static struct jinja_node *parse_concat(struct jinja_parser *p)
{
    struct jinja_node *first = parse_product(p);
    if (!jinja_at(p, "~"))
        return first;
    struct jinja_node *n = jinja_node_new(p, NODE_CONCAT), *last = first;
    n->items = first;
    jinja_adopt(p, n, first);
    while (jinja_accept(p, "~")) {
        last->next = parse_product(p);
        last = last->next;
        jinja_adopt(p, n, last);
    }
    return n;
}

/* Each level: one operand of the next stronger level, then operators of its own, from left to right. */
static struct jinja_node *parse_sum(struct jinja_parser *p)
{
    static const struct binary level[] = {{"+", OP_ADD}, {"-", OP_SUBTRACT}, {0}};
    struct jinja_node *left = parse_concat(p);
    enum jinja_operator op;
    while (accept_binary(p, level, &op))
        left = operation(p, NODE_BINARY, op, left, parse_concat(p));
    return left;
}

static bool accept_comparison(struct jinja_parser *p, enum jinja_operator *op)
{
    static const struct binary level[] = {{"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE},
                                          {">=", OP_GE}, {"<", OP_LT},  {">", OP_GT}, {0}};
    if (accept_binary(p, level, op))
        return true;
    bool not_in = jinja_at_word(p, "not") && p->ahead.kind == TOKEN_NAME && p->ahead.text.len == 2 &&
                  !memcmp(p->ahead.text.data, "in", 2);
    if (not_in)
        jinja_advance(p);
    if (!not_in && !jinja_at_word(p, "in"))
        return false;
    jinja_advance(p);
    *op = not_in ? OP_NOT_IN : OP_IN;
    return true;
}

/* "a < b < c" is "a < b and b < c". */
static struct jinja_node *parse_comparison(struct jinja_parser *p)
{
    struct jinja_node *left = parse_sum(p), *result = NULL;
    enum jinja_operator op;
    while (accept_comparison(p, &op)) {
        struct jinja_node *right = parse_sum(p), *pair = operation(p, NODE_BINARY, op, left, right);
        result = result ? operation(p, NODE_BINARY, OP_AND, result, pair) : pair;
        left = right;
    }
    return result ? result : left;
}

static struct jinja_node *parse_not(struct jinja_parser *p)
{
    if (!jinja_at_word(p, "not"))
        return parse_comparison(p);
    jinja_advance(p);
    struct jinja_node *n = enter(p) ? parse_not(p) : jinja_node_new(p, NODE_LITERAL);
    leave(p);
    return operation(p, NODE_UNARY, OP_NOT, n, NULL);
}

static struct jinja_node *parse_and(struct jinja_parser *p)
{
    struct jinja_node *left = parse_not(p);
    while (jinja_at_word(p, "and")) {
        jinja_advance(p);
        left = operation(p, NODE_BINARY, OP_AND, left, parse_not(p));
    }
    return left;
}

static struct jinja_node *parse_or(struct jinja_parser *p)
{
    struct jinja_node *left = parse_and(p);
    while (jinja_at_word(p, "or")) {
        jinja_advance(p);
        left = operation(p, NODE_BINARY, OP_OR, left, parse_and(p));
    }
    return left;
}

static struct jinja_node *parse_condition(struct jinja_parser *p)
{
    if (!enter(p)) {
        leave(p);
        return jinja_node_new(p, NODE_LITERAL);
    }
    struct jinja_node *value = parse_or(p);
    while (jinja_at_word(p, "if")) {
        jinja_advance(p);
        struct jinja_node *n = jinja_node_new(p, NODE_CONDITION);
        n->condition.yes = value;
        n->condition.test = parse_or(p);
        jinja_adopt(p, n, value);
        jinja_adopt(p, n, n->condition.test);
        if (jinja_at_word(p, "else")) {
            jinja_advance(p);
            n->condition.no = parse_condition(p);
            jinja_adopt(p, n, n->condition.no);
        }
        value = n;
    }
    leave(p);
    return value;
}

struct jinja_node *jinja_parse_expression(struct jinja_parser *p) { return parse_condition(p); }

/* A tuple ends where no further item can begin. */
static bool at_tuple_end(const struct jinja_parser *p)
{
    return p->now.kind == TOKEN_OUTPUT_END || p->now.kind == TOKEN_BLOCK_END || p->now.kind == TOKEN_END ||
           jinja_at(p, ")") || jinja_at(p, "=") || jinja_at_word(p, "in");
}

struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool with_condition)
{
    struct jinja_node *first = with_condition ? parse_condition(p) : parse_or(p);
    if (!jinja_at(p, ","))
        return first;
    struct jinja_node *n = jinja_node_new(p, NODE_TUPLE), *last = first;
    n->items = first;
    jinja_adopt(p, n, first);
    while (jinja_accept(p, ",") && !at_tuple_end(p)) {
        last->next = with_condition ? parse_condition(p) : parse_or(p);
        last = last->next;
        jinja_adopt(p, n, last);
    }
    return n;
}

struct jinja_node *jinja_parse_arguments(struct jinja_parser *p)
{
    struct jinja_node *first = NULL, **end = &first;
    while (!jinja_accept(p, ")") && !p->rc) {
        struct jinja_node *n;
        bool named = p->now.kind == TOKEN_NAME && p->ahead.kind == TOKEN_OPERATOR && p->ahead.text.len == 1 &&
                     p->ahead.text.data[0] == '=';
        if (jinja_at(p, "*") || jinja_at(p, "**"))
            jinja_parse_error(p, OL_EUNSUPPORTED, "\"*\" in arguments is not supported");
        if (named) {
            n = jinja_node_new(p, NODE_NAMED);
            n->named.name = p->now.text;
            jinja_advance(p);
            jinja_advance(p);
            n->named.value = parse_condition(p);
            jinja_adopt(p, n, n->named.value);
        } else {
            n = parse_condition(p);
        }
        *end = n;
        end = &n->next;
        if (!jinja_at(p, ")"))
            jinja_expect(p, ",");
    }
    return first;
}

static void adopt_list(struct jinja_parser *p, struct jinja_node *parent, const struct jinja_node *list)
{
    for (; list; list = list->next)
        jinja_adopt(p, parent, list);
}

/* "[" or "{" was accepted. */
static struct jinja_node *parse_collection(struct jinja_parser *p, enum jinja_kind kind, const char *close)
{
    struct jinja_node *n = jinja_node_new(p, kind), **end = &n->items;
    while (!jinja_accept(p, close) && !p->rc) {
        *end = parse_condition(p);
        end = &(*end)->next;
        if (kind == NODE_DICT) {
            jinja_expect(p, ":");
            *end = parse_condition(p);
            end = &(*end)->next;
        }
        if (!jinja_at(p, close))
            jinja_expect(p, ",");
    }
    adopt_list(p, n, n->items);
    return n;
}

/* "(" was accepted: an expression, or a tuple if there is a comma or nothing. */
static struct jinja_node *parse_parentheses(struct jinja_parser *p)
{
    struct jinja_node *n;
    if (jinja_accept(p, ")"))
        return jinja_node_new(p, NODE_TUPLE);
    n = jinja_parse_tuple(p, true);
    jinja_expect(p, ")");
    return n;
}

static struct jinja_node *literal(struct jinja_parser *p, struct jinja_value v)
{
    struct jinja_node *n = jinja_node_new(p, NODE_LITERAL);
    n->literal = v;
    return n;
}

static struct jinja_node *parse_name(struct jinja_parser *p)
{
    static const struct {
        const char *name;
        struct jinja_value value;
    } constants[] = {
        {"true", {.type = JINJA_BOOL, .truth = true}},   {"True", {.type = JINJA_BOOL, .truth = true}},
        {"false", {.type = JINJA_BOOL, .truth = false}}, {"False", {.type = JINJA_BOOL, .truth = false}},
        {"none", {.type = JINJA_NONE}},                  {"None", {.type = JINJA_NONE}},
    };
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (jinja_at_word(p, constants[i].name)) {
            jinja_advance(p);
            return literal(p, constants[i].value);
        }
    struct jinja_node *n = jinja_node_new(p, NODE_NAME);
    n->name = p->now.text;
    jinja_advance(p);
    return n;
}

/* Neighbouring string literals are one. */
static struct jinja_node *parse_strings(struct jinja_parser *p)
{
    struct buf joined;
    buf_init(&joined, 4 * JINJA_MAX_SOURCE_BYTES);
    struct text first = p->now.text;
    size_t n = 0;
    for (; p->now.kind == TOKEN_STRING; n++) {
        buf_add(&joined, p->now.text.data, p->now.text.len);
        jinja_advance(p);
    }
    if (n > 1 || buf_failed(&joined)) {
        char *copy = joined.failed ? NULL : arena_alloc(p->memory, joined.len + 1);
        if (copy)
            memcpy(copy, buf_str(&joined), joined.len);
        else
            jinja_parse_error(p, OL_ENOMEM, "no memory");
        first = (struct text){copy, copy ? joined.len : 0};
    }
    buf_deinit(&joined);
    return literal(p, jinja_text(first.data, first.len));
}

static struct jinja_node *parse_primary(struct jinja_parser *p)
{
    struct jinja_token t = p->now;
    if (t.kind == TOKEN_NAME)
        return parse_name(p);
    if (t.kind == TOKEN_STRING)
        return parse_strings(p);
    if (t.kind == TOKEN_INT || t.kind == TOKEN_FLOAT) {
        jinja_advance(p);
        return literal(p, t.kind == TOKEN_INT ? jinja_int(t.number) : jinja_float(t.real));
    }
    if (jinja_accept(p, "("))
        return parse_parentheses(p);
    if (jinja_accept(p, "["))
        return parse_collection(p, NODE_LIST, "]");
    if (jinja_accept(p, "{"))
        return parse_collection(p, NODE_DICT, "}");
    if (t.kind == TOKEN_OPERATOR)
        return jinja_parse_error(p, OL_EFORMAT, "an expression cannot begin with \"%.*s\"", (int)t.text.len,
                                 t.text.data);
    return jinja_parse_error(p, OL_EFORMAT, "an expression is missing");
}

static struct jinja_node *parse_attribute(struct jinja_parser *p, struct jinja_node *object)
{
    struct jinja_token t = p->now;
    jinja_advance(p);
    if (t.kind == TOKEN_INT) { /* x.0 is x[0] */
        struct jinja_node *n = jinja_node_new(p, NODE_INDEX);
        n->index.object = object;
        n->index.index = literal(p, jinja_int(t.number));
        jinja_adopt(p, n, object);
        return n;
    }
    if (t.kind != TOKEN_NAME)
        return jinja_parse_error(p, OL_EFORMAT, "a name must follow \".\"");
    struct jinja_node *n = jinja_node_new(p, NODE_ATTRIBUTE);
    n->attribute.object = object;
    n->attribute.name = t.text;
    jinja_adopt(p, n, object);
    return n;
}

/* "[" was accepted: an index, or start:stop:step. */
static struct jinja_node *parse_subscript(struct jinja_parser *p, struct jinja_node *object)
{
    struct jinja_node *n = jinja_node_new(p, NODE_INDEX), *part[3] = {0};
    int colons = 0;
    for (; !jinja_at(p, "]") && !p->rc && colons <= 2;) {
        if (jinja_accept(p, ":"))
            colons++;
        else if (part[colons])
            break;
        else
            part[colons] = parse_condition(p);
    }
    if (colons > 2 || (!colons && !part[0]))
        jinja_parse_error(p, OL_EFORMAT, "a bad subscript");
    jinja_expect(p, "]");
    n->index.object = object;
    n->index.index = part[0];
    if (colons) {
        struct jinja_node *slice = jinja_node_new(p, NODE_SLICE);
        slice->slice.start = part[0];
        slice->slice.stop = part[1];
        slice->slice.step = part[2];
        n->index.index = slice;
    }
    for (int i = 0; i < 3; i++)
        jinja_adopt(p, n, part[i]);
    jinja_adopt(p, n, object);
    return n;
}

static struct jinja_node *parse_call(struct jinja_parser *p, struct jinja_node *callee)
{
    struct jinja_node *n = jinja_node_new(p, NODE_CALL);
    n->call.callee = callee;
    n->call.arguments = jinja_parse_arguments(p);
    jinja_adopt(p, n, callee);
    adopt_list(p, n, n->call.arguments);
    return n;
}

/* Attributes, subscripts and calls, in any order. */
static struct jinja_node *parse_postfix(struct jinja_parser *p, struct jinja_node *n)
{
    while (!p->rc) {
        if (jinja_accept(p, "."))
            n = parse_attribute(p, n);
        else if (jinja_accept(p, "["))
            n = parse_subscript(p, n);
        else if (jinja_accept(p, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

static struct jinja_node *parse_filter(struct jinja_parser *p, struct jinja_node *operand)
{
    struct jinja_node *n = jinja_node_new(p, NODE_FILTER);
    struct text name = p->now.text;
    if (p->now.kind != TOKEN_NAME)
        return jinja_parse_error(p, OL_EFORMAT, "a filter's name is missing");
    n->filter.filter = jinja_find_filter(name);
    if (!n->filter.filter)
        return jinja_parse_error(p, OL_EUNSUPPORTED, "the filter \"%.*s\" is not supported",
                                 (int)(name.len < 60 ? name.len : 60), name.data);
    jinja_advance(p);
    n->filter.operand = operand;
    if (jinja_accept(p, "("))
        n->filter.arguments = jinja_parse_arguments(p);
    jinja_adopt(p, n, operand);
    adopt_list(p, n, n->filter.arguments);
    return n;
}

struct jinja_node *jinja_parse_filter_chain(struct jinja_parser *p, struct jinja_node *operand)
{
    do
        operand = parse_filter(p, operand);
    while (jinja_accept(p, "|") && !p->rc);
    return operand;
}

/* May an argument without parentheses stand here, as in "is divisibleby 3"? */
static bool at_bare_argument(const struct jinja_parser *p)
{
    if (p->now.kind == TOKEN_NAME)
        return !jinja_at_word(p, "else") && !jinja_at_word(p, "or") && !jinja_at_word(p, "and") &&
               !jinja_at_word(p, "is") && !jinja_at_word(p, "if") && !jinja_at_word(p, "in") &&
               !jinja_at_word(p, "not");
    return p->now.kind == TOKEN_STRING || p->now.kind == TOKEN_INT || p->now.kind == TOKEN_FLOAT || jinja_at(p, "[") ||
           jinja_at(p, "{");
}

/* "is" was accepted. */
static struct jinja_node *parse_test(struct jinja_parser *p, struct jinja_node *operand)
{
    struct jinja_node *n = jinja_node_new(p, NODE_TEST);
    n->test.negated = jinja_at_word(p, "not");
    if (n->test.negated)
        jinja_advance(p);
    struct text name = p->now.text;
    n->test.test = p->now.kind == TOKEN_NAME || p->now.kind == TOKEN_OPERATOR ? jinja_find_test(name) : NULL;
    if (!n->test.test)
        return jinja_parse_error(p, OL_EUNSUPPORTED, "the test \"%.*s\" is not supported",
                                 (int)(name.len < 60 ? name.len : 60), name.data ? name.data : "");
    jinja_advance(p);
    n->test.operand = operand;
    if (jinja_accept(p, "("))
        n->test.arguments = jinja_parse_arguments(p);
    else if (at_bare_argument(p))
        n->test.arguments = parse_postfix(p, parse_primary(p));
    jinja_adopt(p, n, operand);
    adopt_list(p, n, n->test.arguments);
    return n;
}

/* Filters bind weaker than a sign: -x|abs is (-x)|abs, as in Jinja. */
static struct jinja_node *parse_unary(struct jinja_parser *p, bool with_filters)
{
    struct jinja_node *n;
    bool minus = jinja_at(p, "-");
    if (!enter(p)) {
        n = jinja_node_new(p, NODE_LITERAL);
    } else if (minus || jinja_at(p, "+")) {
        jinja_advance(p);
        n = operation(p, NODE_UNARY, minus ? OP_NEGATE : OP_POSITIVE, parse_unary(p, false), NULL);
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    while (with_filters && !p->rc) {
        if (jinja_accept(p, "|")) {
            n = parse_filter(p, n);
        } else if (jinja_at_word(p, "is")) {
            jinja_advance(p);
            n = parse_test(p, n);
        } else if (jinja_accept(p, "(")) {
            n = parse_call(p, n);
        } else {
            break;
        }
    }
    leave(p);
    return n;
}

struct jinja_node *jinja_parse_target(struct jinja_parser *p, bool attribute)
{
    struct jinja_node *first = NULL, **end = &first, *tuple;
    bool parenthesis = jinja_accept(p, "("), comma = false;
    do {
        struct jinja_node *n = jinja_node_new(p, NODE_NAME);
        if (p->now.kind != TOKEN_NAME)
            return jinja_parse_error(p, OL_EFORMAT, "a name to assign to is missing");
        n->name = p->now.text;
        jinja_advance(p);
        if (attribute && !first && jinja_accept(p, "."))
            return parse_attribute(p, n);
        *end = n;
        end = &n->next;
    } while (jinja_accept(p, ",") && (comma = true) && p->now.kind == TOKEN_NAME && !jinja_at_word(p, "in"));
    if (parenthesis)
        jinja_expect(p, ")");
    if (!comma)
        return first;
    tuple = jinja_node_new(p, NODE_TUPLE);
    tuple->items = first;
    return tuple;
}
