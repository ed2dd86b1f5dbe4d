/* openlora chain claim and mint: what a settled bill is good for. Both work from a bundle, whose paths the contracts
 * check themselves; anyone may send them, and the money or the token goes where the bill says. */
#include "chainlite/calls/calls.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/bundle.h"
#include "cli/account.h"
#include "cli/commands.h"
#include "cli/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "claim"

enum { MAX_BUNDLE_BYTES = 4 << 20, CLAIM_BYTES = 4096 };

struct claiming {
    struct chain_link_options link;
    struct account_options account;
    const char *bundle_path, *beneficiary, *socket;
    struct bundle bundle;
    struct chain_link chain;
    struct wallet sender;
};

static int load_bundle(struct claiming *c, struct err *e)
{
    int rc = notation_read_file(&bundle_schema, c->bundle_path, MAX_BUNDLE_BYTES, &c->bundle, e);
    if (rc == 0 && !c->bundle.has_settlement)
        rc = err_set(e, OL_EINVAL, MODULE, "%s is not settled yet: fetch it again later", c->bundle_path);
    return rc;
}

static int send(struct claiming *c, const char *contract, const struct abi_writer *data, struct tx_receipt *receipt,
                struct err *e)
{
    const struct signing_key key = account_key(&c->sender);
    struct sending s = {.data = data->data, .data_len = data->len};
    CHECK(!data->failed);
    int rc = chain_link_contract(&c->chain, contract, s.to, e);
    return rc == 0 ? chain_link_send(&c->chain, &key, &s, receipt, e) : rc;
}

/* ---- mint */

static int list_to_path(const struct list *nodes, struct sumpath *out, struct err *e)
{
    if (nodes->n > SUMTREE_MAX_DEPTH)
        return err_set(e, OL_EFORMAT, MODULE, "the receipt's path is too long");
    memcpy(out->node, nodes->at, nodes->n * sizeof out->node[0]);
    out->depth = (int)nodes->n;
    return 0;
}

static int mint(struct claiming *c, struct err *e)
{
    const struct bundle_settlement *s = &c->bundle.settlement;
    uint8_t room[CALL_MINT_BYTES];
    struct abi_writer w;
    struct sumpath path = {0};
    struct tx_receipt receipt;
    char owner[ADDRESS_TEXT_BYTES], node[2 * ADDRESS_BYTES + 1];
    int rc = list_to_path(&s->receipt_path, &path, e);
    if (rc != 0)
        return rc;
    abi_writer_init(&w, room, sizeof room);
    call_nft_mint(&w, &(struct proven_receipt){&s->batch, &c->bundle.proof, s->settled_wei, s->index, &path,
                                               &c->bundle.rows.price, &c->bundle.rows.split});
    rc = send(c, "BillingNFT", &w, &receipt, e);
    if (rc != 0)
        return rc;
    address_format(c->bundle.proof.payer, owner);
    hex_encode(s->batch.node, ADDRESS_BYTES, node);
    printf("minted   bill 0x%s%016llx%08x to %s, %llu gas\n", node, (unsigned long long)s->batch.number, s->index, owner,
           (unsigned long long)receipt.gas_used);
    return 0;
}

/* ---- claim */

/* The body of the bundle's batch, from the node that keeps it. */
static int fetch_body(const struct claiming *c, struct body *out, struct err *e)
{
    struct http_client *http = NULL;
    char path[64], *text = NULL;
    snprintf(path, sizeof path, "/v1/batches/%llu/body", (unsigned long long)c->bundle.settlement.batch.number);
    int rc = http_open_socket(chain_socket_path(c->socket), &http, e);
    if (rc == 0)
        rc = http_request(http, "GET", path, NULL, &text, e);
    if (rc == 0)
        rc = notation_parse(&body_schema, text, strlen(text), out, e);
    free(text);
    http_close(http);
    return rc;
}

/* The beneficiary's credit and its path in the batch's credits tree. */
static int find_credit(const struct body *body, const uint8_t beneficiary[ADDRESS_BYTES], struct credit *out,
                       uint32_t *index, struct sumpath *path, struct err *e)
{
    const struct credit *credits = body->credits.at;
    size_t n = body->credits.n, at = n;
    struct sumnode root, *nodes = n ? malloc(sumtree_nodes(n) * sizeof *nodes) : NULL;
    for (size_t i = 0; i < n; i++)
        if (memcmp(credits[i].beneficiary, beneficiary, ADDRESS_BYTES) == 0)
            at = i;
    if (at == n || !nodes) {
        free(nodes);
        return at == n ? err_set(e, OL_ENOTFOUND, MODULE, "this batch credits nothing to that address")
                       : err_set(e, OL_ENOMEM, MODULE, "no memory for the credits");
    }
    for (size_t i = 0; i < n; i++)
        credit_leaf(&credits[i], &nodes[i]);
    int rc = sumtree_build(nodes, n, &root, e);
    if (rc == 0)
        sumtree_path(nodes, n, at, path);
    free(nodes);
    *out = credits[at];
    *index = (uint32_t)at;
    return rc;
}

static int claim(struct claiming *c, struct err *e)
{
    uint8_t room[CLAIM_BYTES], beneficiary[ADDRESS_BYTES];
    struct abi_writer w;
    struct body body = {0};
    struct credit credit;
    struct sumpath path = {0};
    struct tx_receipt receipt;
    uint32_t index = 0;
    char to[ADDRESS_TEXT_BYTES], amount[WEI_TEXT_BYTES + 2];
    if (!c->beneficiary)
        memcpy(beneficiary, c->sender.address, ADDRESS_BYTES);
    else if (!address_parse(c->beneficiary, beneficiary))
        return err_set(e, OL_EINVAL, MODULE, "--for %s is no address", c->beneficiary);
    int rc = fetch_body(c, &body, e);
    if (rc == 0)
        rc = find_credit(&body, beneficiary, &credit, &index, &path, e);
    schema_free(&body_schema, &body);
    if (rc != 0)
        return rc;
    abi_writer_init(&w, room, sizeof room);
    call_rewards_claim(&w, &c->bundle.settlement.batch, &credit, index, &path);
    rc = send(c, "Rewards", &w, &receipt, e);
    if (rc != 0)
        return rc;
    address_format(beneficiary, to);
    wei_format_coin(credit.cumulative_wei, amount);
    printf("claimed  %s %s in this epoch by %s, %llu gas\n", amount, c->chain.chain.coin, to,
           (unsigned long long)receipt.gas_used);
    return 0;
}

/* ---- both */

static int run(struct claiming *c, int (*action)(struct claiming *, struct err *), struct err *e)
{
    int rc = load_bundle(c, e);
    if (rc == 0)
        rc = chain_link_open(&c->link, &c->chain, e);
    if (rc == 0)
        rc = account_open(&c->account, c->chain.chain.chain_id, &c->sender, e);
    if (rc == 0)
        rc = action(c, e);
    wallet_close(&c->sender);
    chain_link_close(&c->chain);
    schema_free(&bundle_schema, &c->bundle);
    return rc;
}

static int command(const struct command *command, int argc, char **argv, int (*action)(struct claiming *, struct err *))
{
    struct claiming c = {0};
    const struct option options[] = {
        TEXT("for", &c.beneficiary, "ADDRESS", "claim: whose credits (default: the account's that signs)"),
        TEXT("socket", &c.socket, "PATH", "claim: chainlited's Unix socket (default: $OPENLORA_CHAIN_SOCKET)"),
        CHAIN_LINK_OPTIONS(c.link),
        ACCOUNT_OPTIONS(c.account),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 1), code = EXIT_OK;
    c.bundle_path = words == 1 ? argv[1] : NULL;
    if (words < 0)
        code = options_exit(words);
    else if (!c.bundle_path)
        code = fail(command, EXIT_USAGE, "name the bundle: a file that `openlora wallet receipt ID` printed");
    else if (run(&c, action, &e) != 0)
        code = fail(command, EXIT_FAILED, "%s", e.message);
    free(c.link.rpc.items);
    return code;
}

int command_chain_claim(const struct command *self, int argc, char **argv) { return command(self, argc, argv, claim); }
int command_chain_mint(const struct command *self, int argc, char **argv) { return command(self, argc, argv, mint); }
