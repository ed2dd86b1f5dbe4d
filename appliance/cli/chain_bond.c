/* openlora chain bond: puts a node's bond into the Settlement, from an account that wraps its coins for it. */
#include "chainlite/calls/calls.h"
#include "chainlite/core/hex.h"
#include "cli/account.h"
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "bond"

struct bonding {
    struct chain_link_options link;
    struct account_options account;
    const char *node, *gas;
    wei_t amount_wei, gas_wei;
    uint8_t node_address[ADDRESS_BYTES];
    struct chain_link chain;
    struct wallet owner;
};

static int send(struct bonding *b, const uint8_t to[ADDRESS_BYTES], const struct abi_writer *data, wei_t value, struct err *e)
{
    const struct signing_key key = account_key(&b->owner);
    struct sending s = {.value_wei = value, .data = data ? data->data : NULL, .data_len = data ? data->len : 0};
    struct tx_receipt receipt;
    memcpy(s.to, to, ADDRESS_BYTES);
    return chain_link_send(&b->chain, &key, &s, &receipt, e);
}

/* deposit, approve, bond */
static int put(struct bonding *b, struct err *e)
{
    uint8_t room[256], asset[ADDRESS_BYTES], settlement[ADDRESS_BYTES];
    struct abi_writer w;
    int rc = chain_link_contract(&b->chain, "Settlement", settlement, e);
    if (rc == 0)
        rc = chain_link_contract(&b->chain, "WrappedNative", asset, e);
    if (rc != 0)
        return rc;
    abi_writer_init(&w, room, sizeof room);
    call_asset_deposit(&w);
    rc = send(b, asset, &w, b->amount_wei, e);
    if (rc != 0)
        return rc;
    abi_writer_init(&w, room, sizeof room);
    call_asset_approve(&w, settlement, b->amount_wei);
    rc = send(b, asset, &w, 0, e);
    if (rc != 0)
        return rc;
    abi_writer_init(&w, room, sizeof room);
    call_settlement_bond(&w, b->node_address, b->amount_wei);
    return send(b, settlement, &w, 0, e);
}

static int run(struct bonding *b, struct err *e)
{
    if (!address_parse(b->node, b->node_address))
        return err_set(e, OL_EINVAL, MODULE, "--node %s is no address", b->node);
    if (!wei_parse_coin(b->gas, &b->gas_wei))
        return err_set(e, OL_EINVAL, MODULE, "--gas %s is no amount of coins", b->gas);
    int rc = chain_link_open(&b->link, &b->chain, e);
    if (rc == 0)
        rc = account_open(&b->account, b->chain.chain.chain_id, &b->owner, e);
    if (rc == 0)
        rc = put(b, e);
    if (rc == 0 && b->gas_wei > 0)
        rc = send(b, b->node_address, NULL, b->gas_wei, e);
    wallet_close(&b->owner);
    chain_link_close(&b->chain);
    return rc;
}

int command_chain_bond(const struct command *command, int argc, char **argv)
{
    struct bonding b = {.gas = "0"};
    const struct option options[] = {
        REQUIRED("node", &b.node, "ADDRESS", "the node that is vouched for (openlora chain status)"),
        TEXT("gas", &b.gas, "COINS", "also send the node so much for its transactions"),
        CHAIN_LINK_OPTIONS(b.link),
        ACCOUNT_OPTIONS(b.account),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 1), code = EXIT_OK;
    if (words < 0)
        code = options_exit(words);
    else if (words != 1 || !wei_parse_coin(argv[1], &b.amount_wei) || b.amount_wei == 0)
        code = fail(command, EXIT_USAGE, "say how many coins: openlora chain bond 10 --node ADDRESS");
    else if (run(&b, &e) != 0)
        code = fail(command, EXIT_FAILED, "%s", e.message);
    free(b.link.rpc.items);
    return code;
}
