/* The outbox's rows of attribution (docs/attribution.md): what openlorad said of a receipt, the statement that was signed
 * of it, who has a share where, and the sums behind the mean of a policy. As the rows of outbox.h, but with lists: what a
 * read fills in is released with schema_free and the row's schema. */
#ifndef OPENLORA_SETTLE_OUTBOX_ATTRIBUTION_H
#define OPENLORA_SETTLE_OUTBOX_ATTRIBUTION_H

#include "chainlite/settle/outbox.h"

/* Of a receipt whose proof has a policy; written with it. Gradients may come until its statement is signed. */
struct outbox_attribution {
    uint32_t answer_tokens, open_tokens;
    struct list spans; /* struct receipt_span; their root is the proof's */
    bool has_gradient;
    uint8_t query_hash[32];
    struct list gradient; /* struct gradient_units */
};
extern const struct schema outbox_attribution_schema;
void outbox_put_attribution(struct outbox_write *, uint64_t epoch, uint64_t sequence, const struct outbox_attribution *);
int outbox_attribution(struct outbox *, uint64_t epoch, uint64_t sequence, struct outbox_attribution *out, struct err *)
    __attribute__((warn_unused_result));

/* A statement, once signed, stands for good. Also the index of those who have a share in it. Schema:
 * signed_statement_schema. */
void outbox_put_statement(struct outbox_write *, const struct signed_statement *);
int outbox_statement(struct outbox *, uint64_t epoch, uint64_t sequence, struct signed_statement *out, struct err *)
    __attribute__((warn_unused_result));
bool outbox_has_statement(struct outbox *, uint64_t epoch, uint64_t sequence);
/* Of the receipts from `first` up to, without, `end`, upwards; `row` borrows. As outbox_receipts otherwise. */
typedef int (*outbox_statement_row)(void *user, const struct signed_statement *);
int outbox_statements(struct outbox *, uint64_t epoch, uint64_t first, uint64_t end, outbox_statement_row row,
                      void *user, struct err *) __attribute__((warn_unused_result));
/* Those in which the beneficiary has a share, newest first, strictly before (epoch, sequence), over epochs. */
int outbox_statements_of(struct outbox *, const uint8_t beneficiary[ADDRESS_BYTES], uint64_t epoch, uint64_t sequence,
                         uint64_t max, outbox_statement_row row, void *user, struct err *)
    __attribute__((warn_unused_result));

/* Over the statements of kind 2 of a policy in an epoch, by the batches that were closed so far. */
struct outbox_mean {
    uint64_t sum_open; /* Σ ⌊10⁹·U/T⌋ */
    struct list sums;  /* struct gradient_sum, strictly by beneficiary */
};
extern const struct schema outbox_mean_schema;
enum { OUTBOX_MAX_MEAN_SUMS = RECEIPT_MAX_SHARES };
void outbox_put_mean(struct outbox_write *, uint64_t epoch, const uint8_t policy[32], const struct outbox_mean *);
int outbox_mean(struct outbox *, uint64_t epoch, const uint8_t policy[32], struct outbox_mean *out, struct err *)
    __attribute__((warn_unused_result));

#endif
