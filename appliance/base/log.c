#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int min_level = LOG_INFO;

void log_set_level(enum log_level level) { atomic_store(&min_level, (int)level); }

void log_line(enum log_level level, const char *module, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error", "quiet"};
    if ((int)level < atomic_load(&min_level) || level >= LOG_QUIET)
        return;
    char line[1024];
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ %s %s: ", t.tv_nsec / 1000000, names[level], module);
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
