/* Receipts of what was delivered, but that chainlited has not signed yet.
 *
 *   arrears_put (durable, before the receipt is asked for) ──► signed, or refused for good: arrears_settle
 *        └─► chainlited is away: arrears_wait ──► it is back: arrears_take ──► asked for again ──┘
 *
 * Only of streams: of them the client has the text; a whole answer is delivered with its receipt or not at all. A row
 * outlives this process, so what a crash left between answer and receipt is handed in at the next start. Asking again
 * under the same receipt id is harmless: chainlited gives the proof that there is. All functions from any thread. */
#ifndef OPENLORA_BILLING_ARREARS_H
#define OPENLORA_BILLING_ARREARS_H

#include "billing/keys.h"
#include "billing/ledger.h"

struct arrears;

struct arrear {
    uint8_t receipt_id[32];
    json_t *record;          /* owned: what chainlited gets */
    char key_id[KEY_ID_BYTES]; /* whose sums hold the fee; "": no key's */
    wei_t fee_wei;           /* by our own count */
};

/* What an earlier process left waits. The ledger is borrowed. */
int arrears_open(struct ledger *, struct arrears **out, struct err *e) __attribute__((warn_unused_result));
void arrears_close(struct arrears *); /* NULL is fine */

void arrears_put(struct ledger_write *, const struct arrear *);
/* Its last word has come. Not fsynced: a row that comes back is handed in again. */
void arrears_settle(struct arrears *, const uint8_t receipt_id[32]);
/* It is to be handed in; also again, after arrears_take. */
void arrears_wait(struct arrears *, const uint8_t receipt_id[32]);
/* One that waits; it counts until it is settled. False: none is left. A row that cannot be read is logged and dropped. */
bool arrears_take(struct arrears *, struct arrear *out);
size_t arrears_count(struct arrears *); /* waiting, or taken and not settled */
bool arrears_hold(struct ledger *, const uint8_t receipt_id[32]);

#endif
