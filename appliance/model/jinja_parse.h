/* The parser: a template's source to its tree. Recursive descent with a bound on nesting; names of filters and tests
 * are resolved here, so that an unknown one is refused when a model is opened. */
#ifndef OPENLORA_MODEL_JINJA_PARSE_H
#define OPENLORA_MODEL_JINJA_PARSE_H

#include "model/jinja_ast.h"
#include "model/jinja_lex.h"

struct jinja_parser {
    struct jinja_lexer lexer;
    struct jinja_token now, ahead; /* the current token and the next */
    struct arena *memory;
    struct jinja_node *nodes;      /* room for every node that the tokens can make */
    size_t n_nodes, max_nodes;
    int depth;
    int loops;                     /* open for statements, for break and continue */
    struct err *e;
    int rc;                        /* of the first error; every token is TOKEN_END from then on */
};

/* The statements of a whole template; the tree lies in the arena and borrows the source. */
int jinja_parse(struct text source, struct arena *memory, struct jinja_node **out, struct err *e)
    __attribute__((warn_unused_result));

/* --- shared by the statements (jinja_parse.c) and the expressions (jinja_parse_expr.c) --- */
void jinja_advance(struct jinja_parser *p);
struct jinja_node *jinja_node_new(struct jinja_parser *p, enum jinja_kind kind);
/* Takes note that `child` (or NULL) is below `parent`; refuses trees that are too high. */
void jinja_adopt(struct jinja_parser *p, struct jinja_node *parent, const struct jinja_node *child);
/* Records the first error. Returns a node, so that callers need not check. */
struct jinja_node *jinja_parse_error(struct jinja_parser *p, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool jinja_at(const struct jinja_parser *p, const char *op);      /* an operator */
bool jinja_at_word(const struct jinja_parser *p, const char *word); /* a name */
bool jinja_accept(struct jinja_parser *p, const char *op);
void jinja_expect(struct jinja_parser *p, const char *op);

/* An expression; with_condition: "a if b else c" may follow. A comma makes a tuple. */
struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool with_condition);
struct jinja_node *jinja_parse_expression(struct jinja_parser *p);
struct jinja_node *jinja_parse_arguments(struct jinja_parser *p); /* "(" was accepted; up to and with ")" */
/* Names to assign to: a name, a tuple of names or, with attribute, "name.attribute". */
struct jinja_node *jinja_parse_target(struct jinja_parser *p, bool attribute);
/* name(arguments) | name(…) …, for filter blocks; `operand` may be NULL. */
struct jinja_node *jinja_parse_filter_chain(struct jinja_parser *p, struct jinja_node *operand);

#endif
