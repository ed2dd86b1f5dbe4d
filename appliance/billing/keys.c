/* Reading keys and finding one by its token; key_file.c changes the file. */
#include "billing/keys.h"

#include "base/buf.h"
#include "base/log.h"
#include "chainlite/core/hex.h"

#include <errno.h>
#include <mbedtls/sha256.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MODULE "keys"

enum { MAX_FILE_BYTES = 8 << 20 };

bool key_tenant_valid(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n < TENANT_BYTES && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n &&
           strncmp(name, "0x", 2) != 0 && strcmp(name, "anonymous") != 0;
}

/* ---- JSON */

static bool read_limit(const json_t *v, bool *has, wei_t *out)
{
    *has = v && !json_is_null(v);
    return !*has || (json_is_string(v) && wei_parse(json_string_value(v), out));
}

static bool read_wallet(const json_t *v, struct key *k)
{
    const char *s = json_string_value(v);
    k->has_wallet = s && strcmp(s, "operator") != 0;
    return s && (!k->has_wallet || address_parse(s, k->wallet));
}

static bool read_role(const json_t *v, struct key *k)
{
    const char *s = v ? json_string_value(v) : "user"; /* files of before there were roles */
    k->admin = s && strcmp(s, "admin") == 0;
    return s && (k->admin || strcmp(s, "user") == 0);
}

static bool read_time(const json_t *v, int64_t *out)
{
    *out = json_integer_value(v);
    return json_is_integer(v) && *out > 0;
}

static const char *read_key(const json_t *j, struct key *k)
{
    const char *id = json_string_value(json_object_get(j, "id"));
    const char *name = json_string_value(json_object_get(j, "name"));
    const char *hash = json_string_value(json_object_get(j, "sha256"));
    const json_t *revoked = json_object_get(j, "revoked");
    *k = (struct key){0};
    if (!id || !id[0] || strlen(id) >= sizeof k->id)
        return "id";
    if (!name || !key_tenant_valid(name))
        return "name";
    if (!hash || strlen(hash) != 2 * TOKEN_HASH_BYTES || !hex_decode(hash, k->hash, TOKEN_HASH_BYTES))
        return "sha256";
    if (!read_time(json_object_get(j, "created"), &k->created_s))
        return "created";
    if (!json_is_null(revoked) && !read_time(revoked, &k->revoked_s))
        return "revoked";
    if (!read_limit(json_object_get(j, "limit_total_wei"), &k->has_total, &k->total_wei))
        return "limit_total_wei";
    if (!read_limit(json_object_get(j, "limit_day_wei"), &k->has_day, &k->day_wei))
        return "limit_day_wei";
    if (!read_wallet(json_object_get(j, "wallet"), k))
        return "wallet";
    if (!read_role(json_object_get(j, "role"), k))
        return "role";
    snprintf(k->id, sizeof k->id, "%s", id);
    snprintf(k->tenant, sizeof k->tenant, "%s", name);
    return NULL;
}

static json_t *limit_json(bool has, wei_t wei)
{
    char text[WEI_TEXT_BYTES];
    wei_format(wei, text);
    return has ? json_string(text) : json_null();
}

json_t *key_json(const struct key *k)
{
    char hash[2 * TOKEN_HASH_BYTES + 1], wallet[ADDRESS_TEXT_BYTES] = "operator";
    hex_encode(k->hash, TOKEN_HASH_BYTES, hash);
    if (k->has_wallet)
        address_format(k->wallet, wallet);
    return json_pack("{ss ss ss sI so so so ss ss}", "id", k->id, "name", k->tenant, "sha256", hash, "created",
                     (json_int_t)k->created_s, "revoked",
                     k->revoked_s ? json_integer((json_int_t)k->revoked_s) : json_null(), "limit_total_wei",
                     limit_json(k->has_total, k->total_wei), "limit_day_wei", limit_json(k->has_day, k->day_wei),
                     "wallet", wallet, "role", k->admin ? "admin" : "user");
}

static int read_list(const json_t *j, struct key_list *out, struct err *e)
{
    const json_t *list = json_object_get(j, "keys");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || json_integer_value(json_object_get(j, "version")) != 1)
        return err_set(e, OL_EFORMAT, MODULE, "not a list of keys of version 1");
    if (n > MAX_KEYS)
        return err_set(e, OL_ELIMIT, MODULE, "%zu keys; at most %d", n, MAX_KEYS);
    out->keys = calloc(n + 1, sizeof *out->keys);
    if (!out->keys)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %zu keys", n);
    for (size_t i = 0; i < n; i++) {
        const char *bad = read_key(json_array_get(list, i), &out->keys[i]);
        if (bad)
            return err_set(e, OL_EFORMAT, MODULE, "key %zu has no valid '%s'", i, bad);
        out->n++;
    }
    return 0;
}

int key_list_parse(const char *text, size_t n, struct key_list *out, struct err *e)
{
    json_error_t where;
    *out = (struct key_list){0};
    json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
    int rc = j ? read_list(j, out, e)
               : err_set(e, OL_EFORMAT, MODULE, "not JSON: line %d: %.120s", where.line, where.text);
    json_decref(j);
    if (rc != 0)
        key_list_deinit(out);
    return rc;
}

void key_list_deinit(struct key_list *l)
{
    free(l->keys);
    *l = (struct key_list){0};
}

/* ---- the file */

int key_list_read(const char *path, struct key_list *out, struct err *e)
{
    char block[4096];
    struct buf text;
    *out = (struct key_list){0};
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? 0 : err_set(e, OL_EIO, MODULE, "opening %.160s: %s", path, strerror(errno));
    buf_init(&text, MAX_FILE_BYTES);
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
        buf_add(&text, block, n);
    bool failed = ferror(f) != 0;
    fclose(f);
    int rc = failed ? err_set(e, OL_EIO, MODULE, "reading failed")
             : buf_failed(&text) ? err_set(e, OL_ELIMIT, MODULE, "larger than %d MiB", MAX_FILE_BYTES >> 20)
                                 : key_list_parse(buf_str(&text), text.len, out, e);
    buf_deinit(&text);
    return rc == 0 ? 0 : err_prefix(e, "%.120s", path);
}

/* ---- finding */

struct keys {
    pthread_mutex_t lock;
    char *path; /* owned */
    struct key_list list;
    struct stat seen;     /* of the file the list was read from, or that could not be read */
};

/* The list follows the file. One that cannot be read leaves the keys as they were: a slip in an editor must not lock
 * everybody out, and says so once. */
static void follow(struct keys *k)
{
    struct stat now = {0};
    struct key_list list;
    struct err e = {0};
    if (stat(k->path, &now) != 0)
        now = (struct stat){0};
    if (now.st_ino == k->seen.st_ino && now.st_size == k->seen.st_size &&
        now.st_mtim.tv_sec == k->seen.st_mtim.tv_sec && now.st_mtim.tv_nsec == k->seen.st_mtim.tv_nsec)
        return;
    k->seen = now;
    if (key_list_read(k->path, &list, &e) != 0) {
        log_line(LOG_ERROR, MODULE, "%s; the keys from before stay in force", e.message);
        return;
    }
    if (now.st_mode & 077)
        log_line(LOG_WARN, MODULE, "%s can be read by others; chmod 600 it", k->path);
    key_list_deinit(&k->list);
    k->list = list;
    log_line(LOG_INFO, MODULE, "%d keys from %s", list.n, k->path);
}

int keys_open(const char *path, struct keys **out, struct err *e)
{
    *out = NULL;
    struct keys *k = calloc(1, sizeof *k);
    if (k)
        k->path = strdup(path);
    if (!k || !k->path) {
        free(k);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the keys");
    }
    int rc = key_list_read(path, &k->list, e); /* at start a broken file is an error; it is read again when asked */
    if (rc != 0) {
        free(k->path);
        free(k);
        return rc;
    }
    pthread_mutex_init(&k->lock, NULL);
    *out = k;
    return 0;
}

void keys_close(struct keys *k)
{
    if (!k)
        return;
    key_list_deinit(&k->list);
    pthread_mutex_destroy(&k->lock);
    free(k->path);
    free(k);
}

/* 1 if equal, without telling by its time where they differ. */
static unsigned equal(const uint8_t *a, const uint8_t *b)
{
    unsigned different = 0;
    for (int i = 0; i < TOKEN_HASH_BYTES; i++)
        different |= (unsigned)(a[i] ^ b[i]);
    return ((different - 1U) >> 31) & 1U;
}

bool keys_find(struct keys *k, const char *token, struct key *out)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    int found = -1;
    mbedtls_sha256_ret((const unsigned char *)token, strlen(token), hash, 0);
    pthread_mutex_lock(&k->lock);
    follow(k);
    for (int i = 0; i < k->list.n; i++) { /* all of them, whichever it is */
        int mask = -(int)(equal(hash, k->list.keys[i].hash) & (unsigned)(k->list.keys[i].revoked_s == 0));
        found = (found & ~mask) | (i & mask);
    }
    if (found >= 0)
        *out = k->list.keys[found];
    pthread_mutex_unlock(&k->lock);
    return found >= 0;
}
