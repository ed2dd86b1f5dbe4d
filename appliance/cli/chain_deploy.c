/* openlora chain deploy: creates the contracts of chainlite/contracts/generated on a chain, in one account's nonce order,
 * and writes the chain data file that names them. Every address is known before its contract exists. */
#include "chainlite/contracts/generated/contracts.h"
#include "chainlite/core/abi.h"
#include "chainlite/core/hex.h"
#include "chainlite/core/tx.h"
#include "cli/account.h"
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "deploy"

enum { MAX_ARGS_BYTES = 2048, MAX_FILE_BYTES = 1 << 20 };

struct deployment {
    struct chain_link link;
    struct wallet account;
    uint8_t address[DEPLOY_COUNT][ADDRESS_BYTES];
    const char *setting[SETTING_COUNT]; /* NULL: the deployer's address */
    bool json;
};

struct deploy_options {
    struct chain_link_options link;
    struct account_options account;
    const char *out;
    struct option_list set;
    bool json;
};

/* ---- settings: "name=value" */

static int apply_setting(struct deployment *d, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    for (int i = 0; equals && i < SETTING_COUNT; i++) {
        size_t len = strlen(deploy_settings[i].name);
        if (len == (size_t)(equals - text) && memcmp(text, deploy_settings[i].name, len) == 0) {
            d->setting[i] = equals + 1;
            return 0;
        }
    }
    err_set(e, OL_EINVAL, MODULE, "--set %s: there is no such setting; there are", text);
    for (int i = 0; i < SETTING_COUNT; i++) {
        size_t len = strlen(e->message);
        snprintf(e->message + len, sizeof e->message - len, " %s", deploy_settings[i].name);
    }
    return OL_EINVAL;
}

static int address_setting(const struct deployment *d, int setting, uint8_t out[ADDRESS_BYTES], struct err *e)
{
    if (!d->setting[setting])
        memcpy(out, d->account.address, ADDRESS_BYTES);
    else if (!address_parse(d->setting[setting], out))
        return err_set(e, OL_EINVAL, MODULE, "%s: %s is no address", deploy_settings[setting].name, d->setting[setting]);
    return 0;
}

/* ---- constructor arguments */

/* The head word of one argument; those with a tail get theirs in put_tail. */
static int put_head(const struct deployment *d, const struct deploy_arg *arg, struct abi_writer *w, size_t *place,
                    struct err *e)
{
    static const uint8_t nobody[ADDRESS_BYTES];
    uint8_t address[ADDRESS_BYTES];
    wei_t number;
    switch (arg->kind) {
    case DEPLOY_ARG_CONTRACT:
        abi_put_address(w, d->address[arg->value]);
        return 0;
    case DEPLOY_ARG_ADDRESS:
        if (address_setting(d, arg->value, address, e) != 0)
            return OL_EINVAL;
        abi_put_address(w, address);
        return 0;
    case DEPLOY_ARG_UINT:
        if (!d->setting[arg->value] || !wei_parse(d->setting[arg->value], &number))
            return err_set(e, OL_EINVAL, MODULE, "%s must be a whole number", deploy_settings[arg->value].name);
        abi_put_wei(w, number);
        return 0;
    case DEPLOY_ARG_NOBODY:
        abi_put_address(w, nobody);
        return 0;
    case DEPLOY_ARG_TEXT:
    case DEPLOY_ARG_ADDRESSES:
        break;
    }
    *place = abi_put_offset(w);
    return 0;
}

static int put_tail(const struct deployment *d, const struct deploy_arg *arg, struct abi_writer *w, size_t place,
                    struct err *e)
{
    uint8_t address[ADDRESS_BYTES];
    if (arg->kind != DEPLOY_ARG_TEXT && arg->kind != DEPLOY_ARG_ADDRESSES)
        return 0;
    abi_set_offset(w, place, 0);
    if (arg->kind == DEPLOY_ARG_TEXT) {
        const char *text = d->setting[arg->value] ? d->setting[arg->value] : "";
        abi_put_bytes(w, text, strlen(text));
        return 0;
    }
    abi_put_u64(w, 1);
    if (address_setting(d, arg->value, address, e) != 0)
        return OL_EINVAL;
    abi_put_address(w, address);
    return 0;
}

static int put_args(const struct deployment *d, const struct deploy_contract *c, struct abi_writer *w, struct err *e)
{
    enum { MAX_ARGS = 8 };
    size_t place[MAX_ARGS] = {0};
    int rc = 0;
    CHECK(c->n_args <= MAX_ARGS);
    for (size_t i = 0; i < c->n_args && rc == 0; i++)
        rc = put_head(d, &c->args[i], w, &place[i], e);
    for (size_t i = 0; i < c->n_args && rc == 0; i++)
        rc = put_tail(d, &c->args[i], w, place[i], e);
    return rc == 0 && w->failed ? err_set(e, OL_ELIMIT, MODULE, "the arguments of %s are too long", c->name) : rc;
}

/* ---- creating */

static int create(struct deployment *d, int index, struct err *e)
{
    const struct deploy_contract *c = &deploy_contracts[index];
    size_t code_len = strlen(c->code_hex) / 2;
    uint8_t *data = malloc(code_len + MAX_ARGS_BYTES);
    struct abi_writer args;
    struct tx_receipt receipt;
    char at[ADDRESS_TEXT_BYTES];
    if (!data)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %s", c->name);
    CHECK(hex_decode(c->code_hex, data, code_len));
    abi_writer_init(&args, data + code_len, MAX_ARGS_BYTES);
    int rc = put_args(d, c, &args, e);
    const struct signing_key key = account_key(&d->account);
    struct sending s = {.create = true, .data = data, .data_len = code_len + args.len};
    if (rc == 0)
        rc = chain_link_send(&d->link, &key, &s, &receipt, e);
    free(data);
    if (rc != 0)
        return err_prefix(e, "%s", c->name);
    if (!receipt.has_contract || memcmp(receipt.contract, d->address[index], ADDRESS_BYTES) != 0)
        return err_set(e, OL_EBUSY, MODULE, "%s: the account sent something else meanwhile; deploy again", c->name);
    address_format(d->address[index], at);
    if (!d->json)
        printf("%-20s %s  %llu gas\n", c->name, at, (unsigned long long)receipt.gas_used);
    fflush(stdout);
    return 0;
}

static int create_all(struct deployment *d, struct err *e)
{
    struct sender_nonce nonce;
    int rc = sender_nonce(d->link.rpc, d->account.address, &nonce, e);
    for (int i = 0; i < DEPLOY_COUNT && rc == 0; i++)
        tx_create_address(d->account.address, nonce.pending + (uint64_t)i, d->address[i]);
    for (int i = 0; i < DEPLOY_COUNT && rc == 0; i++)
        rc = create(d, i, e);
    return rc;
}

/* ---- the chain's data file */

/* Are they where the file says already? */
static bool as_in_file(const struct deployment *d)
{
    for (int i = 0; i < DEPLOY_COUNT; i++) {
        const uint8_t *at = chain_file_contract(&d->link.chain, deploy_contracts[i].name);
        if (!at || memcmp(at, d->address[i], ADDRESS_BYTES) != 0)
            return false;
    }
    return true;
}

static int write_file(struct deployment *d, const char *out, struct err *e)
{
    struct chain_file *chain = &d->link.chain;
    struct chain_contract *rows = calloc(DEPLOY_COUNT, sizeof *rows);
    wei_t window = 0;
    if (!rows)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the data file");
    for (int i = 0; i < DEPLOY_COUNT; i++) {
        snprintf(rows[i].name, sizeof rows[i].name, "%s", deploy_contracts[i].name);
        memcpy(rows[i].address, d->address[i], ADDRESS_BYTES);
    }
    free(chain->contracts.at);
    chain->contracts = (struct list){rows, DEPLOY_COUNT};
    chain->wrapped_token.known = true;
    memcpy(chain->wrapped_token.at, d->address[DEPLOY_WRAPPED_NATIVE], ADDRESS_BYTES);
    chain->window_s.known = wei_parse(d->setting[SETTING_WINDOW_SECONDS], &window);
    chain->window_s.value = (uint64_t)window;
    return notation_write_file(&chain_file_schema, chain, out, MAX_FILE_BYTES, e);
}

static int deploy(const struct deploy_options *o, struct err *e)
{
    struct deployment d = {.json = o->json};
    for (int i = 0; i < SETTING_COUNT; i++)
        d.setting[i] = deploy_settings[i].devnet;
    int rc = chain_link_open(&o->link, &d.link, e);
    for (int i = 0; i < o->set.n && rc == 0; i++)
        rc = apply_setting(&d, o->set.items[i], e);
    if (rc == 0)
        rc = account_open(&o->account, d.link.chain.chain_id, &d.account, e);
    if (rc == 0)
        rc = create_all(&d, e);
    if (rc == 0 && o->out)
        rc = write_file(&d, o->out, e);
    else if (rc == 0 && !as_in_file(&d))
        fprintf(stderr, "openlora chain deploy: the addresses are not those of chain data \"%s\"; deploy with --out FILE "
                        "and give that file as --chain\n", d.link.chain.name);
    if (rc == 0 && d.json) {
        printf("{");
        for (int i = 0; i < DEPLOY_COUNT; i++) {
            char at[ADDRESS_TEXT_BYTES];
            address_format(d.address[i], at);
            printf("%s\"%s\":\"%s\"", i ? "," : "", deploy_contracts[i].name, at);
        }
        printf("}\n");
    }
    wallet_close(&d.account);
    chain_link_close(&d.link);
    return rc;
}

int command_chain_deploy(const struct command *command, int argc, char **argv)
{
    struct deploy_options o = {0};
    const struct option options[] = {
        CHAIN_LINK_OPTIONS(o.link),
        ACCOUNT_OPTIONS(o.account),
        LIST("set", &o.set, "NAME=VALUE", "a setting of the deployment, such as window_seconds=86400"),
        TEXT("out", &o.out, "FILE", "write chain data that name these contracts"),
        FLAG("json", &o.json, "print one JSON object"),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 0);
    int rc = words < 0 ? 0 : deploy(&o, &e);
    free(o.link.rpc.items);
    free(o.set.items);
    if (words < 0)
        return options_exit(words);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}
