/* openlora datanet review, withdraw: decisions on contributions. */
#include "chainlite/core/hex.h"
#include "cli/datanet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODULE "datanet"

struct decision {
    const char *folder, *reason;
    bool all;
    struct account_options account;
};

static int make_verdict(const struct proposal *p, const char *reason, struct log_verdict *out, struct err *e)
{
    memcpy(out->contribution, p->contribution.id, 32);
    int n = snprintf(out->reason, sizeof out->reason, "%s", reason);
    if (n < 0 || (size_t)n >= sizeof out->reason)
        return err_set(e, OL_EINVAL, MODULE, "a reason has %zu bytes at most", sizeof out->reason - 1);
    for (const char *at = reason; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return err_set(e, OL_EINVAL, MODULE, "a reason is one line without control characters");
    return 0;
}

static void say(const struct proposal *p)
{
    char id[65];
    hex_encode(p->contribution.id, 32, id);
    printf("0x%s %s\n", id, proposal_status_name(p->status));
}

static int decide(struct datanet_session *s, enum datanet_action action, struct proposal *p, const char *reason,
                  struct err *e)
{
    struct log_verdict verdict;
    int rc = make_verdict(p, reason, &verdict, e);
    if (rc == 0)
        rc = datanet_act(s->datanet, action, &verdict, &s->signer, (uint64_t)time(NULL), e);
    if (rc == 0)
        say(p);
    return rc;
}

/* Everything that is proposed, but for the reviewer's own. */
static int decide_all(struct datanet_session *s, enum datanet_action action, const char *reason, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < s->datanet->n_proposals && rc == 0; i++) {
        struct proposal *p = &s->datanet->proposals[i];
        if (p->status == PROPOSAL_PROPOSED && memcmp(p->contribution.contributor, s->signer.address, ADDRESS_BYTES) != 0)
            rc = decide(s, action, p, reason, e);
    }
    return rc;
}

static int review(const struct decision *d, char **words, int n, struct err *e)
{
    struct datanet_session s;
    enum datanet_action action = strcmp(words[0], "approve") == 0 ? ACT_APPROVE : ACT_REJECT;
    int rc = datanet_session_open(d->folder, &d->account, &s, e);
    if (rc == 0 && d->all)
        rc = decide_all(&s, action, d->reason, e);
    for (int i = 1; i < n && rc == 0; i++) {
        struct proposal *p;
        rc = datanet_find(s.datanet, words[i], &p, e);
        if (rc == 0)
            rc = decide(&s, action, p, d->reason, e);
    }
    datanet_session_close(&s);
    return rc;
}

/* What is withdrawn already has its content deleted again: the power may have failed between log and disk. */
static int withdraw(const struct decision *d, const char *id, struct err *e)
{
    struct datanet_session s;
    struct proposal *p = NULL;
    int rc = datanet_session_open(d->folder, &d->account, &s, e);
    if (rc == 0)
        rc = datanet_find(s.datanet, id, &p, e);
    if (rc == 0 && p->status != PROPOSAL_WITHDRAWN)
        rc = decide(&s, ACT_WITHDRAW, p, d->reason, e);
    else if (rc == 0)
        say(p);
    if (rc == 0)
        rc = datanet_drop_content(s.datanet, p->contribution.sha256, e);
    datanet_session_close(&s);
    return rc;
}

int command_datanet_review(const struct command *command, int argc, char **argv)
{
    enum { MAX_WORDS = 1024 };
    struct decision d = {.reason = ""};
    const struct option options[] = {
        DATANET_FOLDER(&d.folder),
        TEXT("reason", &d.reason, "TEXT", "goes into the log"),
        FLAG("all", &d.all, "everything that is proposed, but for one's own"),
        ACCOUNT_OPTIONS(d.account),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, MAX_WORDS);
    if (words < 0)
        return options_exit(words);
    if (words < 1 || (strcmp(argv[1], "approve") != 0 && strcmp(argv[1], "reject") != 0) || d.all != (words == 1))
        return fail(command, EXIT_USAGE, "wanted: %s (or --all)", command->arguments);
    return review(&d, argv + 1, words, &e) == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}

int command_datanet_withdraw(const struct command *command, int argc, char **argv)
{
    struct decision d = {.reason = ""};
    const struct option options[] = {
        DATANET_FOLDER(&d.folder),
        TEXT("reason", &d.reason, "TEXT", "goes into the log"),
        ACCOUNT_OPTIONS(d.account),
        OPTIONS_END};
    struct err e = {0};
    int words = options_parse(command, options, argc, argv, 1);
    if (words < 0)
        return options_exit(words);
    if (words != 1)
        return fail(command, EXIT_USAGE, "wanted: %s", command->arguments);
    return withdraw(&d, argv[1], &e) == 0 ? EXIT_OK : fail(command, EXIT_FAILED, "%s", e.message);
}
