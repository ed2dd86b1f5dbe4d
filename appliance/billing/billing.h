/* Billing in openlorad: one service that holds the client of chainlited, its catalog, the ledger and the sums of keys.
 * It holds no chain key: chainlited checks and signs (docs/protocol.md §9).
 *
 * A thread of its own reads the catalog again every few seconds and removes old rows. Until the catalog was read once
 * nothing is served (billing_catalog is NULL): before that, reservations that an earlier process left behind are ended,
 * those excepted whose answers are kept and may still be asked for. */
#ifndef OPENLORA_BILLING_BILLING_H
#define OPENLORA_BILLING_BILLING_H

#include "billing/catalog.h"
#include "billing/chain_client.h"
#include "billing/keys.h"
#include "billing/ledger.h"
#include "billing/spend.h"

#include <stdatomic.h>
#include <stdint.h>

struct billing_config { /* texts are borrowed until close */
    const char *socket;      /* chainlited's */
    const char *state_dir;   /* of the ledger; made if need be */
    const char *currency;    /* the coin's name, for people */
    int64_t idempotency_s;   /* how long an answer is kept */
    int64_t receipts_s;      /* how long salts and text hashes are kept */
    int64_t kept_bytes;      /* of all kept answers; over it no new ones are promised */
};

struct billing_counters { /* since the start */
    atomic_uint_fast64_t receipts[5];  /* by enum proof_status; [0]: ended without a charge */
    atomic_uint_fast64_t payment_required, unavailable, replayed;
    _Atomic double billed_wei, prompt_tokens, output_tokens;
};

struct billing {
    struct billing_config config;
    struct chain_client *chain;
    struct ledger *ledger;
    struct spend *spend;
    struct secp *secp;
    struct idempotency *idempotency;
    struct billing_counters counters;
    struct billing_keeper *keeper; /* the thread */
};

int billing_open(const struct billing_config *, struct billing **out, struct err *) __attribute__((warn_unused_result));
/* Fails what waits for chainlited; requests that follow are refused. */
void billing_stop(struct billing *);
void billing_close(struct billing *); /* no bill may be open */

/* A reference; NULL: chainlited has not been there yet. */
struct catalog *billing_catalog(struct billing *);
/* Whether the last exchange with chainlited went well, and why not. */
bool billing_reachable(struct billing *, struct err *why);

#endif
