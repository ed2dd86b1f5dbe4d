/* File: magic(8) ‖ rounds(4) ‖ salt(32) ‖ nonce(12) ‖ tag(16) ‖ cipher text(32), big-endian; what stands before the tag is
 * authenticated with it. */
#include "chainlite/settle/keyfile.h"

#include "chainlite/core/hex.h"
#include "chainlite/keys/scrypt.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULE "keystore"

enum { ROUNDS = 262144, MAX_ROUNDS = 10000000, SALT_BYTES = 32, NONCE_BYTES = 12, TAG_BYTES = 16, PATH_BYTES = 4096 };

static const char magic[8] = "OLKEY1\r\n";

struct keyfile {
    uint8_t magic[8], rounds[4], salt[SALT_BYTES], nonce[NONCE_BYTES], tag[TAG_BYTES], text[SECRET_BYTES];
};
enum { HEAD_BYTES = offsetof(struct keyfile, tag) };

/* ---- files that only we may read */

/* Opened without following a link; a regular file of ours that nobody else can open. */
static int open_private(const char *path, bool foreign_owner, int *fd, struct stat *s, struct err *e)
{
    *fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 && errno == ENOENT)
        return err_set(e, OL_ENOTFOUND, MODULE, "no file %.160s", path);
    if (*fd < 0)
        return err_set(e, errno == ELOOP ? OL_EINVAL : OL_EIO, MODULE, "opening %.120s: %s", path,
                       errno == ELOOP ? "it is a symbolic link; name the file itself" : strerror(errno));
    const char *wrong = NULL;
    if (fstat(*fd, s) != 0)
        wrong = strerror(errno);
    else if (!S_ISREG(s->st_mode))
        wrong = "it is not a regular file";
    else if (!foreign_owner && s->st_uid != geteuid())
        wrong = "it belongs to another user; chown it to the one that runs this";
    else if (!foreign_owner && (s->st_mode & 077) != 0)
        wrong = "others may open it; chmod 600 it";
    if (!wrong)
        return 0;
    close(*fd);
    return err_set(e, OL_EINVAL, MODULE, "%.150s: %s", path, wrong);
}

/* *n: room in, bytes out. One byte of room more than is allowed tells a file that is too long. */
static int read_private(const char *path, bool foreign_owner, void *out, size_t *n, struct err *e)
{
    struct stat s;
    int fd;
    int rc = open_private(path, foreign_owner, &fd, &s, e);
    if (rc != 0)
        return rc;
    ssize_t got = read(fd, out, *n);
    close(fd);
    if (got < 0)
        return err_set(e, OL_EIO, MODULE, "reading %.160s: %s", path, strerror(errno));
    *n = (size_t)got;
    return 0;
}

static int sync_folder(const char *path)
{
    char folder[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 ? fsync(fd) : -1;
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Whole or not at all, and never over another: written under a second name, then linked. */
static int write_private(const char *path, const void *bytes, size_t n, struct err *e)
{
    char draft[PATH_BYTES];
    if (snprintf(draft, sizeof draft, "%s.new", path) >= (int)sizeof draft)
        return err_set(e, OL_EINVAL, MODULE, "the path %.60s… is too long", path);
    unlink(draft); /* of a start that was cut off */
    int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, bytes, n) == (ssize_t)n && fsync(fd) == 0;
    if (fd >= 0 && close(fd) != 0)
        ok = false;
    if (ok && link(draft, path) != 0)
        ok = false;
    int cause = errno;
    unlink(draft);
    if (ok && sync_folder(path) == 0)
        return 0;
    return err_set(e, !ok && cause == EEXIST ? OL_EEXIST : OL_EIO, MODULE, "writing %.160s: %s", path,
                   ok ? "its folder cannot be synced" : strerror(cause));
}

/* ---- the passphrase */

static int make_passphrase(const char *path, struct err *e)
{
    uint8_t random[32];
    char text[2 * sizeof random + 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return err_set(e, OL_EIO, MODULE, "no random numbers: %s", strerror(errno));
    hex_encode(random, sizeof random, text);
    text[2 * sizeof random] = '\n';
    int rc = write_private(path, text, 2 * sizeof random + 1, e);
    mbedtls_platform_zeroize(random, sizeof random);
    mbedtls_platform_zeroize(text, sizeof text);
    return rc;
}

int passphrase_read(const char *file, struct passphrase *out, struct err *e)
{
    char credential[PATH_BYTES];
    const char *folder = getenv("CREDENTIALS_DIRECTORY"), *path = file;
    if (folder && snprintf(credential, sizeof credential, "%s/openlora-key", folder) < (int)sizeof credential &&
        access(credential, F_OK) == 0)
        path = credential;
    out->len = sizeof out->text;
    /* systemd's credentials are root's, read-only, on a file system of the unit's own */
    int rc = read_private(path, path == credential, out->text, &out->len, e);
    if (rc == OL_ENOTFOUND) {
        rc = make_passphrase(path, e);
        out->len = sizeof out->text;
        if (rc == 0)
            rc = read_private(path, false, out->text, &out->len, e);
    }
    if (rc != 0)
        return rc;
    size_t full = out->len;
    while (out->len > 0 && (out->text[out->len - 1] == '\n' || out->text[out->len - 1] == '\r'))
        out->len--;
    if (out->len == 0 || full == sizeof out->text)
        rc = err_set(e, OL_EINVAL, MODULE, "the passphrase in %.120s must have 1 to %d bytes", path,
                     PASSPHRASE_MAX_BYTES - 1);
    return rc;
}

void passphrase_wipe(struct passphrase *p) { mbedtls_platform_zeroize(p, sizeof *p); }

/* ---- the key */

static int seal_key(const struct keyfile *f, const struct passphrase *p, mbedtls_gcm_context *gcm, struct err *e)
{
    uint8_t key[32];
    uint32_t rounds = (uint32_t)f->rounds[0] << 24 | (uint32_t)f->rounds[1] << 16 | (uint32_t)f->rounds[2] << 8 | f->rounds[3];
    if (rounds == 0 || rounds > MAX_ROUNDS)
        return err_set(e, OL_EINVAL, MODULE, "a damaged key file");
    int rc = pbkdf2_sha256(p->text, p->len, f->salt, sizeof f->salt, rounds, key, sizeof key, e);
    if (rc == 0 && mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, key, 256) != 0)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for a cipher");
    mbedtls_platform_zeroize(key, sizeof key);
    return rc;
}

int keyfile_read(const char *path, const struct passphrase *p, uint8_t secret[SECRET_BYTES], struct err *e)
{
    struct { struct keyfile f; uint8_t more; } file;
    size_t n = sizeof file;
    int rc = read_private(path, false, &file, &n, e);
    if (rc != 0)
        return rc;
    if (n != sizeof file.f || memcmp(file.f.magic, magic, sizeof magic) != 0)
        return err_set(e, OL_EINVAL, MODULE, "%.160s is not a key file, or it is damaged", path);
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    rc = seal_key(&file.f, p, &gcm, e);
    if (rc == 0 && mbedtls_gcm_auth_decrypt(&gcm, SECRET_BYTES, file.f.nonce, NONCE_BYTES, (const uint8_t *)&file.f,
                                            HEAD_BYTES, file.f.tag, TAG_BYTES, file.f.text, secret) != 0)
        rc = err_set(e, OL_EINVAL, MODULE, "%.140s does not open: wrong passphrase, or a damaged file", path);
    mbedtls_gcm_free(&gcm);
    return rc;
}

int keyfile_write(const char *path, const struct passphrase *p, const uint8_t secret[SECRET_BYTES], struct err *e)
{
    struct keyfile f = {.rounds = {(uint8_t)(ROUNDS >> 24), (uint8_t)(ROUNDS >> 16), (uint8_t)(ROUNDS >> 8 & 0xff),
                                   (uint8_t)(ROUNDS & 0xff)}};
    memcpy(f.magic, magic, sizeof magic);
    if (getrandom(f.salt, SALT_BYTES, 0) != SALT_BYTES || getrandom(f.nonce, NONCE_BYTES, 0) != NONCE_BYTES)
        return err_set(e, OL_EIO, MODULE, "no random numbers: %s", strerror(errno));
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    int rc = seal_key(&f, p, &gcm, e);
    if (rc == 0 && mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, SECRET_BYTES, f.nonce, NONCE_BYTES,
                                             (const uint8_t *)&f, HEAD_BYTES, secret, f.text, TAG_BYTES, f.tag) != 0)
        rc = err_set(e, OL_EIO, MODULE, "encrypting a key failed");
    mbedtls_gcm_free(&gcm);
    return rc == 0 ? write_private(path, &f, sizeof f, e) : rc;
}
