/* Reservations and receipts (docs/protocol.md §9): what the node promises, what it signs, in which order.
 *
 *   reserve ──► open ──record──► signed proof, for good
 *                 └──end, or grown old──► nothing was charged
 *
 * Reservations outlive this process, so that an answer that ends while it is away is billed when it is back; openlorad
 * ends at its own start those that it knows nothing of.
 *
 * Nothing that openlorad says is believed that can be checked here: the price comes from the catalog, the fee from the
 * tokens and the price, tokens are bounded by the reservation, the voucher's signature and the escrow's balance by the
 * chain. For one payer always: cumulative + reserved ≤ the ceilings that were signed, and − claimed ≤ the proven balance.
 *
 * Sequences are given in the order of the outbox's writes, so a crash leaves no gap; an answer is given only after the
 * disk has it. State in memory follows from the outbox: after a failed write it is read again.
 *
 * Threads: all functions from any thread. */
#ifndef OPENLORA_SETTLE_RECORDER_H
#define OPENLORA_SETTLE_RECORDER_H

#include "chainlite/json/catalog.h"
#include "chainlite/settle/keystore.h"
#include "chainlite/settle/outbox.h"

struct escrow_account { /* one payer's with this node, as proven from the chain */
    wei_t balance_wei, claimed_wei;
    wei_t thaw_wei;  /* announced withdrawal; 0: none */
    int64_t age_ms;  /* since it was proven */
};

/* What the recorder needs of the chain. Called without locks held; may ask the network. Any thread. */
struct chain_view {
    void *user;
    /* OL_EIO: it cannot be had and was never known. */
    int (*account)(void *user, const uint8_t payer[ADDRESS_BYTES], struct escrow_account *out, struct err *);
    /* May `signer` sign for `payer` now? */
    int (*signer)(void *user, const uint8_t payer[ADDRESS_BYTES], const uint8_t signer[ADDRESS_BYTES], bool *out,
                  struct err *);
    int (*registered)(void *user, const uint8_t id[32], bool *out, struct err *);
    int (*now_ms)(void *user, int64_t *out, struct err *); /* the chain's time, Unix */
    int (*epoch)(void *user, uint64_t *out, struct err *); /* to sign in; OL_EBUSY: nothing may be signed now */
};

struct recorder_config {
    uint64_t chain_id;
    uint8_t settlement[ADDRESS_BYTES], escrow[ADDRESS_BYTES];
    const struct chain_view *view; /* NULL: no chain; receipts wait in the outbox. Borrowed */
    wei_t max_exposure_wei;        /* per payer: unclaimed + reserved without a proof younger than max_age_ms */
    wei_t tenant_daily_cap_wei;    /* per tenant whom a wallet of ours pays for, and UTC day; 0: none */
    int64_t max_age_ms;            /* of an account's proof */
};

struct recorder;

/* The outbox must be this deployment's and this key's (OL_EINVAL). All borrowed. */
int recorder_open(const struct recorder_config *, struct outbox *, const struct keystore *, struct recorder **out,
                  struct err *) __attribute__((warn_unused_result));
void recorder_close(struct recorder *);

/* Takes the catalog (moved out of *catalog). */
void recorder_set_catalog(struct recorder *, struct chain_catalog *catalog);
/* Held while it is read. */
const struct chain_catalog *recorder_catalog_lock(struct recorder *);
void recorder_catalog_unlock(struct recorder *);

enum { RECORDER_MAX_ITEMS = 256, RECORDER_MESSAGE_BYTES = 200 };

struct reserve_request {
    uint8_t receipt_id[32];
    char tenant[OUTBOX_TENANT_BYTES];
    uint8_t caller[32];
    bool has_voucher;
    struct signed_voucher voucher;
    bool has_payer;
    struct { uint8_t at[ADDRESS_BYTES]; } payer; /* without a voucher: a wallet that we hold */
    uint8_t model_version[32], adapter_version[32];
    uint8_t tier;
    uint32_t prompt_tokens, max_output_tokens;
    uint8_t request_hash[32];
};

struct reserve_result {
    const char *code; /* NULL: reserved; else a refusal code of docs/protocol.md §9, static */
    char message[RECORDER_MESSAGE_BYTES];
    uint8_t price_id[32], split_id[32], payer[ADDRESS_BYTES];
    wei_t max_fee_wei, cumulative_wei;                  /* cumulative: of the payer's last receipt */
    wei_t needed_wei, available_wei, ceiling_needed_wei; /* of a refusal about money, else 0 */
};

/* The refusal code that every reservation would get now, with the reason in *why; NULL: none. The other two are then the
 * chain's time and the epoch to promise in. */
const char *recorder_refusal(struct recorder *, int64_t *now_ms, uint64_t *epoch, struct err *why);

/* 0: every item has its result, and what was reserved is on disk. Otherwise nothing was reserved. n ≤ RECORDER_MAX_ITEMS. */
int recorder_reserve(struct recorder *, const struct reserve_request *, struct reserve_result *, size_t n, struct err *)
    __attribute__((warn_unused_result));

struct record_attribution { /* what openlorad found of an answer (docs/attribution.md §2) */
    uint8_t policy[32];
    uint32_t answer_tokens, open_tokens;
    struct list spans; /* struct receipt_span */
};

struct record_request {
    uint8_t receipt_id[32];
    uint8_t status, kind;
    uint8_t numerics[32], response_hash[32];
    uint64_t start_time_ms;
    uint32_t queue_ms, prefill_ms, decode_ms;
    uint32_t prompt_tokens, cached_tokens, output_tokens;
    int32_t mean_logprob_micro;
    bool has_attribution; /* false: policy 0 */
    struct record_attribution attribution;
};

struct record_result {
    const char *code; /* NULL: signed */
    char message[RECORDER_MESSAGE_BYTES];
    struct proof proof;
    uint8_t signature[SIGNATURE_BYTES];
};

/* As recorder_reserve. OL_EBUSY: the chain view names no epoch to sign in, or cannot say whether a policy is registered:
 * later. */
int recorder_record(struct recorder *, const struct record_request *, struct record_result *, size_t n, struct err *)
    __attribute__((warn_unused_result));

/* Ends a reservation without a charge. OL_ENOTFOUND: none is open; OL_EEXIST: it was recorded already. */
int recorder_end(struct recorder *, const uint8_t receipt_id[32], struct err *) __attribute__((warn_unused_result));
/* Ends those made before this time of the chain's clock: their openlorad is gone. */
int recorder_end_before(struct recorder *, uint64_t time_ms, struct err *) __attribute__((warn_unused_result));

struct recorder_status {
    uint64_t epoch, next_sequence;
    size_t open_reservations;
};
void recorder_status(struct recorder *, struct recorder_status *out);

struct payer_status {
    struct outbox_payer row;
    wei_t reserved_wei;
    bool has_account;
    struct escrow_account account;
};
int recorder_payer(struct recorder *, const uint8_t payer[ADDRESS_BYTES], struct payer_status *out, struct err *)
    __attribute__((warn_unused_result));

#endif
