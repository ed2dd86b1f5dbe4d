/* Structs in files; see notation_file.h. */
#include "chainlite/json/notation_file.h"

#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int notation_read_file(const struct schema *s, const char *path, size_t max_bytes, void *out, struct err *e)
{
    struct file_map file;
    memset(out, 0, s->bytes);
    int rc = file_map_init(&file, path, e);
    if (rc)
        return rc;
    if (file.len > max_bytes)
        rc = err_set(e, OL_ELIMIT, "json", "%zu bytes; %zu at most", file.len, max_bytes);
    else
        rc = notation_parse(s, (const char *)file.data, file.len, out, e);
    file_map_deinit(&file);
    if (rc)
        err_prefix(e, "%s", path);
    return rc;
}

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

static int replace(const char *path, const char *bytes, size_t n, struct err *e)
{
    char draft[PATH_MAX];
    int len = snprintf(draft, sizeof draft, "%s.XXXXXX", path);
    if (len < 0 || len >= PATH_MAX)
        return err_set(e, OL_EINVAL, "json", "the path is longer than %d bytes: %.100s…", PATH_MAX, path);
    int fd = mkostemp(draft, O_CLOEXEC);
    if (fd < 0)
        return err_set(e, OL_EIO, "json", "cannot write beside %s: %s", path, strerror(errno));
    bool done = write_all(fd, bytes, n);
    done = close(fd) == 0 && done;
    if (!done || rename(draft, path) || !sync_directory_of(path)) {
        int why = errno;
        unlink(draft);
        return err_set(e, OL_EIO, "json", "cannot write %s: %s", path, strerror(why));
    }
    return 0;
}

int notation_write_file(const struct schema *s, const void *object, const char *path, size_t max_bytes, struct err *e)
{
    struct buf text;
    buf_init(&text, max_bytes);
    notation_write(s, object, &text);
    buf_add_char(&text, '\n');
    int rc;
    if (buf_failed(&text))
        rc = err_set(e, text.no_memory ? OL_ENOMEM : OL_ELIMIT, "json", "%s: more than %zu bytes", path, max_bytes);
    else
        rc = replace(path, text.data, text.len, e);
    buf_deinit(&text);
    return rc;
}
