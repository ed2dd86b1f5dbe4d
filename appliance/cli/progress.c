#include "cli/progress.h"

#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static double started_s; /* of the line being drawn; 0: none. The command line is one thread. */
static bool drawn;

void progress_show(const char *what, int64_t done, int64_t total, const char *unit)
{
    if (!isatty(STDERR_FILENO))
        return;
    double now = clock_mono_s();
    if (!started_s)
        started_s = now;
    if (now - started_s < 1)
        return;
    drawn = true;
    fprintf(stderr, "\r%s: %lld of %lld %s, %.0f %s/s\033[K", what, (long long)done, (long long)total, unit,
            (double)done / (now - started_s), unit);
}

void progress_done(void)
{
    if (drawn)
        fprintf(stderr, "\r\033[K");
    drawn = false;
    started_s = 0;
}
