/* Preloaded into a program: counts its operations on files below $KILL_BELOW and kills it by SIGKILL before operation
 * $KILL_AT (from 1); of a write, half is done first. Without KILL_AT their number is written to $KILL_COUNT. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long count;
static bool ours[1024]; /* descriptors of files below the folder */

static bool below(const char *path)
{
    const char *folder = getenv("KILL_BELOW");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

/* True: this is the one. */
static bool reached(void)
{
    const char *at = getenv("KILL_AT");
    count++;
    return at && strtol(at, NULL, 10) == count;
}

static void die_if_reached(void)
{
    if (reached())
        raise(SIGKILL);
}

static bool is_ours(int fd) { return fd >= 0 && fd < 1024 && ours[fd]; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opened(int fd, const char *path)
{
    if (fd >= 0 && fd < 1024)
        ours[fd] = below(path);
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (below(path) && flags & (O_CREAT | O_DIRECTORY))
        die_if_reached();
    return opened(REAL(open)(path, flags, mode), path);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    if (is_ours(fd) && reached()) {
        (void)!REAL(write)(fd, bytes, n / 2);
        raise(SIGKILL);
    }
    return REAL(write)(fd, bytes, n);
}

int fsync(int fd)
{
    if (is_ours(fd))
        die_if_reached();
    return REAL(fsync)(fd);
}

int close(int fd)
{
    if (is_ours(fd))
        die_if_reached();
    if (fd >= 0 && fd < 1024)
        ours[fd] = false;
    return REAL(close)(fd);
}

int rename(const char *from, const char *to)
{
    if (below(from))
        die_if_reached();
    return REAL(rename)(from, to);
}

int unlinkat(int folder, const char *path, int flags)
{
    if (is_ours(folder))
        die_if_reached();
    return REAL(unlinkat)(folder, path, flags);
}

int mkdir(const char *path, mode_t mode)
{
    if (below(path))
        die_if_reached();
    return REAL(mkdir)(path, mode);
}

__attribute__((destructor)) static void report(void)
{
    const char *to = getenv("KILL_COUNT");
    FILE *f = to ? fopen(to, "w") : NULL;
    if (f) {
        fprintf(f, "%ld\n", count);
        fclose(f);
    }
}
