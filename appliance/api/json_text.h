/* Writing JSON piece by piece into a buffer: what streams need, and what a whole jansson tree would be slow for. */
#ifndef OPENLORA_API_JSON_TEXT_H
#define OPENLORA_API_JSON_TEXT_H

#include "base/buf.h"
#include "http/request.h"

#include <jansson.h>
#include <stddef.h>

/* A JSON string of any bytes; what is not UTF-8 is replaced by U+FFFD. */
void json_text(struct buf *out, const char *bytes, size_t n);

/* Answers with a tree, which is released. NULL (no memory) answers 503. */
void json_respond(struct http_request *, int status, json_t *tree);

#endif
