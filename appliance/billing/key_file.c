/* Changing the file of keys: one writer at a time, and readers see the old list or the new one. */
#include "billing/keys.h"

#include "base/file_replace.h"
#include "base/sha256.h"
#include "chainlite/core/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define MODULE "keys"

static int failed(const char *what, const char *path, struct err *e)
{
    return err_set(e, OL_EIO, MODULE, "%s %.160s: %s", what, path, strerror(errno));
}

static int lock_file(const char *path, int *fd, struct err *e)
{
    char name[PATH_MAX];
    int n = snprintf(name, sizeof name, "%s.lock", path);
    if (n < 0 || (size_t)n >= sizeof name)
        return err_set(e, OL_ELIMIT, MODULE, "%.120s: the path is too long", path);
    *fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (*fd < 0)
        return failed("opening", name, e);
    if (flock(*fd, LOCK_EX) == 0)
        return 0;
    close(*fd);
    return failed("locking", name, e);
}

static char *list_text(const struct key_list *l)
{
    json_t *array = json_array(), *file = json_pack("{si so}", "version", 1, "keys", array);
    bool ok = file != NULL;
    for (int i = 0; i < l->n && ok; i++)
        ok = json_array_append_new(array, key_json(&l->keys[i])) == 0;
    char *text = ok ? json_dumps(file, JSON_INDENT(1)) : NULL;
    json_decref(file);
    return text;
}

/* The draft that becomes the file is made with mode 0600. */
static int replace(const char *path, const struct key_list *l, struct err *e)
{
    char *text = list_text(l);
    if (!text)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the keys");
    int rc = file_replace(path, text, strlen(text), e);
    free(text);
    return rc;
}

static int make_token(struct key *k, char token[TOKEN_BYTES], struct err *e)
{
    unsigned char random[32 + 6];
    char hex[2 * sizeof random + 1];
    struct sha256 sha;
    char digest[SHA256_HEX_BYTES];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return err_set(e, OL_EIO, MODULE, "the system gives no random bytes");
    hex_encode(random, sizeof random, hex);
    snprintf(token, TOKEN_BYTES, "ol-%.64s", hex);
    snprintf(k->id, sizeof k->id, "k-%.12s", hex + 64);
    sha256_init(&sha);
    sha256_add(&sha, token, strlen(token));
    sha256_hex(&sha, digest);
    CHECK(hex_decode(digest, k->hash, TOKEN_HASH_BYTES));
    k->created_s = (int64_t)time(NULL);
    k->revoked_s = 0;
    return 0;
}

static int add_locked(const char *path, struct key *k, char token[TOKEN_BYTES], struct err *e)
{
    struct key_list l;
    int rc = key_list_read(path, &l, e);
    if (rc != 0)
        return rc;
    struct key *more = realloc(l.keys, ((size_t)l.n + 1) * sizeof *more);
    if (more)
        l.keys = more;
    rc = !more             ? err_set(e, OL_ENOMEM, MODULE, "no memory for the keys")
         : l.n == MAX_KEYS ? err_set(e, OL_ELIMIT, MODULE, "%d keys are the most; revoked ones count", MAX_KEYS)
                           : make_token(k, token, e);
    if (rc == 0) {
        l.keys[l.n++] = *k;
        rc = replace(path, &l, e);
    }
    key_list_deinit(&l);
    return rc;
}

int key_file_add(const char *path, struct key *key, char token[TOKEN_BYTES], struct err *e)
{
    int fd;
    if (!key_tenant_valid(key->tenant))
        return err_set(e, OL_EINVAL, MODULE, "a name is 1 to 64 of a-z 0-9 . _ - and does not begin with 0x");
    int rc = lock_file(path, &fd, e);
    if (rc != 0)
        return rc;
    rc = add_locked(path, key, token, e);
    close(fd);
    return rc;
}

static int revoke_locked(const char *path, const char *id, struct err *e)
{
    struct key_list l;
    int rc = key_list_read(path, &l, e);
    struct key *found = NULL;
    for (int i = 0; rc == 0 && i < l.n; i++)
        if (strcmp(l.keys[i].id, id) == 0)
            found = &l.keys[i];
    if (rc == 0 && !found)
        rc = err_set(e, OL_ENOTFOUND, MODULE, "%.120s has no key '%.40s'", path, id);
    if (rc == 0 && !found->revoked_s) {
        found->revoked_s = (int64_t)time(NULL);
        rc = replace(path, &l, e);
    }
    key_list_deinit(&l);
    return rc;
}

int key_file_revoke(const char *path, const char *id, struct err *e)
{
    int fd, rc = lock_file(path, &fd, e);
    if (rc != 0)
        return rc;
    rc = revoke_locked(path, id, e);
    close(fd);
    return rc;
}
