/* openlora contributor ADDRESS: what a contributor of data earned at a node, use by use. */
#include "chainlite/core/batch.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/values.h"
#include "cli/chain_link.h"
#include "cli/commands.h"
#include "cli/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 256, UNITS_PER_PERCENT = 10000000 };

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double percent(const json_t *use, const char *key)
{
    return (double)json_integer_value(json_object_get(use, key)) / UNITS_PER_PERCENT;
}

static wei_t wei_at(const json_t *object, const char *key, char text[WEI_TEXT_BYTES + 2])
{
    wei_t wei = 0;
    (void)!wei_from_json(json_object_get(object, key), &wei);
    wei_format_coin(wei, text);
    return wei;
}

static void print_use(const json_t *use)
{
    char amount[WEI_TEXT_BYTES + 2], fee[WEI_TEXT_BYTES + 2];
    wei_at(use, "wei", amount);
    wei_at(use, "fee_wei", fee);
    printf("%.18s…  %6.2f %% spans + %6.2f %% gradients of a fee of %-12s %-22s %s\n", text_at(use, "receipt_id"),
           percent(use, "span_units"), percent(use, "gradient_units"), fee, amount, text_at(use, "state"));
}

static void print_totals(const json_t *totals)
{
    char all[WEI_TEXT_BYTES + 2], settled[WEI_TEXT_BYTES + 2];
    wei_at(totals, "wei", all);
    wei_at(totals, "settled_wei", settled);
    printf("%lld uses earned %s, of which %s is settled%s\n", (long long)json_integer_value(json_object_get(totals, "uses")),
           all, settled, json_is_false(json_object_get(totals, "complete")) ? " (the newest uses only)" : "");
}

/* What Rewards paid out, proven, in each node's epoch that the page shows. */
static int print_claims(const json_t *uses, const uint8_t who[ADDRESS_BYTES], const struct chain_link_options *options,
                        struct err *e)
{
    struct chain_link chain;
    struct light_head head;
    json_int_t shown = -1;
    size_t i;
    json_t *use;
    int rc = chain_link_open(options, &chain, e);
    json_array_foreach(uses, i, use) {
        uint8_t node[ADDRESS_BYTES], slot[32], word[32];
        char amount[WEI_TEXT_BYTES + 2];
        json_int_t epoch = json_integer_value(json_object_get(use, "epoch"));
        if (rc != 0 || epoch == shown || !hex_from_json(json_object_get(use, "node"), node, sizeof node))
            continue;
        slot_claimed(node, (uint64_t)epoch, who, slot);
        rc = chain_link_word(&chain, "Rewards", slot, word, &head, e);
        if (rc != 0)
            break;
        wei_format_coin(wei_from_be16(word + 16), amount);
        printf("claimed in epoch %lld: %s %s (all roles; proven at block %llu)\n", (long long)epoch, amount, chain.chain.coin,
               (unsigned long long)head.number);
        shown = epoch;
    }
    chain_link_close(&chain);
    return rc;
}

int command_contributor(const struct command *command, int argc, char **argv)
{
    const char *url = NULL, *after = NULL;
    int64_t limit = 20;
    bool json = false, claims = false;
    struct chain_link_options link = {0};
    const struct option options[] = {TEXT("url", &url, "URL", "the node (default: $OPENLORA_URL, else this machine's)"),
                                     INT("limit", &limit, "N", "uses on a page", 1, 500),
                                     TEXT("after", &after, "PLACE", "the next page: what the one before names"),
                                     FLAG("claims", &claims, "also what was paid out, proven on the chain"),
                                     CHAIN_LINK_OPTIONS(link),
                                     FLAG("json", &json, "print the node's answer"), OPTIONS_END};
    struct err e = {0};
    uint8_t address[ADDRESS_BYTES];
    char path[PATH_BYTES];
    struct http_client *http = NULL;
    json_t *reply = NULL, *use;
    size_t i;
    int words = options_parse(command, options, argc, argv, 1);
    if (words < 0)
        return options_exit(words);
    if (words != 1 || strncmp(argv[1], "0x", 2) != 0 || !hex_decode(argv[1], address, sizeof address))
        return fail(command, EXIT_USAGE, "name the contributor, 0x and 40 digits: openlora contributor ADDRESS");
    snprintf(path, sizeof path, "/v1/contributors/%s?limit=%lld%s%.80s", argv[1], (long long)limit, after ? "&after=" : "",
             after ? after : "");
    int rc = http_open(http_node_url(url), &http, &e);
    if (rc == 0)
        rc = http_json(http, "GET", path, NULL, &reply, &e);
    http_close(http);
    if (rc != 0)
        return fail(command, EXIT_FAILED, "%s", e.message);
    if (json) {
        json_dumpf(reply, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        json_array_foreach(json_object_get(reply, "uses"), i, use)
            print_use(use);
        print_totals(json_object_get(reply, "totals"));
        rc = claims ? print_claims(json_object_get(reply, "uses"), address, &link, &e) : 0;
        if (*text_at(reply, "next"))
            printf("more: openlora contributor %s --after %s\n", argv[1], text_at(reply, "next"));
    }
    json_decref(reply);
    free(link.rpc.items);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}
