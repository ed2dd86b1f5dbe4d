/* One request's bill, from the quote to the signed proof.
 *
 *   bill_open ──► bill_reserve ──► (the engine works) ──► bill_record ──► bill_close
 *    quote, limits   │ refused                               │ salts, hashes and a kept answer on disk,
 *                    ▼                                       ▼ then the receipt: chainlited checks and signs
 *                 bill_close ◄── bill_abandon: the reservation ends, nothing is billed
 *
 * When chainlited cannot be asked at an answer's end, what a stream delivered is recorded when it can (arrears.h).
 *
 * A bill belongs to its request; the callbacks come on chain_client's threads, once per call that returned 0. */
#ifndef OPENLORA_BILLING_BILL_H
#define OPENLORA_BILLING_BILL_H

#include "billing/bill_attribution.h"
#include "billing/billing.h"
#include "billing/idempotency.h"
#include "billing/payment.h"

enum caller_kind {
    CALLER_UNPAID,    /* says nothing of who pays: told what it would cost */
    CALLER_ANONYMOUS, /* served without a name; the operator's wallet pays */
    CALLER_KEY,
    CALLER_WALLET,    /* pays by voucher, or (reading) signed the request */
};

struct caller {
    enum caller_kind kind;
    char tenant[TENANT_BYTES]; /* the key's name; of wallets 0x and the signer's address in lower case */
    struct key key;            /* CALLER_KEY */
    struct payment payment;    /* CALLER_WALLET that pays; checked by payer_check */
    uint8_t wallet[ADDRESS_BYTES];
};

/* Why something is not served, ready for HTTP. */
struct refusal {
    int status; /* 0: none */
    const char *code, *param; /* static, or NULL */
    char message[320];
    bool payment;             /* 402: terms say what is missing */
    struct payment_terms terms;
};

struct bill_order {
    const struct caller *caller;
    const char *resource;                       /* path; static */
    const char *model_content, *adapter_content; /* 64 hex digits; adapter NULL: the base alone */
    const char *application;                    /* its name, or NULL */
    uint8_t body_hash[32];                      /* keccak of the request body */
    enum proof_kind kind;
    enum tier tier;
    uint32_t prompt_tokens, max_output_tokens;  /* over all choices */
};

struct bill_answer { /* what was delivered */
    enum proof_status status;
    uint32_t prompt_tokens, cached_tokens, output_tokens;
    uint32_t queue_ms, prefill_ms, decode_ms;
    double sum_logprob;          /* over the output tokens */
    const uint8_t *text_hashes;  /* (n × 32), borrowed during the call */
    int n_texts;
    const struct bill_attribution *attribution; /* NULL: none, policy 0; borrowed during the call */
    /* To be kept under the request's ticket; borrowed until `done`. NULL: nothing is kept. */
    const struct buf *before, *after;
    bool stream;
    bool shows_attribution;     /* usage.openlora lists the spans */
    bool awaits_gradients;      /* LEDGER_OPEN, until somebody has dealt with them */
    const struct buf *evidence; /* of the attribution, kept for audits; borrowed during the call. NULL: none */
};

struct bill;
/* refused: NULL, or why; lives during the call. */
typedef void (*bill_done)(void *user, const struct refusal *refused);

int bill_open(struct billing *, const struct bill_order *, struct bill **out, struct refusal *)
    __attribute__((warn_unused_result));
void bill_close(struct bill *);
/* The bill ends the ticket when it is closed. */
void bill_take_ticket(struct bill *, struct idempotency_ticket *);

int bill_reserve(struct bill *, bill_done, void *user, struct refusal *) __attribute__((warn_unused_result));
int bill_record(struct bill *, const struct bill_answer *, bill_done, void *user, struct refusal *)
    __attribute__((warn_unused_result));
/* Nothing is billed. A bill that is closed without a record is abandoned. */
void bill_abandon(struct bill *);

const uint8_t *bill_receipt_id(const struct bill *);
const uint8_t *bill_signature(const struct bill *); /* the proof's; after a record that was not refused */
const uint8_t *bill_payer(const struct bill *); /* after the reservation */
const uint8_t *bill_model_version(const struct bill *);
const uint8_t *bill_adapter_version(const struct bill *); /* 0: the base alone */
wei_t bill_max_fee(const struct bill *);
const char *bill_outcome(const struct bill *); /* usage.openlora as JSON; after a record that was not refused */
/* PAYMENT-RESPONSE of a bill that is paid by voucher; false: it is not. */
bool bill_payment_response(const struct bill *, struct buf *out);

/* A kept answer whose receipt is not settled yet: asks for it (again) and fills kept->outcome. The answer and `kept`
 * live until `done`. Without a reservation any more it is free: refused is NULL then too. */
int bill_resume(struct billing *, struct kept_answer *, bill_done, void *user, struct refusal *)
    __attribute__((warn_unused_result));

/* For billing.c and keeper.c: the record lane's work before its POST; ending a reservation whose bill is gone; asking again
 * for the receipts of what was delivered without. */
int bill_before_record(void *billing, void *const *bills, int n, struct err *);
void bill_end_reservation(struct billing *, const uint8_t receipt_id[32]);
void bill_hand_in(struct billing *);

/* Checks a payment against this node, chain and request and fills caller's tenant and wallet. */
int payer_check(struct billing *, const struct payment *, const uint8_t body_hash[32], struct caller *,
                struct refusal *) __attribute__((warn_unused_result));

/* Fills *r and returns −1. */
int refuse(struct refusal *r, int status, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
