/* The thread that keeps billing going: it asks chainlited every second whether it is ready and every few for its catalog,
 * hands in what was recorded late, and removes old rows.
 *
 * Until the catalog was read once nothing is served. Before that, reservations that an earlier process left behind are
 * ended, page by page; those excepted whose answers are kept and may still be asked for, and those whose receipts wait
 * to be handed in. */
#ifndef OPENLORA_BILLING_KEEPER_H
#define OPENLORA_BILLING_KEEPER_H

#include "billing/catalog.h"
#include "billing/health.h"

#include <jansson.h>

struct billing;
struct keeper;

int keeper_open(struct billing *, struct keeper **out, struct err *e) __attribute__((warn_unused_result));
void keeper_stop(struct keeper *);  /* asks the thread to end; NULL is fine, as in the next */
void keeper_close(struct keeper *); /* after chain_client_stop, which answers what the thread waits for */

struct catalog *keeper_catalog(struct keeper *); /* a reference; NULL: none yet */
bool keeper_reachable(struct keeper *, struct err *why);
void keeper_health(struct keeper *, struct billing_health *out);

#endif
