#include "cli/progress.h"

#include "base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

/* Of the line being drawn; started_s 0: none. The command line is one thread. */
static double started_s;
static int64_t first; /* done when the line began: work taken up again does not count as speed */
static bool drawn;

/* "12 s", "3 min 20 s", "5 h 7 min" */
static void duration(double seconds, char *out, size_t bytes)
{
    long long s = (long long)(seconds + 0.5);
    if (s < 60)
        snprintf(out, bytes, "%lld s", s);
    else if (s < 3600)
        snprintf(out, bytes, "%lld min %lld s", s / 60, s % 60);
    else
        snprintf(out, bytes, "%lld h %lld min", s / 3600, s % 3600 / 60);
}

void progress_show(const char *what, int64_t done, int64_t total, const char *unit)
{
    if (!isatty(STDERR_FILENO))
        return;
    double now = clock_mono_s();
    if (!started_s) {
        started_s = now;
        first = done;
    }
    double per_s = (double)(done - first) / (now - started_s);
    if (now - started_s < 1 || per_s <= 0)
        return;
    char left[40];
    duration((double)(total - done) / per_s, left, sizeof left);
    drawn = true;
    fprintf(stderr, "\r%s: %lld of %lld %s, %.*f %s/s, %s left\033[K", what, (long long)done, (long long)total, unit,
            per_s < 10 ? 1 : 0, per_s, unit, left);
}

void progress_done(void)
{
    if (drawn)
        fprintf(stderr, "\r\033[K");
    drawn = false;
    started_s = 0;
}
