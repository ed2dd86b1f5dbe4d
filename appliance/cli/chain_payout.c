/* openlora chain payout: where a beneficiary's earnings go from now on. A wallet signs for itself; the node's key signs
 * nothing but what chainlited decides, so for the node chainlited is asked over its socket. */
#include "chainlite/calls/calls.h"
#include "chainlite/core/hex.h"
#include "cli/account.h"
#include "cli/commands.h"
#include "cli/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "payout"

struct paying_out {
    struct chain_link_options link;
    struct account_options account;
    bool of_node;
    const char *socket;
    uint8_t to[ADDRESS_BYTES]; /* 0: to itself */
};

static void print_done(const struct paying_out *p, const char *what, const char *whose)
{
    static const uint8_t self[ADDRESS_BYTES];
    char to[ADDRESS_TEXT_BYTES];
    address_format(p->to, to);
    printf("%s  what %s earns is paid to %s\n", what, whose, memcmp(p->to, self, sizeof self) ? to : "itself");
}

static int ask_node(const struct paying_out *p, struct err *e)
{
    struct http_client *http = NULL;
    char to[2 + 2 * ADDRESS_BYTES + 1] = "0x";
    hex_encode(p->to, ADDRESS_BYTES, to + 2);
    json_t *body = json_pack("{s:s}", "to", to), *answer = NULL;
    int rc = body ? http_open_socket(chain_socket_path(p->socket), &http, e)
                  : err_set(e, OL_ENOMEM, MODULE, "no memory for the request");
    if (rc == 0)
        rc = http_json(http, "POST", "/v1/payout", body, &answer, e);
    http_close(http);
    json_decref(body);
    json_decref(answer);
    if (rc == 0)
        print_done(p, "asked", "the node (done when `openlora chain status` says so)");
    return rc;
}

static int send_own(const struct paying_out *p, struct err *e)
{
    struct chain_link chain;
    struct wallet owner = {0};
    struct tx_receipt receipt;
    uint8_t room[4 + ABI_WORD_BYTES];
    char whose[ADDRESS_TEXT_BYTES];
    struct abi_writer w;
    abi_writer_init(&w, room, sizeof room);
    call_rewards_set_payout(&w, p->to);
    struct sending s = {.data = w.data, .data_len = w.len};
    int rc = chain_link_open(&p->link, &chain, e);
    if (rc != 0)
        return rc;
    rc = account_open(&p->account, chain.chain.chain_id, &owner, e);
    if (rc == 0)
        rc = chain_link_contract(&chain, "Rewards", s.to, e);
    if (rc == 0) {
        const struct signing_key key = account_key(&owner);
        rc = chain_link_send(&chain, &key, &s, &receipt, e);
    }
    if (rc == 0) {
        address_format(owner.address, whose);
        print_done(p, "set", whose);
    }
    wallet_close(&owner);
    chain_link_close(&chain);
    return rc;
}

int command_chain_payout(const struct command *command, int argc, char **argv)
{
    struct paying_out p = {0};
    const struct option options[] = {
        FLAG("of-node", &p.of_node, "redirect the node's own share, through chainlited"),
        TEXT("socket", &p.socket, "PATH", "--of-node: chainlited's Unix socket (default: $OPENLORA_CHAIN_SOCKET)"),
        CHAIN_LINK_OPTIONS(p.link),
        ACCOUNT_OPTIONS(p.account),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 1), code = EXIT_OK;
    if (words < 0)
        code = options_exit(words);
    else if (words != 1 || (strcmp(argv[1], "self") != 0 && !address_parse(argv[1], p.to)))
        code = fail(command, EXIT_USAGE, "say where to: openlora chain payout ADDRESS, or self");
    else if ((p.of_node ? ask_node(&p, &e) : send_own(&p, &e)) != 0)
        code = fail(command, EXIT_FAILED, "%s", e.message);
    free(p.link.rpc.items);
    return code;
}
