#include "http/request.h"

#include "http/request_internal.h"
#include "http/stream_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { BODIES_IN_FLIGHT = 32 }; /* bodies of the largest size that may be in memory together */

static const char *header(const struct http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* The client's x-request-id if it is short and plain (it is copied into headers and logs), else one of ours. */
static void choose_id(struct http_request *r)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/";
    const char *given = header(r, "X-Request-Id");
    if (given && given[0] && strlen(given) < sizeof r->id && strspn(given, plain) == strlen(given)) {
        memcpy(r->id, given, strlen(given) + 1);
        return;
    }
    unsigned char random[12] = {0};
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        random[0] = 1; /* only a name: a repeated one does no harm */
    memcpy(r->id, "req-", 5);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(r->id + 4 + 2 * i, 3, "%02x", random[i]);
}

struct http_request *request_open(struct http_server *server, struct MHD_Connection *connection)
{
    struct http_request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->server = server;
    r->connection = connection;
    r->ticket =
        (uint64_t)(uintptr_t)MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    buf_init(&r->body, server->config.max_body_bytes);
    return r;
}

static void drop_body(struct http_request *r)
{
    atomic_fetch_sub(&r->server->body_bytes, r->body_charged);
    r->body_charged = 0;
    buf_deinit(&r->body);
}

void request_close(struct http_request *r, bool sent)
{
    watch_disarm(r->server->watch, r->ticket); /* from here on `gone` is neither running nor coming */
    if (r->stream)
        http_stream_detach(r->stream);
    if (r->waits) {
        if (!sent && !r->gone)
            r->wait.gone(r->wait.user);
        r->wait.done(r->wait.user);
    }
    http_stream_release(r->stream);
    drop_body(r);
    for (int i = 0; i < r->n_headers; i++)
        free(r->headers[i].value);
    if (r->active)
        atomic_fetch_sub(&r->server->active, 1);
    free(r);
}

static void refuse(struct http_request *r, int status, const char *message)
{
    if (r->refused)
        return;
    r->refused = status;
    r->refusal = message;
}

void request_check(struct http_request *r, const char *path)
{
    const struct http_config *config = &r->server->config;
    const char *host = header(r, "Host"), *origin = header(r, "Origin");
    const char *length = header(r, "Content-Length");
    choose_id(r);
    r->path = path;
    if (r->ticket == 0)
        refuse(r, 503, "too many connections");
    if (config->unix_path) {
        int fd = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        if (!guard_peer(config, fd))
            refuse(r, 403, "this user may not speak on this socket");
    } else if (host && !guard_host(config, host))
        refuse(r, 403, "this Host is not served here; add it to [server] hosts if it should be");
    if (origin && !guard_origin(config, origin))
        refuse(r, 403, "pages of this Origin may not use this server");
    if (!r->refused)
        router_find(r->server->routes, r->server->n_routes, path, r);
    if (length && strtoull(length, NULL, 10) > config->max_body_bytes)
        refuse(r, 413, "the request body is larger than this server takes ([server] max_body_mb)");
}

void request_take(struct http_request *r, const char *bytes, size_t n)
{
    r->body_seen += n;
    if (r->body_seen > r->server->config.max_body_bytes)
        refuse(r, 413, "the request body is larger than this server takes ([server] max_body_mb)");
    if (r->refused) { /* read and thrown away, so that the client comes to read our answer */
        drop_body(r);
        return;
    }
    r->body_charged += n;
    if (atomic_fetch_add(&r->server->body_bytes, n) + n > BODIES_IN_FLIGHT * r->server->config.max_body_bytes)
        refuse(r, 503, "too many large requests at once; try again");
    buf_add(&r->body, bytes, n);
    if (buf_failed(&r->body))
        refuse(r, 503, "no memory for the request body; try again");
}

static void answer_refusal(struct http_request *r)
{
    char json[320];
    if (r->refused == 403)
        http_respond_header(r, "Connection", "close");
    if (r->allow_text[0])
        http_respond_header(r, "Allow", r->allow_text);
    if (r->refused == 204) {
        http_respond(r, 204, NULL, "", 0);
        return;
    }
    int n = snprintf(json, sizeof json, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":null}}",
                     r->refusal, r->refused < 500 ? "invalid_request_error" : "server_error");
    http_respond(r, r->refused, "application/json", json, (size_t)n);
}

bool request_advance(struct http_request *r)
{
    if (r->phase == PHASE_BODY) {
        watch_deadline(r->server->watch, r->ticket, 0);
        r->active = true;
        atomic_fetch_add(&r->server->active, 1);
        if (r->refused)
            answer_refusal(r);
        else
            r->route->handle(r->server->app, r);
    }
    if (r->phase == PHASE_ASLEEP) {
        if (http_stream_suspend(r->stream))
            return true;
        if (http_stream_failed(r->stream))
            return false;
        r->wait.ready(r->wait.user, r);
    }
    return r->phase == PHASE_ANSWERED && !r->broken;
}

/* The watch calls this under its lock, at most once. */
static void gone(void *user, bool hung_up)
{
    struct http_request *r = user;
    r->gone = true;
    r->wait.gone(r->wait.user);
    if (hung_up)
        http_stream_end(r->stream, false);
}

void http_wait(struct http_request *r, struct http_stream *stream, const struct http_wait *wait)
{
    r->wait = *wait;
    r->waits = true;
    r->stream = http_stream_ref(stream);
    r->phase = PHASE_ASLEEP;
    drop_body(r);
    http_stream_attach(stream, r->connection);
    watch_arm(r->server->watch, r->ticket, gone, r);
}

static void queue(struct http_request *r, int status, const char *content_type, struct MHD_Response *response)
{
    r->phase = PHASE_ANSWERED;
    r->broken = !response;
    if (!response)
        return;
    if (content_type)
        MHD_add_response_header(response, "Content-Type", content_type);
    MHD_add_response_header(response, "X-Request-Id", r->id);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (int i = 0; i < r->n_headers; i++)
        MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    r->broken = MHD_queue_response(r->connection, (unsigned)status, response) != MHD_YES;
    MHD_destroy_response(response);
}

void http_respond(struct http_request *r, int status, const char *content_type, const void *bytes, size_t n)
{
    queue(r, status, content_type, MHD_create_response_from_buffer(n, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY));
}

void http_respond_stream(struct http_request *r, int status, const char *content_type, struct http_stream *stream)
{
    http_respond_header(r, "Cache-Control", "no-cache");
    queue(r, status, content_type, http_stream_response(stream));
}

void http_respond_header(struct http_request *r, const char *name, const char *value)
{
    if (r->n_headers == MAX_RESPONSE_HEADERS)
        return;
    r->headers[r->n_headers].name = name;
    r->headers[r->n_headers].value = strdup(value);
    r->n_headers += r->headers[r->n_headers].value != NULL;
}

const char *http_request_method(const struct http_request *r) { return r->method; }
const char *http_request_path(const struct http_request *r) { return r->path; }
const char *http_request_rest(const struct http_request *r) { return r->rest; }
const char *http_request_id(const struct http_request *r) { return r->id; }

const char *http_request_header(const struct http_request *r, const char *name) { return header(r, name); }

const char *http_request_query(const struct http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_request_body(const struct http_request *r, size_t *len)
{
    *len = r->body.len;
    return buf_str(&r->body);
}
