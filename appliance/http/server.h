/* HTTP/1.1 on loopback or on a Unix socket: libmicrohttpd with a few threads, a table of routes, and the watch over its connections.
 *
 * Refused before a route sees it: a Host (or Origin) that is not ours — a page in a browser may not talk to us
 * through a name that resolves here —, on a Unix socket a peer of another uid, an unknown path or method, a body over
 * the cap. CORS headers are never sent.
 *
 * Limits: connections, bytes per body, bytes of all bodies being received, seconds for a request to be complete
 * (however slowly it drips), seconds without progress on a connection (a reader that takes nothing included). */
#ifndef OPENLORA_HTTP_SERVER_H
#define OPENLORA_HTTP_SERVER_H

#include "base/err.h"
#include "http/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct http_config { /* zero = the default in brackets */
    int port;                 /* 0 lets the system choose */
    const char *unix_path;    /* not NULL: listen there instead; borrowed. A socket that nobody listens on is replaced */
    uid_t peer_uid;           /* who besides us and root may speak on the Unix socket; ours for nobody */
    int threads;              /* [2] */
    int max_connections;      /* [2,048] */
    int timeout_s;            /* no progress on a connection [30] */
    int request_s;            /* first byte of a request line to the last of its body [30] */
    size_t max_body_bytes;    /* [8 MiB] */
    const char *const *hosts; /* names accepted in Host besides localhost, 127.0.0.1 and [::1]; borrowed */
    int n_hosts;
};

typedef void (*http_handler)(void *app, struct http_request *);

struct http_route {
    const char *method;   /* "GET" (serves HEAD too), "POST", "PUT", "DELETE" */
    const char *path;     /* "/v1/models", or "/v1/models/{}": what stands for {} is http_request_rest */
    http_handler handle;
};

struct http_server;

/* Takes the port (OL_EIO names it when it is busy) but does not answer yet. */
int http_server_open(const struct http_config *, struct http_server **out, struct err *e)
    __attribute__((warn_unused_result));
int http_server_port(const struct http_server *); /* 0 on a Unix socket */

/* Starts answering. routes and app are borrowed until close. */
int http_server_start(struct http_server *, const struct http_route *routes, int n_routes, void *app, struct err *e)
    __attribute__((warn_unused_result));

int http_server_active(struct http_server *);  /* requests received whole and not yet answered to the last byte */
void http_server_expire(struct http_server *); /* calls `gone` of every waiting request (see http_wait) */

/* Nothing may be waiting (http_server_active is 0): libmicrohttpd must not be stopped with suspended connections. */
void http_server_close(struct http_server *);

#endif
