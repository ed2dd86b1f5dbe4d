/* What API keys have spent and may still spend: limits of the key file against durable sums and open reservations.
 *
 *   spend_reserve ──► spend_record (before the receipt is asked for, in the write that holds the salts)
 *        └─► spend_release (nothing was billed)             └─► spend_refund (no receipt came of it)
 *
 * A crash may leave a sum too high by what was being recorded, never too low. */
#ifndef OPENLORA_BILLING_SPEND_H
#define OPENLORA_BILLING_SPEND_H

#include "billing/keys.h"
#include "billing/ledger.h"

struct spend;

struct spend_sums {
    wei_t total_wei, day_wei, reserved_wei; /* day: of this UTC day; reserved: not in the others */
};

int spend_open(struct ledger *, struct spend **out, struct err *) __attribute__((warn_unused_result));
void spend_close(struct spend *);

/* OL_ELIMIT: the key's limit has no room for it; *left_wei says how much there is. */
int spend_reserve(struct spend *, const struct key *, wei_t most_wei, int64_t now_s, wei_t *left_wei, struct err *)
    __attribute__((warn_unused_result));
void spend_release(struct spend *, const char *key_id, wei_t most_wei);
void spend_record(struct spend *, const char *key_id, wei_t most_wei, wei_t fee_wei, int64_t now_s,
                  struct ledger_write *);
void spend_refund(struct spend *, const char *key_id, wei_t fee_wei, int64_t now_s);
struct spend_sums spend_sums(struct spend *, const char *key_id, int64_t now_s);

#endif
