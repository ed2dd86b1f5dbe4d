/* A node's HTTP API as its client sees it: one connection, JSON both ways, server-sent events. One thread. */
#ifndef OPENLORA_CLI_HTTP_CLIENT_H
#define OPENLORA_CLI_HTTP_CLIENT_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct http_client;

/* The URL to talk to: `option` if given, else $OPENLORA_URL, else the default of a node on this machine. */
const char *http_node_url(const char *option);

int http_open(const char *base_url, struct http_client **out, struct err *e) __attribute__((warn_unused_result));
/* A server on a Unix socket (chainlited's). */
int http_open_socket(const char *path, struct http_client **out, struct err *e) __attribute__((warn_unused_result));
void http_close(struct http_client *);

/* Sends `body` (or nothing when NULL) and returns the answer's text: *reply is owned by the caller, never NULL on
 * success. An answer of 400 and above is an error with the server's own message. */
int http_request(struct http_client *, const char *method, const char *path, const json_t *body, char **reply,
                 struct err *e) __attribute__((warn_unused_result));
/* The same, parsed: *reply is a new reference. */
int http_json(struct http_client *, const char *method, const char *path, const json_t *body, json_t **reply,
              struct err *e) __attribute__((warn_unused_result));

/* POST whose answer is a stream of events: on_event gets each "data:" line (NUL-terminated) until "[DONE]".
 * on_event false, or `*stop` becoming true at any time, ends the stream with OL_ECANCELLED. */
int http_stream(struct http_client *, const char *path, const json_t *body, bool (*on_event)(void *user, const char *data),
                void *user, const volatile bool *stop, struct err *e) __attribute__((warn_unused_result));

/* Sends "Name: value" with every request from now on; NULL takes such a header back. */
int http_set_header(struct http_client *, const char *name, const char *value, struct err *e)
    __attribute__((warn_unused_result));
/* Requests from now on are those of this API key; NULL: of $OPENLORA_API_KEY, or nobody's without it. */
int http_use_key(struct http_client *, const char *key, struct err *e) __attribute__((warn_unused_result));
/* A header of the last answer, of whatever status; NULL without it. Lives until the next request. */
const char *http_answer_header(struct http_client *, const char *name);
long http_answer_status(struct http_client *); /* 0: there was none */

/* `prefix` followed by the percent-encoded `name`; owned by the caller, NULL without memory. */
char *http_path(struct http_client *, const char *prefix, const char *name);

#endif
