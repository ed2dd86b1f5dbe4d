/* What templates can name besides their own variables: filters, tests, functions and methods. The tables are
 * constant. */
#ifndef OPENLORA_MODEL_JINJA_BUILTIN_H
#define OPENLORA_MODEL_JINJA_BUILTIN_H

#include "model/jinja_value.h"

struct jinja_filter {
    const char *name;
    struct jinja_value (*call)(struct jinja_run *r, struct jinja_value operand, const struct jinja_args *a);
};

struct jinja_test {
    const char *name;
    bool (*call)(struct jinja_run *r, struct jinja_value operand, const struct jinja_args *a);
};

struct jinja_function {
    const char *name;
    struct jinja_value (*call)(struct jinja_run *r, const struct jinja_args *a);
};

struct jinja_method {
    struct jinja_value self;
    struct jinja_value (*call)(struct jinja_run *r, struct jinja_value self, const struct jinja_args *a);
};

/* NULL if there is none of that name. */
const struct jinja_filter *jinja_find_filter(struct text name);
const struct jinja_test *jinja_find_test(struct text name);
const struct jinja_function *jinja_find_function(struct text name);
/* The method bound to the value, or an undefined value. */
struct jinja_value jinja_bind_method(struct jinja_run *r, struct jinja_value self, struct text name);

/* The filters on texts (jinja_filters_text.c) and on collections (jinja_filters_list.c). */
extern const struct jinja_filter jinja_text_filters[], jinja_list_filters[]; /* end with a NULL name */

/* --- work that filters and methods share (jinja_methods.c) --- */
enum jinja_sides { JINJA_LEFT = 1, JINJA_RIGHT = 2 };
/* s without white space, or without the characters in `set` if it is a string, at its ends. */
struct text jinja_strip(struct text s, struct jinja_value set, int sides);
struct jinja_value jinja_replace(struct jinja_run *r, struct text s, struct text old, struct text new, int64_t count);
enum jinja_case { JINJA_UPPER, JINJA_LOWER, JINJA_CAPITALIZE, JINJA_TITLE };
struct jinja_value jinja_change_case(struct jinja_run *r, struct text s, enum jinja_case how);
/* Joins the texts of a sequence's items. */
struct jinja_value jinja_join(struct jinja_run *r, struct text separator, struct jinja_value items);
bool jinja_is_space(uint32_t code_point); /* Python's isspace */

#endif
