/* What routes that read bills share. */
#ifndef OPENLORA_API_RECEIPTS_H
#define OPENLORA_API_RECEIPTS_H

#include "billing/bill.h"

/* Appends chainlited's path for the caller's receipts, with a first filter. */
void receipts_path(const struct caller *, struct buf *path);

#endif
