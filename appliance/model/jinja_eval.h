/* The evaluator: expressions to values, statements to text. */
#ifndef OPENLORA_MODEL_JINJA_EVAL_H
#define OPENLORA_MODEL_JINJA_EVAL_H

#include "model/jinja_ast.h"
#include "model/jinja_builtin.h"

struct jinja_scope { /* variables of a template, a loop's pass, a macro's call or a block */
    struct jinja_scope *parent;
    struct jinja_dict variables;
};

struct jinja_macro {
    const struct jinja_node *node;
    struct jinja_scope *scope; /* where it was defined */
};

enum jinja_flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };

struct jinja_value jinja_eval(struct jinja_run *r, const struct jinja_node *n);
/* Runs a list of statements; what they write goes to r->out. */
enum jinja_flow jinja_exec(struct jinja_run *r, const struct jinja_node *list);
/* The same, with their text as the result. */
struct jinja_value jinja_capture(struct jinja_run *r, const struct jinja_node *list);

struct jinja_value jinja_call(struct jinja_run *r, struct jinja_value callee, const struct jinja_args *a);
struct jinja_value jinja_call_macro(struct jinja_run *r, const struct jinja_macro *m, const struct jinja_args *a);
/* A filter of a filter block's chain, around `operand`. */
struct jinja_value jinja_apply_chain(struct jinja_run *r, const struct jinja_node *chain, struct jinja_value operand);

struct jinja_scope *jinja_push_scope(struct jinja_run *r, struct jinja_scope *parent); /* NULL and failed: no memory */
void jinja_set_variable(struct jinja_run *r, struct jinja_scope *s, struct text name, struct jinja_value v);

/* value.name and value[key]; undefined if there is no such thing, failed on an undefined value. */
struct jinja_value jinja_attribute(struct jinja_run *r, struct jinja_value v, struct text name);
struct jinja_value jinja_item(struct jinja_run *r, struct jinja_value v, struct jinja_value key);

struct jinja_value jinja_binary(struct jinja_run *r, enum jinja_operator op, struct jinja_value a,
                                struct jinja_value b);

#endif
