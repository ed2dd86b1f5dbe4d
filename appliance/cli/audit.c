/* openlora audit: computes attributions again from what was published, and says what differs. */
#include "attribution/audit.h"
#include "chainlite/core/hex.h"
#include "cli/audit_inputs.h"
#include "cli/commands.h"
#include "cli/progress.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "audit"

enum { MAX_PATHS = 4096 };

struct audit_args {
    struct audit_inputs in;
    struct chain_link_options link;
    const char *beacon, *isa;
    double sample;
    int64_t threads, max_tokens;
    bool json, all;
};

struct printed {
    bool json, all;
    uint64_t subjects, receipts, count[AUDIT_OUTCOMES]; /* receipts by verdict */
    enum audit_outcome worst;
};

/* ---- printing */

static const char *title(const struct audit_subject *s, char *out, size_t room)
{
    static const char *const kinds[] = {"file", "body", "policy", "receipt"};
    char id[2 * HASH_BYTES + 1];
    if (!s->proof) {
        snprintf(out, room, "%s %s", kinds[s->kind], s->name);
        return out;
    }
    hex_encode(s->proof->receipt_id, 32, id);
    snprintf(out, room, "receipt 0x%s  epoch %llu, sequence %llu", id, (unsigned long long)s->proof->epoch,
             (unsigned long long)s->proof->sequence);
    return out;
}

static void print_text(const struct printed *p, const struct audit_subject *s)
{
    char text[4200];
    progress_done();
    printf("%-11s %s\n", audit_outcome_name(audit_verdict(s)), title(s, text, sizeof text));
    for (int c = 0; c < AUDIT_CHECKS; c++) {
        const struct audit_result *r = &s->check[c];
        if (r->outcome > AUDIT_AGREED || (p->all && r->outcome == AUDIT_AGREED))
            printf("    %-20s %s%s%s\n", audit_check_name((enum audit_check)c), audit_outcome_name(r->outcome),
                   *r->reason ? ": " : "", r->reason);
    }
}

static void print_json(const struct printed *p, const struct audit_subject *s)
{
    static const char *const kinds[] = {"file", "body", "policy", "receipt"};
    char id[2 * HASH_BYTES + 3] = "0x";
    json_t *checks = json_array(), *j;
    for (int c = 0; c < AUDIT_CHECKS; c++)
        if (s->check[c].outcome != AUDIT_NONE)
            json_array_append_new(checks, json_pack("{s:s,s:s,s:s%}", "check", audit_check_name((enum audit_check)c),
                                                    "outcome", audit_outcome_name(s->check[c].outcome), "reason",
                                                    s->check[c].reason, strlen(s->check[c].reason)));
    if (s->proof)
        hex_encode(s->proof->receipt_id, 32, id + 2);
    j = s->proof ? json_pack("{s:s,s:s,s:I,s:I,s:s,s:o}", "kind", kinds[s->kind], "receipt_id", id, "epoch",
                             (json_int_t)s->proof->epoch, "sequence", (json_int_t)s->proof->sequence, "verdict",
                             audit_outcome_name(audit_verdict(s)), "checks", checks)
                 : json_pack("{s:s,s:s,s:s,s:o}", "kind", kinds[s->kind], "name", s->name, "verdict",
                             audit_outcome_name(audit_verdict(s)), "checks", checks);
    fputs(p->subjects ? "," : "{\"subjects\":[", stdout);
    json_dumpf(j, stdout, JSON_COMPACT);
    json_decref(j);
}

static void report(void *user, const struct audit_subject *s)
{
    struct printed *p = user;
    const enum audit_outcome verdict = audit_verdict(s);
    p->json ? print_json(p, s) : print_text(p, s);
    p->subjects++;
    p->receipts += s->kind == AUDIT_OF_RECEIPT;
    p->count[verdict] += s->kind == AUDIT_OF_RECEIPT;
    p->worst = verdict > p->worst ? verdict : p->worst;
}

static void show_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    progress_show(what, (int64_t)(done > total ? total : done), (int64_t)total, "");
}

static void print_end(const struct printed *p, const struct audit *a, bool checked_beacon)
{
    char beacon[2 * 32 + 3] = "0x";
    const bool sampled = a->sample.ppb < PPB;
    hex_encode(a->sample.beacon, 32, beacon + 2);
    progress_done();
    if (p->json) {
        printf("%s],\"verdict\":\"%s\",\"receipts\":%llu,\"agreed\":%llu,\"differs\":%llu,\"unavailable\":%llu,"
               "\"unsampled\":%llu,\"beacon\":%s%s%s}\n",
               p->subjects ? "" : "{\"subjects\":[", audit_outcome_name(p->worst), (unsigned long long)p->receipts,
               (unsigned long long)p->count[AUDIT_AGREED], (unsigned long long)p->count[AUDIT_DIFFERS],
               (unsigned long long)p->count[AUDIT_UNAVAILABLE], (unsigned long long)p->count[AUDIT_UNSAMPLED],
               sampled ? "\"" : "", sampled ? beacon : "null", sampled ? "\"" : "");
        return;
    }
    printf("\n%llu receipts: %llu agreed, %llu differ, %llu unavailable, %llu unsampled\n",
           (unsigned long long)p->receipts, (unsigned long long)p->count[AUDIT_AGREED],
           (unsigned long long)p->count[AUDIT_DIFFERS], (unsigned long long)p->count[AUDIT_UNAVAILABLE],
           (unsigned long long)p->count[AUDIT_UNSAMPLED]);
    if (sampled)
        printf("drawn by %s, %s\n", beacon,
               checked_beacon ? "a block after all of these batches" : "which was not compared with the chain (--rpc)");
}

/* ---- running */

static int run_with(const struct audit_args *args, struct audit *a, struct printed *p, struct err *e)
{
    char scratch[] = "/tmp/openlora-audit-XXXXXX";
    const bool sampled = args->sample < 1;
    a->sample.ppb = (uint32_t)(args->sample * PPB + 0.5);
    int rc = audit_inputs_read(&args->in, a, e);
    if (!rc)
        rc = audit_prepare(a, e);
    if (!rc)
        rc = audit_inputs_ask(&args->in, a, e);
    if (!rc && sampled)
        rc = audit_inputs_beacon(&args->in, a, args->beacon, e);
    if (!rc && !mkdtemp(scratch))
        rc = err_set(e, OL_EIO, MODULE, "no folder in /tmp can be made");
    if (rc)
        return rc;
    rc = audit_run(a, scratch, e);
    rmdir(scratch);
    if (!rc)
        print_end(p, a, args->in.chain != NULL);
    return rc;
}

static int run(struct audit_args *args, struct printed *p, struct err *e)
{
    struct chain_link link = {0};
    struct chain_file chain = {0};
    uint8_t random[32] = {1}; /* blinding only protects secret keys, and none is used here */
    const bool asks = args->link.rpc.n > 0;
    int rc = asks ? chain_link_open(&args->link, &link, e)
                  : chain_file_load(args->link.chain ? args->link.chain : "devnet", &chain, e);
    struct secp *secp = secp_open(random);
    struct audit a = {.secp = secp,
                      .chain = asks ? &link.chain : &chain,
                      .report = report,
                      .progress = show_progress,
                      .user = p,
                      .model = {.isa = args->isa, .threads = (int)args->threads, .window = (int32_t)args->max_tokens}};
    args->in.chain = asks ? &link : NULL;
    if (!rc && !secp)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory");
    if (!rc)
        rc = run_with(args, &a, p, e);
    audit_deinit(&a);
    secp_close(secp);
    if (asks)
        chain_link_close(&link);
    else
        schema_free(&chain_file_schema, &chain);
    return rc;
}

int command_audit(const struct command *command, int argc, char **argv)
{
    static const int exit_codes[AUDIT_OUTCOMES] = {
        [AUDIT_UNAVAILABLE] = EXIT_INCOMPLETE, [AUDIT_DIFFERS] = EXIT_FAILED};
    struct audit_args a = {.sample = 1, .max_tokens = LORA_DEFAULT_ROWS};
    const struct option options[] = {
        LIST("policy", &a.in.policies, "FOLDER…", "folders of the policies: policy.json and the files that it names"),
        LIST("evidence", &a.in.evidence, "FILE|DIR…", "what `openlora wallet attribution ID --evidence` printed"),
        LIST("datanet", &a.in.datanets, "FOLDER…", "exported Datanet versions that the policies name"),
        TEXT("model", &a.in.model, "PATH", "GGUF file or safetensors directory of the base model"),
        TEXT("adapter", &a.in.adapter, "DIR", "the adapter, byte for byte as it was served"),
        REAL("sample", &a.sample, "P", "evidence is checked of this part of the receipts, drawn by the beacon", 0, 1),
        TEXT("beacon", &a.beacon, "0xHASH|NUMBER", "a block later than the batches (default, with --rpc: the newest)"),
        CHAIN_LINK_OPTIONS(a.link),
        INT("max-tokens", &a.max_tokens, "N", "as the policy's vectors were made with: a longer row is cut", 2,
            LORA_MOST_ROWS),
        INT("threads", &a.threads, "N", "compute threads, 0: every core", 0, 1024),
        TEXT("isa", &a.isa, "NAME", "avx2, avx512: of the canonical pass; all give the same bits"),
        FLAG("all", &a.all, "print the checks that agreed, too"),
        FLAG("json", &a.json, "print one JSON object"),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, MAX_PATHS), code = EXIT_OK;
    struct printed p = {.json = a.json, .all = a.all};
    a.in.paths = (const char *const *)argv + 1;
    a.in.n_paths = words;
    if (words < 0)
        code = options_exit(words);
    else if (words + a.in.policies.n == 0)
        code = fail(command, EXIT_USAGE, "which BODY, BUNDLE, folder of `openlora chain mirror`, or --policy?");
    else if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || run(&a, &p, &e) != 0)
        code = fail(command, EXIT_USAGE, "%s", e.message);
    else
        code = exit_codes[p.worst];
    free(a.in.policies.items);
    free(a.in.evidence.items);
    free(a.in.datanets.items);
    free(a.link.rpc.items);
    return code;
}
