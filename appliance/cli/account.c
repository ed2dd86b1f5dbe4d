#include "cli/account.h"

#include "chainlite/core/hex.h"

enum { DEV_CHAIN = 31337 };

/* The accounts of local test chains, known to everybody: m/44'/60'/0'/0/N of the phrase "test … test junk". */
static const char *const DEV_SECRETS[DEV_ACCOUNTS] = {
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
};

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
    if (!out->secp || !hex_decode(DEV_SECRETS[o->dev_number], out->secret, SECRET_BYTES))
        return err_set(e, OL_ENOMEM, "account", "no memory for signatures");
    return secp_address(out->secp, out->secret, out->address, e);
}
