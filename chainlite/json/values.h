/* Single values in the notation of docs/protocol.md, where no schema describes the whole: bytes as 0x and hexadecimal,
 * wei as decimal text, texts with their escapes. notation.h reads and writes structs out of the same pieces. */
#ifndef OPENLORA_JSON_VALUES_H
#define OPENLORA_JSON_VALUES_H

#include "base/buf.h"
#include "chainlite/core/wei.h"

#include <jansson.h>

/* "0x…" of exactly n bytes, in digits of either case; false: something else, and *out may be touched. */
bool hex_from_json(const json_t *text, void *out, size_t n);
bool wei_from_json(const json_t *text, wei_t *out); /* decimal text without leading zeros */
json_t *hex_to_json(const void *bytes, size_t n);   /* at most a signature's 65 bytes; NULL without memory */
json_t *wei_to_json(wei_t);

/* Append the value with its quotes; test buf_failed(out) at the end. */
void put_hex(struct buf *out, const void *bytes, size_t n);
void put_wei(struct buf *out, wei_t);
void put_text(struct buf *out, const char *text);

#endif
