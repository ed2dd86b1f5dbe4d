#include "base/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "file"

static bool write_all(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno != EINTR)
            return false;
        if (done > 0) {
            bytes += done;
            n -= (size_t)done;
        }
    }
    return fsync(fd) == 0;
}

/* The new name is on the disk once its directory is. */
static bool sync_directory_of(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return done;
}

int file_replace(const char *path, const void *bytes, size_t n, struct err *e)
{
    char draft[PATH_MAX];
    int len = snprintf(draft, sizeof draft, "%s.XXXXXX", path);
    if (len < 0 || len >= PATH_MAX)
        return err_set(e, OL_EINVAL, MODULE, "the path is longer than %d bytes: %.100s…", PATH_MAX, path);
    int fd = mkostemp(draft, O_CLOEXEC);
    if (fd < 0)
        return err_set(e, OL_EIO, MODULE, "cannot write beside %s: %s", path, strerror(errno));
    bool done = write_all(fd, bytes, n);
    done = close(fd) == 0 && done;
    if (!done || rename(draft, path) || !sync_directory_of(path)) {
        int why = errno;
        unlink(draft);
        return err_set(e, OL_EIO, MODULE, "cannot write %s: %s", path, strerror(why));
    }
    return 0;
}
