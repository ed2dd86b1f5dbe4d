/* openlora attribution policy: the document that pins a folder's files for one adapter version, its row in the catalog
 * and on the chain (docs/attribution.md §7). openlora attribution show: what a folder's policy says. */
#include "attribution/calibration.h"
#include "attribution/policy.h"
#include "base/file_hash.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/catalog.h"
#include "cli/attribution.h"
#include "cli/chain_publish.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "policy"

struct policy_args {
    const char *folder, *catalog, *of, *name;
    int64_t sampling_ppm;
    bool offline, no_gradients;
    struct chain_link_options link;
    struct account_options account;
};

/* ---- the document */

/* SHA-256 of a file of the folder, as bytes. */
static int hash_file(const char *folder, const char *name, uint8_t out[SHA256_BYTES], struct err *e)
{
    char path[PATH_MAX], hash[SHA256_HEX_BYTES];
    int rc = policy_path(folder, name, path, e);
    if (!rc)
        rc = file_hash(path, hash, e);
    if (rc)
        return rc;
    CHECK(hex_decode(hash, out, SHA256_BYTES));
    return OL_OK;
}

/* Datanets as sources.json has them, after its check against the index. */
static int fill_datanets(const char *folder, struct policy_document *d, struct err *e)
{
    char path[PATH_MAX];
    struct span_index *index = NULL;
    struct span_sources sources = {0};
    int rc = policy_path(folder, POLICY_INDEX_FILE, path, e);
    if (!rc)
        rc = span_index_open(path, NULL, &index, e);
    if (!rc)
        rc = policy_path(folder, POLICY_SOURCES_FILE, path, e);
    if (!rc)
        rc = span_sources_load(path, span_index_documents(index), &sources, e);
    size_t n = sources.datanets.n;
    struct policy_datanet *out = rc ? NULL : calloc(n, sizeof *out);
    if (!rc && !out)
        rc = err_set(e, OL_ENOMEM, MODULE, "no memory for %zu Datanets", n);
    for (size_t i = 0; i < n && !rc; i++) {
        const struct span_datanet *from = (const struct span_datanet *)sources.datanets.at + i;
        memcpy(out[i].version, from->version, 32);
        memcpy(out[i].root, from->root, 32);
    }
    d->datanets = (struct list){out, out ? n : 0};
    if (index)
        span_index_close(index);
    span_sources_deinit(&sources);
    return rc;
}

static int fill_gradients(const char *folder, const struct calibration *c, struct policy_gradients *g, struct err *e)
{
    char path[PATH_MAX];
    struct vectors v;
    int rc = policy_path(folder, POLICY_VECTORS_FILE, path, e);
    if (!rc)
        rc = vectors_open(path, &v, e);
    if (rc)
        return rc;
    *g = (struct policy_gradients){.dimensions = v.sketch.dimensions, .seed = v.sketch.seed,
                                   .kappa_ppb = c->gradients.kappa_ppb, .s0 = c->gradients.s0};
    snprintf(g->clip_norm, sizeof g->clip_norm, "%.17g", v.clip_norm);
    vectors_close(&v);
    return hash_file(folder, POLICY_VECTORS_FILE, g->vectors, e);
}

static int fill(const struct policy_args *a, const struct catalogued_version *of, struct policy_document *d,
                struct err *e)
{
    char path[PATH_MAX];
    struct calibration c;
    int rc = policy_path(a->folder, POLICY_CALIBRATION_FILE, path, e);
    if (!rc)
        rc = notation_read_file(&calibration_schema, path, CALIBRATION_MAX_BYTES, &c, e);
    if (rc == OL_ENOTFOUND)
        return err_set(e, rc, MODULE, "%s is missing: run `openlora attribution calibrate`", path);
    if (rc)
        return rc;
    *d = (struct policy_document){.version = POLICY_VERSION, .numerics = POLICY_NUMERICS,
                                  .has_adapter = of->kind == ITEM_ADAPTER, .spans.tau_millibits = c.tau_millibits,
                                  .has_gradients = c.has_gradients && !a->no_gradients,
                                  .sampling_ppb = (uint32_t)a->sampling_ppm * 1000};
    memcpy(d->model_version, d->has_adapter ? of->row.base_version : of->id, 32);
    if (d->has_adapter)
        memcpy(d->adapter_version.id, of->id, 32);
    d->calibration = (struct policy_calibration){c.null_prompts, c.fresh.paid_ppm, c.fresh.any_high_ppm};
    rc = fill_datanets(a->folder, d, e);
    if (!rc)
        rc = hash_file(a->folder, POLICY_INDEX_FILE, d->spans.index, e);
    if (!rc)
        rc = hash_file(a->folder, POLICY_SURPRISAL_FILE, d->spans.surprisal, e);
    if (!rc)
        rc = hash_file(a->folder, POLICY_SOURCES_FILE, d->spans.sources, e);
    if (!rc && d->has_gradients)
        rc = fill_gradients(a->folder, &c, &d->gradients, e);
    return rc;
}

/* ---- its row */

/* The folder's policy as the next version of the item of this name; an unchanged one keeps its row. */
static int add_row(const struct policy_args *a, struct chain_catalog *catalog, const struct wallet *owner,
                   const uint8_t hash[SHA256_BYTES], const uint8_t of[32], struct catalogued_version *out,
                   struct err *e)
{
    char name[ITEM_NAME_BYTES];
    const struct catalogued_version *known = chain_catalog_by_content(catalog, hash, of), *older;
    int len = snprintf(name, sizeof name, a->name ? "%s" : "%s-policy", a->name ? a->name : a->of);
    if (len < 0 || (size_t)len >= sizeof name)
        return err_set(e, OL_EINVAL, MODULE, "the name is longer than %zu bytes: choose one with --name",
                       sizeof name - 1);
    if (!known) {
        struct row_version row = {.number = 1};
        older = chain_catalog_by_name(catalog, ITEM_POLICY, name);
        row.number = older ? older->row.number + 1 : 1;
        memcpy(row.content_hash, hash, 32);
        memcpy(row.base_version, of, 32);
        memcpy(row.payee, owner->address, ADDRESS_BYTES);
        version_metadata(NULL, 0, NULL, 0, (const uint8_t[32]){0}, row.metadata);
        int rc = chain_catalog_add_version(catalog, ITEM_POLICY, owner->address, name, &row, e);
        if (rc)
            return rc;
        known = chain_catalog_by_content(catalog, hash, of);
    }
    CHECK(known);
    *out = *known;
    return OL_OK;
}

static int register_row(const struct policy_args *a, struct chain_link *chain, const struct wallet *owner,
                        const struct catalogued_version *row, struct err *e)
{
    static const uint8_t no_record[32];
    const struct version_sources none = {.training_record = no_record};
    return a->offline ? OL_OK : chain_publish_version(chain, owner, row, &none, e);
}

static void print(const struct policy_args *a, const struct policy_document *d, const uint8_t hash[SHA256_BYTES],
                  const struct catalogued_version *row)
{
    char text[SHA256_HEX_BYTES], id[SHA256_HEX_BYTES];
    hex_encode(hash, SHA256_BYTES, text);
    hex_encode(row->id, 32, id);
    printf("policy   %-24s version %u  0x%s\n", row->name, row->row.number, id);
    printf("%s  %s/" POLICY_FILE "%s\n", text, a->folder, d->has_gradients ? "" : " (spans alone)");
}

static int make_with(const struct policy_args *a, struct chain_link *chain, const struct wallet *owner,
                     struct chain_catalog *catalog, struct err *e)
{
    char path[PATH_MAX];
    uint8_t hash[SHA256_BYTES];
    struct policy_document d = {0};
    struct policy *whole;
    struct catalogued_version row, of;
    const struct catalogued_version *found = chain_catalog_by_name(catalog, ITEM_ADAPTER, a->of);
    if (!found)
        found = chain_catalog_by_name(catalog, ITEM_MODEL, a->of);
    if (!found)
        return err_set(e, OL_ENOTFOUND, MODULE,
                       "%s has no adapter or model of the name %s: `openlora chain register` first", a->catalog, a->of);
    of = *found; /* the catalog grows */
    int rc = policy_path(a->folder, POLICY_FILE, path, e);
    if (!rc)
        rc = fill(a, &of, &d, e);
    if (!rc)
        rc = policy_document_save(&d, path, hash, e);
    if (!rc)
        rc = policy_open(a->folder, &whole, e); /* what a node could not open is not registered */
    if (!rc) {
        policy_close(whole);
        rc = add_row(a, catalog, owner, hash, of.id, &row, e);
    }
    if (!rc)
        rc = chain_catalog_save(catalog, a->catalog, e);
    if (!rc)
        rc = register_row(a, chain, owner, &row, e);
    if (!rc)
        print(a, &d, hash, &row);
    policy_document_deinit(&d);
    return rc;
}

static int make(const struct policy_args *a, struct err *e)
{
    struct chain_link chain = {0};
    struct wallet owner = {0};
    struct chain_catalog catalog = {0};
    int rc = a->offline ? chain_file_load(a->link.chain ? a->link.chain : "devnet", &chain.chain, e)
                        : chain_link_open(&a->link, &chain, e);
    if (!rc)
        rc = account_open(&a->account, chain.chain.chain_id, &owner, e);
    if (!rc)
        rc = chain_catalog_load(a->catalog, &catalog, e);
    if (!rc)
        rc = make_with(a, &chain, &owner, &catalog, e);
    chain_catalog_deinit(&catalog);
    wallet_close(&owner);
    chain_link_close(&chain);
    return rc;
}

int command_attribution_policy(const struct command *command, int argc, char **argv)
{
    struct policy_args a = {.sampling_ppm = 20000};
    const struct option options[] = {
        REQUIRED("out", &a.folder, "DIR", "the policy's folder: gets " POLICY_FILE),
        REQUIRED("catalog", &a.catalog, "FILE", "the catalog that chainlited reads"),
        REQUIRED("of", &a.of, "NAME", "the adapter, or model, in the catalog that it is the policy of"),
        TEXT("name", &a.name, "NAME", "the policy's name in the registry (default: NAME-policy)"),
        INT("sampling-ppm", &a.sampling_ppm, "N", "of a million answers, how many get gradients of their own at least",
            0, 1000000),
        FLAG("no-gradients", &a.no_gradients, "by spans alone"),
        FLAG("offline", &a.offline, "only write document and catalog; register later by the same command"),
        CHAIN_LINK_OPTIONS(a.link),
        ACCOUNT_OPTIONS(a.account),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 0);
    int rc = words < 0 ? 0 : make(&a, &e);
    free(a.link.rpc.items);
    if (words < 0)
        return options_exit(words);
    return rc ? fail(command, EXIT_FAILED, "%s", e.message) : EXIT_OK;
}
