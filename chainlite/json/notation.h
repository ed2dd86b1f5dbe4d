/* JSON of the structs that a schema describes (chainlite/core/schema.h), both ways, as docs/protocol.md notates:
 * no blanks, keys in the schema's order, integers up to 64 bits as JSON integers (below 2^63), wei as decimal strings,
 * bytes as 0x and lower-case hexadecimal of exactly their length.
 *
 * Reading is strict: unknown, missing and duplicate keys, other types, upper-case digits, leading zeros, numbers out of
 * range and lists over their bound are refused, and the message names the field ("settlement: batch: number: …").
 * Reading and writing give back the same bytes, so two texts never mean one struct (but for blanks, order of keys and
 * escapes). Recursion is as deep as the schemas are, not as the input. */
#ifndef OPENLORA_JSON_NOTATION_H
#define OPENLORA_JSON_NOTATION_H

#include "base/buf.h"
#include "base/err.h"
#include "chainlite/core/schema.h"

#include <jansson.h>

/* *out is zeroed first and filled; what it owns is released with schema_free. After an error it owns nothing. */
int notation_read(const struct schema *, const json_t *value, void *out, struct err *)
    __attribute__((warn_unused_result));
/* The same from text. OL_EFORMAT also for what is not JSON or has a key twice. */
int notation_parse(const struct schema *, const char *text, size_t n, void *out, struct err *)
    __attribute__((warn_unused_result));
/* Any JSON text without duplicate keys; NULL with *e filled. Returns owned. */
json_t *notation_load(const char *text, size_t n, struct err *);

/* Appends the struct's JSON; test buf_failed(out) at the end. */
void notation_write(const struct schema *, const void *object, struct buf *out);

/* Releases what the struct owns (lists, bytes, open objects) and zeroes it. */
void schema_free(const struct schema *, void *object);

#endif
