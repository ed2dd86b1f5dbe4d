/* openlora contributor ADDRESS: what a contributor of data earned at a node, use by use. */
#include "chainlite/core/hex.h"
#include "chainlite/json/values.h"
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

static void print_use(const json_t *use)
{
    char amount[WEI_TEXT_BYTES + 2] = "pending";
    wei_t wei;
    if (wei_from_json(json_object_get(use, "wei"), &wei))
        wei_format_coin(wei, amount);
    printf("%.18s…  %6.2f %% spans + %6.2f %% gradients  %-20s %s\n", text_at(use, "receipt_id"), percent(use, "span_units"),
           percent(use, "gradient_units"), amount, text_at(use, "state"));
}

static void print_total(const json_t *totals)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)totals, name, value) {
        char amount[WEI_TEXT_BYTES + 2];
        wei_t wei;
        if (wei_from_json(value, &wei)) {
            wei_format_coin(wei, amount);
            printf("%s: %s\n", name, amount);
        } else if (json_is_integer(value)) {
            printf("%s: %lld\n", name, (long long)json_integer_value(value));
        }
    }
}

int command_contributor(const struct command *command, int argc, char **argv)
{
    const char *url = NULL, *after = NULL;
    int64_t limit = 20;
    bool json = false;
    const struct option options[] = {TEXT("url", &url, "URL", "the node (default: $OPENLORA_URL, else this machine's)"),
                                     INT("limit", &limit, "N", "uses on a page", 1, 500),
                                     TEXT("after", &after, "PLACE", "the next page: what the one before names"),
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
        print_total(json_object_get(reply, "totals"));
        if (*text_at(reply, "next"))
            printf("more: openlora contributor %s --after %s\n", argv[1], text_at(reply, "next"));
    }
    json_decref(reply);
    return EXIT_OK;
}
