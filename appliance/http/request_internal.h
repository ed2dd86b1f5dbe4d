/* The request as the server keeps it. Only http/ includes this. */
#ifndef OPENLORA_HTTP_REQUEST_INTERNAL_H
#define OPENLORA_HTTP_REQUEST_INTERNAL_H

#include "base/buf.h"
#include "http/request.h"
#include "http/server.h"
#include "http/watch.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdint.h>

enum { REQUEST_ID_BYTES = 129, MAX_RESPONSE_HEADERS = 8 };

enum request_phase {
    PHASE_NEW,      /* the request line is here */
    PHASE_BODY,     /* headers checked, body arriving */
    PHASE_ASLEEP,   /* the handler waits on a stream */
    PHASE_ANSWERED, /* a response is queued */
};

struct http_server {
    struct http_config config;
    const struct http_route *routes;
    int n_routes;
    void *app;
    int listen_fd, port; /* the descriptor is libmicrohttpd's from start on */
    bool owns_path;      /* the Unix socket's file is ours */
    struct MHD_Daemon *daemon;
    struct watch *watch;
    atomic_int active;
    _Atomic size_t body_bytes; /* of all requests being received or answered */
};

struct http_request {
    struct http_server *server;
    struct MHD_Connection *connection;
    uint64_t ticket; /* of the connection in the watch; 0 if it got none */
    enum request_phase phase;
    const char *method, *path;
    const struct http_route *route;
    const char *rest;
    char id[REQUEST_ID_BYTES];
    int refused;             /* status of an answer decided before the body came, or 0 */
    const char *refusal;     /* its message, static */
    char allow_text[64];     /* methods of the path, for 405 and OPTIONS */
    struct buf body;
    size_t body_seen;        /* bytes, those thrown away included */
    size_t body_charged;     /* of server->body_bytes */
    struct { const char *name; char *value; } headers[MAX_RESPONSE_HEADERS]; /* values owned */
    int n_headers;
    struct http_stream *stream;   /* waited on, or sending */
    struct http_wait wait;
    bool waits;              /* http_wait was called: `done` is owed */
    bool gone;               /* wait.gone was called */
    bool active;             /* counted in server->active */
    bool broken;             /* no memory to answer: close the connection */
};

struct http_request *request_open(struct http_server *, struct MHD_Connection *);
void request_close(struct http_request *, bool sent); /* sent: the client has the whole answer */

/* Headers are here: decides whether to refuse, and charges nothing yet. */
void request_check(struct http_request *, const char *path);
void request_take(struct http_request *, const char *bytes, size_t n); /* a piece of the body */
/* The request is complete, or its stream was woken: runs the handler, or `ready`. False: close the connection. */
bool request_advance(struct http_request *);

/* Fills r->route and r->rest, or r->refused (404, 405, 204 for OPTIONS) and r->allow_text. */
void router_find(const struct http_route *routes, int n_routes, const char *path, struct http_request *r);

/* May the process at the other end of this Unix socket speak to us? */
bool guard_peer(const struct http_config *, int fd);
/* Is this Host header (with or without port) one of ours? */
bool guard_host(const struct http_config *, const char *host);
/* Is this Origin header (scheme://host[:port]) one of ours? */
bool guard_origin(const struct http_config *, const char *origin);

#endif
