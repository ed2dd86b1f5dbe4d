/* One statement from what is known of its receipt, and the sums behind a mean; see statements.h. Without I/O. */
#ifndef OPENLORA_SETTLE_STATEMENT_MAKE_H
#define OPENLORA_SETTLE_STATEMENT_MAKE_H

#include "chainlite/settle/outbox_attribution.h"

/* mean: of the policy over earlier batches; NULL: it has none. out: all but the signature, shares owned. Without its own
 * gradients and with a mean the kind is 3; when that would be more beneficiaries than may share, spans alone. */
int statement_make(const struct proof *, const struct outbox_attribution *, const struct outbox_mean *mean,
                   struct signed_statement *out, struct err *) __attribute__((warn_unused_result));

/* The sums with this receipt's own gradients. OL_ELIMIT: more beneficiaries than a mean may have; it is unchanged. */
int mean_add(struct outbox_mean *, const struct outbox_attribution *, struct err *) __attribute__((warn_unused_result));

#endif
