/* openlora verify: checks the bundle of a receipt, offline or with an endpoint of its chain. */
#include "cli/commands.h"

#include "base/file_map.h"
#include "chainlite/core/hex.h"
#include "chainlite/rpc/rpc.h"
#include "chainlite/verify/verify_chain.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct verified {
    struct chain_file chain;
    struct bundle bundle;
    struct verify_report report;
    struct verify_place place;
    enum verify_verdict verdict;
};

static const char *const outcome_names[] = {
    [VERIFY_OK] = "ok", [VERIFY_FAILED] = "failed", [VERIFY_UNAVAILABLE] = "unavailable"};
static const char *const verdict_names[] = {
    [VERDICT_VALID] = "valid", [VERDICT_INVALID] = "invalid", [VERDICT_NOT_SETTLED] = "valid, not settled"};

static void print_receipt(const struct verified *v)
{
    const struct proof *p = &v->bundle.proof;
    char id[2 * HASH_BYTES + 1], node[ADDRESS_TEXT_BYTES], payer[ADDRESS_TEXT_BYTES], fee[WEI_TEXT_BYTES + 2];
    hex_encode(p->receipt_id, sizeof p->receipt_id, id);
    address_format(p->node, node);
    address_format(p->payer, payer);
    wei_format_coin(p->fee_wei, fee);
    printf("receipt 0x%s\nnode    %s, epoch %llu, sequence %llu\npayer   %s\nfee     %s %s\n\n", id, node,
           (unsigned long long)p->epoch, (unsigned long long)p->sequence, payer, fee, v->chain.coin);
}

static void print_checks(const struct verified *v)
{
    static const char *const said[] = {
        [VERIFY_OK] = "ok", [VERIFY_FAILED] = "FAILED: ", [VERIFY_UNAVAILABLE] = "not available: "};
    for (int c = 0; c < VERIFY_CHECKS; c++) {
        const struct verify_result *r = &v->report.check[c];
        printf("%-18s %-40s %s%s\n", verify_check_name((enum verify_check)c),
               verify_check_purpose((enum verify_check)c), said[r->outcome], r->reason);
    }
}

static void print_verdict(const struct verified *v)
{
    const bool asked = v->report.check[VERIFY_BLOCK].outcome == VERIFY_OK;
    printf("\n%s on %s (chain %llu)\n", verdict_names[v->verdict], v->chain.name,
           (unsigned long long)v->chain.chain_id);
    if (asked)
        printf("block %llu, %lld s old, %llu blocks behind the newest; the dispute window %s\n",
               (unsigned long long)v->place.block_number, (long long)v->place.block_age_s,
               (unsigned long long)(v->place.head_number - v->place.block_number),
               v->place.past_window ? "has passed" : "has not passed, as far as known");
    else if (v->verdict == VERDICT_VALID)
        printf("This holds if the block is on the chain, which a file cannot prove; --rpc URL asks.\n");
}

static void print_json(const struct verified *v)
{
    json_t *checks = json_array(), *root;
    for (int c = 0; c < VERIFY_CHECKS; c++) {
        const struct verify_result *r = &v->report.check[c];
        json_array_append_new(checks, json_pack("{s:s,s:s,s:s}", "check", verify_check_name((enum verify_check)c),
                                                "outcome", outcome_names[r->outcome], "reason", r->reason));
    }
    root = json_pack("{s:s,s:s,s:I,s:o}", "verdict", verdict_names[v->verdict], "chain", v->chain.name, "chain_id",
                     (json_int_t)v->chain.chain_id, "checks", checks);
    if (v->report.check[VERIFY_BLOCK].outcome == VERIFY_OK)
        json_object_set_new(root, "block",
                            json_pack("{s:I,s:I,s:I,s:b}", "number", (json_int_t)v->place.block_number, "newest",
                                      (json_int_t)v->place.head_number, "age_s", (json_int_t)v->place.block_age_s,
                                      "past_window", (int)v->place.past_window));
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

static int run_checks(const char *path, const struct option_list *rpc, unsigned quorum, struct verified *v, struct err *e)
{
    struct file_map file;
    uint8_t random[32] = {0};
    int rc = file_map_init(&file, path, e);
    if (rc)
        return rc;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        random[0] = 1; /* blinding only protects secret keys, and none is used here */
    struct secp *secp = secp_open(random);
    if (secp) {
        verify_bundle((const char *)file.data, file.len, &v->chain, secp, &v->bundle, &v->report);
        if (rpc->n > 0 && v->report.check[VERIFY_SCHEMA].outcome == VERIFY_OK)
            verify_on_chain(&v->bundle, &v->chain, rpc->items, (size_t)rpc->n, quorum, &v->report, &v->place);
        v->verdict = verify_verdict(&v->report, &v->bundle);
    } else {
        rc = err_set(e, OL_ENOMEM, "verify", "no memory");
    }
    secp_close(secp);
    file_map_deinit(&file);
    return rc;
}

int command_verify(const struct command *command, int argc, char **argv)
{
    static const int exit_codes[] = {
        [VERDICT_VALID] = EXIT_OK, [VERDICT_INVALID] = EXIT_FAILED, [VERDICT_NOT_SETTLED] = EXIT_INCOMPLETE};
    const char *chain = "devnet";
    struct option_list rpc = {0};
    int64_t quorum = 0;
    bool json = false;
    const struct option options[] = {TEXT("chain", &chain, "NAME|FILE", "the chain: a known one, or a data file"),
                                     LIST("rpc", &rpc, "URL", "ask this endpoint, or several, whether the block is on the chain"),
                                     INT("quorum", &quorum, "K", "endpoints that must agree, 0: more than half", 0,
                                         RPC_MAX_ENDPOINTS),
                                     FLAG("json", &json, "print the checks as JSON"), OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 1);
    if (words != 1)
        free(rpc.items);
    if (words < 0)
        return options_exit(words);
    if (words != 1)
        return fail(command, EXIT_USAGE, "which BUNDLE? It is what GET /v1/receipts/{id} answers");
    struct err e = {0};
    struct verified v = {0};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int rc = chain_file_load(chain, &v.chain, &e);
    if (!rc)
        rc = run_checks(argv[1], &rpc, (unsigned)quorum, &v, &e);
    free(rpc.items);
    if (rc) {
        schema_free(&chain_file_schema, &v.chain);
        return fail(command, EXIT_FAILED, "%s", e.message);
    }
    if (json) {
        print_json(&v);
    } else {
        if (v.report.check[VERIFY_SCHEMA].outcome == VERIFY_OK)
            print_receipt(&v);
        print_checks(&v);
        print_verdict(&v);
    }
    schema_free(&bundle_schema, &v.bundle);
    schema_free(&chain_file_schema, &v.chain);
    return exit_codes[v.verdict];
}
