/* openlora datanet publish, export, verify: versions. A version is first a line of the log and then a row on the chain:
 * the chain can be asked again, the log alone says what a version holds. */
#include "chainlite/core/hex.h"
#include "cli/chain_publish.h"
#include "cli/datanet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODULE "datanet"

struct publication {
    const char *folder, *catalog;
    struct chain_link_options link;
    struct account_options account;
    bool offline, json;
};

/* Whether the next version would hold something else than the last. */
static int has_changed(const struct datanet *d, bool *out, struct err *e)
{
    struct log_publish next;
    *out = true;
    int rc = datanet_next_row(d, &next, e);
    if (rc == 0 && d->n_versions)
        *out = memcmp(next.row.row.content_hash, d->versions[d->n_versions - 1].is.row.row.content_hash, 32) != 0;
    return rc;
}

static int make_version(struct datanet_session *s, struct err *e)
{
    struct log_publish next;
    bool changed;
    int rc = has_changed(s->datanet, &changed, e);
    if (rc != 0 || !changed)
        return rc;
    rc = datanet_next_row(s->datanet, &next, e);
    return rc == 0 ? datanet_act(s->datanet, ACT_PUBLISH, &next, &s->signer, (uint64_t)time(NULL), e) : rc;
}

static int register_versions(const struct publication *p, struct datanet_session *s, struct err *e)
{
    struct chain_link chain;
    int rc = chain_link_open(&p->link, &chain, e);
    if (rc != 0)
        return rc;
    if (chain.chain.chain_id != s->datanet->settings.chain_id)
        rc = err_set(e, OL_EINVAL, MODULE, "the Datanet was made for chain %llu; %s is %llu",
                     (unsigned long long)s->datanet->settings.chain_id, chain.chain.name,
                     (unsigned long long)chain.chain.chain_id);
    for (size_t i = 0; i < s->datanet->n_versions && rc == 0; i++) {
        const struct published_version *v = &s->datanet->versions[i];
        const struct version_sources from = {.parents = (const uint8_t(*)[32])v->is.parent, .n_parents = i ? 1 : 0,
                                             .training_record = v->log_head};
        rc = chain_publish_version(&chain, &s->account, &v->is.row, &from, e);
    }
    chain_link_close(&chain);
    return rc;
}

static int add_to_catalog(const char *path, const struct datanet *d, struct err *e)
{
    struct chain_catalog catalog;
    int rc = chain_catalog_load(path, &catalog, e);
    if (rc == OL_ENOTFOUND) {
        chain_catalog_init(&catalog);
        rc = 0;
    }
    for (size_t i = 0; i < d->n_versions && rc == 0; i++) {
        const struct catalogued_version *v = &d->versions[i].is.row;
        rc = chain_catalog_add_version(&catalog, ITEM_DATANET, v->owner, v->name, &v->row, e);
    }
    if (rc == 0)
        rc = chain_catalog_save(&catalog, path, e);
    chain_catalog_deinit(&catalog);
    return rc;
}

static void say(const struct catalogued_version *v, bool json)
{
    char id[65], root[65];
    hex_encode(v->id, 32, id);
    hex_encode(v->row.content_hash, 32, root);
    printf(json ? "{\"number\":%u,\"version\":\"0x%s\",\"root\":\"0x%s\"}\n" : "version %u  0x%s\nroot  0x%s\n",
           v->row.number, id, root);
}

static int publish(const struct publication *p, struct err *e)
{
    struct datanet_session s;
    int rc = datanet_session_open(p->folder, &p->account, &s, e);
    if (rc == 0)
        rc = make_version(&s, e);
    if (rc == 0 && p->catalog)
        rc = add_to_catalog(p->catalog, s.datanet, e);
    if (rc == 0 && !p->offline)
        rc = register_versions(p, &s, e);
    if (rc == 0)
        say(&s.datanet->versions[s.datanet->n_versions - 1].is.row, p->json);
    datanet_session_close(&s);
    return rc;
}

int command_datanet_publish(const struct command *command, int argc, char **argv)
{
    struct publication p = {0};
    const struct option options[] = {
        DATANET_FOLDER(&p.folder),
        FLAG("offline", &p.offline, "only into the log and the catalog; register later by the same command"),
        TEXT("catalog", &p.catalog, "FILE", "add its versions to this catalog"),
        CHAIN_LINK_OPTIONS(p.link),
        ACCOUNT_OPTIONS(p.account),
        FLAG("json", &p.json, "print JSON"),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 0);
    int rc = words < 0 ? 0 : publish(&p, &e);
    free(p.link.rpc.items);
    if (words < 0)
        return options_exit(words);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}

int command_datanet_export(const struct command *command, int argc, char **argv)
{
    const char *folder;
    int64_t number = 0;
    const struct option options[] = {
        DATANET_FOLDER(&folder),
        INT("number", &number, "N", "which version, 0: the newest", 0, UINT32_MAX),
        OPTIONS_END};
    struct datanet *d;
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 1);
    if (words < 0)
        return options_exit(words);
    if (words != 1)
        return fail(command, EXIT_USAGE, "wanted: %s", command->arguments);
    int rc = datanet_open(folder, false, &d, &e);
    if (rc == 0)
        rc = datanet_export(d, (uint32_t)number, argv[1], &e);
    datanet_close(d);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}

static int count_row(void *user, const struct training_row *row)
{
    (void)row;
    ++*(size_t *)user;
    return 0;
}

struct verification {
    struct chain_link_options link;
    bool registered, json;
};

static int check_registered(const struct verification *o, const uint8_t id[32], struct err *e)
{
    struct chain_link chain;
    bool there;
    int rc = chain_link_open(&o->link, &chain, e);
    if (rc != 0)
        return rc;
    rc = chain_is_registered(&chain, id, &there, e);
    if (rc == 0 && !there)
        rc = err_set(e, OL_ENOTFOUND, MODULE, "the version holds, but %s does not have its row", chain.chain.name);
    chain_link_close(&chain);
    return rc;
}

static void say_verified(const struct datanet_version *v, size_t rows, size_t withdrawn, bool json)
{
    char id[65], root[65];
    hex_encode(v->id, 32, id);
    hex_encode(v->root, 32, root);
    printf(json ? "{\"version\":\"0x%s\",\"root\":\"0x%s\",\"number\":%u,\"contributions\":%zu,\"withdrawn\":%zu,"
                  "\"rows\":%zu}\n"
                : "version 0x%s\nroot    0x%s\nnumber %u: %zu contributions, %zu of them withdrawn; %zu rows\n",
           id, root, v->number, v->n, withdrawn, rows);
}

static int verify(const struct verification *o, const char *folder, struct err *e)
{
    struct datanet_version *v;
    size_t rows = 0, withdrawn = 0;
    int rc = datanet_version_open(folder, &v, e);
    for (size_t i = 0; rc == 0 && i < v->n; i++) {
        withdrawn += v->contributions[i].withdrawn;
        if (!v->contributions[i].withdrawn)
            rc = contribution_rows(&v->contributions[i], count_row, &rows, e);
    }
    if (rc == 0 && o->registered)
        rc = check_registered(o, v->id, e);
    if (rc == 0)
        say_verified(v, rows, withdrawn, o->json);
    datanet_version_close(v);
    return rc;
}

int command_datanet_verify(const struct command *command, int argc, char **argv)
{
    struct verification o = {0};
    const struct option options[] = {
        FLAG("registered", &o.registered, "also that the chain has the version's row"),
        CHAIN_LINK_OPTIONS(o.link),
        FLAG("json", &o.json, "print JSON"),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 1);
    int rc = words == 1 ? verify(&o, argv[1], &e) : 0;
    free(o.link.rpc.items);
    if (words < 0)
        return options_exit(words);
    if (words != 1)
        return fail(command, EXIT_USAGE, "wanted: %s", command->arguments);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}
