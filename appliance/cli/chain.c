/* openlora chain: what chainlited is doing, and what it is told. Speaks to its Unix socket (docs/protocol.md §9). */
#include "cli/commands.h"
#include "cli/http_client.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *chain_socket_path(const char *option)
{
    const char *env = getenv("OPENLORA_CHAIN_SOCKET");
    return option ? option : env && *env ? env : "/run/openlora/chainlited.sock";
}

/* One line per value; what is nested is indented. Depth is bounded by the answers' own shape. */
static void print_value(const char *key, const json_t *value, int indent);

static void print_members(const json_t *o, int indent)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)o, key, member) print_value(key, member, indent);
}

static void print_value(const char *key, const json_t *value, int indent)
{
    enum { MAX_INDENT = 8, KEY_WIDTH = 24 };
    size_t i;
    json_t *entry;
    if (json_is_object(value) && indent < MAX_INDENT) {
        printf("%*s%s\n", indent, "", key);
        print_members(value, indent + 2);
    } else if (json_is_array(value) && indent < MAX_INDENT) {
        printf("%*s%-*s %zu\n", indent, "", KEY_WIDTH - indent, key, json_array_size(value));
        json_array_foreach(value, i, entry) print_value("-", entry, indent + 2);
    } else if (json_is_string(value)) {
        printf("%*s%-*s %s\n", indent, "", KEY_WIDTH - indent, key, json_string_value(value));
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%*s%-*s %s\n", indent, "", KEY_WIDTH - indent, key, text ? text : "");
        free(text);
    }
}

static const struct {
    const char *name, *method, *path;
} actions[] = {
    {"status", "GET", "/v1/status"},   {"pending", "GET", "/v1/pending"}, {"retry", "POST", "/v1/retry"},
    {"batches", "GET", "/v1/batches"}, {"catalog", "GET", "/v1/catalog"}, {"reload", "POST", "/v1/reload"},
    {"new-epoch", "POST", "/v1/epochs"},
};
enum { ACTIONS = sizeof actions / sizeof *actions };

/* Those that go to the chain themselves, with options of their own. */
static const struct command errands[] = {
    {"chain deploy", "", "create the contracts on a chain", "Without --set the settings are those of the devnet.",
     command_chain_deploy},
    {"chain register", "", "give a model and adapters versions, prices and owners",
     "Repeating it is harmless. Prices are in coins per million tokens.", command_chain_register},
    {"chain bond", "COINS", "put a node's bond into the Settlement",
     "Only the node's owner gets it back, after the unbonding time.", command_chain_bond},
    {"chain owner", "unbond COINS|withdraw-bond|offer ADDRESS|accept", "take a bond back, hand a node to another owner",
     "Signed by the node's owner, which is the node's own key unless it was handed on; accept by who was offered it.",
     command_chain_owner},
    {"chain claim", "BUNDLE", "pay out what a final batch credits to somebody",
     "Credits add up over an epoch, so the newest bundle claims all; what was paid already is left out.",
     command_chain_claim},
    {"chain mirror", "", "copy the bodies of a node's batches and check them",
     "Without --rpc the batches are believed; run again to go on.",
     command_chain_mirror},
    {"chain payout", "ADDRESS", "have what a beneficiary earns paid to another address",
     "ADDRESS may be \"self\". Signed by the beneficiary's own wallet, or with --of-node sent by chainlited for the node.",
     command_chain_payout},
    {"chain mint", "BUNDLE", "mint the Billing NFT of a settled bill, to its payer", NULL, command_chain_mint},
};
enum { ERRANDS = sizeof errands / sizeof *errands };

static int find_action(const struct command *command, const char *word)
{
    const char *names[ACTIONS];
    for (int i = 0; i < ACTIONS; i++) {
        names[i] = actions[i].name;
        if (strcmp(word, names[i]) == 0)
            return i;
    }
    const char *near = closest_name(word, names, ACTIONS);
    fail(command, EXIT_USAGE, "unknown action \"%s\"%s%s; see --help", word, near ? "; did you mean " : "", near ? near : "");
    return -1;
}

int command_chain(const struct command *command, int argc, char **argv)
{
    for (int i = 0; argc > 1 && i < ERRANDS; i++)
        if (strcmp(argv[1], errands[i].name + sizeof "chain") == 0)
            return errands[i].run(&errands[i], argc - 1, argv + 1);
    const char *socket = chain_socket_path(NULL);
    bool json = false;
    const struct option options[] = {
        TEXT("socket", &socket, "PATH", "chainlited's Unix socket (default: $OPENLORA_CHAIN_SOCKET)"),
        FLAG("json", &json, "print the answer as JSON"), OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 1);
    if (words < 0)
        return options_exit(words);
    int action = find_action(command, words ? argv[1] : "status");
    if (action < 0)
        return EXIT_USAGE;
    struct err e = {0};
    struct http_client *http = NULL;
    json_t *answer = NULL;
    int rc = http_open_socket(socket, &http, &e);
    if (rc == 0)
        rc = http_json(http, actions[action].method, actions[action].path, NULL, &answer, &e);
    http_close(http);
    if (rc != 0)
        return fail(command, EXIT_FAILED, "%s", e.message);
    if (json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        print_members(answer, 0);
    }
    json_decref(answer);
    return EXIT_OK;
}
