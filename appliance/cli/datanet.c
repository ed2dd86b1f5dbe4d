/* openlora datanet: sets of contributions, from the first text to a version that models are trained on. The rules are
 * attribution/datanet_state.h's; here are the words. */
#include "cli/datanet.h"

#include "chainlite/core/hex.h"
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODULE "datanet"

static const struct command errands[] = {
    {"datanet create", "NAME", "start a Datanet; who signs owns it",
     "Without --contributor anybody may propose. The owner reviews in any case, but nobody reviews their own.",
     command_datanet_create},
    {"datanet members", "", "name other reviewers and contributors", "The lists given replace those there are.",
     command_datanet_members},
    {"datanet commit", "FILE", "register what FILE will contribute without showing it yet",
     "Writes the salt to FILE.commitment.json (--commitment); keep it, and give it to `datanet propose`.",
     command_datanet_commit},
    {"datanet propose", "FILE", "contribute a text, a Markdown file or rows (JSONL)",
     "Rows that may not enter are left out and listed, each with its reason.", command_datanet_propose},
    {"datanet check", "", "check what is proposed, before deciding on it",
     "Exit status 3: there are rows that `datanet propose` refuses.", command_datanet_check},
    {"datanet review", "approve | reject [ID…]", "decide on contributions",
     "Any unambiguous beginning of an ID will do. What is to be approved is checked first, as by `datanet check`.",
     command_datanet_review},
    {"datanet publish", "", "make a version of what is approved, and register it on the chain",
     "Repeating it is harmless: without changes only what the chain does not have yet is registered.",
     command_datanet_publish},
    {"datanet withdraw", "ID", "take a contribution back: its text goes, its hash stays", NULL,
     command_datanet_withdraw},
    {"datanet show", "", "contributions, versions and members", NULL, command_datanet_show},
    {"datanet log", "", "the audit trail, every signature checked", NULL, command_datanet_log},
    {"datanet export", "DIR", "write a version with its contents into a new folder", NULL, command_datanet_export},
    {"datanet verify", "DIR", "check an exported version: hashes, root, row", NULL, command_datanet_verify},
};
enum { ERRANDS = sizeof errands / sizeof *errands, NAME_AT = sizeof "datanet" };

int command_datanet(const struct command *command, int argc, char **argv)
{
    const char *names[ERRANDS];
    for (int i = 0; i < ERRANDS; i++) {
        names[i] = errands[i].name + NAME_AT;
        if (argc > 1 && strcmp(argv[1], names[i]) == 0)
            return errands[i].run(&errands[i], argc - 1, argv + 1);
    }
    bool help = argc > 1 && strcmp(argv[1], "--help") == 0;
    if (argc > 1 && !help) {
        const char *near = closest_name(argv[1], names, ERRANDS);
        return fail(command, EXIT_USAGE, "unknown action \"%s\"%s%s; see --help", argv[1],
                    near ? "; did you mean " : "", near ? near : "");
    }
    fprintf(help ? stdout : stderr, "usage: openlora datanet ACTION [options]\n\n");
    for (int i = 0; i < ERRANDS; i++)
        fprintf(help ? stdout : stderr, "  %-10s %s\n", names[i], errands[i].summary);
    fprintf(help ? stdout : stderr, "\n%s\n", command->details);
    return help ? EXIT_OK : EXIT_USAGE;
}

/* ---- shared */

int datanet_sign_in(const struct account_options *account, uint64_t chain_id, struct datanet_session *s, struct err *e)
{
    int rc = account_open(account, chain_id, &s->account, e);
    if (rc != 0)
        return rc;
    s->signer = (struct datanet_signer){.secp = s->account.secp, .secret = s->account.secret};
    memcpy(s->signer.address, s->account.address, ADDRESS_BYTES);
    return 0;
}

int datanet_session_open(const char *folder, const struct account_options *account, struct datanet_session *s,
                         struct err *e)
{
    memset(s, 0, sizeof *s);
    int rc = datanet_open(folder, true, &s->datanet, e);
    return rc == 0 ? datanet_sign_in(account, s->datanet->settings.chain_id, s, e) : rc;
}

void datanet_session_close(struct datanet_session *s)
{
    datanet_close(s->datanet);
    wallet_close(&s->account);
}

int datanet_addresses(const char *option, const struct option_list *words, struct list *out, struct err *e)
{
    *out = (struct list){0};
    struct log_address *at = words->n ? calloc((size_t)words->n, sizeof *at) : NULL;
    if (words->n && !at)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for %d addresses", words->n);
    for (int i = 0; i < words->n; i++) {
        if (!address_parse(words->items[i], at[i].at)) {
            free(at);
            return err_set(e, OL_EINVAL, MODULE, "--%s %s is no address", option, words->items[i]);
        }
    }
    *out = (struct list){at, (size_t)words->n};
    return 0;
}

int datanet_find(struct datanet *d, const char *text, struct proposal **out, struct err *e)
{
    char id[65];
    const char *digits = strncmp(text, "0x", 2) == 0 ? text + 2 : text;
    *out = NULL;
    for (size_t i = 0; i < d->n_proposals; i++) {
        hex_encode(d->proposals[i].contribution.id, 32, id);
        if (!*digits || strncmp(id, digits, strlen(digits)) != 0)
            continue;
        if (*out)
            return err_set(e, OL_EINVAL, MODULE, "several contributions begin with %.70s", text);
        *out = &d->proposals[i];
    }
    return *out ? 0
                : err_set(e, OL_ENOTFOUND, MODULE, "no contribution %.70s; `openlora datanet show` lists them", text);
}

uint32_t datanet_first_version(const struct datanet *d, const struct proposal *p)
{
    for (size_t i = 0; i < d->n_versions; i++)
        if (p->approved_at && p->approved_at < d->versions[i].sequence &&
            (!p->withdrawn_at || p->withdrawn_at > d->versions[i].sequence))
            return (uint32_t)i + 1;
    return 0;
}

/* ---- create, members */

struct creation {
    const char *folder, *chain;
    struct option_list reviewers, contributors;
    int64_t max_bytes, max_contributions;
    struct account_options account;
    bool json;
};

static int read_members(const struct creation *c, struct log_members *out, struct err *e)
{
    int rc = datanet_addresses("reviewer", &c->reviewers, &out->reviewers, e);
    return rc == 0 ? datanet_addresses("contributor", &c->contributors, &out->contributors, e) : rc;
}

static void free_members(struct log_members *m)
{
    free(m->reviewers.at);
    free(m->contributors.at);
}

static int create(const struct creation *c, const char *name, struct err *e)
{
    struct log_create settings = {.max_bytes = (uint64_t)c->max_bytes,
                                  .max_contributions = (uint32_t)c->max_contributions};
    struct datanet_session s = {0};
    struct chain_file chain;
    if (strlen(name) >= sizeof settings.name)
        return err_set(e, OL_EINVAL, MODULE, "a name has %zu bytes at most", sizeof settings.name - 1);
    snprintf(settings.name, sizeof settings.name, "%s", name);
    int rc = chain_file_load(c->chain, &chain, e);
    if (rc != 0)
        return rc;
    settings.chain_id = chain.chain_id;
    schema_free(&chain_file_schema, &chain);
    rc = read_members(c, &settings.members, e);
    if (rc == 0)
        rc = datanet_sign_in(&c->account, settings.chain_id, &s, e);
    if (rc == 0)
        rc = datanet_create(c->folder, &settings, &s.signer, (uint64_t)time(NULL), &s.datanet, e);
    if (rc == 0) {
        char item[65], owner[ADDRESS_TEXT_BYTES];
        hex_encode(s.datanet->item, 32, item);
        address_format(s.datanet->owner, owner);
        printf(c->json ? "{\"item\":\"0x%s\",\"owner\":\"%s\"}\n" : "Datanet 0x%s of %s\n", item, owner);
    }
    free_members(&settings.members);
    datanet_session_close(&s);
    return rc;
}

static int change_members(const struct creation *c, struct err *e)
{
    struct log_members members = {0};
    struct datanet_session s;
    int rc = datanet_session_open(c->folder, &c->account, &s, e);
    if (rc == 0)
        rc = read_members(c, &members, e);
    if (rc == 0)
        rc = datanet_act(s.datanet, ACT_MEMBERS, &members, &s.signer, (uint64_t)time(NULL), e);
    if (rc == 0)
        printf("%zu reviewers beside the owner, %zu contributors%s\n", members.reviewers.n, members.contributors.n,
               members.contributors.n ? "" : ": anybody may propose");
    free_members(&members);
    datanet_session_close(&s);
    return rc;
}

static void free_creation(struct creation *c)
{
    free(c->reviewers.items);
    free(c->contributors.items);
}

int command_datanet_create(const struct command *command, int argc, char **argv)
{
    struct creation c = {.chain = "devnet", .max_bytes = 1 << 20, .max_contributions = 1024};
    const struct option options[] = {
        DATANET_FOLDER(&c.folder),
        LIST("reviewer", &c.reviewers, "ADDRESS", "who decides on contributions, beside the owner"),
        LIST("contributor", &c.contributors, "ADDRESS", "who may propose (default: anybody)"),
        INT("max-bytes", &c.max_bytes, "N", "of one contribution", 1, CONTENT_MAX_BYTES),
        INT("max-contributions", &c.max_contributions, "N", "how many may be proposed", 1, DATANET_MAX_CONTRIBUTIONS),
        TEXT("chain", &c.chain, "NAME", "where its versions will be registered: a name or a chain data file"),
        ACCOUNT_OPTIONS(c.account),
        FLAG("json", &c.json, "print JSON"),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 1);
    int rc = words == 1 ? create(&c, argv[1], &e) : 0;
    free_creation(&c);
    if (words < 0)
        return options_exit(words);
    if (words != 1)
        return fail(command, EXIT_USAGE, "wanted: %s", command->arguments);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}

int command_datanet_members(const struct command *command, int argc, char **argv)
{
    struct creation c = {0};
    const struct option options[] = {
        DATANET_FOLDER(&c.folder),
        LIST("reviewer", &c.reviewers, "ADDRESS", "who decides on contributions, beside the owner"),
        LIST("contributor", &c.contributors, "ADDRESS", "who may propose (none: anybody)"),
        ACCOUNT_OPTIONS(c.account),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 0);
    int rc = words < 0 ? 0 : change_members(&c, &e);
    free_creation(&c);
    if (words < 0)
        return options_exit(words);
    return rc == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}
