/* What routes that read bills share. */
#ifndef OPENLORA_API_RECEIPTS_H
#define OPENLORA_API_RECEIPTS_H

#include "api/app.h"
#include "billing/bill.h"

/* Appends chainlited's path for the caller's receipts, with a first filter. */
void receipts_path(const struct caller *, struct buf *path);

/* GET /v1/receipts/{id}/attribution of a receipt that is the caller's. */
void receipts_attribution(struct app *, struct http_request *, const uint8_t id[32]);

#endif
