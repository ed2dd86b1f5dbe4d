/* A payer's wallet: an Ethereum key file (chainlite/keys/keystore_v3.h) and, beside it, what its vouchers allowed.
 *
 * The record FILE.spent.json keeps for each node the highest ceiling signed so far and the cumulative fee of the last
 * Billing Proof seen. Signing only ever raises a ceiling by one request's fee above what the record knows to be due: so
 * the most a node can take by cheating is that. The record is written and fsynced before a voucher leaves. */
#ifndef OPENLORA_CLI_WALLET_FILE_H
#define OPENLORA_CLI_WALLET_FILE_H

#include "base/err.h"
#include "chainlite/core/proof.h"

#include <stdbool.h>
#include <stddef.h>

enum { WALLET_PATH_BYTES = 1024 };

struct wallet {
    char path[WALLET_PATH_BYTES];
    struct secp *secp; /* owned */
    uint8_t secret[SECRET_BYTES];
    uint8_t address[ADDRESS_BYTES];
};

/* `option`, else $OPENLORA_WALLET, else wallet.json in the user's data folder. */
int wallet_path(const char *option, char out[WALLET_PATH_BYTES], struct err *) __attribute__((warn_unused_result));
/* Its address without opening it. */
int wallet_peek(const char *path, uint8_t address[ADDRESS_BYTES], struct err *) __attribute__((warn_unused_result));
int wallet_open(const char *path, const char *password_file, struct wallet *out, struct err *)
    __attribute__((warn_unused_result));
void wallet_close(struct wallet *); /* wipes the key */
/* Writes a new key file, mode 0600; OL_EEXIST rather than over an old one. secret NULL: a random key. */
int wallet_create(const char *path, const uint8_t *secret, const char *password, uint8_t address[ADDRESS_BYTES],
                  struct err *) __attribute__((warn_unused_result));

struct spent {
    wei_t ceiling_wei, cumulative_wei;
};
/* A node that is not in the record has zeros. */
int wallet_spent(const char *path, const uint8_t node[ADDRESS_BYTES], struct spent *out, struct err *)
    __attribute__((warn_unused_result));
int wallet_spent_save(const char *path, const uint8_t node[ADDRESS_BYTES], const struct spent *, struct err *)
    __attribute__((warn_unused_result));

#endif
