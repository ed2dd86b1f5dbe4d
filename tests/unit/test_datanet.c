/* A Datanet from its rules' side: what each line of the log may do, what follows from it, and that a folder says the
 * same when it is read again. Hashes and signatures against other implementations: tests/golden/test_datanet_export.py
 * and tests/fault/test_datanet.py. */
#include "attribution/datanet_state.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PEOPLE = 4, OWNER = 0 };

static struct secp *secp;
static uint8_t secrets[PEOPLE][SECRET_BYTES];
static struct datanet_signer people[PEOPLE];
static char folder[] = "/tmp/openlora-datanet-XXXXXX";
static struct datanet *d;
static uint64_t now = 1700000000;

static void open_all(void)
{
    struct log_create settings = {.name = "tides", .chain_id = 31337, .max_bytes = 1000, .max_contributions = 8};
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    secp = secp_open((const uint8_t[32]){1});
    for (int i = 0; i < PEOPLE; i++) {
        secrets[i][31] = (uint8_t)(i + 1);
        people[i] = (struct datanet_signer){.secp = secp, .secret = secrets[i]};
        ck_assert_int_eq(secp_address(secp, secrets[i], people[i].address, NULL), 0);
    }
    struct err e = {0};
    ck_assert_msg(datanet_create(folder, &settings, &people[OWNER], now, &d, &e) == 0, "%s", e.message);
}

static void close_all(void)
{
    char command[96];
    datanet_close(d);
    secp_close(secp);
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(pclose(popen(command, "r")), 0);
}

static int act(enum datanet_action action, const void *body, int who)
{
    return datanet_act(d, action, body, &people[who], ++now, NULL);
}

/* A text stored and proposed; *id is its contribution's. */
static int propose(const char *text, int who, uint8_t id[32])
{
    struct log_propose body = {.bytes = strlen(text), .format = CONTENT_TEXT, .rows = 1,
                               .labels = {"CC-BY-4.0", "owner", "EU"}};
    content_hash(text, strlen(text), body.sha256);
    contribution_id(d->item, people[who].address, body.sha256, id);
    ck_assert_int_eq(content_store(folder, text, strlen(text), body.sha256, NULL), 0);
    return act(ACT_PROPOSE, &body, who);
}

static int decide(enum datanet_action action, const uint8_t id[32], int who)
{
    struct log_verdict body = {.reason = "so it is"};
    memcpy(body.contribution, id, 32);
    return act(action, &body, who);
}

static int publish(int who)
{
    struct log_publish body;
    int rc = datanet_next_row(d, &body, NULL);
    return rc == 0 ? act(ACT_PUBLISH, &body, who) : rc;
}

static void reread(void)
{
    struct datanet *again;
    struct err e = {0};
    ck_assert_msg(datanet_open(folder, false, &again, &e) == 0, "%s", e.message);
    ck_assert_uint_eq(again->sequence, d->sequence);
    ck_assert_mem_eq(again->head, d->head, 32);
    ck_assert_uint_eq(again->n_proposals, d->n_proposals);
    ck_assert_uint_eq(again->n_versions, d->n_versions);
    for (size_t i = 0; i < d->n_proposals; i++) {
        ck_assert_int_eq(again->proposals[i].status, d->proposals[i].status);
        ck_assert_mem_eq(again->proposals[i].contribution.id, d->proposals[i].contribution.id, 32);
        ck_assert_uint_eq(again->proposals[i].contribution.registered_at, d->proposals[i].contribution.registered_at);
    }
    for (size_t i = 0; i < d->n_versions; i++)
        ck_assert_mem_eq(again->versions[i].is.row.id, d->versions[i].is.row.id, 32);
    datanet_close(again);
}

START_TEST(test_versions)
{
    uint8_t id[3][32];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(propose((const char *[]){"one", "two", "three"}[i], 1 + i % 2, id[i]), 0);
    ck_assert_int_eq(publish(OWNER), OL_EINVAL); /* nothing is approved */
    ck_assert_int_eq(decide(ACT_APPROVE, id[0], OWNER), 0);
    ck_assert_int_eq(publish(1), OL_EINVAL);
    ck_assert_int_eq(publish(OWNER), 0);
    ck_assert_int_eq(decide(ACT_APPROVE, id[1], OWNER), 0);
    ck_assert_int_eq(decide(ACT_REJECT, id[2], OWNER), 0);
    ck_assert_int_eq(publish(OWNER), 0);
    ck_assert_int_eq(decide(ACT_WITHDRAW, id[0], 1), 0);
    ck_assert_int_eq(publish(OWNER), 0);
    static const size_t members[] = {1, 2, 1};
    for (int v = 0; v < 3; v++) {
        struct contribution *in;
        size_t n;
        ck_assert_int_eq(datanet_members(d, d->versions[v].sequence, &in, &n, NULL), 0);
        ck_assert_uint_eq(n, members[v]);
        ck_assert_mem_eq(in[0].id, id[v == 2], 32);
        free(in);
        if (v)
            ck_assert_mem_eq(d->versions[v].is.parent, d->versions[v - 1].is.row.id, 32);
    }
    reread();
}
END_TEST

START_TEST(test_who_may)
{
    uint8_t id[32], other[32] = {9};
    struct log_address one[1];
    struct log_members members = {.reviewers = {one, 1}, .contributors = {one, 1}};
    memcpy(one[0].at, people[1].address, ADDRESS_BYTES);
    ck_assert_int_eq(propose("text", 2, id), 0);
    ck_assert_int_eq(decide(ACT_APPROVE, id, 1), OL_EINVAL);
    ck_assert_int_eq(decide(ACT_WITHDRAW, id, 1), OL_EINVAL);
    ck_assert_int_eq(act(ACT_MEMBERS, &members, 1), OL_EINVAL);
    ck_assert_int_eq(act(ACT_MEMBERS, &members, OWNER), 0);
    ck_assert_int_eq(propose("more text", 2, other), OL_EINVAL);
    ck_assert_int_eq(propose("more text", 1, other), 0);
    ck_assert_int_eq(decide(ACT_APPROVE, other, 1), OL_EINVAL); /* one's own */
    ck_assert_int_eq(decide(ACT_APPROVE, id, 1), 0);
    ck_assert_int_eq(decide(ACT_REJECT, id, 1), OL_EINVAL);
    ck_assert_int_eq(decide(ACT_WITHDRAW, id, 2), 0);
    ck_assert_int_eq(decide(ACT_WITHDRAW, id, 2), OL_EINVAL);
    ck_assert_int_eq(decide(ACT_WITHDRAW, other, OWNER), 0);
    other[0] ^= 1;
    ck_assert_int_eq(decide(ACT_WITHDRAW, other, OWNER), OL_ENOTFOUND);
    reread();
}
END_TEST

START_TEST(test_limits)
{
    uint8_t id[32];
    char text[1002];
    memset(text, 'a', sizeof text);
    text[1001] = '\0';
    ck_assert_int_eq(propose(text, 1, id), OL_ELIMIT);
    for (int i = 0; i < 8; i++) {
        text[1] = (char)('a' + i);
        ck_assert_int_eq(propose(text + 1, 1, id), 0);
        ck_assert_int_eq(propose(text + 1, 1, id), i < 7 ? OL_EEXIST : OL_ELIMIT);
    }
    text[1] = 'z';
    ck_assert_int_eq(propose(text + 1, 1, id), OL_ELIMIT);
    reread();
}
END_TEST

START_TEST(test_commitments)
{
    struct log_propose body = {.bytes = 4, .format = CONTENT_TEXT, .labels = {"X", "owner", "EU"}};
    struct log_commit commit;
    uint8_t both[64] = {0};
    content_hash("text", 4, body.sha256);
    contribution_id(d->item, people[1].address, body.sha256, both);
    memset(body.salt, 7, 32);
    memcpy(both + 32, body.salt, 32);
    keccak256(both, sizeof both, commit.commitment);
    memcpy(body.commitment, commit.commitment, 32);
    ck_assert_int_eq(act(ACT_PROPOSE, &body, 1), OL_EINVAL); /* not committed yet */
    ck_assert_int_eq(act(ACT_COMMIT, &commit, 1), 0);
    uint64_t committed_at = d->time;
    ck_assert_int_eq(act(ACT_COMMIT, &commit, 1), OL_EINVAL);
    now += 1000;
    body.salt[0] ^= 1;
    ck_assert_int_eq(act(ACT_PROPOSE, &body, 1), OL_EINVAL);
    body.salt[0] ^= 1;
    ck_assert_int_eq(act(ACT_PROPOSE, &body, 2), OL_EINVAL); /* another contributor makes another id */
    ck_assert_int_eq(act(ACT_PROPOSE, &body, 1), 0);
    ck_assert_uint_eq(d->proposals[0].contribution.registered_at, committed_at);
    ck_assert_uint_gt(d->time, committed_at + 999);
    reread();
}
END_TEST

/* Another program's line. */
static int apply_at(uint64_t time)
{
    struct log_commit body = {.commitment = {(uint8_t)time, 1}};
    struct log_entry entry;
    ck_assert_int_eq(log_entry_init(&entry, ACT_COMMIT, &body, NULL), 0);
    entry.sequence = d->sequence + 1;
    entry.time = time;
    memcpy(entry.previous, d->head, 32);
    int rc = datanet_apply(d, &entry, NULL);
    log_entry_deinit(&entry);
    return rc;
}

/* The clock stands still or goes back: registrations are in strict order all the same. */
START_TEST(test_times)
{
    uint8_t id[32];
    for (int i = 0; i < 4; i++) {
        now = 1700000000 - (uint64_t)i;
        ck_assert_int_eq(propose((const char *[]){"a", "b", "c", "d"}[i], 1, id), 0);
        if (i)
            ck_assert_uint_gt(d->proposals[i].contribution.registered_at,
                              d->proposals[i - 1].contribution.registered_at);
    }
    reread();
    uint64_t last = d->time;
    ck_assert_int_eq(apply_at(last - 1), OL_EINVAL);
    ck_assert_int_eq(apply_at(last), OL_EINVAL);
    ck_assert_int_eq(apply_at(last + 1), 0);
}
END_TEST

START_TEST(test_contents_go)
{
    uint8_t id[2][32];
    char path[PATH_MAX];
    ck_assert_int_eq(propose("shared", 1, id[0]), 0);
    ck_assert_int_eq(propose("shared", 2, id[1]), 0); /* the rules do not compare contents; ingestion does */
    ck_assert(content_path(folder, d->proposals[0].contribution.sha256, path, sizeof path));
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(decide(ACT_WITHDRAW, id[i], 1 + i), 0);
        ck_assert_int_eq(datanet_drop_content(d, d->proposals[i].contribution.sha256, NULL), 0);
        ck_assert_int_eq(access(path, F_OK) == 0, i == 0); /* as long as somebody's holds it */
    }
}
END_TEST

START_TEST(test_export_opens)
{
    uint8_t id[32];
    char out[PATH_MAX];
    struct datanet_version *v;
    struct err e = {0};
    ck_assert_int_eq(propose("one\n", 1, id), 0);
    ck_assert_int_eq(decide(ACT_APPROVE, id, OWNER), 0);
    ck_assert_int_eq(publish(OWNER), 0);
    snprintf(out, sizeof out, "%s/out", folder);
    ck_assert_msg(datanet_export(d, 0, out, &e) == 0, "%s", e.message);
    ck_assert_int_eq(datanet_export(d, 1, out, &e), OL_EEXIST);
    ck_assert_int_eq(datanet_export(d, 2, out, &e), OL_ENOTFOUND);
    ck_assert_msg(datanet_version_open(out, &v, &e) == 0, "%s", e.message);
    ck_assert_uint_eq(v->n, 1);
    ck_assert_str_eq(v->contributions[0].text, "one\n");
    ck_assert_mem_eq(v->id, d->versions[0].is.row.id, 32);
    datanet_version_close(v);
}
END_TEST

/* ---- rows */

static const struct {
    enum content_format format;
    const char *line, *why; /* why: NULL is a row */
} lines[] = {
    {CONTENT_INSTRUCTION, "{\"instruction\":\"a\",\"output\":\"b\"}", NULL},
    {CONTENT_INSTRUCTION, "{\"question\":\"a\",\"answer\":\"b\",\"more\":[1]}", NULL},
    {CONTENT_INSTRUCTION, "{\"prompt\":\"a\",\"input\":\"i\",\"response\":\"b\"}", NULL},
    {CONTENT_INSTRUCTION, "{\"instruction\":\"a\",\"question\":\"b\",\"output\":\"c\"}", "twice"},
    {CONTENT_INSTRUCTION, "{\"instruction\":\"a\",\"output\":\"b\",\"answer\":\"c\"}", "twice"},
    {CONTENT_INSTRUCTION, "{\"instruction\":\"a\",\"output\":\" \"}", "no answer"},
    {CONTENT_INSTRUCTION, "{\"output\":\"b\"}", "no instruction"},
    {CONTENT_INSTRUCTION, "{\"instruction\":1,\"output\":\"b\"}", "not a text"},
    {CONTENT_INSTRUCTION, "[]", "not a JSON object"},
    {CONTENT_INSTRUCTION, "{\"instruction\":\"a\",\"instruction\":\"a\",\"output\":\"b\"}", "not JSON"},
    {CONTENT_INSTRUCTION, "{\"instruction\":\"a\\u0000\",\"output\":\"b\"}", "not JSON"},
    {CONTENT_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}",
     NULL},
    {CONTENT_CHAT, "{\"messages\":[{\"role\":\"assistant\",\"content\":\"b\"}]}", NULL},
    {CONTENT_CHAT, "{\"messages\":[]}", "list"},
    {CONTENT_CHAT, "{\"messages\":{}}", "list"},
    {CONTENT_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "last message"},
    {CONTENT_CHAT, "{\"messages\":[{\"role\":\"assistant\",\"content\":\"\"}]}", "last message"},
    {CONTENT_CHAT, "{\"messages\":[{\"role\":\"tool\",\"content\":\"a\"}]}", "tool"},
    {CONTENT_CHAT, "{\"messages\":[{\"role\":\"user\"}]}", "texts"},
    {CONTENT_CHAT,
     "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"a\"}]}", "first"},
};

START_TEST(test_rows)
{
    struct training_row row;
    struct err e = {0};
    int rc = training_row_read(lines[_i].format, lines[_i].line, strlen(lines[_i].line), &row, &e);
    if (!lines[_i].why) {
        ck_assert_msg(rc == 0, "%s", e.message);
        ck_assert_str_eq(row.messages[row.n_messages - 1].role, "assistant");
        ck_assert_str_eq(row.messages[row.n_messages - 1].content, "b");
        training_row_free(&row);
        return;
    }
    ck_assert_int_eq(rc, OL_EFORMAT);
    ck_assert_msg(strstr(e.message, lines[_i].why) != NULL, "%s", e.message);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("datanet");
    TCase *t = tcase_create("rules");
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_add_test(t, test_versions);
    tcase_add_test(t, test_who_may);
    tcase_add_test(t, test_limits);
    tcase_add_test(t, test_commitments);
    tcase_add_test(t, test_times);
    tcase_add_test(t, test_contents_go);
    tcase_add_test(t, test_export_opens);
    suite_add_tcase(s, t);
    t = tcase_create("rows");
    tcase_add_loop_test(t, test_rows, 0, sizeof lines / sizeof *lines);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
