#include "http/server.h"

#include "base/log.h"
#include "http/request_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, DESCRIPTORS_BESIDES = 256, MAX_DISCARD_BODIES = 8 };

static void mhd_log(void *user, const char *format, va_list ap)
{
    char line[256];
    (void)user;
    vsnprintf(line, sizeof line, format, ap);
    log_line(LOG_DEBUG, "http", "%s", line);
}

/* ---- libmicrohttpd's callbacks, in the order in which a connection sees them */

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *s = user;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        uint64_t ticket = watch_add(s->watch, fd);
        watch_deadline(s->watch, ticket, 1000 * (int64_t)s->config.request_s);
        *context = (void *)(uintptr_t)ticket;
    } else { /* libmicrohttpd closes the descriptor after this */
        watch_remove(s->watch, (uint64_t)(uintptr_t)*context);
    }
}

/* The request line is here. */
static void *on_request(void *user, const char *uri, struct MHD_Connection *connection)
{
    struct http_server *s = user;
    (void)uri;
    struct http_request *r = request_open(s, connection);
    if (r)
        watch_deadline(s->watch, r->ticket, 1000 * (int64_t)s->config.request_s);
    return r;
}

static enum MHD_Result on_access(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                                 const char *version, const char *bytes, size_t *n, void **context)
{
    struct http_server *s = user;
    struct http_request *r = *context;
    (void)connection, (void)version;
    if (!r)
        return MHD_NO;
    if (r->phase == PHASE_NEW) {
        r->method = method;
        request_check(r, path);
        r->phase = PHASE_BODY;
        /* A client that asks before it sends its body is refused now, any other after its body: it would not read
         * an answer while it still writes. */
        bool asks = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Expect") != NULL;
        return !r->refused || !asks || request_advance(r) ? MHD_YES : MHD_NO;
    }
    if (*n > 0) {
        request_take(r, bytes, *n);
        *n = 0;
        return r->body_seen / MAX_DISCARD_BODIES <= s->config.max_body_bytes ? MHD_YES : MHD_NO;
    }
    return request_advance(r) ? MHD_YES : MHD_NO;
}

static void on_completed(void *user, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct http_server *s = user;
    struct http_request *r = *context;
    (void)connection;
    *context = NULL;
    if (!r)
        return;
    uint64_t ticket = r->ticket;
    request_close(r, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    /* The next request line may take as long as an idle connection lives. */
    watch_deadline(s->watch, ticket, 1000 * (int64_t)(s->config.timeout_s + s->config.request_s));
}

/* ---- life of the server */

static void raise_descriptor_limit(int wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= (rlim_t)wanted)
        return;
    limit.rlim_cur = limit.rlim_max < (rlim_t)wanted ? limit.rlim_max : (rlim_t)wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < (rlim_t)wanted)
        log_line(LOG_WARN, "http", "only %llu descriptors allowed; %d wanted (ulimit -n)",
                 (unsigned long long)limit.rlim_cur, wanted);
}

static int take_port(struct http_server *s, struct err *e)
{
    int port = s->config.port, one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0)
        return err_set(e, OL_EIO, "http", "opening a socket: %s", strerror(errno));
    setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s->listen_fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == EADDRINUSE)
            return err_set(e, OL_EIO, "http", "port %d on 127.0.0.1 is in use: stop what listens there, or choose "
                           "another with --port (0 takes any free one)", port);
        return err_set(e, OL_EIO, "http", "taking port %d on 127.0.0.1: %s", port, strerror(errno));
    }
    getsockname(s->listen_fd, (struct sockaddr *)&address, &size);
    s->port = ntohs(address.sin_port);
    return 0;
}

/* A socket file outlives its process: it is taken over if nobody answers there. */
static bool is_stale(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                 errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

static int take_path(struct http_server *s, struct err *e)
{
    const char *path = s->config.unix_path;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return err_set(e, OL_EINVAL, "http", "the socket's path has more than %zu bytes: %.80s…",
                       sizeof address.sun_path - 1, path);
    memcpy(address.sun_path, path, strlen(path));
    s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0)
        return err_set(e, OL_EIO, "http", "opening a socket: %s", strerror(errno));
    if (is_stale(&address))
        unlink(path);
    /* Another user's process could not connect to a socket of mode 0600: then the check of its uid is the guard. */
    mode_t old = umask(s->config.peer_uid == geteuid() ? 0177 : 0111);
    int rc = bind(s->listen_fd, (struct sockaddr *)&address, sizeof address);
    int cause = errno;
    umask(old);
    if (rc != 0)
        return err_set(e, OL_EIO, "http", "taking the socket %.120s: %s", path,
                       cause == EADDRINUSE ? "another process listens there" : strerror(cause));
    s->owns_path = true;
    return 0;
}

static void defaults(struct http_config *c)
{
    c->threads = c->threads > 0 ? c->threads : 2;
    c->max_connections = c->max_connections > 0 ? c->max_connections : 2048;
    c->timeout_s = c->timeout_s > 0 ? c->timeout_s : 30;
    c->request_s = c->request_s > 0 ? c->request_s : 30;
    c->max_body_bytes = c->max_body_bytes ? c->max_body_bytes : (size_t)8 << 20;
}

int http_server_open(const struct http_config *config, struct http_server **out, struct err *e)
{
    *out = NULL;
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, OL_ENOMEM, "http", "no memory for the server");
    s->config = *config;
    defaults(&s->config);
    s->listen_fd = -1;
    raise_descriptor_limit(s->config.max_connections + DESCRIPTORS_BESIDES);
    int rc = s->config.unix_path ? take_path(s, e) : take_port(s, e);
    if (rc == 0) /* every thread of the pool may accept one more than its share */
        rc = watch_open(s->config.max_connections + s->config.threads, &s->watch, e);
    if (rc != 0) {
        http_server_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

int http_server_port(const struct http_server *s) { return s->port; }

int http_server_start(struct http_server *s, const struct http_route *routes, int n_routes, void *app, struct err *e)
{
    s->routes = routes;
    s->n_routes = n_routes;
    s->app = app;
    if (listen(s->listen_fd, BACKLOG) != 0)
        return err_set(e, OL_EIO, "http", "listening: %s", strerror(errno));
    /* A pool of one is what libmicrohttpd calls no pool. */
    struct MHD_OptionItem pool[] = {{MHD_OPTION_THREAD_POOL_SIZE, s->config.threads, NULL}, {MHD_OPTION_END, 0, NULL}};
    if (s->config.threads == 1)
        pool[0].option = MHD_OPTION_END;
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_access, s,
        MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, s->listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->config.max_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)s->config.timeout_s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
        MHD_OPTION_URI_LOG_CALLBACK, on_request, s,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_ARRAY, pool,
        MHD_OPTION_END);
    if (!s->daemon)
        return err_set(e, OL_EIO, "http", "starting the server failed: %s", strerror(errno));
    s->listen_fd = -1;
    return 0;
}

int http_server_active(struct http_server *s) { return atomic_load(&s->active); }
void http_server_expire(struct http_server *s) { watch_expire(s->watch); }

void http_server_close(struct http_server *s)
{
    if (!s)
        return;
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    if (s->owns_path)
        unlink(s->config.unix_path);
    watch_close(s->watch);
    free(s);
}
