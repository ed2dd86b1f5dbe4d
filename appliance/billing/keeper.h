/* The thread that keeps billing going: it asks chainlited every second whether it is ready and every few for its catalog,
 * hands in what was recorded late, and removes old rows.
 *
 * Until the catalog was read once nothing is served. Before that, reservations that an earlier process left behind are
 * ended, page by page; those excepted whose answers are kept and may still be asked for, and those whose receipts wait
 * to be handed in. */
#ifndef OPENLORA_BILLING_KEEPER_H
#define OPENLORA_BILLING_KEEPER_H

#include "billing/catalog.h"

#include <jansson.h>

struct billing;
struct keeper;

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

int keeper_open(struct billing *, struct keeper **out, struct err *e) __attribute__((warn_unused_result));
void keeper_stop(struct keeper *);  /* asks the thread to end; NULL is fine, as in the next */
void keeper_close(struct keeper *); /* after chain_client_stop, which answers what the thread waits for */

struct catalog *keeper_catalog(struct keeper *); /* a reference; NULL: none yet */
bool keeper_reachable(struct keeper *, struct err *why);
void keeper_health(struct keeper *, struct billing_health *out);

#endif
