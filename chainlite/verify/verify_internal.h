/* Between verify.c and the checks of the settlement. */
#ifndef OPENLORA_VERIFY_INTERNAL_H
#define OPENLORA_VERIFY_INTERNAL_H

#include "chainlite/core/mpt.h"
#include "chainlite/verify/verify.h"

struct verification {
    const struct bundle *bundle;
    const struct chain_file *chain;
    const struct secp *secp;
    const uint8_t *settlement, *escrow; /* addresses, set by VERIFY_CHAIN */
    struct domains domains;             /* the same */
    struct verify_report *report;
    struct header header;        /* set by VERIFY_HEADER */
    struct mpt_account contract; /* set by VERIFY_ACCOUNT */
    uint8_t slot_value[32];      /* set by VERIFY_STORAGE */
};

/* What the receipt pays by its rows if it settles; the adapter's version decides, or the model's without one. */
int verification_parts(const struct verification *, struct part out[MAX_PARTS_PER_RECEIPT], int *n, struct err *);

/* 0, or an error whose message is the reason. */
int check_policy(struct verification *, struct err *);
int check_spans(struct verification *, struct err *);
int check_shares(struct verification *, struct err *);
int check_statement(struct verification *, struct err *);
int check_statement_signature(struct verification *, struct err *);
int check_position(struct verification *, struct err *);
int check_receipt_path(struct verification *, struct err *);
int check_postings(struct verification *, struct err *);
int check_header(struct verification *, struct err *);
int check_account(struct verification *, struct err *);
int check_storage(struct verification *, struct err *);
int check_batch(struct verification *, struct err *);

#endif
