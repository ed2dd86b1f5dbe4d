#include "chainlite/settle/crash_points.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define X(name, what) {#name, what},
static const struct { const char *name, *what; } points[] = {CRASH_POINTS(X) OPENLORAD_CRASH_POINTS(X)};
#undef X

#define X(name, what) +1
enum { CHAINLITED_POINTS = CRASH_POINTS(X) };
#undef X

static int armed = -1;         /* the point, or -1: none; set before threads start */
static atomic_long left;       /* passes until it strikes */

_Bool crash_points_arm(void)
{
    const char *at = getenv("OPENLORA_CRASH_AT");
    if (!at || !*at)
        return 1;
    const char *colon = strchr(at, ':');
    size_t n = colon ? (size_t)(colon - at) : strlen(at);
    long count = 1;
    if (colon) {
        char *end;
        errno = 0;
        count = strtol(colon + 1, &end, 10);
        if (errno || *end || count < 1)
            return 0;
    }
    for (int i = 0; i < CRASH_POINT_COUNT; i++)
        if (strlen(points[i].name) == n && memcmp(points[i].name, at, n) == 0) {
            atomic_store(&left, count);
            armed = i;
            return 1;
        }
    return 0;
}

void crash_points_list(FILE *out)
{
    for (int i = 0; i < CHAINLITED_POINTS; i++)
        fprintf(out, "%-30s %s\n", points[i].name, points[i].what);
}

void crash_point_reached(enum crash_point point)
{
    if ((int)point != armed || atomic_fetch_sub(&left, 1) != 1)
        return;
    kill(getpid(), SIGKILL);
    pause(); /* the signal may take a moment: nothing after this place may happen */
}
