/* Inside struct rpc, for the files of this library. */
#ifndef OPENLORA_RPC_INTERNAL_H
#define OPENLORA_RPC_INTERNAL_H

#include "chainlite/rpc/endpoint.h"

#include <stdatomic.h>

struct rpc {
    struct rpc_config config; /* urls is not kept */
    struct endpoint of[RPC_MAX_ENDPOINTS];
    size_t n;
    CURLM *multi; /* keeps the connections */
    atomic_bool cancelled;
};


/* Sets of endpoints are bit masks. */
static inline bool set_has(unsigned set, size_t i) { return set >> i & 1; }

/* One exchange with each endpoint of the set, in parallel; answers of the others are left alone. Once k have answered
 * the rest get as long again, at least half a second. Counts nothing. */
int exchange(struct rpc *, unsigned set, const char *method, const char *params, struct rpc_answer *answers,
             struct err *);

/* The endpoints to ask now: not rate-limited, not paused unless fewer than k would be left. */
unsigned rpc_available(const struct rpc *);
/* Their order for asking one after another: not paused, fewest failures, fastest first; returns how many. */
size_t rpc_order(const struct rpc *, size_t order[RPC_MAX_ENDPOINTS]);
/* rpc_ask of these endpoints only; the others' answers are RPC_NOT_ASKED. 0 also when nobody answered. */
int rpc_ask_set(struct rpc *, unsigned set, const char *method, json_t *params, struct rpc_answers *out, struct err *);
int rpc_ask_one(struct rpc *, size_t endpoint, const char *method, json_t *params, struct rpc_answer *out,
                struct err *);
/* An answer turned out to be false: counts it and replaces it by the fault. */
void rpc_blame(struct rpc *, size_t endpoint, struct rpc_answer *, enum rpc_fault, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* "what: NAME: fault; NAME: fault", with the messages as far as there is room. Returns code. */
int rpc_explain(const struct rpc *, const struct rpc_answers *, int code, struct err *, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
