/* Sending transactions and what one asks the chain before and after it. Everything read here is a hint: fees, nonces,
 * gas and receipts steer the sending, but whether something happened is read from storage with light.h.
 * Threads: as struct rpc. */
#ifndef OPENLORA_RPC_SENDER_H
#define OPENLORA_RPC_SENDER_H

#include "chainlite/rpc/light.h"

/* What an endpoint said to a raw transaction, in the order of what it tells: the first that applies to any endpoint is
 * the outcome of a fan-out. */
enum send_class {
    SEND_ACCEPTED,                /* it returned our hash */
    SEND_KNOWN,                   /* this very transaction is in its pool or on its chain */
    SEND_REPLACEMENT_UNDERPRICED, /* another one holds the nonce and ours does not pay enough more */
    SEND_NONCE_LOW,               /* the nonce is used: mined, by this or by another variant */
    SEND_UNDERPRICED,             /* below the pool's minimum, or fee cap below the base fee */
    SEND_NONCE_HIGH,              /* a gap before this nonce */
    SEND_NO_FUNDS,                /* cannot pay value + gas limit · fee cap */
    SEND_GAS_LIMIT,               /* gas limit below the intrinsic or above the block's */
    SEND_FEE_LIMIT,               /* above the endpoint's own fee ceiling, or tip above fee cap */
    SEND_POOL_FULL,               /* pool or account limits: try later or elsewhere */
    SEND_INVALID,                 /* never acceptable: wrong chain id, bad signature, type, size */
    SEND_OTHER,                   /* an error this table does not know */
    SEND_UNANSWERED,              /* no answer: it may have arrived all the same */
    SEND_CLASS_COUNT
};

const char *send_class_name(enum send_class); /* "accepted", "known", … */
/* By the wordings of geth, op-geth, reth, Erigon, Besu, Nethermind and anvil; any case. */
enum send_class send_classify(int64_t code, const char *message);

struct send_result {
    enum send_class outcome;
    unsigned accepted; /* endpoints that took it or have it */
    bool uncertain;    /* an endpoint did not answer: it may have it */
    struct {
        enum send_class outcome;
        char message[RPC_MESSAGE_BYTES]; /* the endpoint's words */
    } of[RPC_MAX_ENDPOINTS];             /* by endpoint; those not asked are SEND_UNANSWERED without `uncertain` */
    size_t n;
};

/* Sends the same signed transaction to every endpoint. 0 when at least one answered: see outcome. OL_EIO: none did (it
 * may have arrived: keep it, ask again). *out is always set. An acceptance with another hash than ours is malformed. */
int sender_send(struct rpc *, const uint8_t *raw, size_t len, struct send_result *out, struct err *)
    __attribute__((warn_unused_result));

struct sender_nonce {
    uint64_t latest, pending; /* the highest of what the endpoints say: a lagging one resets nothing */
    uint64_t pending_agreed;  /* the highest that at least k of them reach: a lying one advances nothing */
};
int sender_nonce(struct rpc *, const uint8_t address[ADDRESS_BYTES], struct sender_nonce *out, struct err *)
    __attribute__((warn_unused_result));

struct fee_caps {
    wei_t max_tip_wei, max_fee_wei; /* per gas */
    wei_t min_tip_wei;
};
struct fee_suggestion {
    wei_t base_fee_wei; /* of the verified head */
    wei_t tip_wei;      /* median of the endpoints' answers, within the caps */
    wei_t fee_cap_wei;  /* tip + 2 · base fee, at most max_fee_wei */
};
/* OL_ELIMIT: base fee + tip exceed max_fee_wei now: waiting is the only way. No answer about tips: min_tip_wei. */
int sender_fees(struct rpc *, const struct light_head *, const struct fee_caps *, struct fee_suggestion *out,
                struct err *) __attribute__((warn_unused_result));

struct sender_call {
    uint8_t from[ADDRESS_BYTES], to[ADDRESS_BYTES];
    bool create; /* no `to` */
    wei_t value_wei;
    const uint8_t *data; /* borrowed */
    size_t data_len;
};
struct gas_estimate {
    uint64_t gas;      /* median of the endpoints' estimates with `margin_percent` on top, floor ≤ gas ≤ ceiling */
    uint64_t floor;    /* what the calldata alone costs (EIP-7623, intrinsic gas) */
    bool reverts;      /* endpoints say that the call would revert; `why` has their words */
    char why[RPC_MESSAGE_BYTES];
    char revert_data[RPC_DATA_BYTES]; /* "0x…" beginning of it, or "" */
};
/* 0 also when it would revert (out->reverts, gas = 0). OL_ELIMIT: the floor or every estimate is above the ceiling.
 * OL_EIO: nobody could say; the caller may use its own bound. */
int sender_estimate_gas(struct rpc *, const struct sender_call *, unsigned margin_percent, uint64_t ceiling,
                        struct gas_estimate *out, struct err *) __attribute__((warn_unused_result));
/* Gas that a transaction with this calldata costs at least: intrinsic or EIP-7623 floor, whichever is more. */
uint64_t gas_floor(const uint8_t *data, size_t len, bool create);

enum tx_where { TX_UNKNOWN, TX_PENDING, TX_MINED };

struct tx_receipt { /* a hint; success is a storage proof */
    enum tx_where where;
    uint8_t block_hash[HASH_BYTES]; /* from here on with TX_MINED only */
    uint64_t block_number;
    bool succeeded;
    uint64_t gas_used;
    wei_t effective_gas_price_wei;
    bool has_l1_fee;
    wei_t l1_fee_wei; /* OP stack: what L1 data cost on top of gas_used · effective price */
    bool has_contract;
    uint8_t contract[ADDRESS_BYTES]; /* created by it */
    unsigned endpoints;              /* that say so */
};
/* MINED, with the block that most endpoints name (then the higher one), before PENDING before UNKNOWN. */
int sender_receipt(struct rpc *, const uint8_t hash[HASH_BYTES], struct tx_receipt *out, struct err *)
    __attribute__((warn_unused_result));

#endif
