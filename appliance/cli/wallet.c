/* openlora wallet: a payer's key, its money in the Escrow and how to get it back. */
#include "chainlite/calls/calls.h"
#include "chainlite/core/hex.h"
#include "chainlite/keys/keystore_v3.h"
#include "cli/chain_link.h"
#include "cli/commands.h"
#include "cli/http_client.h"
#include "cli/password.h"
#include "cli/wallet_file.h"
#include "cli/wallet_node.h"

#include <jansson.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 160 };

struct request { /* options and words of one call */
    const struct command *command;
    const char *file, *password_file, *node, *url, *payer;
    struct chain_link_options link;
    bool json, evidence;
    char **words;
    int n_words;
    char path[WALLET_PATH_BYTES];
};

/* ---- without the chain */

static void print_address(const struct request *r, const char *verb, const uint8_t address[ADDRESS_BYTES])
{
    char text[ADDRESS_TEXT_BYTES];
    address_format(address, text);
    if (r->json)
        printf("{\"address\":\"%s\",\"path\":\"%s\"}\n", text, r->path);
    else
        printf("%s %s\n  kept in %s\n", verb, text, r->path);
}

static int store(struct request *r, const uint8_t *secret, const char *verb, struct err *e)
{
    char password[PASSWORD_BYTES];
    uint8_t address[ADDRESS_BYTES];
    int rc = password_read(r->password_file, "New password for the wallet: ", true, password, e);
    if (rc == 0)
        rc = wallet_create(r->path, secret, password, address, e);
    mbedtls_platform_zeroize(password, sizeof password);
    if (rc == 0)
        print_address(r, verb, address);
    return rc;
}

static int create(struct request *r, struct err *e) { return store(r, NULL, "new wallet", e); }

/* A key file of another wallet, with the same password from then on. */
static int import(struct request *r, struct err *e)
{
    struct wallet other;
    if (r->n_words < 2)
        return err_set(e, OL_EINVAL, "wallet", "name the key file: openlora wallet import FILE");
    int rc = wallet_open(r->words[1], r->password_file, &other, e);
    if (rc != 0)
        return rc;
    rc = store(r, other.secret, "imported", e);
    wallet_close(&other);
    return rc;
}

/* ---- with the node */

/* Of a receipt of this wallet's: `what` behind its path. */
static int get_receipt(const struct request *r, const char *what, char **reply, struct err *e)
{
    char path[PATH_BYTES];
    struct wallet w;
    uint8_t id[32];
    if (r->n_words < 2 || strncmp(r->words[1], "0x", 2) != 0 || !hex_decode(r->words[1], id, sizeof id))
        return err_set(e, OL_EINVAL, "wallet", "name the receipt, 0x and 64 digits: openlora wallet %s ID", r->words[0]);
    int rc = wallet_open(r->path, r->password_file, &w, e);
    if (rc != 0)
        return rc;
    snprintf(path, sizeof path, "/v1/receipts/%s%s", r->words[1], what);
    rc = wallet_get(&w, r->url, path, reply, e);
    wallet_close(&w);
    return rc;
}

/* The bundle of a receipt, for `openlora verify`. */
static int receipt(struct request *r, struct err *e)
{
    char *bundle = NULL;
    int rc = get_receipt(r, "", &bundle, e);
    if (rc == 0)
        puts(bundle);
    free(bundle);
    return rc;
}

/* Whose data influenced the answer. */
static int attribution(struct request *r, struct err *e)
{
    char *reply = NULL;
    int rc = get_receipt(r, r->evidence ? "/attribution?evidence=true" : "/attribution", &reply, e);
    if (rc == 0 && (r->json || r->evidence))
        puts(reply);
    else if (rc == 0)
        rc = print_attribution(reply, e);
    free(reply);
    return rc;
}

/* ---- with the chain */

static int node_address(const struct request *r, uint8_t out[ADDRESS_BYTES], struct err *e)
{
    if (!r->node)
        return err_set(e, OL_EINVAL, "wallet", "name the node: --node ADDRESS (`openlora ps` shows it)");
    return address_parse(r->node, out)
               ? 0
               : err_set(e, OL_EINVAL, "wallet", "--node %s is no address (40 hexadecimal digits, right checksum)", r->node);
}

static int amount_word(const struct request *r, wei_t *out, struct err *e)
{
    if (r->n_words < 2 || !wei_parse_coin(r->words[1], out) || *out == 0)
        return err_set(e, OL_EINVAL, "wallet", "say how much, in coins with up to 18 decimals: openlora wallet %s 0.5",
                       r->words[0]);
    return 0;
}

/* Signs `data` to the Escrow with the wallet's key. */
static int to_escrow(struct request *r, struct chain_link *l, const struct abi_writer *data, wei_t value, struct err *e)
{
    struct wallet w;
    struct tx_receipt receipt;
    struct sending s = {.value_wei = value, .data = data->data, .data_len = data->len};
    int rc = chain_link_contract(l, "Escrow", s.to, e);
    if (rc == 0)
        rc = wallet_open(r->path, r->password_file, &w, e);
    if (rc != 0)
        return rc;
    rc = chain_link_send(l, &(struct signing_key){w.secp, w.secret}, &s, &receipt, e);
    wallet_close(&w);
    if (rc == 0 && !r->json)
        printf("mined in block %llu, %llu gas\n", (unsigned long long)receipt.block_number,
               (unsigned long long)receipt.gas_used);
    return rc;
}

struct account {
    wei_t balance, claimed;
    uint8_t coins[32]; /* of the address itself, big-endian wei */
    struct light_head head;
};

/* Proven against the newest block that the endpoints agree on. */
static int read_account(struct chain_link *l, const uint8_t payer[ADDRESS_BYTES], const uint8_t *node,
                        struct account *out, struct err *e)
{
    uint8_t slot[32], word[32];
    struct mpt_account coins;
    memset(out, 0, sizeof *out);
    int rc = light_head(l->light, LIGHT_LATEST, &out->head, e);
    if (rc == 0 && node) {
        slot_escrow_account(payer, node, slot);
        rc = chain_link_word(l, "Escrow", slot, word, &out->head, e);
        out->claimed = rc == 0 ? wei_from_be16(word) : 0;
        out->balance = rc == 0 ? wei_from_be16(word + 16) : 0;
    }
    if (rc == 0)
        rc = light_account(l->light, &out->head, payer, &coins, NULL, e);
    if (rc == 0)
        memcpy(out->coins, coins.balance_wei, sizeof out->coins);
    return rc;
}

static void coin_text(wei_t amount, char out[WEI_TEXT_BYTES + 2]) { wei_format_coin(amount, out); }

static int print_account(const struct request *r, const struct chain_link *l, const uint8_t payer[ADDRESS_BYTES],
                         const uint8_t *node, const struct account *a)
{
    char address[ADDRESS_TEXT_BYTES], node_text[ADDRESS_TEXT_BYTES] = "", coins[WEI_TEXT_BYTES + 2] = "over 2^128 wei",
         balance[WEI_TEXT_BYTES + 2], claimed[WEI_TEXT_BYTES + 2];
    wei_t own;
    address_format(payer, address);
    if (node)
        address_format(node, node_text);
    if (wei_from_be32(a->coins, &own))
        coin_text(own, coins);
    coin_text(a->balance, balance);
    coin_text(a->claimed, claimed);
    if (r->json) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:s*, s:I, s:s}", "address", address, "coin", l->chain.coin,
                              "coins", coins, "node", node ? node_text : NULL, "escrow", node ? balance : NULL, "claimed",
                              node ? claimed : NULL, "block_number", (json_int_t)a->head.number, "trust",
                              trust_level_name(a->head.trust));
        json_dumpf(o, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(o);
        return 0;
    }
    printf("wallet   %s\ncoins    %s %s\n", address, coins, l->chain.coin);
    if (node)
        printf("node     %s\nescrow   %s %s\nclaimed  %s %s\n", node_text, balance, l->chain.coin, claimed, l->chain.coin);
    printf("proven   block %llu, %lld s old, trust: %s\n", (unsigned long long)a->head.number,
           (long long)light_age_s(&a->head), trust_level_name(a->head.trust));
    return 0;
}

static int show(struct request *r, struct chain_link *l, struct err *e)
{
    uint8_t payer[ADDRESS_BYTES], node[ADDRESS_BYTES];
    struct account a;
    int rc = wallet_peek(r->path, payer, e);
    if (rc == 0 && r->node)
        rc = node_address(r, node, e);
    if (rc == 0)
        rc = read_account(l, payer, r->node ? node : NULL, &a, e);
    return rc == 0 ? print_account(r, l, payer, r->node ? node : NULL, &a) : rc;
}

static int deposit(struct request *r, struct chain_link *l, struct err *e)
{
    uint8_t payer[ADDRESS_BYTES], node[ADDRESS_BYTES], room[128];
    struct abi_writer data;
    wei_t amount;
    int rc = amount_word(r, &amount, e);
    if (rc == 0)
        rc = node_address(r, node, e);
    if (rc == 0 && !r->payer)
        rc = wallet_peek(r->path, payer, e);
    else if (rc == 0 && !address_parse(r->payer, payer))
        rc = err_set(e, OL_EINVAL, "wallet", "--payer %s is no address", r->payer);
    if (rc != 0)
        return rc;
    abi_writer_init(&data, room, sizeof room);
    call_escrow_deposit_native(&data, payer, node);
    rc = to_escrow(r, l, &data, amount, e);
    return rc == 0 ? show(r, l, e) : rc;
}

static int thaw(struct request *r, struct chain_link *l, struct err *e)
{
    uint8_t node[ADDRESS_BYTES], room[128];
    struct abi_writer data;
    wei_t amount;
    int rc = amount_word(r, &amount, e);
    if (rc == 0)
        rc = node_address(r, node, e);
    if (rc != 0)
        return rc;
    abi_writer_init(&data, room, sizeof room);
    call_escrow_thaw(&data, node, amount);
    rc = to_escrow(r, l, &data, 0, e);
    if (rc == 0 && !r->json)
        printf("announced; after the thaw time `openlora wallet withdraw --node %s` pays it out\n", r->node);
    return rc;
}

static int withdraw(struct request *r, struct chain_link *l, struct err *e)
{
    uint8_t node[ADDRESS_BYTES], room[128];
    struct abi_writer data;
    int rc = node_address(r, node, e);
    if (rc != 0)
        return rc;
    abi_writer_init(&data, room, sizeof room);
    call_escrow_withdraw(&data, node);
    rc = to_escrow(r, l, &data, 0, e);
    return rc == 0 ? show(r, l, e) : rc;
}

static const struct {
    const char *name;
    int (*local)(struct request *, struct err *);
    int (*chain)(struct request *, struct chain_link *, struct err *);
} actions[] = {{"create", create, NULL}, {"import", import, NULL}, {"receipt", receipt, NULL},
               {"attribution", attribution, NULL}, {"show", NULL, show},
               {"deposit", NULL, deposit}, {"refund", NULL, thaw}, {"withdraw", NULL, withdraw}};
enum { ACTIONS = sizeof actions / sizeof *actions };

static int run(struct request *r, struct err *e)
{
    const char *names[ACTIONS];
    for (int i = 0; i < ACTIONS; i++) {
        names[i] = actions[i].name;
        if (strcmp(r->words[0], actions[i].name) != 0)
            continue;
        if (actions[i].local)
            return actions[i].local(r, e);
        struct chain_link l;
        int rc = chain_link_open(&r->link, &l, e);
        if (rc == 0)
            rc = actions[i].chain(r, &l, e);
        chain_link_close(&l);
        return rc;
    }
    const char *near = closest_name(r->words[0], names, ACTIONS);
    return err_set(e, OL_EINVAL, "wallet", "unknown action \"%s\"%s%s; see --help", r->words[0], near ? "; did you mean " : "",
                   near ? near : "");
}

int command_wallet(const struct command *command, int argc, char **argv)
{
    struct request r = {.command = command, .words = argv + 1, .url = http_node_url(NULL)};
    const struct option options[] = {
        TEXT("wallet-file", &r.file, "FILE", "key file (default: $OPENLORA_WALLET, else in the user's data folder)"),
        TEXT("password-file", &r.password_file, "FILE", "its first line is the password (default: asked)"),
        TEXT("node", &r.node, "ADDRESS", "the node that is paid"),
        TEXT("payer", &r.payer, "ADDRESS", "deposit for somebody else than this wallet"),
        TEXT("url", &r.url, "URL", "where that node answers"),
        CHAIN_LINK_OPTIONS(r.link),
        FLAG("json", &r.json, "print one JSON object"),
        FLAG("evidence", &r.evidence, "attribution: with the tokens and vectors that an audit needs, as JSON"),
        OPTIONS_END};
    struct err e = {0};
    r.n_words = options_parse(command, options, argc, argv, 2);
    if (r.n_words < 0)
        return options_exit(r.n_words);
    if (r.n_words == 0) {
        free(r.link.rpc.items);
        return fail(command, EXIT_USAGE, "say what to do: create, import, show, receipt, attribution, deposit, refund or withdraw");
    }
    int rc = wallet_path(r.file, r.path, &e);
    if (rc == 0)
        rc = run(&r, &e);
    free(r.link.rpc.items);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}
