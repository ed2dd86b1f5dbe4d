/* Statements. A loop's pass, a macro's call and a block of {% set %} or {% filter %} have variables of their own, which
 * end with them; `if` has not. A namespace is how templates carry values out of a loop. */
#include "model/jinja_eval.h"

static enum jinja_flow exec_statement(struct jinja_run *r, const struct jinja_node *n);

enum jinja_flow jinja_exec(struct jinja_run *r, const struct jinja_node *list)
{
    enum jinja_flow flow = FLOW_NEXT;
    if (++r->depth > JINJA_MAX_CALL_DEPTH)
        jinja_fail(r, OL_ELIMIT, "calls nested too deeply");
    for (; list && flow == FLOW_NEXT && jinja_charge(r, 1); list = list->next)
        flow = exec_statement(r, list);
    r->depth--;
    return flow;
}

/* Redirects what statements write for as long as they run. */
struct jinja_value jinja_capture(struct jinja_run *r, const struct jinja_node *list)
{
    struct buf text, *before = r->out;
    buf_init(&text, JINJA_MAX_MEMORY_BYTES);
    r->out = &text;
    jinja_exec(r, list);
    r->out = before;
    return jinja_take(r, &text);
}

static void write_text(struct jinja_run *r, struct jinja_value v)
{
    jinja_print(r, v, r->out);
    if (r->out->no_memory)
        jinja_fail(r, OL_ENOMEM, "no memory for the output");
    else if (buf_failed(r->out))
        jinja_fail(r, OL_ELIMIT, "the output is over its limit of %zu bytes", r->out->max_bytes);
}

/* Binds a name, or each name of a tuple to an item of the value. */
static void assign(struct jinja_run *r, const struct jinja_node *target, struct jinja_value v)
{
    if (target->kind == NODE_NAME) {
        jinja_set_variable(r, r->scope, target->name, v);
        return;
    }
    if (target->kind == NODE_ATTRIBUTE) {
        struct jinja_value object = jinja_eval(r, target->attribute.object);
        if (object.type != JINJA_NAMESPACE)
            jinja_fail(r, OL_EINVAL, "only a namespace's attributes can be set, not those of %s",
                       jinja_type_name(object));
        else
            jinja_put(r, object, jinja_text(target->attribute.name.data, target->attribute.name.len), v);
        return;
    }
    if (target->kind != NODE_TUPLE) {
        jinja_fail(r, OL_EINVAL, "this cannot be assigned to");
        return;
    }
    const struct jinja_list *items = jinja_iterate(r, v);
    const struct jinja_node *name = target->items;
    for (size_t i = 0; items && i < items->n && name && !r->rc; i++, name = name->next)
        jinja_set_variable(r, r->scope, name->name, items->items[i]);
    size_t names = 0;
    for (name = target->items; name; name = name->next)
        names++;
    if (items && items->n != names)
        jinja_fail(r, OL_EINVAL, "%zu values for %zu names", items->n, names);
}

/* The items for which the loop's condition holds. */
static const struct jinja_list *select_items(struct jinja_run *r, const struct jinja_node *n,
                                             const struct jinja_list *items)
{
    struct jinja_value selected = jinja_new_list(r, JINJA_LIST);
    struct jinja_scope *outer = r->scope;
    for (size_t i = 0; items && i < items->n && !r->rc; i++) {
        r->scope = jinja_push_scope(r, outer);
        assign(r, n->loop.target, items->items[i]);
        if (jinja_truth(jinja_eval(r, n->loop.condition)))
            jinja_push(r, selected, items->items[i]);
    }
    r->scope = outer;
    return selected.list;
}

static void exec_for(struct jinja_run *r, const struct jinja_node *n)
{
    const struct jinja_list *items = jinja_iterate(r, jinja_eval(r, n->loop.items));
    struct jinja_scope *outer = r->scope;
    if (n->loop.condition)
        items = select_items(r, n, items);
    if (r->rc || !items)
        return;
    struct jinja_loop *loop = jinja_alloc(r, sizeof *loop);
    if (!loop)
        return;
    *loop = (struct jinja_loop){.items = items};
    enum jinja_flow flow = FLOW_NEXT;
    for (size_t i = 0; i < items->n && flow != FLOW_BREAK && !r->rc; i++) {
        loop->index = i;
        r->scope = jinja_push_scope(r, outer);
        jinja_set_variable(r, r->scope, (struct text){"loop", 4},
                           (struct jinja_value){.type = JINJA_LOOP, .loop = loop});
        assign(r, n->loop.target, items->items[i]);
        flow = jinja_exec(r, n->loop.body);
    }
    r->scope = outer;
    if (!items->n)
        jinja_exec(r, n->loop.otherwise);
}

static enum jinja_flow exec_if(struct jinja_run *r, const struct jinja_node *n)
{
    for (;;) {
        if (jinja_truth(jinja_eval(r, n->condition.test)))
            return jinja_exec(r, n->condition.yes);
        const struct jinja_node *no = n->condition.no;
        /* elif: one IF node, run here instead of one level deeper */
        if (!no || no->kind != NODE_IF || no->next || r->rc)
            return jinja_exec(r, no);
        n = no;
    }
}

/* {% set x %}…{% endset %} and {% filter … %}: the block has variables of its own. */
static struct jinja_value captured_block(struct jinja_run *r, const struct jinja_node *n)
{
    struct jinja_scope *outer = r->scope;
    r->scope = jinja_push_scope(r, outer);
    struct jinja_value text = jinja_capture(r, n->set.body);
    r->scope = outer;
    return n->set.filters ? jinja_apply_chain(r, n->set.filters, text) : text;
}

/* A macro remembers the scope it was defined in and looks its names up there when it is called. */
static void exec_macro(struct jinja_run *r, const struct jinja_node *n)
{
    struct jinja_macro *m = jinja_alloc(r, sizeof *m);
    if (!m)
        return;
    *m = (struct jinja_macro){n, r->scope};
    jinja_set_variable(r, r->scope, n->macro.name, (struct jinja_value){.type = JINJA_MACRO, .macro = m});
}

static bool is_parameter(const struct jinja_node *list, struct jinja_value name)
{
    for (; list; list = list->next)
        if (name.text.len == list->named.name.len && !memcmp(name.text.data, list->named.name.data, name.text.len))
            return true;
    return false;
}

/* Positions, then names, then defaults, which may use the parameters before them. */
static void bind_parameters(struct jinja_run *r, const struct jinja_node *macro, const struct jinja_args *a)
{
    const struct jinja_node *parameter = macro->macro.parameters;
    size_t i = 0;
    for (; parameter && !r->rc; parameter = parameter->next, i++) {
        struct text name = parameter->named.name;
        struct jinja_value v = i < a->n ? a->values[i] : jinja_undefined(name);
        bool given = i < a->n;
        for (size_t k = 0; k < a->n_named && !given; k++)
            if ((given =
                     a->named[k].key.text.len == name.len && !memcmp(a->named[k].key.text.data, name.data, name.len)))
                v = a->named[k].value;
        if (!given && parameter->named.value)
            v = jinja_eval(r, parameter->named.value);
        jinja_set_variable(r, r->scope, name, v);
    }
    if (i < a->n)
        jinja_fail(r, OL_EINVAL, "macro '%.*s' takes %zu arguments", (int)macro->macro.name.len, macro->macro.name.data,
                   i);
    for (size_t k = 0; k < a->n_named; k++)
        if (!is_parameter(macro->macro.parameters, a->named[k].key))
            jinja_fail(r, OL_EINVAL, "macro '%.*s' has no parameter '%.*s'", (int)macro->macro.name.len,
                       macro->macro.name.data, (int)a->named[k].key.text.len, a->named[k].key.text.data);
}

struct jinja_value jinja_call_macro(struct jinja_run *r, const struct jinja_macro *m, const struct jinja_args *a)
{
    struct jinja_scope *caller = r->scope;
    struct jinja_value text = jinja_text("", 0);
    r->scope = jinja_push_scope(r, m->scope);
    if (r->scope) {
        bind_parameters(r, m->node, a);
        text = jinja_capture(r, m->node->macro.body);
    }
    r->scope = caller;
    return text;
}

static enum jinja_flow exec_statement(struct jinja_run *r, const struct jinja_node *n)
{
    r->line = n->line;
    switch (n->kind) {
    case NODE_TEXT: write_text(r, n->literal); break;
    case NODE_OUTPUT: write_text(r, jinja_eval(r, n->output)); break;
    case NODE_IF: return exec_if(r, n);
    case NODE_FOR: exec_for(r, n); break;
    case NODE_SET: assign(r, n->set.target, jinja_eval(r, n->set.value)); break;
    case NODE_SET_BLOCK: assign(r, n->set.target, captured_block(r, n)); break;
    case NODE_FILTER_BLOCK: write_text(r, captured_block(r, n)); break;
    case NODE_MACRO: exec_macro(r, n); break;
    case NODE_BREAK: return FLOW_BREAK;
    case NODE_CONTINUE: return FLOW_CONTINUE;
    default: break; /* expressions do not stand here */
    }
    return FLOW_NEXT;
}
