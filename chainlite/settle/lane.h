/* The lane: one thread that brings what the outbox holds to the chain with the node's one key.
 *
 *   closed ──claims──► claimed ──body, submit──► submitted ──slot proven──► unsafe ──► safe ──► anchored
 *      ▲                                                                      │          │
 *      └──────────────────────── reorg: the slot is empty again ◄─────────────┴──────────┘
 *
 * Invariants
 * 1. Every step begins by reading the chain's storage at a verified head and decides from that and the outbox alone:
 *    no memory of what was sent is needed, so a crash at any place is like none.
 * 2. A signed transaction is on disk before it is first sent. What one step signs is in flight together, on nonces that
 *    follow each other from the account's, as proven: all claims of a batch and, behind them, its submission; or prices.
 *    Nothing new is signed before all of them are used up (but a batch behind prices). A stored transaction is sent again
 *    or replaced by one that pays more; never are two claims for the same money signed under two nonces of which both can
 *    still be mined: a gap before a stored transaction is filled with an empty one.
 * 3. A batch is on the chain when its slot holds its hash, whoever says what else. The time that the contract put into
 *    the batch is found by trying the seconds it can be. A submission that is signed before its claims are mined holds
 *    the claims hash that they come to when all are accepted: it is mined with these figures or reverts, and then the
 *    batch is submitted again with what was paid.
 * 4. A claim was accepted when the payer's `claimed` moved by its amount.
 * 5. Recording never waits for the lane: they meet in the outbox only.
 *
 * When the chain knows of batches or epochs that the outbox does not (it was lost, or the key is used elsewhere),
 * nothing signed now could be settled: lane_may_record refuses until a new epoch is open (docs/protocol.md §5). */
#ifndef OPENLORA_SETTLE_LANE_H
#define OPENLORA_SETTLE_LANE_H

#include "base/buf.h"
#include "chainlite/core/tx.h"
#include "chainlite/rpc/sender.h"
#include "chainlite/settle/batch_trees.h"
#include "chainlite/settle/statements.h"

#include <jansson.h>

/* Signs with the node's key; user: the keystore. As tx_sign without the secret. */
typedef int (*lane_sign)(void *user, const struct tx *, uint8_t *out, size_t cap, size_t *len,
                         uint8_t hash[HASH_BYTES], struct err *);

struct lane_config { /* strings and urls are borrowed for the lane's life; zero = the default in brackets */
    struct rpc_config rpc;
    uint8_t node[ADDRESS_BYTES]; /* whose key signs */
    uint8_t settlement[ADDRESS_BYTES], escrow[ADDRESS_BYTES], registry[ADDRESS_BYTES];
    uint8_t rewards[ADDRESS_BYTES]; /* 0: not known, payouts cannot be redirected */
    uint64_t window_s;           /* Settlement.windowSeconds */
    const char *folder;          /* bodies/ and proofs/ are made in it */
    const struct secp *secp;
    lane_sign sign;
    void *sign_user;
    struct row_source rows;
    struct statements *statements; /* of the same outbox */
    /* A batch closes at whichever comes first. */
    uint32_t batch_receipts;     /* [8,192]; at most OUTBOX_MAX_BATCH_RECEIPTS */
    uint64_t batch_age_s;        /* of the oldest receipt; 0: at once */
    wei_t batch_value_wei;       /* Σ fees; 0: no such limit */
    uint32_t claims_per_tx;      /* [24]; 12 … 60 keep a transaction below 5 kB of weighted calldata */
    struct fee_caps fees;
    wei_t daily_limit_wei;       /* worst case of all transactions signed on a UTC day; 0: none */
    uint32_t warn_batches;       /* warn when the gas balance pays for fewer [10] */
    uint32_t poll_ms;            /* [500] */
    uint32_t bump_blocks;        /* heads without inclusion before a bump [3] */
    bool open_epochs;            /* open the first one, and a new one after a lost outbox, without being asked */
    bool finalise;               /* send finalise() when a batch's window has passed */
};

struct lane;

int lane_open(const struct lane_config *, struct outbox * /* borrowed */, struct lane **out, struct err *)
    __attribute__((warn_unused_result));
int lane_start(struct lane *, struct err *) __attribute__((warn_unused_result)); /* its thread */
void lane_stop(struct lane *);  /* waits for the thread; what is in flight stays in the outbox */
void lane_close(struct lane *); /* stopped, or never started */
/* Another look now instead of after poll_ms. Any thread. */
void lane_wake(struct lane *);
/* One step of the thread's, for tests and tools; not while it runs. OL_EIO and the like: the next one may succeed. */
int lane_step(struct lane *, struct err *) __attribute__((warn_unused_result));

/* The epoch to sign receipts in. OL_EBUSY with the reason when nothing may be signed: no head was verified yet,
 * no epoch is open, the outbox is behind the chain. Any thread. */
int lane_may_record(struct lane *, uint64_t *epoch, struct err *) __attribute__((warn_unused_result));
/* A new epoch is wanted (`openlora chain new-epoch`): opened by the node's key if it is the node's owner. */
void lane_open_epoch(struct lane *);
/* Payouts to the node, as a beneficiary, go to `to` from now on (0: to itself again). Kept on disk; sent as soon as
 * nothing else is in flight, and again should a reorg take it back. Any thread. */
int lane_set_payout(struct lane *, const uint8_t to[ADDRESS_BYTES], struct err *) __attribute__((warn_unused_result));

/* Figures for /v1/status, what is under way for /v1/pending: owned JSON; NULL without memory. Any thread. */
json_t *lane_status_json(struct lane *);
json_t *lane_pending_json(struct lane *);
/* Appends a bundle's `settlement` (§10) for a receipt of this batch: paths, postings, the proof of the batch's slot.
 * OL_ENOTFOUND: it is not proven. Builds the batch's trees unless it was asked about last. Any thread. */
int lane_settlement(struct lane *, const struct outbox_receipt *, const struct outbox_batch *, struct buf *out,
                    struct err *) __attribute__((warn_unused_result));
/* Forgets dead letters and waiting times and tries again now. Any thread. */
int lane_retry(struct lane *, struct err *) __attribute__((warn_unused_result));

#endif
