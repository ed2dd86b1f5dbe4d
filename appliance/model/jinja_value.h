/* Values of the template interpreter, with Python's meaning, and the run that they live in.
 *
 * 1. Everything a render makes lies in the run's arena and dies with it; strings may point into the template or the
 *    caller's JSON. Strings are UTF-8; lengths and positions that templates see count code points.
 * 2. The first failure is kept in the run (`rc`, and the caller's err); after it every operation may return anything,
 *    but nothing that crashes, and every loop ends.
 * 3. Work is counted (jinja_charge), nesting is bounded, memory has a maximum. */
#ifndef OPENLORA_MODEL_JINJA_VALUE_H
#define OPENLORA_MODEL_JINJA_VALUE_H

#include "base/buf.h"
#include "base/err.h"
#include "model/arena.h"
#include "model/gguf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    JINJA_MAX_SOURCE_BYTES = 256 * 1024,
    JINJA_MAX_STEPS = 1000000,
    JINJA_MAX_NESTING = 100,    /* of the source, and of data */
    JINJA_MAX_CALL_DEPTH = 600, /* of the evaluator: expressions within statements within macros */
    JINJA_MAX_RANGE = 100000,
    JINJA_MAX_MEMORY_BYTES = 128 << 20,
};

enum jinja_type {
    JINJA_UNDEFINED, /* text: the name that was not found */
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_ITERATOR, /* what filters like map give: a list that is always true and has no length */
    JINJA_DICT,
    JINJA_NAMESPACE, /* a dict with assignable attributes */
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_FUNCTION, /* a global function */
    JINJA_METHOD,   /* a method bound to its object */
};

struct jinja_value {
    enum jinja_type type;
    union {
        bool truth;
        int64_t number;
        double real;
        struct text text;
        struct jinja_list *list; /* lists, tuples, iterators */
        struct jinja_dict *dict; /* dicts, namespaces */
        struct jinja_loop *loop;
        struct jinja_macro *macro;
        const struct jinja_function *function;
        struct jinja_method *method;
    };
};

struct jinja_list {
    struct jinja_value *items;
    size_t n, cap;
};

struct jinja_pair {
    struct jinja_value key, value;
};

struct jinja_dict { /* in order of insertion */
    struct jinja_pair *pairs;
    size_t n, cap;
};

struct jinja_loop { /* the variable "loop" of a for statement */
    const struct jinja_list *items;
    size_t index; /* from 0 */
};

struct jinja_run {
    struct arena memory;
    struct err *e;
    int rc;              /* of the first failure */
    int line;            /* of the statement that runs */
    size_t steps;
    int depth;
    struct buf *out;     /* what statements write to */
    struct jinja_scope *scope;
};

/* Arguments of a filter, test, function or macro. */
struct jinja_args {
    const struct jinja_value *values;
    size_t n;
    const struct jinja_pair *named; /* keys are strings */
    size_t n_named;
};

/* --- the run --- */
/* Records the first failure, with the line; returns an undefined value so that `return jinja_fail(...)` works. */
struct jinja_value jinja_fail(struct jinja_run *r, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Counts work; false once the run has failed or uses too many steps. */
bool jinja_charge(struct jinja_run *r, size_t steps);
void *jinja_alloc(struct jinja_run *r, size_t bytes); /* NULL and failed past the limit */

/* --- making values --- */
static inline struct jinja_value jinja_undefined(struct text name)
{
    return (struct jinja_value){.type = JINJA_UNDEFINED, .text = name};
}
static inline struct jinja_value jinja_none(void) { return (struct jinja_value){.type = JINJA_NONE}; }
static inline struct jinja_value jinja_bool(bool truth)
{
    return (struct jinja_value){.type = JINJA_BOOL, .truth = truth};
}
static inline struct jinja_value jinja_int(int64_t i) { return (struct jinja_value){.type = JINJA_INT, .number = i}; }
static inline struct jinja_value jinja_float(double f) { return (struct jinja_value){.type = JINJA_FLOAT, .real = f}; }
static inline struct jinja_value jinja_text(const char *s, size_t len) /* borrows */
{
    return (struct jinja_value){.type = JINJA_STRING, .text = {s, len}};
}
static inline struct jinja_value jinja_string(const char *s) { return jinja_text(s, strlen(s)); }
/* The buffer's bytes as a string of the run; the buffer is freed. */
struct jinja_value jinja_take(struct jinja_run *r, struct buf *b);
struct jinja_value jinja_new_list(struct jinja_run *r, enum jinja_type type); /* list, tuple or iterator; empty */
struct jinja_value jinja_new_dict(struct jinja_run *r, enum jinja_type type); /* dict or namespace; empty */
void jinja_push(struct jinja_run *r, struct jinja_value list, struct jinja_value item);
void jinja_put(struct jinja_run *r, struct jinja_value dict, struct jinja_value key, struct jinja_value value);
/* The same for a key that is known to be new: no search. */
void jinja_put_new(struct jinja_run *r, struct jinja_value dict, struct jinja_value key, struct jinja_value value);
struct jinja_value jinja_from_json(struct jinja_run *r, const json_t *j);

/* --- asking values --- */
static inline bool jinja_is_list(struct jinja_value v)
{
    return (v.type == JINJA_LIST || v.type == JINJA_TUPLE || v.type == JINJA_ITERATOR) && v.list;
}
static inline bool jinja_is_dict(struct jinja_value v)
{
    return (v.type == JINJA_DICT || v.type == JINJA_NAMESPACE) && v.dict;
}
static inline bool jinja_is_number(struct jinja_value v)
{
    return v.type == JINJA_BOOL || v.type == JINJA_INT || v.type == JINJA_FLOAT;
}
static inline bool jinja_is_text(struct jinja_value v, const char *s)
{
    return v.type == JINJA_STRING && v.text.len == strlen(s) && !memcmp(v.text.data, s, v.text.len);
}
const char *jinja_type_name(struct jinja_value v); /* Python's: "str", "list", … */
bool jinja_truth(struct jinja_value v);
bool jinja_equal(struct jinja_run *r, struct jinja_value a, struct jinja_value b);
/* Three-way order of two numbers, strings or lists; other pairs fail. */
int jinja_compare(struct jinja_run *r, struct jinja_value a, struct jinja_value b);
bool jinja_contains(struct jinja_run *r, struct jinja_value container, struct jinja_value item);
int64_t jinja_length(struct jinja_run *r, struct jinja_value v); /* fails if it has none */
/* Numbers: bool counts as 0 and 1. False, and failed, for anything else or, with whole, for fractions. */
bool jinja_as_int(struct jinja_run *r, struct jinja_value v, int64_t *out);
double jinja_as_float(struct jinja_value number);
/* What iterating gives: the items, a dict's keys, a string's characters; nothing for undefined; fails otherwise. */
const struct jinja_list *jinja_iterate(struct jinja_run *r, struct jinja_value v);
const struct jinja_value *jinja_dict_find(struct jinja_run *r, const struct jinja_dict *d, struct jinja_value key);
/* The value of a key that is a string, or NULL. */
const struct jinja_value *jinja_dict_get(const struct jinja_dict *d, struct text key);

/* --- text of values --- */
void jinja_print(struct jinja_run *r, struct jinja_value v, struct buf *out); /* str(v) */
void jinja_repr(struct jinja_run *r, struct jinja_value v, struct buf *out);  /* repr(v) */
struct text jinja_str(struct jinja_run *r, struct jinja_value v);             /* str(v), borrowed from v or the run */
void jinja_print_float(double f, struct buf *out);                            /* repr(float) */

struct jinja_json_style {
    int indent; /* −1: one line */
    struct text item_separator, key_separator;
    bool ascii, sorted;
};
/* json.dumps. */
void jinja_dump_json(struct jinja_run *r, struct jinja_value v, const struct jinja_json_style *style, struct buf *out);

/* --- arguments --- */
/* Argument i or the one named `name`; the fallback if neither was given. */
struct jinja_value jinja_arg(const struct jinja_args *a, size_t i, const char *name, struct jinja_value fallback);

#endif
