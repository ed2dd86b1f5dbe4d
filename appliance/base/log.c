#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error", "quiet"};
static _Atomic int min_level = LOG_INFO;

void log_set_level(enum log_level level) { atomic_store(&min_level, (int)level); }

int log_set_level_named(const char *name, struct err *e)
{
    for (int i = LOG_DEBUG; i <= LOG_QUIET; i++)
        if (strcmp(name, level_names[i]) == 0) {
            log_set_level((enum log_level)i);
            return 0;
        }
    return err_set(e, OL_EINVAL, "config", "log level '%.20s' is none of debug, info, warn, error, quiet", name);
}

void log_line(enum log_level level, const char *module, const char *format, ...)
{
    if ((int)level < atomic_load(&min_level) || level >= LOG_QUIET)
        return;
    char line[1024];
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ %s %s: ", t.tv_nsec / 1000000, level_names[level], module);
    va_list ap;
    va_start(ap, format);
    int m = vsnprintf(line + n, sizeof line - n, format, ap);
    va_end(ap);
    if (m < 0)
        return;
    n = (size_t)m < sizeof line - n ? n + (size_t)m : sizeof line - 1;
    for (size_t i = 0; i < n; i++) /* a message may quote hostile input: keep it on one printable line */
        if ((unsigned char)line[i] < 32 || line[i] == 127)
            line[i] = '?';
    if (n == sizeof line)
        n--;
    line[n++] = '\n';
    ssize_t ignored = write(2, line, n); /* one write, so that lines of several threads do not mix */
    (void)ignored;
}
