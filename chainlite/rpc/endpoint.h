/* One endpoint: its connection, its health and its name without secrets. One thread. */
#ifndef OPENLORA_RPC_ENDPOINT_H
#define OPENLORA_RPC_ENDPOINT_H

#include "base/buf.h"
#include "chainlite/rpc/answer.h"

#include <curl/curl.h>

enum { ENDPOINT_MAX_FAILURES = 3, ENDPOINT_PAUSE_S = 60, ENDPOINT_MAX_WAIT_S = 600 };

struct endpoint {
    char *url;                 /* owned; may hold credentials: never printed */
    char *secrets;             /* owned: parts of the URL that no text may repeat, one string after another, then "" */
    char name[RPC_NAME_BYTES]; /* scheme://host:port */
    CURL *easy;
    char curl_error[CURL_ERROR_SIZE];
    struct curl_slist *headers;
    struct buf question, body;
    uint64_t id;          /* of the question in progress */
    bool new_connection;  /* the last exchange opened one */
    bool chain_checked;   /* since the last failure or new connection */
    bool refuses_hash;    /* has refused a block hash as the block of eth_getProof */
    uint32_t failures;    /* running */
    uint32_t rate_limits; /* running */
    int64_t paused_until_ns, limited_until_ns; /* monotonic clock */
    uint64_t asked, failed, head;
    double latency_ms;
    enum rpc_fault last_fault;
    char last_message[RPC_MESSAGE_BYTES];
};

int endpoint_init(struct endpoint *, const char *url, const struct rpc_config *, struct err *);
void endpoint_deinit(struct endpoint *); /* also on zeros */

/* Prepares the request; false without memory. */
bool endpoint_prepare(struct endpoint *, const char *method, const char *params);
/* What the finished transfer amounts to. */
void endpoint_collect(struct endpoint *, CURLcode, struct rpc_answer *out);
/* Counts the answer for or against the endpoint. */
void endpoint_count(struct endpoint *, const struct rpc_answer *);
/* Counts a fault that was found later, in what looked like an answer; lies pause the endpoint at once. */
void endpoint_blame(struct endpoint *, enum rpc_fault, const char *message);

bool endpoint_paused(const struct endpoint *, int64_t now_ns);
bool endpoint_limited(const struct endpoint *, int64_t now_ns);

#endif
