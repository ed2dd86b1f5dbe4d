/* Keys in Ethereum's keystore format, version 3 (Web3 Secret Storage): what wallets export and import.
 * Written: PBKDF2-HMAC-SHA-256 (262,144 rounds), AES-128-CTR, Keccak MAC. Read: that and scrypt. */
#ifndef OPENLORA_KEYS_KEYSTORE_V3_H
#define OPENLORA_KEYS_KEYSTORE_V3_H

#include "base/buf.h"
#include "chainlite/core/secp.h"

enum { KEYSTORE_MAX_ROUNDS = 10000000, KEYSTORE_MAX_BYTES = 64 << 10 };

/* Appends the JSON; salt, IV and id come from getrandom. */
int keystore_v3_write(const struct secp *, const uint8_t secret[SECRET_BYTES], const char *password, struct buf *out,
                      struct err *) __attribute__((warn_unused_result));
/* OL_EFORMAT: not such a file; OL_EINVAL: wrong password; OL_ELIMIT: it asks for more work or memory than we spend. A
 * file that names an address must name the key's. */
int keystore_v3_read(const struct secp *, const char *json, size_t len, const char *password,
                     uint8_t secret[SECRET_BYTES], struct err *) __attribute__((warn_unused_result));

#endif
