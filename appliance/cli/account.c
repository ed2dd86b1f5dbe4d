#include "cli/account.h"

#include "chainlite/core/hex.h"

enum { DEV_CHAIN = 31337 };

/* The first account of local test chains, known to everybody. */
static const char DEV_SECRET[] = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

int account_open(const struct account_options *o, uint64_t chain_id, struct wallet *out, struct err *e)
{
    static const uint8_t random[32] = {1}; /* the key is public: nothing to blind */
    char path[WALLET_PATH_BYTES];
    *out = (struct wallet){0};
    if (!o->dev) {
        int rc = wallet_path(o->wallet, path, e);
        return rc == 0 ? wallet_open(path, o->password_file, out, e) : rc;
    }
    if (chain_id != DEV_CHAIN)
        return err_set(e, OL_EINVAL, "account", "--dev-account is known to everybody: only for chain %d", DEV_CHAIN);
    out->secp = secp_open(random);
    if (!out->secp || !hex_decode(DEV_SECRET, out->secret, SECRET_BYTES))
        return err_set(e, OL_ENOMEM, "account", "no memory for signatures");
    return secp_address(out->secp, out->secret, out->address, e);
}
