/* Client of chainlited: HTTP over its Unix socket (docs/protocol.md §9), on threads of its own.
 *
 *   any thread ──chain_reserve, …_record, …_statement, …_query──► lane's queue ──► lane's thread ──POST──► chainlited
 *                                              done(user, …) ◄──────────────────┘
 *
 * Four lanes, so that no kind of work waits behind another: reservations, records and statements go in groups of what
 * waits, at most 256 per POST; queries one by one on two threads. A reservation is tried once: a chainlited that is
 * away refuses it at once. A record is tried again until record_s have passed, because repeating it is harmless and
 * giving up costs the answer; so is a statement, where giving up costs a share. `done` is called exactly once for every
 * accepted job, on the lane's thread, without a lock held; it must not block. */
#ifndef OPENLORA_BILLING_CHAIN_CLIENT_H
#define OPENLORA_BILLING_CHAIN_CLIENT_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

struct chain_client;

/* rc 0: `answer` lives during the call. Of a reservation or record it is the item's own result; of a query the body,
 * of whatever status (0 < status). Otherwise why: OL_EIO chainlited is away or broken, OL_ECANCELLED we stop. */
typedef void (*chain_done)(void *user, int rc, int status, const json_t *answer, const struct err *why);

struct chain_config { /* zero = the default in brackets */
    const char *socket;  /* path; borrowed until close */
    int timeout_ms;      /* of one exchange [10,000] */
    int record_s;        /* how long a record is tried [30] */
    /* Runs on the record lane before each POST with the users of its jobs: what has to be on disk first. */
    int (*before_record)(void *ctx, void *const *users, int n, struct err *);
    void *ctx;
};

int chain_client_open(const struct chain_config *, struct chain_client **out, struct err *)
    __attribute__((warn_unused_result));
/* Fails what waits with OL_ECANCELLED and ends the threads; later jobs are refused. */
void chain_client_stop(struct chain_client *);
void chain_client_close(struct chain_client *);

/* The item is taken, even on failure (OL_EBUSY: the queue is full; OL_ECANCELLED). */
int chain_reserve(struct chain_client *, json_t *item, chain_done, void *user, struct err *)
    __attribute__((warn_unused_result));
int chain_record(struct chain_client *, json_t *item, chain_done, void *user, struct err *)
    __attribute__((warn_unused_result));
/* An answer's gradient units, as bill_gradients_json makes them; the result's code says if they came too late. */
int chain_statement(struct chain_client *, json_t *item, chain_done, void *user, struct err *)
    __attribute__((warn_unused_result));
/* path with its query, such as "/v1/contributors/0x…?limit=50". `done` may be NULL: nobody wants the answer. */
int chain_query(struct chain_client *, const char *method, const char *path, chain_done, void *user, struct err *)
    __attribute__((warn_unused_result));
/* GET of what is handed on unread: the body of a 200 comes as one JSON string of its bytes, UTF-8 or not. */
int chain_query_bytes(struct chain_client *, const char *path, chain_done, void *user, struct err *)
    __attribute__((warn_unused_result));

#endif
