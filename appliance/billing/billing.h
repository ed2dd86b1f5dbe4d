/* Billing in openlorad: one service that holds the client of chainlited, its catalog, the ledger and the sums of keys.
 * It holds no chain key: chainlited checks and signs (docs/protocol.md §9).
 *
 * Until chainlited was there once nothing is served and billing_catalog is NULL (keeper.h). */
#ifndef OPENLORA_BILLING_BILLING_H
#define OPENLORA_BILLING_BILLING_H

#include "billing/arrears.h"
#include "billing/catalog.h"
#include "billing/chain_client.h"
#include "billing/keeper.h"
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
    int64_t evidence_s;      /* how long answers under a policy are kept for audits */
    int64_t kept_bytes;      /* of all kept answers; over it no new ones are promised */
    int64_t record_s;        /* how long the end of an answer waits for chainlited */
    int64_t max_arrears;     /* receipts that may wait for chainlited; over it nothing new is served */
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
    struct arrears *arrears;
    struct secp *secp;
    struct idempotency *idempotency;
    struct billing_counters counters;
    struct keeper *keeper;
    char numerics[32]; /* of what computes; receipts name it */
};

int billing_open(const struct billing_config *, struct billing **out, struct err *) __attribute__((warn_unused_result));
/* Fails what waits for chainlited; requests that follow are refused. */
void billing_stop(struct billing *);
void billing_close(struct billing *); /* no bill may be open */

/* How answers are computed from now on; before the first bill. */
void billing_set_numerics(struct billing *, const char *id);

/* A reference; NULL: chainlited has not been there yet. */
struct catalog *billing_catalog(struct billing *);
/* Whether the last exchange with chainlited went well, and why not. */
bool billing_reachable(struct billing *, struct err *why);

void billing_health(struct billing *, struct billing_health *out);

#endif
