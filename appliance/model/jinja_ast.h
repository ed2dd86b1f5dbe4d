/* A parsed template: a tree of nodes, immutable once parsed and safe from any thread. */
#ifndef OPENLORA_MODEL_JINJA_AST_H
#define OPENLORA_MODEL_JINJA_AST_H

#include "model/jinja_value.h"

enum jinja_kind {
    /* expressions */
    NODE_LITERAL,
    NODE_NAME,
    NODE_LIST,
    NODE_TUPLE,
    NODE_DICT,      /* items: key, value, key, value, … */
    NODE_ATTRIBUTE,
    NODE_INDEX,
    NODE_SLICE,     /* only as the index of NODE_INDEX */
    NODE_UNARY,
    NODE_BINARY,
    NODE_CONCAT,    /* a ~ b ~ c */
    NODE_CONDITION, /* a if test else b */
    NODE_FILTER,
    NODE_TEST,
    NODE_CALL,
    NODE_NAMED,     /* an argument name=value */
    /* statements */
    NODE_TEXT,
    NODE_OUTPUT,
    NODE_IF,
    NODE_FOR,
    NODE_SET,
    NODE_SET_BLOCK,
    NODE_FILTER_BLOCK,
    NODE_MACRO,
    NODE_BREAK,
    NODE_CONTINUE,
};

enum jinja_operator {
    OP_NOT, OP_NEGATE, OP_POSITIVE,                                       /* unary */
    OP_OR, OP_AND, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_IN, OP_NOT_IN, /* binary */
    OP_ADD, OP_SUBTRACT, OP_MULTIPLY, OP_DIVIDE, OP_FLOOR_DIVIDE, OP_MODULO, OP_POWER,
};

struct jinja_filter;
struct jinja_test;

struct jinja_node {
    enum jinja_kind kind;
    int line;
    int height;              /* levels of nodes below this one */
    struct jinja_node *next; /* of a list: arguments, items, statements */
    union {
        struct jinja_value literal; /* LITERAL, and TEXT as a string */
        struct text name;           /* NAME */
        struct jinja_node *items;   /* LIST, TUPLE, DICT, CONCAT */
        struct jinja_node *output;  /* OUTPUT */
        struct {
            struct jinja_node *object;
            struct text name;
        } attribute;
        struct {
            struct jinja_node *object, *index;
        } index;
        struct {
            struct jinja_node *start, *stop, *step; /* NULL: left out */
        } slice;
        struct {
            enum jinja_operator op;
            struct jinja_node *left, *right; /* UNARY: left only */
        } op;
        struct {
            struct jinja_node *test, *yes, *no; /* no: NULL if left out */
        } condition;                            /* CONDITION; IF, with lists of statements */
        struct {
            struct jinja_node *operand, *arguments; /* operand: NULL in a filter block */
            const struct jinja_filter *filter;
            struct jinja_node *body;                /* of a filter block */
        } filter;
        struct {
            struct jinja_node *operand, *arguments;
            const struct jinja_test *test;
            bool negated;
        } test;
        struct {
            struct jinja_node *callee, *arguments;
        } call;
        struct {
            struct text name;
            struct jinja_node *value;
        } named;
        struct {
            struct jinja_node *target, *items, *condition, *body, *otherwise;
        } loop;
        struct {
            struct jinja_node *target, *value; /* SET */
            struct jinja_node *body, *filters; /* SET_BLOCK; filters: a filter block's chain, or NULL */
        } set;
        struct {
            struct text name;
            struct jinja_node *parameters; /* NAME, or NAMED with a default */
            struct jinja_node *body;
        } macro;
    };
};

#endif
