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
    bool all, despite_findings;
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

/* Which proposals a review is about, by index. */
struct selection {
    struct datanet *datanet;
    bool *chosen;
    size_t n_flawed; /* of those chosen */
};

static int select_all(struct selection *s, const uint8_t reviewer[ADDRESS_BYTES])
{
    for (size_t i = 0; i < s->datanet->n_proposals; i++) {
        const struct proposal *p = &s->datanet->proposals[i];
        s->chosen[i] = p->status == PROPOSAL_PROPOSED &&
                       memcmp(p->contribution.contributor, reviewer, ADDRESS_BYTES) != 0; /* not one's own */
    }
    return 0;
}

static int select_named(struct selection *s, char **ids, int n, struct err *e)
{
    for (int i = 0; i < n; i++) {
        struct proposal *p;
        int rc = datanet_find(s->datanet, ids[i], &p, e);
        if (rc != 0)
            return rc;
        s->chosen[p - s->datanet->proposals] = true;
    }
    return 0;
}

static int note_flaws(void *user, struct proposal *p, const struct ingested *in)
{
    struct selection *s = user;
    if (!s->chosen[p - s->datanet->proposals] || in->n_refused == 0)
        return 0;
    s->n_flawed++;
    say(p);
    datanet_print_lines(in);
    return 0;
}

static int check_selected(struct selection *s, struct err *e)
{
    int rc = ingest_proposals(s->datanet, note_flaws, s, e);
    if (rc == 0 && s->n_flawed)
        rc = err_set(e, OL_EINVAL, MODULE, "%zu of them hold rows that are to be refused; nothing is approved "
                                           "(--despite-findings approves anyway)", s->n_flawed);
    return rc;
}

static int review(const struct decision *d, char **words, int n, struct err *e)
{
    struct datanet_session s;
    struct selection chosen = {0};
    enum datanet_action action = strcmp(words[0], "approve") == 0 ? ACT_APPROVE : ACT_REJECT;
    int rc = datanet_session_open(d->folder, &d->account, &s, e);
    if (rc == 0) {
        chosen.datanet = s.datanet;
        chosen.chosen = calloc(s.datanet->n_proposals + 1, sizeof *chosen.chosen);
        rc = !chosen.chosen ? err_set(e, OL_ENOMEM, MODULE, "no memory for a review")
             : d->all       ? select_all(&chosen, s.signer.address)
                            : select_named(&chosen, words + 1, n - 1, e);
    }
    if (rc == 0 && action == ACT_APPROVE && !d->despite_findings)
        rc = check_selected(&chosen, e);
    for (size_t i = 0; rc == 0 && i < s.datanet->n_proposals; i++)
        if (chosen.chosen[i])
            rc = decide(&s, action, &s.datanet->proposals[i], d->reason, e);
    free(chosen.chosen);
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
        FLAG("despite-findings", &d.despite_findings, "approve what `datanet check` finds fault with"),
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
