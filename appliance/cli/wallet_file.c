#include "cli/wallet_file.h"

#include "chainlite/core/hex.h"
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

enum { MAX_RECORD_BYTES = 4 << 20, PASSWORD_MIN_BYTES = 8 };

static const char RECORD_SUFFIX[] = ".spent.json";

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
        return err_set(e, OL_EINVAL, MODULE, "HOME is not set; give --wallet FILE");
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

/* Writes beside the file and renames: a crash leaves the old or the new one. exclusive: never over an old one. */
static int replace_file(const char *path, const char *text, size_t len, bool exclusive, struct err *e)
{
    char beside[WALLET_PATH_BYTES + 16];
    snprintf(beside, sizeof beside, "%s.new", path);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(e, OL_EIO, MODULE, "cannot write %s: %s", beside, strerror(errno));
    bool ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (ok && exclusive)
        ok = link(beside, path) == 0;
    else if (ok)
        ok = rename(beside, path) == 0;
    int why = errno;
    if (!ok || exclusive)
        unlink(beside);
    if (!ok && why == EEXIST)
        return err_set(e, OL_EEXIST, MODULE, "%s is there already; move it away or give --wallet FILE", path);
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
        rc = replace_file(path, buf_str(&text), text.len, true, e);
    mbedtls_platform_zeroize(key, sizeof key);
    buf_deinit(&text);
    secp_close(secp);
    return rc;
}

/* ---- the record: {"0xnode": {"ceiling_wei": "…", "cumulative_wei": "…"}} */

static int load_record(const char *path, char record[WALLET_PATH_BYTES + 16], json_t **out, struct err *e)
{
    struct buf text;
    snprintf(record, WALLET_PATH_BYTES + 16, "%s%s", path, RECORD_SUFFIX);
    int rc = read_whole(record, MAX_RECORD_BYTES, &text, e);
    if (rc == OL_ENOTFOUND)
        return (*out = json_object()) ? 0 : err_set(e, OL_ENOMEM, MODULE, "no memory");
    if (rc != 0)
        return rc;
    *out = json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES, NULL);
    buf_deinit(&text);
    if (json_is_object(*out))
        return 0;
    json_decref(*out);
    return err_set(e, OL_EFORMAT, MODULE, "%s is damaged; without it ceilings cannot be raised safely", record);
}

int wallet_spent(const char *path, const uint8_t node[ADDRESS_BYTES], struct spent *out, struct err *e)
{
    char record[WALLET_PATH_BYTES + 16], name[ADDRESS_TEXT_BYTES];
    json_t *o;
    int rc = load_record(path, record, &o, e);
    if (rc != 0)
        return rc;
    *out = (struct spent){0};
    address_format(node, name);
    const json_t *entry = json_object_get(o, name);
    const char *ceiling = json_string_value(json_object_get(entry, "ceiling_wei")),
               *cumulative = json_string_value(json_object_get(entry, "cumulative_wei"));
    if (entry && (!ceiling || !cumulative || !wei_parse(ceiling, &out->ceiling_wei) ||
                  !wei_parse(cumulative, &out->cumulative_wei)))
        rc = err_set(e, OL_EFORMAT, MODULE, "%s: the entry of %s is damaged", record, name);
    json_decref(o);
    return rc;
}

int wallet_spent_save(const char *path, const uint8_t node[ADDRESS_BYTES], const struct spent *s, struct err *e)
{
    char record[WALLET_PATH_BYTES + 16], name[ADDRESS_TEXT_BYTES], ceiling[WEI_TEXT_BYTES], cumulative[WEI_TEXT_BYTES];
    json_t *o;
    int rc = load_record(path, record, &o, e);
    if (rc != 0)
        return rc;
    address_format(node, name);
    wei_format(s->ceiling_wei, ceiling);
    wei_format(s->cumulative_wei, cumulative);
    json_object_set_new(o, name, json_pack("{s:s, s:s}", "ceiling_wei", ceiling, "cumulative_wei", cumulative));
    char *text = json_dumps(o, JSON_INDENT(1));
    rc = text ? replace_file(record, text, strlen(text), false, e) : err_set(e, OL_ENOMEM, MODULE, "no memory");
    free(text);
    json_decref(o);
    return rc;
}
