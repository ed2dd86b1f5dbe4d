/* Who may speak to us through a browser: nobody but pages that we are. A page of another site reaches 127.0.0.1 by
 * a name of its own (DNS rebinding: a foreign Host) or by a form post (a foreign Origin); both are refused. No browser
 * reaches a Unix socket; there the kernel says who the peer is. */
#include "http/request_internal.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static bool same(const char *name, const char *host, size_t len)
{
    return strlen(name) == len && strncasecmp(name, host, len) == 0;
}

bool guard_host(const struct http_config *config, const char *host)
{
    static const char *const ours[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *colon = strrchr(host, ':');
    size_t len = strlen(host);
    if (colon && !strchr(colon, ']')) { /* a port, not the inside of [::1] */
        if (strspn(colon + 1, "0123456789") != strlen(colon + 1))
            return false;
        len = (size_t)(colon - host);
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (same(ours[i], host, len))
            return true;
    for (int i = 0; i < config->n_hosts; i++)
        if (same(config->hosts[i], host, len))
            return true;
    return false;
}

bool guard_origin(const struct http_config *config, const char *origin)
{
    const char *host = strstr(origin, "://");
    return host && guard_host(config, host + 3);
}

bool guard_peer(const struct http_config *config, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return false;
    return peer.uid == 0 || peer.uid == geteuid() || peer.uid == config->peer_uid;
}
