/* Which names and paths the adapter store accepts. */
#include "engine/adapter_store_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int adapter_name_check(const char *name, struct err *e)
{
    size_t n = name ? strnlen(name, ADAPTER_NAME_BYTES) : 0;
    if (n < 1 || n >= ADAPTER_NAME_BYTES)
        return err_set(e, OL_EINVAL, "adapter", "an adapter's name has 1 to %d characters", ADAPTER_NAME_BYTES - 1);
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && !strchr("._:/@-", c))
            return err_set(e, OL_EINVAL, "adapter",
                           "an adapter's name consists of letters, digits and . _ : / @ -; character %d is not",
                           (int)i + 1);
    }
    return 0;
}

static bool is_below(const char *path, const char *root)
{
    size_t n = strlen(root);
    if (strncmp(path, root, n) != 0)
        return false;
    return path[n] == 0 || path[n] == '/' || (n && root[n - 1] == '/');
}

/* Resolves every symbolic link of `path` and demands that the result lies below a root. */
static int resolve(const struct adapter_store *s, const char *path, char out[PATH_MAX], struct err *e)
{
    if (!realpath(path, out))
        return err_set(e, errno == ENOENT || errno == ENOTDIR ? OL_ENOTFOUND : OL_EIO, "adapter",
                       "cannot open adapter path '%.160s': %s", path, strerror(errno));
    for (int i = 0; i < s->n_roots; i++)
        if (is_below(out, s->roots[i]))
            return 0;
    return err_set(e, OL_EINVAL, "adapter", "adapter path '%.120s' is outside of the configured adapter folders", path);
}

int adapter_path_confine(const struct adapter_store *s, const char *path, struct err *e)
{
    /* The files inside a directory may be links themselves (download caches do that): each must stay below a root. */
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
    char real[PATH_MAX], inner[PATH_MAX], file[PATH_MAX];
    struct stat st;
    if (!path || !*path)
        return err_set(e, OL_EINVAL, "adapter", "no adapter path given");
    int rc = resolve(s, path, real, e);
    if (rc)
        return rc;
    if (stat(real, &st) != 0)
        return err_set(e, OL_EIO, "adapter", "cannot read adapter path '%.160s': %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int n = snprintf(file, sizeof file, "%s/%s", real, files[i]);
        if (n < 0 || (size_t)n >= sizeof file)
            return err_set(e, OL_ELIMIT, "adapter", "adapter path is too long");
        if (lstat(file, &st) != 0)
            continue; /* the reader says which files it misses */
        rc = resolve(s, file, inner, e);
        if (rc)
            return rc;
    }
    return 0;
}
