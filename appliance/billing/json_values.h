/* Single values of chainlited's JSON, and of ours that is like it. */
#ifndef OPENLORA_BILLING_JSON_VALUES_H
#define OPENLORA_BILLING_JSON_VALUES_H

#include "chainlite/core/wei.h"

#include <jansson.h>

bool hex_from_json(const json_t *text, void *out, size_t n); /* "0x…" of exactly n bytes; false: something else */
bool wei_from_json(const json_t *text, wei_t *out);          /* decimal text */
json_t *hex_to_json(const void *bytes, size_t n);            /* at most 65 bytes; NULL without memory */
json_t *wei_to_json(wei_t);

#endif
