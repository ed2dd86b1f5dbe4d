/* One secret in one encrypted file, and the passphrase that opens it (formats and rules: keystore.h). */
#ifndef OPENLORA_SETTLE_KEYFILE_H
#define OPENLORA_SETTLE_KEYFILE_H

#include "chainlite/core/secp.h"

#include <stddef.h>

enum { PASSPHRASE_MAX_BYTES = 1024 };

struct passphrase {
    char text[PASSPHRASE_MAX_BYTES];
    size_t len;
};

/* From $CREDENTIALS_DIRECTORY/openlora-key, else from `file`, which is made when missing. Wipe with passphrase_wipe. */
int passphrase_read(const char *file, struct passphrase *out, struct err *) __attribute__((warn_unused_result));
void passphrase_wipe(struct passphrase *);

/* OL_ENOTFOUND; OL_EINVAL: unsafe file, wrong passphrase or damaged. */
int keyfile_read(const char *path, const struct passphrase *, uint8_t secret[SECRET_BYTES], struct err *)
    __attribute__((warn_unused_result));
/* Durable, mode 0600; never replaces a file (OL_EEXIST). */
int keyfile_write(const char *path, const struct passphrase *, const uint8_t secret[SECRET_BYTES], struct err *)
    __attribute__((warn_unused_result));

#endif
