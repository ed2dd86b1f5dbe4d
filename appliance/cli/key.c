/* openlora key: the API keys of a node, in the file that openlorad reads (billing/keys.h). */
#include "billing/keys.h"
#include "chainlite/core/hex.h"
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct key_args {
    const char *file, *limit, *day_limit, *wallet;
    bool admin, json;
};

static void print_json(json_t *j)
{
    json_dumpf(j, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(j);
}

/* Without the hash: who prints keys should not have to think of who reads along. */
static json_t *shown(const struct key *k)
{
    json_t *j = key_json(k);
    json_object_del(j, "sha256");
    return j;
}

static int read_limit(const char *name, const char *text, bool *has, wei_t *out, struct err *e)
{
    *has = text != NULL;
    if (text && !wei_parse_coin(text, out))
        return err_set(e, OL_EINVAL, "key", "%s %.60s is no amount of coins, such as 0.5", name, text);
    return 0;
}

static int add(const struct key_args *a, const char *name, struct err *e)
{
    struct key k = {.admin = a->admin};
    char token[TOKEN_BYTES];
    int rc = read_limit("--limit", a->limit, &k.has_total, &k.total_wei, e);
    if (rc == 0)
        rc = read_limit("--day-limit", a->day_limit, &k.has_day, &k.day_wei, e);
    if (rc != 0)
        return rc;
    k.has_wallet = strcmp(a->wallet, "operator") != 0;
    if (k.has_wallet && !address_parse(a->wallet, k.wallet))
        return err_set(e, OL_EINVAL, "key", "--wallet is `operator` or an address");
    snprintf(k.tenant, sizeof k.tenant, "%s", name);
    if (strlen(name) >= sizeof k.tenant)
        k.tenant[0] = 0; /* refused below, with the rule */
    rc = key_file_add(a->file, &k, token, e);
    if (rc != 0)
        return rc;
    if (a->json) {
        json_t *j = shown(&k);
        json_object_set_new(j, "token", json_string(token));
        print_json(j);
    } else {
        printf("%s key %s for %s\n  %s\nThis token is shown once and kept nowhere; hand it over safely.\n",
               k.admin ? "admin" : "user", k.id, k.tenant, token);
    }
    return 0;
}

static void print_limit(bool has, wei_t wei)
{
    char text[WEI_TEXT_BYTES + 2] = "-";
    if (has)
        wei_format_coin(wei, text);
    printf(" %14s", text);
}

static void print_key(const struct key *k)
{
    char created[32], wallet[ADDRESS_TEXT_BYTES] = "operator";
    time_t at = (time_t)k->created_s;
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(created, sizeof created, "%Y-%m-%d", &tm);
    if (k->has_wallet)
        address_format(k->wallet, wallet);
    printf("%-16s %-24s %-5s %-10s %-8s", k->id, k->tenant, k->admin ? "admin" : "user", created,
           k->revoked_s ? "revoked" : "in force");
    print_limit(k->has_total, k->total_wei);
    print_limit(k->has_day, k->day_wei);
    printf("  %s\n", wallet);
}

static int list(const struct key_args *a, struct err *e)
{
    struct key_list l;
    int rc = key_list_read(a->file, &l, e);
    if (rc != 0)
        return rc;
    json_t *array = json_array();
    if (!a->json)
        printf("%-16s %-24s %-5s %-10s %-8s %14s %14s  %s\n", "ID", "NAME", "ROLE", "CREATED", "STATE", "LIMIT", "PER DAY",
               "WALLET");
    for (int i = 0; i < l.n; i++) {
        if (a->json)
            json_array_append_new(array, shown(&l.keys[i]));
        else
            print_key(&l.keys[i]);
    }
    key_list_deinit(&l);
    if (a->json)
        print_json(array);
    else
        json_decref(array);
    return 0;
}

static int revoke(const struct key_args *a, const char *id, struct err *e)
{
    int rc = key_file_revoke(a->file, id, e);
    if (rc == 0 && a->json)
        print_json(json_pack("{ss sb}", "id", id, "revoked", 1));
    else if (rc == 0)
        printf("%s revoked: the next request with it is refused\n", id);
    return rc;
}

int command_key(const struct command *command, int argc, char **argv)
{
    struct key_args a = {.wallet = "operator"};
    struct err e = {0};
    const struct option options[] = {
        REQUIRED("keys", &a.file, "FILE", "the node's keys: keys.json in its [billing] state_dir, or [auth] keys"),
        TEXT("limit", &a.limit, "COINS", "add: most it may spend in all"),
        TEXT("day-limit", &a.day_limit, "COINS", "add: most it may spend on a day (UTC)"),
        TEXT("wallet", &a.wallet, "ADDRESS", "add: whose vouchers pay: operator, or a wallet that chainlited holds"),
        FLAG("admin", &a.admin, "add: it may also load and unload adapters"),
        FLAG("json", &a.json, "print JSON"),
        OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 2);
    if (words < 0)
        return options_exit(words);
    int rc;
    if (words == 2 && !strcmp(argv[1], "add"))
        rc = add(&a, argv[2], &e);
    else if (words == 1 && !strcmp(argv[1], "list"))
        rc = list(&a, &e);
    else if (words == 2 && !strcmp(argv[1], "revoke"))
        rc = revoke(&a, argv[2], &e);
    else
        return fail(command, EXIT_USAGE, "wanted: %s", command->arguments);
    return rc ? fail(command, rc == OL_EINVAL ? EXIT_USAGE : EXIT_FAILED, "%s", e.message) : EXIT_OK;
}
