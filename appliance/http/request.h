/* One request, as a route sees it. A handler runs in a server thread and either responds before it returns, or
 * waits: the connection sleeps until the stream it waits on is woken, and then `ready` responds.
 *
 *   handler ──respond──────────────────────────────► done
 *      └─http_wait(stream)──► asleep ──wake──► ready ──respond──► done
 *                               └─ client hangs up ──► gone, done
 */
#ifndef OPENLORA_HTTP_REQUEST_H
#define OPENLORA_HTTP_REQUEST_H

#include "http/stream.h"

#include <stdbool.h>
#include <stddef.h>

struct http_request;

/* What the client sent. Pointers live as long as the request. */
const char *http_request_method(const struct http_request *);
const char *http_request_rest(const struct http_request *);                    /* what {} in the route stands for */
const char *http_request_path(const struct http_request *);                    /* without the query */
const char *http_request_header(const struct http_request *, const char *name); /* NULL without it */
const char *http_request_query(const struct http_request *, const char *name); /* NULL without it */
const char *http_request_body(const struct http_request *, size_t *len);       /* NUL-terminated, never NULL */
const char *http_request_id(const struct http_request *);                      /* x-request-id, or one we made */

/* Answers, once per request. The bytes are copied. */
void http_respond(struct http_request *, int status, const char *content_type, const void *bytes, size_t n);
void http_respond_stream(struct http_request *, int status, const char *content_type, struct http_stream *);
/* Before responding. name is static, value is copied; what is over the few that fit is left out. */
void http_respond_header(struct http_request *, const char *name, const char *value);

struct http_wait {
    void (*ready)(void *user, struct http_request *); /* in a server thread, after http_stream_wake: must respond */
    void (*gone)(void *user); /* from any thread, at most once: give up. The client hung up, or the server stops */
    void (*done)(void *user); /* the last call, exactly once: the request is over, however it ended */
    void *user;
};
/* The last thing a handler does. Takes a reference on the stream. */
void http_wait(struct http_request *, struct http_stream *, const struct http_wait *);

#endif
