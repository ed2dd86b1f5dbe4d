#include "cli/wallet_file.h"

#include "chainlite/core/hex.h"
#include "chainlite/json/notation_file.h"
#include "chainlite/keys/keystore_v3.h"
#include "cli/password.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE "wallet"

enum { MAX_RECORD_BYTES = 4 << 20, MAX_NODES = 10000, PASSWORD_MIN_BYTES = 8 };

int wallet_path(const char *option, char out[WALLET_PATH_BYTES], struct err *e)
{
    const char *named = option ? option : getenv("OPENLORA_WALLET"), *data = getenv("XDG_DATA_HOME"),
               *home = getenv("HOME");
    int n = -1;
    if (named && *named)
        n = snprintf(out, WALLET_PATH_BYTES, "%s", named);
    else if (data && *data)
        n = snprintf(out, WALLET_PATH_BYTES, "%s/openlora/wallet.json", data);
    else if (home && *home)
        n = snprintf(out, WALLET_PATH_BYTES, "%s/.local/share/openlora/wallet.json", home);
    if (n < 0)
        return err_set(e, OL_EINVAL, MODULE, "HOME is not set; give --wallet-file FILE");
    return n < WALLET_PATH_BYTES - 32 ? 0 : err_set(e, OL_ELIMIT, MODULE, "the wallet's path is too long");
}

static struct secp *open_secp(struct err *e)
{
    uint8_t random[32];
    struct secp *secp = getrandom(random, sizeof random, 0) == (ssize_t)sizeof random ? secp_open(random) : NULL;
    if (!secp)
        err_set(e, OL_ENOMEM, MODULE, "no memory or random numbers for signatures");
    return secp;
}

/* ---- files */

static int read_whole(const char *path, size_t max_bytes, struct buf *out, struct err *e)
{
    char block[4096];
    FILE *in = fopen(path, "re");
    if (!in)
        return err_set(e, errno == ENOENT ? OL_ENOTFOUND : OL_EIO, MODULE, "cannot open %s: %s", path, strerror(errno));
    buf_init(out, max_bytes);
    for (size_t n; (n = fread(block, 1, sizeof block, in)) > 0 && !buf_failed(out);)
        buf_add(out, block, n);
    bool bad = ferror(in) != 0;
    fclose(in);
    mbedtls_platform_zeroize(block, sizeof block);
    if (!bad && !buf_failed(out))
        return 0;
    buf_deinit(out);
    return err_set(e, bad ? OL_EIO : OL_ELIMIT, MODULE, bad ? "%s cannot be read" : "%s is too large", path);
}

/* Makes the folders above path, private ones. */
static int make_folders(const char *path, struct err *e)
{
    char folder[WALLET_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(folder, 0700) != 0 && errno != EEXIST)
            return err_set(e, OL_EIO, MODULE, "cannot make the folder %s: %s", folder, strerror(errno));
        *slash = '/';
    }
    return 0;
}

/* Writes beside the place and links: whole or not at all, and never over an old file. */
static int create_file(const char *path, const char *text, size_t len, struct err *e)
{
    char beside[WALLET_PATH_BYTES + 16];
    snprintf(beside, sizeof beside, "%s.new", path);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(e, OL_EIO, MODULE, "cannot write %s: %s", beside, strerror(errno));
    bool ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    ok = close(fd) == 0 && ok && link(beside, path) == 0;
    int why = errno;
    unlink(beside);
    if (!ok && why == EEXIST)
        return err_set(e, OL_EEXIST, MODULE, "%s is there already; move it away or give --wallet-file FILE", path);
    return ok ? 0 : err_set(e, OL_EIO, MODULE, "cannot write %s: %s", path, strerror(why));
}

/* ---- the key */

int wallet_peek(const char *path, uint8_t address[ADDRESS_BYTES], struct err *e)
{
    struct buf text;
    int rc = read_whole(path, KEYSTORE_MAX_BYTES, &text, e);
    if (rc == OL_ENOTFOUND)
        return err_set(e, rc, MODULE, "there is no wallet at %s; `openlora wallet create` makes one", path);
    if (rc != 0)
        return rc;
    json_t *file = json_loadb(buf_str(&text), text.len, 0, NULL);
    const char *stated = json_string_value(json_object_get(file, "address"));
    if (!stated || !hex_decode(stated, address, ADDRESS_BYTES))
        rc = err_set(e, OL_EFORMAT, MODULE, "%s is no key file that names its address", path);
    json_decref(file);
    buf_deinit(&text);
    return rc;
}

int wallet_open(const char *path, const char *password_file, struct wallet *out, struct err *e)
{
    char password[PASSWORD_BYTES];
    struct buf text = {0};
    *out = (struct wallet){0};
    snprintf(out->path, sizeof out->path, "%s", path);
    int rc = read_whole(path, KEYSTORE_MAX_BYTES, &text, e);
    if (rc == OL_ENOTFOUND)
        return err_set(e, rc, MODULE, "there is no wallet at %s; `openlora wallet create` makes one", path);
    if (rc == 0)
        rc = password_read(password_file, "Password of the wallet: ", false, password, e);
    if (rc == 0 && !(out->secp = open_secp(e)))
        rc = OL_ENOMEM;
    if (rc == 0)
        rc = keystore_v3_read(out->secp, buf_str(&text), text.len, password, out->secret, e);
    if (rc == 0)
        rc = secp_address(out->secp, out->secret, out->address, e);
    mbedtls_platform_zeroize(password, sizeof password);
    buf_deinit(&text);
    if (rc != 0)
        wallet_close(out);
    return rc;
}

void wallet_close(struct wallet *w)
{
    mbedtls_platform_zeroize(w->secret, sizeof w->secret);
    if (w->secp)
        secp_close(w->secp);
    w->secp = NULL;
}

static int random_secret(const struct secp *secp, uint8_t out[SECRET_BYTES], struct err *e)
{
    do {
        if (getrandom(out, SECRET_BYTES, 0) != SECRET_BYTES)
            return err_set(e, OL_EIO, MODULE, "the system gives no random numbers");
    } while (!secp_secret_valid(secp, out)); /* fails once in 2^128 */
    return 0;
}

int wallet_create(const char *path, const uint8_t *secret, const char *password, uint8_t address[ADDRESS_BYTES],
                  struct err *e)
{
    uint8_t key[SECRET_BYTES];
    struct buf text;
    if (strlen(password) < PASSWORD_MIN_BYTES)
        return err_set(e, OL_EINVAL, MODULE, "the password must have at least %d characters", PASSWORD_MIN_BYTES);
    struct secp *secp = open_secp(e);
    if (!secp)
        return OL_ENOMEM;
    buf_init(&text, KEYSTORE_MAX_BYTES);
    int rc = 0;
    if (secret)
        memcpy(key, secret, sizeof key);
    else
        rc = random_secret(secp, key, e);
    if (rc == 0)
        rc = secp_address(secp, key, address, e);
    if (rc == 0)
        rc = keystore_v3_write(secp, key, password, &text, e);
    if (rc == 0)
        rc = make_folders(path, e);
    if (rc == 0)
        rc = create_file(path, buf_str(&text), text.len, e);
    mbedtls_platform_zeroize(key, sizeof key);
    buf_deinit(&text);
    secp_close(secp);
    return rc;
}

/* ---- the record */

struct entry {
    uint8_t node[ADDRESS_BYTES];
    struct spent spent;
};

struct record {
    uint8_t version;
    struct list nodes; /* struct entry */
};

enum { RECORD_VERSION = 1 };

static const struct field entry_fields[] = {
    FIELD(entry, ADDRESS, "node", node),
    FIELD(entry, WEI, "ceiling", spent.ceiling_wei),
    FIELD(entry, WEI, "cumulative", spent.cumulative_wei),
};
static const struct schema entry_schema = SCHEMA("node", entry, entry_fields);

static const struct field record_fields[] = {
    FIELD_BOUNDED(record, VERSION, "version", version, RECORD_VERSION),
    FIELD_MANY(record, "nodes", nodes, &entry_schema, MAX_NODES),
};
static const struct schema record_schema = SCHEMA("record", record, record_fields);

static int load_record(const char *path, char name[WALLET_PATH_BYTES + 16], struct record *out, struct err *e)
{
    snprintf(name, WALLET_PATH_BYTES + 16, "%s.spent.json", path);
    *out = (struct record){.version = RECORD_VERSION};
    if (access(name, F_OK) != 0 && errno == ENOENT)
        return 0;
    return notation_read_file(&record_schema, name, MAX_RECORD_BYTES, out, e);
}

static struct entry *find_entry(const struct record *r, const uint8_t node[ADDRESS_BYTES])
{
    struct entry *entries = r->nodes.at;
    for (size_t i = 0; i < r->nodes.n; i++)
        if (memcmp(entries[i].node, node, ADDRESS_BYTES) == 0)
            return &entries[i];
    return NULL;
}

int wallet_spent(const char *path, const uint8_t node[ADDRESS_BYTES], struct spent *out, struct err *e)
{
    char name[WALLET_PATH_BYTES + 16];
    struct record record;
    int rc = load_record(path, name, &record, e);
    if (rc != 0)
        return rc;
    const struct entry *entry = find_entry(&record, node);
    *out = entry ? entry->spent : (struct spent){0};
    schema_free(&record_schema, &record);
    return 0;
}

int wallet_spent_save(const char *path, const uint8_t node[ADDRESS_BYTES], const struct spent *spent, struct err *e)
{
    char name[WALLET_PATH_BYTES + 16];
    struct record record;
    int rc = load_record(path, name, &record, e);
    if (rc != 0)
        return rc;
    struct entry *entry = find_entry(&record, node);
    if (!entry) {
        struct entry *more = realloc(record.nodes.at, (record.nodes.n + 1) * sizeof *more);
        if (more) {
            record.nodes.at = more;
            entry = &more[record.nodes.n++];
            memcpy(entry->node, node, ADDRESS_BYTES);
        }
    }
    if (entry)
        entry->spent = *spent;
    rc = entry ? notation_write_file(&record_schema, &record, name, MAX_RECORD_BYTES, e)
               : err_set(e, OL_ENOMEM, MODULE, "no memory for the wallet's record");
    schema_free(&record_schema, &record);
    return rc;
}
