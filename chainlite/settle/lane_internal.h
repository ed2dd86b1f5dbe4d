/* The lane's inside. A step: chain_read (what is), watch_batches (what became of batches), nonce_step (what is in
 * flight), then one action: claims_step, submit_step, epoch_step, finalise_step or closing_step. */
#ifndef OPENLORA_SETTLE_LANE_INTERNAL_H
#define OPENLORA_SETTLE_LANE_INTERNAL_H

#include "chainlite/calls/calls.h"
#include "chainlite/json/bundle.h"
#include "chainlite/settle/fee_bump.h"
#include "chainlite/settle/lane.h"

#include <pthread.h>

enum {
    LANE_MAX_GAS = 10000000,  /* of one transaction: well below the cap of 2^24 */
    LANE_WARNINGS = 8,
    LANE_WARNING_BYTES = 200,
    CLAIM_ATTEMPTS = 2,
    LANE_MAX_BURST = 16,      /* transactions signed in one step: what nodes keep of one account for sure */
    LANE_MAX_FLIGHT = 64,     /* nonces tended in one step: more than one burst only after a reorg */
    LANE_BACKOFF_MS = 30000,  /* between tries of what the chain refuses */
};

struct chain_state { /* proven at `head` */
    struct light_head head;
    uint64_t nonce;
    wei_t balance_wei; /* capped at 2^128 - 1 */
    uint64_t epoch, last, finalised;
    bool frozen;
    wei_t bond_wei, finalised_cumulative_wei;
    wei_t collected_wei;
    uint8_t claims_hash[32];
};

struct lane_request { /* a transaction to be */
    enum outbox_tx_purpose purpose;
    uint64_t batch_number;
    uint32_t chunk;
    const uint8_t *to;
    const uint8_t *data; /* borrowed */
    size_t len;
    uint64_t gas_bound;  /* when nobody can estimate */
    bool after_others;   /* it works only after what this step sent before it: not to be estimated on its own */
    /* Rows that belong to it, in the same write as the transaction; may be NULL. */
    void (*also)(struct outbox_write *, void *user);
    void *user;
};

struct lane_sent { /* a nonce that this process handed to the endpoints, when the head was `head` */
    uint64_t nonce, head;
    bool sent;
};

struct lane {
    struct lane_config config;
    struct outbox *outbox;
    struct rpc *rpc;
    struct light *light;
    char bodies[4096], proofs[4096];

    struct chain_state chain; /* of the step in progress */
    /* In flight, as far as this process sent it. Lost by a crash without harm: it is sent again. */
    struct lane_sent sent[LANE_MAX_FLIGHT]; /* by nonce */
    bool quiet;          /* nothing at all is in flight */
    uint64_t next_nonce; /* of what is signed next in this step */
    wei_t pledged_wei;   /* worst case of all that is in flight */
    struct fees step_fees; /* asked for once in a step; cap 0: not yet */
    uint64_t missing_nonce; /* used up, and no receipt of ours found so far */
    unsigned missing_looks;
    char fresh[LANE_WARNINGS][LANE_WARNING_BYTES]; /* warnings of the step in progress */
    int n_fresh;
    int64_t refused_until_ms; /* the chain refused the next action: not before */
    /* Closing: receipts summed so far. */
    uint64_t sum_epoch, sum_next, sum_first;
    wei_t sum_wei;
    int64_t sum_oldest_ms;
    int64_t refund_again_ms;  /* nothing was to be given back, or could not be: not before */
    int64_t publish_again_ms; /* our prices were all registered, or refused: not before */

    /* Trees of the batch that was last asked about, for bundles; guarded by trees_mutex. */
    pthread_mutex_t trees_mutex;
    struct batch_trees trees;
    uint8_t trees_of[32]; /* its hash; 0: none */

    pthread_t thread;
    bool running;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    bool stop, woken, epoch_wanted, retry;
    struct chain_state shown; /* of the last step that read the chain */
    bool has_shown;
    char refusal[ERR_MESSAGE_BYTES]; /* why nothing may be recorded; "" */
    char warning[LANE_WARNINGS][LANE_WARNING_BYTES]; /* of the last step */
    int warnings;
    wei_t spent_today_wei;
    bool payout_known, payout_done; /* asked for; proven on the chain */
    uint8_t payout_to[ADDRESS_BYTES];
    int64_t payout_again_ms;
    int64_t missing_prices; /* ours that the registry does not have yet; -1: not looked so far */
};

/* ---- lane.c */
void lane_warn(struct lane *, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A dead letter of a batch (epoch 0); logs it when it is new. */
void lane_dead(struct lane *, uint64_t epoch, uint64_t sequence, const char *code, const char *reason);

/* ---- lane_chain.c */
int chain_read(struct lane *, struct chain_state *out, struct err *);
struct chain_account {
    wei_t balance_wei, claimed_wei;
};
/* The escrow's accounts of n payers at the step's head. */
int chain_accounts(struct lane *, const uint8_t (*payers)[ADDRESS_BYTES], size_t n, struct chain_account *out,
                   struct err *);
/* Which of n rows the registry has. */
int chain_registered(struct lane *, const uint8_t (*ids)[32], size_t n, bool *out, struct err *);

/* ---- lane_nonce.c */
/* *idle: nothing is in flight but what is of no batch (not even that: l->quiet); new transactions may be sent. */
int nonce_step(struct lane *, bool *idle, struct err *);

/* ---- lane_send.c */
/* Signs, stores, sends with the next nonce. Only when idle; at most LANE_MAX_BURST in a step. OL_EBUSY: not now (fees,
 * limits, balance; a warning says which). OL_EINVAL: the chain would refuse it, *e has the reason by name. */
int lane_send(struct lane *, const struct lane_request *, struct err *);
/* Stores a variant of a transaction, together with `also`, then sends it. row: purpose, batch, chunk, variant set. */
int lane_put_and_publish(struct lane *, const struct tx *, struct outbox_tx *row,
                         void (*also)(struct outbox_write *, void *), void *user, struct err *);
int lane_publish(struct lane *, const uint8_t *raw, size_t len, uint64_t nonce, struct err *);
bool lane_was_sent(struct lane *, uint64_t nonce, uint64_t *head);
int lane_fees(struct lane *, struct fees *out, struct err *);
/* OL_EBUSY when this worst case, in the place of `instead_wei` of those in flight, is over the day's limit or more than
 * the key holds. */
int lane_afford(struct lane *, wei_t worst_wei, wei_t instead_wei, struct err *);
struct lane_spending { /* of a UTC day */
    uint64_t day;
    wei_t wei;
};
int lane_spending(struct lane *, struct lane_spending *out, struct err *);
void lane_put_spending(struct outbox_write *, const struct lane_spending *);

/* ---- watch.c */
/* States of all batches that are not settled for good, from their slots at the three heads. */
/* *foreign: one on the chain is not this outbox's. */
int watch_batches(struct lane *, bool *foreign, struct err *);
/* The second that the contract put into the batch of this slot; false: none makes it the batch's hash. */
bool watch_find_time(const struct lane *, struct batch *, uint64_t not_before, const uint8_t slot[32]);
/* The lowest batch that is not on the chain; OL_ENOTFOUND. */
int watch_next(struct lane *, struct outbox_batch *out, struct err *);

/* ---- lane_claims.c */
struct claimed { /* what the claims of a batch come to */
    bool decided;          /* the figures below and batch->unsettled are those to submit */
    bool expected;         /* … when all claims in flight are accepted */
    wei_t accepted_wei;    /* paid for this batch */
    wei_t collected_wei;   /* the Escrow's figures for the node afterwards */
    uint8_t claims_hash[32];
};
/* Brings the batch's claims to the chain. */
int claims_step(struct lane *, struct outbox_batch *batch, struct claimed *out, struct err *);
/* What was paid for a batch that is the chain's last, by the accounts at the step's head. */
int claims_paid(struct lane *, struct outbox_batch *batch, struct claimed *out, struct err *);

/* ---- lane_submit.c */
int submit_step(struct lane *, struct outbox_batch *batch, const struct claimed *, struct err *);
/* The slot of the chain's last batch holds another hash than the outbox's newest submission of it: an earlier one that a
 * reorg made valid? It is computed again from what was paid and stored, if it hashes to the slot; else OL_ENOTFOUND. */
int submit_recover(struct lane *, struct outbox_batch *batch, const uint8_t slot[32], struct err *);
int finalise_step(struct lane *, struct err *);
int lane_trees(struct lane *, const struct outbox_batch *, struct outbox_batch *before, struct batch_trees *out,
               struct err *);

/* ---- lane_epoch.c */
/* Compares outbox and chain; opens an epoch where that is wanted. *ready: receipts of the open epoch may be settled.
 * foreign: a batch was seen on the chain that is not this outbox's. */
int epoch_step(struct lane *, bool idle, bool foreign, bool *ready, struct err *);

/* ---- lane_closing.c */
/* Closes a batch when it is time. */
int closing_step(struct lane *, struct err *);
/* How many of the receipts from `first` on (at most count) name rows that are all registered. */
int registered_receipts(struct lane *, uint64_t first, uint64_t count, uint64_t *out, struct err *);

/* ---- lane_publish.c */
/* Publishes prices of ours that the registry does not have. */
int publish_step(struct lane *, bool *sent, struct err *);

/* ---- lane_payout.c */
/* Reads the wish from the outbox; before the thread. */
int payout_load(struct lane *, struct err *);
/* Redirects the node's payouts where that was asked for and is not so on the chain. */
int payout_step(struct lane *, bool *sent, struct err *);

/* ---- lane_refund.c */
/* Gives one chunk of claims back where a refund is open. Failures are warnings. */
int refund_step(struct lane *, bool *sent, struct err *);

/* ---- settle_store.c: what the lane keeps beside the outbox's tables */
struct claim_row { /* one payer of one batch */
    struct claim claim;
    wei_t before_wei; /* the escrow's claimed when it was planned */
    uint32_t attempts;
};
struct claim_rows {
    struct claim_row *at; /* owned; by payer */
    size_t n;
};
void store_put_claim(struct outbox_write *, uint64_t batch, const struct claim_row *);
int store_claims(struct outbox *, uint64_t batch, struct claim_rows *out, struct err *);
void store_drop_claims(struct outbox_write *, uint64_t batch, const struct claim_rows *);
/* Credits of a batch, for the one after it, in the place of the pieces that are stored for it now. */
size_t store_credit_pieces(struct outbox *, uint64_t batch);
void store_put_credits(struct outbox_write *, uint64_t batch, const struct credit *, size_t n, size_t old_pieces);
int store_credits(struct outbox *, uint64_t batch, size_t n, struct credits *out, struct err *);
/* The proof that a batch's slot holds its hash, at the best head that has it: FOLDER/<number>.json. */
enum { TRUST_TEXT_BYTES = 16 };
struct stored_proof {
    char trust_level[TRUST_TEXT_BYTES];
    uint64_t block_number;
    uint8_t block_hash[HASH_BYTES];
    struct byte_string block_header;
    struct list account_proof, storage_proof; /* struct node_element */
};
extern const struct schema stored_proof_schema;
int load_proof(const char *folder, uint64_t batch, struct stored_proof *out, struct err *);
int store_proof(const char *folder, uint64_t batch, const struct light_head *, const struct light_proof *,
                struct err *);

#endif
