/* One question to chainlited and its answer, over its Unix socket. Each thread has an exchange of its own, which keeps the
 * connection. */
#ifndef OPENLORA_BILLING_CHAIN_EXCHANGE_H
#define OPENLORA_BILLING_CHAIN_EXCHANGE_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

struct chain_exchange;

/* socket is borrowed until close. NULL without memory. */
struct chain_exchange *chain_exchange_open(const char *socket, int timeout_ms);
void chain_exchange_close(struct chain_exchange *); /* NULL is fine */

/* 0 and *answer (owned; NULL for a body that is no JSON) with any status, or OL_EIO: nobody answers. body may be NULL.
 * bytes: the body of a 200 is not read but given as one JSON string (chain_query_bytes). */
int chain_exchange(struct chain_exchange *, const char *method, const char *path, const char *body, bool bytes,
                   int *status, json_t **answer, struct err *) __attribute__((warn_unused_result));

#endif
