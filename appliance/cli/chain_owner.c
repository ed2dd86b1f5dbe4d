/* openlora chain owner: what only a node's owner may do with its bond and its ownership. The owner is the node's own key
 * until it hands that to another, colder one (offer, then accept by the other); docs/chainlited.md says what that gives. */
#include "chainlite/calls/calls.h"
#include "chainlite/core/hex.h"
#include "cli/account.h"
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "owner"

struct owning {
    struct chain_link_options link;
    struct account_options account;
    const char *node, *word; /* word: the action's argument, NULL without one */
    uint8_t node_address[ADDRESS_BYTES];
};

static int unbond(const struct owning *o, struct abi_writer *w, struct err *e)
{
    wei_t amount_wei;
    if (!wei_parse_coin(o->word, &amount_wei) || amount_wei == 0)
        return err_set(e, OL_EINVAL, MODULE, "%.60s is no amount of coins", o->word);
    call_settlement_unbond(w, o->node_address, amount_wei);
    return 0;
}

static int withdraw(const struct owning *o, struct abi_writer *w, struct err *e)
{
    (void)e;
    call_settlement_withdraw_bond(w, o->node_address);
    return 0;
}

static int offer(const struct owning *o, struct abi_writer *w, struct err *e)
{
    uint8_t to[ADDRESS_BYTES];
    if (!address_parse(o->word, to))
        return err_set(e, OL_EINVAL, MODULE, "%.60s is no address", o->word);
    call_settlement_offer_node(w, o->node_address, to);
    return 0;
}

static int accept_offer(const struct owning *o, struct abi_writer *w, struct err *e)
{
    (void)e;
    call_settlement_accept_node(w, o->node_address);
    return 0;
}

static const struct action {
    const char *name;
    int words; /* itself included */
    int (*call)(const struct owning *, struct abi_writer *, struct err *);
    const char *done;
} actions[] = {
    {"unbond", 2, unbond, "this part of the bond backs nothing new; withdraw-bond gets it after the unbonding time"},
    {"withdraw-bond", 1, withdraw, "what was unbonded is the owner's, in the wrapped coin"},
    {"offer", 2, offer, "offered; it is the other's once it accepts"},
    {"accept", 1, accept_offer, "this account owns the node now"},
};
enum { ACTIONS = sizeof actions / sizeof *actions };

static const struct action *find(const char *name, int words)
{
    for (int i = 0; i < ACTIONS; i++)
        if (strcmp(name, actions[i].name) == 0 && words == actions[i].words)
            return &actions[i];
    return NULL;
}

static int run(struct owning *o, const struct action *a, struct err *e)
{
    struct chain_link chain;
    struct wallet owner = {0};
    struct tx_receipt receipt;
    struct abi_writer w;
    uint8_t room[256];
    abi_writer_init(&w, room, sizeof room);
    int rc = address_parse(o->node, o->node_address) ? a->call(o, &w, e)
                                                     : err_set(e, OL_EINVAL, MODULE, "--node %.60s is no address", o->node);
    if (rc != 0)
        return rc;
    rc = chain_link_open(&o->link, &chain, e);
    if (rc != 0)
        return rc;
    struct sending s = {.data = w.data, .data_len = w.len};
    rc = account_open(&o->account, chain.chain.chain_id, &owner, e);
    if (rc == 0)
        rc = chain_link_contract(&chain, "Settlement", s.to, e);
    if (rc == 0) {
        const struct signing_key key = account_key(&owner);
        rc = chain_link_send(&chain, &key, &s, &receipt, e);
    }
    if (rc == 0)
        printf("%s\n", a->done);
    wallet_close(&owner);
    chain_link_close(&chain);
    return rc;
}

int command_chain_owner(const struct command *command, int argc, char **argv)
{
    struct owning o = {0};
    const struct option options[] = {
        REQUIRED("node", &o.node, "ADDRESS", "the node (openlora chain status)"),
        CHAIN_LINK_OPTIONS(o.link),
        ACCOUNT_OPTIONS(o.account),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 2), code = EXIT_OK;
    const struct action *a = words > 0 ? find(argv[1], words) : NULL;
    o.word = words > 1 ? argv[2] : NULL;
    if (words < 0)
        code = options_exit(words);
    else if (!a)
        code = fail(command, EXIT_USAGE, "wanted: %s", command->arguments);
    else if (run(&o, a, &e) != 0)
        code = fail(command, EXIT_FAILED, "%s", e.message);
    free(o.link.rpc.items);
    return code;
}
