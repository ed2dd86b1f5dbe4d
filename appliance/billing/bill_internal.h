/* A bill as its own files see it. */
#ifndef OPENLORA_BILLING_BILL_INTERNAL_H
#define OPENLORA_BILLING_BILL_INTERNAL_H

#include "billing/bill.h"
#include "chainlite/json/values.h"

struct bill {
    struct billing *billing;
    struct catalog *catalog;    /* a reference */
    uint8_t receipt_id[32], salt[32], body_hash[32], request_hash[32], application[32];
    struct caller caller;
    enum proof_kind kind;
    enum tier tier;
    uint8_t model_version[32], adapter_version[32];
    struct catalogued_price price;
    const char *resource;
    uint32_t prompt_tokens, max_output_tokens;
    wei_t max_fee_wei;
    uint8_t payer[ADDRESS_BYTES]; /* after the reservation */
    int64_t start_ms;             /* Unix */
    struct idempotency_ticket *ticket;
    bool limited;                 /* max_fee_wei is reserved in the key's sums */
    bool reserved;                /* at chainlited, and not recorded */
    bool on_disk;                 /* salts, hashes and the kept answer are */
    bool owed;                    /* a stream's: recorded late rather than not at all (arrears.h) */
    bool resumed;                 /* asked for again, by who comes back or by us: everything else is on disk */

    wei_t fee_wei;                /* by our own count, from bill_record on */
    json_t *record, *extras;      /* what chainlited and the ledger get */
    uint8_t signature[SIGNATURE_BYTES]; /* of the proof; 0 until then */
    bool shows_attribution, awaits_gradients;
    char *evidence;               /* owned JSON, or NULL */
    const struct buf *before, *after;
    char *outcome;                /* owned */
    struct kept_answer *kept;     /* of who comes back; borrowed */

    bill_done done;               /* of the call in progress */
    void *user;
};

/* chainlited's or the transport's no, for the client. */
void refuse_unavailable(struct billing *, struct refusal *, const struct err *why);
void refuse_as_told(struct bill *, const json_t *result, struct refusal *);

/* bill_record.c: the answer to a record of any kind. */
void bill_on_recorded(void *bill, int rc, int status, const json_t *result, const struct err *why);

#endif
