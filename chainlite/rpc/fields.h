/* Values inside JSON-RPC answers: "0x" quantities and byte strings, read strictly. Pure. */
#ifndef OPENLORA_RPC_FIELDS_H
#define OPENLORA_RPC_FIELDS_H

#include "base/buf.h"
#include "chainlite/core/wei.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each takes NULL or any JSON value and is false when that is not what is wanted; *out is then undefined. */
bool field_u64(const json_t *, uint64_t *out);                 /* "0x1f": 1…16 significant digits */
bool field_wei(const json_t *, wei_t *out);                    /* the same up to 128 bits */
bool field_bytes(const json_t *, uint8_t *out, size_t n);      /* "0x" and exactly 2n digits */
bool field_length(const json_t *, size_t *n);                  /* "0x" and an even number of digits: bytes in it */

/* New references; NULL without memory. */
json_t *json_hex(const void *bytes, size_t n); /* "0x" and 2n lower-case digits */
json_t *json_quantity(uint64_t);               /* "0x1f", "0x0" */
json_t *json_quantity_wei(wei_t);

#endif
