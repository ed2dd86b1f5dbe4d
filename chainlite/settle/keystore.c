#include "chainlite/settle/keystore.h"

#include "chainlite/core/hex.h"
#include "chainlite/keys/keystore_v3.h"
#include "chainlite/settle/keyfile.h"

#include <dirent.h>
#include <errno.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE "keystore"

enum { PATH_BYTES = 4096, NODE = 0, OPERATOR = 1 };

struct secrets { /* on pages of their own */
    uint8_t of[KEYSTORE_MAX_KEYS][SECRET_BYTES];
};

struct keystore {
    struct secp *secp;
    struct secrets *secrets;
    uint8_t address[KEYSTORE_MAX_KEYS][ADDRESS_BYTES];
    size_t n;
};

void keystore_harden_process(void)
{
    struct rlimit none = {0, 0};
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &none);
}

static int path_of(const struct keystore_config *c, const char *name, char out[PATH_BYTES], struct err *e)
{
    if (snprintf(out, PATH_BYTES, "%s/%s.key", c->folder, name) >= PATH_BYTES)
        return err_set(e, OL_EINVAL, MODULE, "the path of the key folder is too long");
    return 0;
}

static int make_folder(const char *path, struct err *e)
{
    struct stat s;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(e, OL_EIO, MODULE, "making the folder %.160s: %s", path, strerror(errno));
    if (lstat(path, &s) != 0 || !S_ISDIR(s.st_mode) || s.st_uid != geteuid() || (s.st_mode & 022) != 0)
        return err_set(e, OL_EINVAL, MODULE, "%.140s must be a folder of ours that nobody else may write to", path);
    return 0;
}

static int random_secret(const struct secp *secp, uint8_t out[SECRET_BYTES], struct err *e)
{
    do
        if (getrandom(out, SECRET_BYTES, 0) != SECRET_BYTES)
            return err_set(e, OL_EIO, MODULE, "no random numbers: %s", strerror(errno));
    while (!secp_secret_valid(secp, out));
    return 0;
}

/* Reads a key into the next place; makes it when there is none and `make` says so. */
static int take_key(struct keystore *k, const char *path, const struct passphrase *p, bool make, struct err *e)
{
    if (k->n == KEYSTORE_MAX_KEYS)
        return err_set(e, OL_ELIMIT, MODULE, "more than %d keys", KEYSTORE_MAX_KEYS);
    uint8_t *secret = k->secrets->of[k->n];
    int rc = keyfile_read(path, p, secret, e);
    if (rc == OL_ENOTFOUND && make) {
        rc = random_secret(k->secp, secret, e);
        if (rc == 0)
            rc = keyfile_write(path, p, secret, e);
    }
    if (rc == 0)
        rc = secp_address(k->secp, secret, k->address[k->n], e);
    k->n += rc == 0;
    return rc;
}

static int take_wallets(struct keystore *k, const struct keystore_config *c, const struct passphrase *p, struct err *e)
{
    char path[PATH_BYTES];
    int rc = 0;
    DIR *folder = opendir(c->folder);
    if (!folder)
        return err_set(e, OL_EIO, MODULE, "reading the folder %.160s: %s", c->folder, strerror(errno));
    for (struct dirent *d; rc == 0 && (d = readdir(folder));) {
        size_t n = strlen(d->d_name);
        if (strncmp(d->d_name, "wallet-", 7) != 0 || n < 4 || strcmp(d->d_name + n - 4, ".key") != 0)
            continue;
        if (snprintf(path, sizeof path, "%s/%s", c->folder, d->d_name) < (int)sizeof path)
            rc = take_key(k, path, p, false, e);
    }
    closedir(folder);
    return rc;
}

static int take_keys(struct keystore *k, const struct keystore_config *c, struct err *e)
{
    static const char *const names[] = {"node", "operator"};
    struct passphrase p;
    char path[PATH_BYTES];
    int rc = passphrase_read(c->passphrase_file, &p, e);
    for (int i = 0; rc == 0 && i < 2; i++) {
        rc = path_of(c, names[i], path, e);
        if (rc == 0)
            rc = take_key(k, path, &p, true, e);
    }
    if (rc == 0)
        rc = take_wallets(k, c, &p, e);
    passphrase_wipe(&p);
    return rc;
}

int keystore_open(const struct keystore_config *config, struct keystore **out, struct err *e)
{
    uint8_t random[32];
    *out = NULL;
    int rc = make_folder(config->folder, e);
    if (rc != 0)
        return rc;
    struct keystore *k = calloc(1, sizeof *k);
    void *page = mmap(NULL, sizeof *k->secrets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!k || page == MAP_FAILED || getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        free(k);
        if (page != MAP_FAILED)
            munmap(page, sizeof *k->secrets);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for keys");
    }
    k->secrets = page;
    mlock(page, sizeof *k->secrets); /* refused under a small RLIMIT_MEMLOCK: then they may reach swap, no more */
    madvise(page, sizeof *k->secrets, MADV_DONTDUMP);
    k->secp = secp_open(random);
    rc = k->secp ? take_keys(k, config, e) : err_set(e, OL_ENOMEM, MODULE, "no memory for secp256k1");
    if (rc != 0) {
        keystore_close(k);
        return rc;
    }
    *out = k;
    return 0;
}

void keystore_close(struct keystore *k)
{
    if (!k)
        return;
    mbedtls_platform_zeroize(k->secrets, sizeof *k->secrets);
    munmap(k->secrets, sizeof *k->secrets);
    if (k->secp)
        secp_close(k->secp);
    free(k);
}

const struct secp *keystore_secp(const struct keystore *k) { return k->secp; }
const uint8_t *keystore_node(const struct keystore *k) { return k->address[NODE]; }
const uint8_t *keystore_operator(const struct keystore *k) { return k->address[OPERATOR]; }
const uint8_t *keystore_node_secret(const struct keystore *k) { return k->secrets->of[NODE]; }

bool keystore_holds(const struct keystore *k, const uint8_t address[ADDRESS_BYTES])
{
    for (size_t i = 0; i < k->n; i++)
        if (memcmp(k->address[i], address, ADDRESS_BYTES) == 0)
            return true;
    return false;
}

int keystore_sign(const struct keystore *k, const uint8_t address[ADDRESS_BYTES], const uint8_t digest[HASH_BYTES],
                  uint8_t signature[SIGNATURE_BYTES], struct err *e)
{
    for (size_t i = 0; i < k->n; i++)
        if (memcmp(k->address[i], address, ADDRESS_BYTES) == 0)
            return secp_sign(k->secp, k->secrets->of[i], digest, signature, e);
    return err_set(e, OL_ENOTFOUND, MODULE, "no key of that address is held here");
}

int keystore_import(const struct keystore_config *c, const char *name, const char *json, size_t len,
                    const char *password, uint8_t address[ADDRESS_BYTES], struct err *e)
{
    uint8_t secret[SECRET_BYTES], blind[32] = {0};
    struct passphrase p;
    char path[PATH_BYTES], file[64];
    if (strcmp(name, "node") != 0 && strcmp(name, "operator") != 0 && strcmp(name, "wallet") != 0)
        return err_set(e, OL_EINVAL, MODULE, "'%.20s' is none of node, operator, wallet", name);
    int rc = make_folder(c->folder, e);
    struct secp *secp = rc == 0 ? secp_open(blind) : NULL;
    if (rc == 0 && !secp)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for secp256k1");
    if (rc == 0)
        rc = keystore_v3_read(secp, json, len, password, secret, e);
    if (rc == 0)
        rc = secp_address(secp, secret, address, e);
    if (rc == 0) {
        char hex[2 * ADDRESS_BYTES + 1];
        hex_encode(address, ADDRESS_BYTES, hex);
        bool wallet = strcmp(name, "wallet") == 0;
        snprintf(file, sizeof file, "%s%s%s", name, wallet ? "-" : "", wallet ? hex : "");
        rc = path_of(c, file, path, e);
    }
    if (rc == 0)
        rc = passphrase_read(c->passphrase_file, &p, e);
    if (rc == 0) {
        rc = keyfile_write(path, &p, secret, e);
        passphrase_wipe(&p);
    }
    mbedtls_platform_zeroize(secret, sizeof secret);
    if (secp)
        secp_close(secp);
    return rc;
}

int keystore_export(const struct keystore *k, const char *name, const char *password, struct buf *json, struct err *e)
{
    int i = strcmp(name, "node") == 0 ? NODE : strcmp(name, "operator") == 0 ? OPERATOR : -1;
    if (i < 0)
        return err_set(e, OL_EINVAL, MODULE, "'%.20s' is neither node nor operator", name);
    return keystore_v3_write(k->secp, k->secrets->of[i], password, json, e);
}
