/* Routes are few: a linear walk over the table. */
#include "http/request_internal.h"

#include <stdio.h>
#include <string.h>

/* NULL, or what stands for a {} at the pattern's end: anything but nothing, slashes included. */
static const char *match(const char *pattern, const char *path)
{
    const char *hole = strstr(pattern, "{}");
    if (!hole)
        return strcmp(pattern, path) == 0 ? "" : NULL;
    size_t n = (size_t)(hole - pattern);
    return strncmp(pattern, path, n) == 0 && path[n] ? path + n : NULL;
}

static void allow(struct http_request *r, const char *method)
{
    size_t n = strlen(r->allow_text);
    const char *names = strcmp(method, "GET") == 0 ? "GET, HEAD" : method;
    snprintf(r->allow_text + n, sizeof r->allow_text - n, "%s%s", n ? ", " : "", names);
}

void router_find(const struct http_route *routes, int n_routes, const char *path, struct http_request *r)
{
    const char *method = strcmp(r->method, "HEAD") == 0 ? "GET" : r->method;
    for (int i = 0; i < n_routes; i++) {
        const char *rest = match(routes[i].path, path);
        if (!rest)
            continue;
        if (strcmp(routes[i].method, method) == 0) {
            r->route = &routes[i];
            r->rest = rest;
            return;
        }
        allow(r, routes[i].method);
    }
    if (!r->allow_text[0]) {
        r->refused = 404;
        r->refusal = "no such path";
    } else if (strcmp(method, "OPTIONS") == 0) {
        r->refused = 204;
    } else {
        r->refused = 405;
        r->refusal = "this path does not take this method";
    }
}
