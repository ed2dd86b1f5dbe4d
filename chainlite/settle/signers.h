/* Work shared between cores: signing is most of what a POST of many receipts costs, and its receipts are independent.
 * The caller takes part, so it gets on without helpers, too, and several callers share the helpers. */
#ifndef OPENLORA_SETTLE_SIGNERS_H
#define OPENLORA_SETTLE_SIGNERS_H

#include "base/err.h"

#include <stddef.h>

struct signers;

/* One helper for each core but one, at most 7; fewer where threads cannot be had. NULL: no memory. */
struct signers *signers_open(void);
void signers_close(struct signers *); /* nothing may be running */
/* Calls one(user, i) for each i below n, in any order, on several threads; returns when all are done. `one` must not
 * block. */
void signers_run(struct signers *, size_t n, void (*one)(void *user, size_t i), void *user);

#endif
