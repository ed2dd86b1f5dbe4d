/* The account that signs a command's transactions: a wallet's, or on local test chains one of their
 * well-known ones. */
#ifndef OPENLORA_CLI_ACCOUNT_H
#define OPENLORA_CLI_ACCOUNT_H

#include "cli/chain_link.h"
#include "cli/wallet_file.h"

enum { DEV_ACCOUNTS = 10 };

struct account_options {
    const char *wallet, *password_file;
    bool dev;
    int64_t dev_number;
};

#define ACCOUNT_OPTIONS(o)                                                                                             \
    TEXT("wallet-file", &(o).wallet, "FILE", "key file of the account that signs"),                                    \
        TEXT("password-file", &(o).password_file, "FILE", "its first line is the password (default: asked)"),          \
        FLAG("dev-account", &(o).dev, "sign as an account of local test chains"),                                     \
        INT("dev-number", &(o).dev_number, "N", "which of them", 0, DEV_ACCOUNTS - 1)

/* Close with wallet_close. The well-known accounts are refused on any chain but the devnet's. */
int account_open(const struct account_options *, uint64_t chain_id, struct wallet *out, struct err *)
    __attribute__((warn_unused_result));
static inline struct signing_key account_key(const struct wallet *w)
{
    return (struct signing_key){w->secp, w->secret};
}

#endif
