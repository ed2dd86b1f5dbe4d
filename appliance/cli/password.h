/* Passwords for key files: from a file, or typed without echo. */
#ifndef OPENLORA_CLI_PASSWORD_H
#define OPENLORA_CLI_PASSWORD_H

#include "base/err.h"

#include <stdbool.h>

enum { PASSWORD_BYTES = 1024 };

/* file (or $OPENLORA_PASSWORD_FILE when NULL): its first line. Without one the terminal is asked, twice if `confirm`;
 * OL_EINVAL when there is none. The caller wipes `out` (mbedtls_platform_zeroize). */
int password_read(const char *file, const char *prompt, bool confirm, char out[PASSWORD_BYTES], struct err *)
    __attribute__((warn_unused_result));

#endif
