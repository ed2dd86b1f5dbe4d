/* Attribution Statements (docs/attribution.md §4, §5) of a node's receipts: gradients are taken until a receipt's statement
 * is made, and statements are made when the batch closes that posts the data parts, all in one write with that batch.
 *
 *   recorded ──gradients──► recorded with gradients ──the next batch closes──► signed, for good
 *       └──────────────────────────────────────────────────────┘ kind 2 with gradients; else 3 with a mean, or 1
 *
 * One gate: gradients are either on disk before the statements of their batch are made, or they are too late. A statement
 * that is on disk is never made again, whatever is closed again after a reorg: two of one receipt would be slashed.
 *
 * Threads: all functions from any thread. */
#ifndef OPENLORA_SETTLE_STATEMENTS_H
#define OPENLORA_SETTLE_STATEMENTS_H

#include "chainlite/settle/outbox_attribution.h"

struct statements;

struct statements_config {
    struct outbox *outbox; /* borrowed */
    struct domains domains;
    /* Signs a digest with the node's key. */
    int (*sign)(void *user, const uint8_t digest[HASH_BYTES], uint8_t signature[SIGNATURE_BYTES], struct err *);
    void *user;
};

int statements_open(const struct statements_config *, struct statements **out, struct err *)
    __attribute__((warn_unused_result));
void statements_close(struct statements *); /* NULL too */

/* ---- gradients */

enum { STATEMENTS_MAX_ITEMS = 256, STATEMENTS_MESSAGE_BYTES = 200 };

struct gradient_request {
    uint8_t receipt_id[32];
    uint8_t query_hash[32]; /* not 0 */
    struct list gradient;   /* struct gradient_units, by beneficiary */
};

struct gradient_result {
    const char *code; /* NULL: kept; else static: "unknown_receipt", "no_policy", "too_late", "invalid" */
    char message[STATEMENTS_MESSAGE_BYTES];
};

/* 0: every item has its result, and what was kept is on disk. The same receipt again replaces what it had. Otherwise
 * nothing was kept. n ≤ STATEMENTS_MAX_ITEMS. */
int statements_gradients(struct statements *, const struct gradient_request *, struct gradient_result *, size_t n,
                         struct err *) __attribute__((warn_unused_result));

/* ---- closing a batch */

struct statement_set; /* of one batch */

/* The statements of the receipts first … first + count - 1 of the epoch that have a policy and none yet, signed; holds
 * the gate until statements_end. Costs a signature each. */
int statements_begin(struct statements *, uint64_t epoch, uint64_t first, uint64_t count, struct statement_set **out,
                     struct err *) __attribute__((warn_unused_result));
void statements_put(const struct statement_set *, struct outbox_write *); /* the statements and the means after them */
void statements_end(struct statement_set *);                             /* NULL too */

#endif
