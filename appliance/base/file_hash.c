#include "base/file_hash.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20, SETTLED_MS = 2000 };

static int hash_contents(int fd, const char *path, char out[SHA256_HEX_BYTES], struct err *e)
{
    unsigned char *block = malloc(READ_BYTES);
    if (!block)
        return err_set(e, OL_ENOMEM, "file", "no memory to hash %s", path);
    struct sha256 h;
    sha256_init(&h);
    ssize_t n;
    while ((n = read(fd, block, READ_BYTES)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            sha256_add(&h, block, (size_t)n);
    int rc = n < 0 ? err_set(e, OL_EIO, "file", "cannot read %s: %s", path, strerror(errno)) : 0;
    sha256_hex(&h, out);
    free(block);
    return rc;
}

/* What identifies the state of a file, in words; the cache entry repeats it, so a clash of names cannot mislead. */
static void identity(struct buf *b, const char *path, const struct stat *st)
{
    buf_printf(b, "%s\n%llu %llu %lld %lld.%09ld %lld.%09ld\n", path, (unsigned long long)st->st_dev,
               (unsigned long long)st->st_ino, (long long)st->st_size, (long long)st->st_mtim.tv_sec,
               st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

/* Where the digest of this identity is kept; false without a usable cache folder. */
static bool entry_path(const char *id, char out[PATH_MAX])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool xdg = cache && *cache == '/';
    if (!xdg && !(home && *home == '/'))
        return false;
    char name[SHA256_HEX_BYTES];
    struct sha256 h;
    sha256_init(&h);
    sha256_add_str(&h, id);
    sha256_hex(&h, name);
    int n = snprintf(out, PATH_MAX, "%s%s/openlora/hashes/%s", xdg ? cache : home, xdg ? "" : "/.cache", name);
    return n > 0 && n < PATH_MAX;
}

/* An entry is the identity, the digest and a newline; anything else is as good as none. */
static bool read_entry(const char *entry, const char *id, char out[SHA256_HEX_BYTES])
{
    size_t id_len = strlen(id), n = 0;
    char *text = malloc(id_len + SHA256_HEX_BYTES + 1);
    FILE *f = text ? fopen(entry, "re") : NULL;
    if (f) {
        n = fread(text, 1, id_len + SHA256_HEX_BYTES + 1, f);
        fclose(f);
    }
    bool found = n == id_len + SHA256_HEX_BYTES && !memcmp(text, id, id_len) && text[n - 1] == '\n' &&
                 strspn(text + id_len, "0123456789abcdef") >= SHA256_HEX_BYTES - 1;
    if (found) {
        memcpy(out, text + id_len, SHA256_HEX_BYTES - 1);
        out[SHA256_HEX_BYTES - 1] = 0;
    }
    free(text);
    return found;
}

/* Best effort: whatever fails here only costs hashing the file again. */
static void write_entry(char entry[PATH_MAX], const char *id, const char *digest)
{
    for (char *slash = strchr(entry + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(entry, 0700);
        *slash = '/';
    }
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", entry);
    int fd = n > 0 && n < PATH_MAX ? mkostemp(temporary, O_CLOEXEC) : -1;
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f) {
        if (fd >= 0) {
            close(fd);
            unlink(temporary);
        }
        return;
    }
    bool written = fprintf(f, "%s%s\n", id, digest) > 0;
    if (fclose(f) || !written || rename(temporary, entry))
        unlink(temporary);
}

/* The digest from the cache, or from the contents, which are then remembered. */
static int hash_open_file(int fd, const char *path, const char *real, char out[SHA256_HEX_BYTES], struct err *e)
{
    struct stat st, after;
    if (fstat(fd, &st))
        return err_set(e, OL_EIO, "file", "%s: %s", path, strerror(errno));
    struct buf id;
    buf_init(&id, 2 * PATH_MAX);
    identity(&id, real, &st);
    char entry[PATH_MAX];
    bool cached = !buf_failed(&id) && entry_path(buf_str(&id), entry);
    int rc = 0;
    if (!cached || !read_entry(entry, buf_str(&id), out)) {
        rc = hash_contents(fd, path, out, e);
        /* A file changed a moment ago may change again within one tick of its clock: its digest is not kept. */
        bool settled =
            clock_unix_ms() - ((int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000) > SETTLED_MS;
        bool same = !fstat(fd, &after) && after.st_size == st.st_size && after.st_mtim.tv_sec == st.st_mtim.tv_sec &&
                    after.st_mtim.tv_nsec == st.st_mtim.tv_nsec;
        if (!rc && cached && settled && same)
            write_entry(entry, buf_str(&id), out);
    }
    buf_deinit(&id);
    return rc;
}

int file_hash(const char *path, char out[SHA256_HEX_BYTES], struct err *e)
{
    char *real = realpath(path, NULL);
    int fd = real ? open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0) {
        int code = errno == ENOENT ? OL_ENOTFOUND : OL_EIO;
        err_set(e, code, "file", "cannot open %s: %s", path, strerror(errno));
        free(real);
        return code;
    }
    int rc = hash_open_file(fd, path, real, out, e);
    close(fd);
    free(real);
    return rc;
}
