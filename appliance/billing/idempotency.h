/* Idempotency-Key: a request that is sent again gets the answer it had, and is billed once.
 *
 * The scope of a key is (tenant, key); the request's hash (path and body) must be the same. While the first is being
 * answered others are told so; a finished answer is kept in the ledger (bill.h writes it before it asks for the
 * receipt). Which requests are in flight is only in memory: a crash ends them. */
#ifndef OPENLORA_BILLING_IDEMPOTENCY_H
#define OPENLORA_BILLING_IDEMPOTENCY_H

#include "billing/billing.h"

enum { IDEMPOTENCY_KEY_BYTES = 256 };

enum idempotency_state {
    IDEMPOTENCY_NEW,       /* ours to answer: *ticket */
    IDEMPOTENCY_IN_FLIGHT, /* being answered now */
    IDEMPOTENCY_CONFLICT,  /* the key belongs to another request */
    IDEMPOTENCY_FINISHED,  /* *kept */
    IDEMPOTENCY_FULL,      /* as many answers are kept as may be */
    IDEMPOTENCY_FAILED,    /* the ledger cannot be read: *e */
};

struct idempotency_ticket {
    uint8_t scope[LEDGER_KEY_BYTES], request[32];
    struct idempotency *of;
    struct idempotency_ticket *next;
};

struct kept_answer {
    uint8_t scope[LEDGER_KEY_BYTES];
    json_t *answer;             /* LEDGER_ANSWER */
    struct buf before, after;   /* bytes around usage.openlora */
    struct buf outcome;         /* usage.openlora; empty: its receipt was not settled when we stopped */
};

int idempotency_open(struct billing *, struct idempotency **out, struct err *) __attribute__((warn_unused_result));
void idempotency_close(struct idempotency *);

enum idempotency_state idempotency_begin(struct idempotency *, const char *tenant, const char *key,
                                         const uint8_t request[32], struct idempotency_ticket **ticket,
                                         struct kept_answer *kept, struct err *);
void idempotency_end(struct idempotency_ticket *); /* NULL is fine */
void kept_answer_deinit(struct kept_answer *);

#endif
