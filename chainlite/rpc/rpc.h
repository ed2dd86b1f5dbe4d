/* One chain, asked through several JSON-RPC endpoints that are not trusted.
 *
 * - A question goes to all endpoints at once; every failure has a name (enum rpc_fault) and is kept with its endpoint.
 * - The chain id is checked on an endpoint before its first answer counts and again after each new connection.
 * - An endpoint that failed three times running, or that was caught lying, is passed over for a minute as long as
 *   enough others are left; after 429 it is left alone for as long as it asked.
 * - URLs may carry credentials: messages and logs name an endpoint as scheme://host:port and nothing more.
 * - Errors: OL_EIO when too few endpoints answered or agreed (try again later), OL_EFORMAT when what they said is
 *   false, OL_ECANCELLED after rpc_cancel.
 *
 * Threads: a struct rpc belongs to one thread at a time. Threads that ask at the same time each open their own; they
 * share nothing. Only rpc_cancel may be called from another thread. The program calls curl_global_init first. */
#ifndef OPENLORA_RPC_RPC_H
#define OPENLORA_RPC_RPC_H

#include "base/err.h"
#include "chainlite/core/header.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RPC_MAX_ENDPOINTS = 8, RPC_NAME_BYTES = 96, RPC_MESSAGE_BYTES = 160, RPC_DATA_BYTES = 140 };

enum rpc_fault {
    RPC_FINE,         /* the answer stands */
    RPC_NOT_ASKED,    /* paused, or left out on purpose */
    RPC_CONNECTION,   /* refused, reset, closed, no such host, TLS */
    RPC_TIMEOUT,
    RPC_RATE_LIMITED, /* 429, or 503 with Retry-After */
    RPC_HTTP,         /* another status than 200 */
    RPC_TRUNCATED,    /* the answer ends in the middle */
    RPC_TOO_LARGE,    /* over max_answer_bytes */
    RPC_NOT_JSON,     /* a page of HTML, say */
    RPC_MALFORMED,    /* JSON, but not an answer to this question */
    RPC_WRONG_ID,     /* an answer to another question */
    RPC_REFUSED,      /* a JSON-RPC error: code, message, data */
    RPC_WRONG_CHAIN,
    RPC_STALE,        /* its head is older than max_head_age_s */
    RPC_BEHIND,       /* its head is more than max_head_lag blocks behind the best */
    RPC_DISAGREES,    /* another block hash at the same height than the quorum */
    RPC_BAD_HEADER,   /* a header that does not hash to the agreed hash, or breaks the fork's rules */
    RPC_BAD_PROOF,    /* a proof that does not lead to the state root */
    RPC_FAULT_COUNT
};

const char *rpc_fault_name(enum rpc_fault); /* "fine", "not_asked", "connection", "timeout", … */

struct rpc_config {
    const char *const *urls; /* http or https; borrowed only by rpc_open; two equal URLs are refused */
    size_t n_urls;
    unsigned quorum; /* k: 1…n_urls */
    uint64_t chain_id;
    uint64_t max_head_age_s; /* 0: not checked (a chain that mines on demand) */
    uint64_t max_head_lag;   /* blocks */
    uint32_t connect_timeout_ms, timeout_ms; /* 0: 3,000 and 10,000 */
    size_t max_answer_bytes;                 /* 0: 8 MiB */
    struct header_rules rules;
};

struct rpc;

/* Asks nothing yet. */
int rpc_open(const struct rpc_config *, struct rpc **out, struct err *) __attribute__((warn_unused_result));
void rpc_close(struct rpc *);
/* The question in progress and all later ones end with OL_ECANCELLED. Any thread. */
void rpc_cancel(struct rpc *);

/* Asks every endpoint for its chain id now. OL_EINVAL: a wrong chain (the configuration is wrong); OL_EIO: fewer than k
 * are on the right chain. */
int rpc_check(struct rpc *, struct err *) __attribute__((warn_unused_result));

struct rpc_status { /* of one endpoint */
    char name[RPC_NAME_BYTES]; /* redacted */
    bool chain_checked, paused;
    uint32_t failures; /* running */
    uint64_t asked, failed;
    uint32_t latency_ms; /* smoothed; 0: never answered */
    uint64_t head;       /* its newest head as last told; 0: never asked */
    enum rpc_fault last_fault;
    char last_message[RPC_MESSAGE_BYTES];
};

size_t rpc_count(const struct rpc *);
void rpc_status(const struct rpc *, size_t endpoint, struct rpc_status *out);

struct rpc_answer {
    enum rpc_fault fault;
    json_t *result; /* with RPC_FINE; owned by the answer; may be JSON null */
    int64_t code;   /* with RPC_REFUSED: the JSON-RPC error's */
    char message[RPC_MESSAGE_BYTES];
    char data[RPC_DATA_BYTES]; /* with RPC_REFUSED: the beginning of the error's data ("0x" revert bytes), or "" */
};

struct rpc_answers {
    struct rpc_answer of[RPC_MAX_ENDPOINTS]; /* by endpoint */
    size_t n;
};

void rpc_answers_deinit(struct rpc_answers *);

/* The same question to every endpoint in parallel (params: an array, borrowed). 0 when at least one answered,
 * RPC_REFUSED counting as an answer; *out is always set. */
int rpc_ask(struct rpc *, const char *method, json_t *params, struct rpc_answers *out, struct err *)
    __attribute__((warn_unused_result));
/* Endpoint after endpoint, healthiest first, until `take` returns RPC_FINE; another fault is counted against that
 * endpoint (message: why, at most RPC_MESSAGE_BYTES) and the next one is asked. The error names what each one did. */
int rpc_ask_until(struct rpc *, const char *method, json_t *params,
                  enum rpc_fault (*take)(void *user, size_t endpoint, const json_t *result, char *message), void *user,
                  struct err *) __attribute__((warn_unused_result));
/* k equal results: *result is a new reference. For short answers that do not move with the head. */
int rpc_agree(struct rpc *, const char *method, json_t *params, json_t **result, struct err *)
    __attribute__((warn_unused_result));

#endif
