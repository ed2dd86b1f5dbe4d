/* Batches as JSON, for /v1/batches and for what waits: the row's own figures, the header as it is hashed (its submitted_at
 * once the batch was proven; null before the first submission) and how long the body is. */
#ifndef OPENLORA_SETTLE_BATCH_LIST_H
#define OPENLORA_SETTLE_BATCH_LIST_H

#include "chainlite/settle/outbox.h"

#include <jansson.h>

/* bodies: the folder of batch_body.h. Owned; NULL without memory. */
json_t *batch_row_json(const struct outbox_batch *, const char *bodies);
/* {"batches":[…]}: upwards from number `first`, at most `max`. NULL: no memory, or the outbox cannot be read. */
json_t *batch_list_json(struct outbox *, const char *bodies, uint64_t first, uint64_t max);

#endif
