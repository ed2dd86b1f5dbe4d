/* The account that signs a command's transactions: a wallet's, or on local test chains their well-known first one. */
#ifndef OPENLORA_CLI_ACCOUNT_H
#define OPENLORA_CLI_ACCOUNT_H

#include "cli/chain_link.h"
#include "cli/wallet_file.h"

struct account_options {
    const char *wallet, *password_file;
    bool dev;
};

#define ACCOUNT_OPTIONS(o)                                                                                             \
    TEXT("wallet-file", &(o).wallet, "FILE", "key file of the account that signs"),                                    \
        TEXT("password-file", &(o).password_file, "FILE", "its first line is the password (default: asked)"),          \
        FLAG("dev-account", &(o).dev, "sign as the first account of local test chains")

/* Close with wallet_close. The well-known account is refused on any chain but the devnet's. */
int account_open(const struct account_options *, uint64_t chain_id, struct wallet *out, struct err *)
    __attribute__((warn_unused_result));
static inline struct signing_key account_key(const struct wallet *w) { return (struct signing_key){w->secp, w->secret}; }

#endif
