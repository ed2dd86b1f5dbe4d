/* chainlited's JSON rows into the protocol's structs, by the structs' own tables (chainlite/core/schema.h). */
#ifndef OPENLORA_BILLING_ROW_JSON_H
#define OPENLORA_BILLING_ROW_JSON_H

#include "base/err.h"
#include "chainlite/core/schema.h"

#include <jansson.h>

/* Every field of the table must be there and in range; what else the object holds is none of ours. OL_EFORMAT. */
int row_from_json(const struct schema *, const json_t *object, void *out, struct err *)
    __attribute__((warn_unused_result));

/* "0x…" of n bytes; false: it is something else. */
bool hex_from_json(const json_t *text, void *out, size_t n);
bool wei_from_json(const json_t *text, unsigned __int128 *out);

#endif
