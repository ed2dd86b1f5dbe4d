/* Whether paid work is served, and why not: from what chainlited last said of itself, its catalog and what waits. Pure. */
#ifndef OPENLORA_BILLING_HEALTH_H
#define OPENLORA_BILLING_HEALTH_H

#include "billing/catalog.h"

#include <jansson.h>

enum { GAS_LOW_BATCHES = 10 }; /* the node's balance pays for fewer than this: a warning */

struct billing_health {
    const char *refusal;  /* static: why no paid work is served now; NULL: it is */
    char message[ERR_MESSAGE_BYTES];
    int64_t prices;          /* the node's own in the catalog; −1: not known, as in the next two */
    int64_t missing_prices;  /* of those, not registered yet */
    int64_t gas_pays_batches;
    size_t receipts_waiting; /* delivered, and to be signed when chainlited is back */
};
/* Every `refusal` there is, for metrics. */
extern const char *const billing_refusals[];
extern const int n_billing_refusals;

struct readiness { /* chainlited's answer to GET /v1/readiness */
    const char *refusal; /* one of billing_refusals, or NULL */
    char message[ERR_MESSAGE_BYTES];
    int64_t missing_prices, gas_pays_batches; /* −1: not known */
};
#define READINESS_UNKNOWN ((struct readiness){.missing_prices = -1, .gas_pays_batches = -1})
void readiness_read(const json_t *answer, struct readiness *out);

/* away: why chainlited is not there, or NULL. catalog may be NULL. max: receipts that may wait. */
void billing_health_of(const struct catalog *, const struct readiness *, const char *away, size_t receipts_waiting,
                       size_t max, struct billing_health *out);

#endif
