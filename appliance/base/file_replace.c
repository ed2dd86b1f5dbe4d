#include "base/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
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
    return true;
}

int file_sync_folder(const char *path, struct err *e)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    return done ? 0 : err_set(e, OL_EIO, MODULE, "cannot sync the folder of %s: %s", path, strerror(why));
}

/* Takes the descriptor of the draft. The new name is on the disk once its folder is. */
static int replace(int fd, const char *draft, const char *path, const struct iovec *parts, size_t n_parts,
                   struct err *e)
{
    if (fd < 0)
        return err_set(e, OL_EIO, MODULE, "cannot write beside %s: %s", path, strerror(errno));
    bool done = true;
    for (size_t i = 0; i < n_parts && done; i++)
        done = write_all(fd, parts[i].iov_base, parts[i].iov_len);
    done = done && fsync(fd) == 0;
    int why = errno;
    if (close(fd) != 0 && done) { /* some file systems tell of a full disk only here */
        done = false;
        why = errno;
    }
    if (done && rename(draft, path) != 0) {
        done = false;
        why = errno;
    }
    if (done)
        return file_sync_folder(path, e);
    unlink(draft);
    return err_set(e, OL_EIO, MODULE, "cannot write %s: %s", path, strerror(why));
}

static int draft_name(const char *path, const char *ending, char draft[PATH_MAX], struct err *e)
{
    int len = snprintf(draft, PATH_MAX, "%s%s", path, ending);
    return len >= 0 && len < PATH_MAX
               ? 0
               : err_set(e, OL_EINVAL, MODULE, "the path is longer than %d bytes: %.100s…", PATH_MAX, path);
}

int file_replace(const char *path, const void *bytes, size_t n, struct err *e)
{
    const struct iovec part = {(void *)(uintptr_t)bytes, n};
    char draft[PATH_MAX];
    int rc = draft_name(path, ".XXXXXX", draft, e);
    return rc ? rc : replace(mkostemp(draft, O_CLOEXEC), draft, path, &part, 1, e);
}

int file_replace_parts(const char *path, const struct iovec *parts, size_t n_parts, mode_t mode, struct err *e)
{
    char draft[PATH_MAX];
    int rc = draft_name(path, ".part", draft, e);
    return rc ? rc
              : replace(open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode), draft, path, parts,
                        n_parts, e);
}
