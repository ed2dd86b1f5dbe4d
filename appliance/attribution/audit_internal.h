/* Between the parts of an audit (audit.h). A check that cannot be made says so in the subject; the functions here fail
 * only when the audit cannot go on. */
#ifndef OPENLORA_ATTRIBUTION_AUDIT_INTERNAL_H
#define OPENLORA_ATTRIBUTION_AUDIT_INTERNAL_H

#include "attribution/audit.h"

/* Sets the outcome with its reason. */
void audit_set(struct audit_subject *, enum audit_check, enum audit_outcome, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Agreed when rc is 0, else differs with the error's message. */
void audit_take(struct audit_subject *, enum audit_check, int rc, const struct err *);

/* One receipt and what there is about it; NULL where there is nothing. */
struct audited {
    struct audit *audit;
    struct audit_subject *subject;
    const struct proof *proof;
    const uint8_t *signature;
    const struct audit_body *body, *next; /* next: the node's next body of the epoch */
    bool last_of_epoch;                   /* the body after it is of another epoch: no statement comes */
    size_t index;                         /* of the receipt in body */
    const struct audit_bundle *bundle;
    struct signed_statement statement; /* lists are borrowed */
    bool has_statement;
    const struct row_version *policy_row;
    const struct policy *policy;
    const struct evidence *evidence;
};

/* The sums behind a mean, over the bodies before `of`. */
struct audit_mean {
    const struct audit_body *of;
    uint8_t policy[32];
    struct gradient_sum sums[RECEIPT_MAX_SHARES];
    size_t n;
    uint64_t sum_open;
    bool any, complete; /* there was a statement of kind 2; all of the epoch's bodies are there */
    bool broken;        /* by a statement that no rule allows */
};

/* Room for what follows from the most spans and shares; one allocation per audit. */
struct audit_room {
    struct share shares[RECEIPT_MAX_SHARES + 1];
    struct division division[RECEIPT_MAX_SHARES + 1];
    struct gradient_units units[RECEIPT_MAX_SHARES + 1];
    struct gradient_sum sums[2 * RECEIPT_MAX_SHARES];
    struct audit_mean mean;
    struct sumnode nodes[RECEIPT_MAX_SPANS];
    struct posting postings[RECEIPT_MAX_SHARES + 2];
};

bool audit_is_zero(const uint8_t hash[32]);
/* 0x and the first hexadecimal digits; out: 12 characters. */
const char *audit_short(const uint8_t *bytes, char out[12]);

void audit_body_checks(struct audit *, const struct audit_body *, struct audit_subject *);
/* The body before this one of the node's epoch, or after it; NULL: not given. */
const struct audit_body *audit_body_before(const struct audit *, const struct audit_body *);
const struct audit_body *audit_body_after(const struct audit *, const struct audit_body *, bool *other_epoch);

void audit_public(struct audited *, struct audit_room *);
void audit_mean(struct audited *, struct audit_room *); /* of the statement, which is there */
void audit_postings(struct audited *, struct audit_room *);

/* The receipt was drawn and there is a policy's folder. */
int audit_evidence(struct audited *, struct audit_room *, struct err *) __attribute__((warn_unused_result));
void audit_answer(struct audited *);
int audit_query(struct audited *, struct err *) __attribute__((warn_unused_result));

int audit_policy_checks(struct audit *, const struct audit_policy *, const char *scratch, struct audit_subject *,
                        struct err *) __attribute__((warn_unused_result));
/* The canonical pass with the adapter, opened once for the longest sequence asked for. OL_ENOTFOUND: model or adapter
 * are missing, or others than `adapter_version` (its row; NULL: not known) names. */
int audit_model_lora(struct audit *, const struct row_version *adapter, const struct row_version *model, int32_t rows,
                     struct lora_model **out, struct err *) __attribute__((warn_unused_result));
double audit_cosine(const int16_t *a, const int16_t *b, size_t n); /* of two zero vectors 1, of one of them 0 */
/* A version's row by its id: in a list, and from bodies and bundles; NULL: none has it. A body has all of its own. */
const struct row_version *audit_row_in(const struct list *rows, const uint8_t id[32]);
const struct row_version *audit_row(const struct audit *, const uint8_t id[32]);

#endif
