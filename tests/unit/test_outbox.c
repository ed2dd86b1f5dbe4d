/* The outbox on a real folder: rows come back, writes land in order, many threads share a sync, a full disk is named,
 * survived and left again. */
#include "chainlite/settle/outbox.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static struct outbox *box;

static void open_box(void)
{
    struct err e = {0};
    struct outbox_config config = {.path = folder, .min_free_bytes = 1};
    ck_assert_msg(outbox_open(&config, &box, &e) == 0, "%s", e.message);
}

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/outbox-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    open_box();
}

static void teardown(void)
{
    char command[128];
    outbox_close(box);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    FILE *p = popen(command, "r");
    if (p)
        pclose(p);
}

static void reopen(void)
{
    outbox_close(box);
    open_box();
}

static struct outbox_write *begin(void)
{
    struct outbox_write *w;
    struct err e = {0};
    ck_assert_msg(outbox_begin(box, &w, &e) == 0, "%s", e.message);
    return w;
}

static void commit(struct outbox_write *w)
{
    struct err e = {0};
    ck_assert_msg(outbox_commit(w, &e) == 0, "%s", e.message);
}

/* Every byte of every field is different from its neighbours': a field that is written to the wrong place shows. */
static void fill(void *object, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)object)[i] = (unsigned char)(i * 37 + seed * 101 + (i >> 8) * 13 + 1);
}

static struct outbox_receipt receipt_of(uint64_t epoch, uint64_t sequence, const char *tenant)
{
    struct outbox_receipt r;
    memset(&r, 0, sizeof r);
    fill(r.proof.receipt_id, 32, (unsigned)sequence);
    memcpy(r.proof.receipt_id, &sequence, sizeof sequence);
    memcpy(r.proof.receipt_id + 8, &epoch, sizeof epoch);
    r.proof.epoch = epoch;
    r.proof.sequence = sequence;
    fill(r.proof.node, ADDRESS_BYTES, 3);
    fill(r.proof.payer, ADDRESS_BYTES, 4);
    r.proof.mean_logprob_micro = -1234567;
    r.proof.fee_wei = ((wei_t)7 << 100) + sequence;
    r.proof.payer_cumulative_wei = ~(wei_t)0;
    r.proof.start_time_ms = 1764070000123;
    r.proof.status = STATUS_CANCELLED;
    fill(r.signature, SIGNATURE_BYTES, 9);
    fill(r.voucher.voucher.request_hash, 32, 11);
    r.voucher.voucher.ceiling_wei = ((wei_t)1 << 127) + 5;
    fill(r.voucher.signature, SIGNATURE_BYTES, 12);
    snprintf(r.tenant, sizeof r.tenant, "%s", tenant);
    r.recorded_ms = 1764070001456;
    return r;
}

START_TEST(rows_come_back_after_a_restart)
{
    struct outbox_write *w = begin();
    struct outbox_receipt receipt = receipt_of(2, 1, "alice"), got;
    struct outbox_reservation reservation, got_reservation;
    memset(&reservation, 0, sizeof reservation);
    fill(reservation.receipt_id, 32, 1);
    fill(reservation.payer, ADDRESS_BYTES, 2);
    snprintf(reservation.tenant, sizeof reservation.tenant, "%064d", 7); /* as long as a tenant may be */
    reservation.own_voucher = true;
    reservation.max_fee_wei = ~(wei_t)0 - 1;
    reservation.max_output_tokens = UINT32_MAX;
    reservation.time_ms = 42;
    struct outbox_payer payer, got_payer;
    memset(&payer, 0, sizeof payer);
    fill(payer.payer, ADDRESS_BYTES, 4);
    payer.epoch = 2;
    payer.cumulative_wei = 99;
    payer.base_wei = 9;
    payer.last_sequence = 1;
    payer.has_voucher = true;
    payer.highest = receipt.voucher;
    struct outbox_batch batch, got_batch;
    memset(&batch, 0, sizeof batch);
    batch.batch = (struct batch){.number = 7, .epoch = 2, .first_sequence = 1, .count = 9, .settled_total_wei = 12};
    fill(batch.batch.body_hash, 32, 21);
    batch.state = BATCH_SAFE;
    batch.unsettled[0] = 0x81;
    batch.unsettled[1] = 0x01;
    struct outbox_dead dead = {.epoch = 2, .sequence = 1, .at_ms = 5, .code = "claim_refused", .reason = "a \"reason\""}, got_dead;
    outbox_put_receipt(w, &receipt);
    outbox_put_reservation(w, &reservation);
    outbox_put_payer(w, &payer);
    outbox_put_batch(w, &batch);
    outbox_put_dead(w, &dead);
    outbox_put_meta_u64(w, "recorder.epoch", 2);
    commit(w);
    reopen();

    struct err e = {0};
    uint64_t n = 0;
    ck_assert_int_eq(outbox_receipt(box, 2, 1, &got, &e), 0);
    ck_assert_mem_eq(&got, &receipt, sizeof got);
    ck_assert_int_eq(outbox_receipt_find(box, receipt.proof.receipt_id, &got, &e), 0);
    ck_assert_mem_eq(&got, &receipt, sizeof got);
    ck_assert_int_eq(outbox_reservation(box, reservation.receipt_id, &got_reservation, &e), 0);
    ck_assert_mem_eq(&got_reservation, &reservation, sizeof reservation);
    ck_assert_int_eq(outbox_payer(box, payer.payer, &got_payer, &e), 0);
    ck_assert_mem_eq(&got_payer, &payer, sizeof payer);
    ck_assert_int_eq(outbox_batch(box, 7, &got_batch, &e), 0);
    ck_assert_mem_eq(&got_batch, &batch, sizeof batch);
    ck_assert_int_eq(outbox_dead(box, 2, 1, &got_dead, &e), 0);
    ck_assert_str_eq(got_dead.reason, dead.reason);
    ck_assert_int_eq(outbox_meta_u64(box, "recorder.epoch", &n, &e), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(outbox_receipt(box, 2, 2, &got, &e), OL_ENOTFOUND);
    ck_assert_int_eq(outbox_meta_u64(box, "recorder.nothing", &n, &e), OL_ENOTFOUND);
    ck_assert_int_eq(outbox_batch_last(box, &n, &e), 0);
    ck_assert_uint_eq(n, 7);
}
END_TEST

START_TEST(batches_are_found_by_their_receipts)
{
    struct outbox_write *w = begin();
    struct outbox_batch b, got;
    struct err e;
    memset(&b, 0, sizeof b);
    b.batch = (struct batch){.number = 1, .epoch = 1, .first_sequence = 1, .count = 10};
    outbox_put_batch(w, &b);
    b.batch = (struct batch){.number = 2, .epoch = 1, .first_sequence = 11, .count = 5};
    outbox_put_batch(w, &b);
    b.batch = (struct batch){.number = 3, .epoch = 2, .first_sequence = 1, .count = 300};
    outbox_put_batch(w, &b);
    commit(w);
    static const struct { uint64_t epoch, sequence, number; } cases[] = {
        {1, 1, 1}, {1, 10, 1}, {1, 11, 2}, {1, 15, 2}, {1, 16, 0}, {2, 1, 3}, {2, 300, 3}, {2, 301, 0}, {3, 1, 0}, {0, 9, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = outbox_batch_of(box, cases[i].epoch, cases[i].sequence, &got, &e);
        ck_assert_int_eq(rc, cases[i].number ? 0 : OL_ENOTFOUND);
        if (rc == 0)
            ck_assert_uint_eq(got.batch.number, cases[i].number);
    }
}
END_TEST

struct seen {
    uint64_t place[64];
    int n;
};

static int see(void *user, const struct outbox_receipt *r)
{
    struct seen *s = user;
    s->place[s->n++] = r->proof.epoch * 1000 + r->proof.sequence;
    return s->n == 64;
}

START_TEST(receipts_are_walked_in_both_directions)
{
    struct outbox_write *w = begin();
    struct err e;
    static const char *const tenants[] = {"a", "ab", ""};
    for (uint64_t i = 1; i <= 9; i++) {
        struct outbox_receipt r = receipt_of(i < 7 ? 1 : 2, i < 7 ? i : i - 6, tenants[i % 3]);
        outbox_put_receipt(w, &r);
    }
    commit(w);
    struct seen s = {.n = 0};
    ck_assert_int_eq(outbox_receipts(box, 1, 3, 100, see, &s, &e), 0);
    ck_assert_int_eq(s.n, 4);
    ck_assert_uint_eq(s.place[0], 1003);
    s.n = 0;
    ck_assert_int_eq(outbox_receipts_before(box, NULL, UINT64_MAX, UINT64_MAX, 4, see, &s, &e), 0);
    ck_assert_int_eq(s.n, 4);
    ck_assert_uint_eq(s.place[0], 2003);
    ck_assert_uint_eq(s.place[3], 1006);
    s.n = 0; /* "a" must not see those of "ab", nor those without a name */
    ck_assert_int_eq(outbox_receipts_before(box, "a", 2, 3, 100, see, &s, &e), 0);
    ck_assert_int_eq(s.n, 2);
    ck_assert_uint_eq(s.place[0], 1006);
    ck_assert_uint_eq(s.place[1], 1003);
    uint64_t last;
    ck_assert_int_eq(outbox_receipt_last(box, 1, &last, &e), 0);
    ck_assert_uint_eq(last, 6);
    ck_assert_int_eq(outbox_receipt_last(box, 3, &last, &e), 0);
    ck_assert_uint_eq(last, 0);
}
END_TEST

static int see_tx(void *user, const struct outbox_tx *t)
{
    struct seen *s = user;
    ck_assert_uint_eq(t->raw_len, 70000 + t->variant);
    ck_assert_uint_eq(t->raw[t->raw_len - 1], t->variant);
    s->place[s->n++] = t->nonce * 1000 + t->variant;
    return 0;
}

START_TEST(transactions_keep_every_variant)
{
    static uint8_t raw[OUTBOX_MAX_TX_BYTES];
    struct outbox_write *w = begin();
    struct err e;
    for (uint32_t i = 0; i < 6; i++) {
        struct outbox_tx t = {.nonce = 5 + i / 3, .variant = i % 3, .purpose = TX_SUBMIT, .raw = raw};
        t.raw_len = 70000 + t.variant;
        raw[t.raw_len - 1] = (uint8_t)t.variant;
        outbox_put_tx(w, &t);
    }
    commit(w);
    struct seen s = {.n = 0};
    ck_assert_int_eq(outbox_txs(box, 6, see_tx, &s, &e), 0);
    ck_assert_int_eq(s.n, 3);
    ck_assert_uint_eq(s.place[0], 6000);
    ck_assert_uint_eq(s.place[2], 6002);
}
END_TEST

/* ---- group commit */

enum { THREADS = 8, ROUNDS = 40 };
static pthread_mutex_t assign = PTHREAD_MUTEX_INITIALIZER;
static uint64_t next_sequence;

static void *writer(void *arg)
{
    struct outbox_write *w;
    struct err e;
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&assign); /* as the recorder does: place and sequence in one step */
        w = begin();
        struct outbox_receipt r = receipt_of(1, ++next_sequence, "t");
        pthread_mutex_unlock(&assign);
        if (i % 5 == 4)
            usleep(500); /* the line waits for the slow one */
        outbox_put_receipt(w, &r);
        ck_assert_int_eq(outbox_commit(w, &e), 0);
        outbox_cancel(begin()); /* must not hold up the line */
    }
    return NULL;
}

static int count(void *user, const struct outbox_receipt *r)
{
    uint64_t *n = user;
    ck_assert_uint_eq(r->proof.sequence, ++*n);
    return 0;
}

START_TEST(threads_share_the_line)
{
    pthread_t threads[THREADS];
    next_sequence = 0;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, writer, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    reopen();
    uint64_t n = 0;
    struct err e;
    ck_assert_int_eq(outbox_receipts(box, 1, 1, UINT64_MAX, count, &n, &e), 0);
    ck_assert_uint_eq(n, THREADS * ROUNDS);
}
END_TEST

/* A process killed while it writes leaves a prefix without gaps, and nothing less than what it acknowledged. */
START_TEST(a_kill_leaves_a_prefix)
{
    outbox_close(box);
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        open_box();
        for (uint64_t i = 1;; i++) {
            struct outbox_write *w = begin();
            struct outbox_receipt r = receipt_of(1, i, "");
            outbox_put_receipt(w, &r);
            commit(w);
            if (write(pipes[1], &i, sizeof i) != (ssize_t)sizeof i)
                _exit(1);
        }
    }
    close(pipes[1]);
    uint64_t acknowledged = 0, n = 0;
    while (acknowledged < 50)
        ck_assert_int_eq(read(pipes[0], &acknowledged, sizeof acknowledged), (int)sizeof acknowledged);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(pipes[0], &acknowledged, sizeof acknowledged) == (ssize_t)sizeof acknowledged)
        ;
    close(pipes[0]);
    open_box();
    struct err e;
    ck_assert_int_eq(outbox_receipts(box, 1, 1, UINT64_MAX, count, &n, &e), 0);
    ck_assert_uint_ge(n, acknowledged);
    ck_assert_uint_le(n, acknowledged + 1);
}
END_TEST

/* ---- trouble */

static int write_one(uint64_t sequence, struct err *e)
{
    struct outbox_write *w;
    int rc = outbox_begin(box, &w, e);
    if (rc != 0)
        return rc;
    struct outbox_receipt r = receipt_of(1, sequence, "");
    outbox_put_receipt(w, &r);
    return outbox_commit(w, e);
}

START_TEST(a_full_disk_is_named_and_left_again)
{
    signal(SIGXFSZ, SIG_IGN);
    struct err e = {0};
    struct rlimit limit, small;
    uint64_t written = 0, n = 0, generation = outbox_generation(box);
    int rc = 0;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 300 << 10;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct outbox_write *early = NULL;
    while (rc == 0 && written < 5000) {
        if (written == 100)
            early = begin(), outbox_put_meta_u64(early, "early", 1), commit(early);
        rc = write_one(written + 1, &e);
        written += rc == 0;
    }
    ck_assert_int_eq(rc, OL_ELIMIT);
    ck_assert_msg(strncmp(e.message, "disk_full: ", 11) == 0, "%s", e.message);
    small.rlim_cur = 1; /* not even a new log fits */
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_ne(outbox_room(box, &e), 0);
    ck_assert_int_ne(write_one(written + 1, &e), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 1200 && outbox_room(box, &e) != 0; i++)
        usleep(50000);
    ck_assert_msg(outbox_room(box, &e) == 0, "%s", e.message);
    ck_assert_uint_gt(outbox_generation(box), generation);
    ck_assert_int_eq(outbox_receipts(box, 1, 1, UINT64_MAX, count, &n, &e), 0);
    ck_assert_uint_ge(n, written);
    ck_assert_uint_le(n, written + 1); /* the failed one may be there or not; later ones are not */
    ck_assert_int_eq(write_one(n + 1, &e), 0);
    reopen();
    n = 0;
    ck_assert_int_eq(outbox_receipts(box, 1, 1, UINT64_MAX, count, &n, &e), 0);
    ck_assert_uint_gt(n, written);
}
END_TEST

/* What was begun before a failure was built on what may not be on disk: it fails, also after the outbox is well again. */
START_TEST(a_failure_takes_later_writes_along)
{
    struct err e = {0};
    struct outbox_write *first = begin(), *second = begin();
    uint64_t value;
    outbox_put_meta_u64(first, "first", 1);
    outbox_put_meta_u64(second, "second", 2);
    err_set(&e, OL_EINVAL, "test", "cannot be finished");
    outbox_fail(first, OL_EINVAL, &e);
    ck_assert_int_eq(outbox_commit(first, &e), OL_EINVAL);
    ck_assert_int_eq(outbox_room(box, &e), 0); /* read again */
    struct outbox_write *third = begin();
    outbox_put_meta_u64(third, "third", 3);
    ck_assert_int_ne(outbox_commit(second, &e), 0);
    commit(third);
    ck_assert_int_eq(outbox_meta_u64(box, "first", &value, &e), OL_ENOTFOUND);
    ck_assert_int_eq(outbox_meta_u64(box, "second", &value, &e), OL_ENOTFOUND);
    ck_assert_int_eq(outbox_meta_u64(box, "third", &value, &e), 0);
}
END_TEST

START_TEST(little_space_stops_new_work_only)
{
    struct err e = {0};
    outbox_close(box);
    struct outbox_config config = {.path = folder, .min_free_bytes = UINT64_MAX};
    ck_assert_int_eq(outbox_open(&config, &box, &e), 0);
    ck_assert_int_eq(outbox_room(box, &e), OL_ELIMIT);
    ck_assert_msg(strncmp(e.message, "disk_full: ", 11) == 0, "%s", e.message);
    ck_assert_int_eq(write_one(1, &e), 0);
}
END_TEST

START_TEST(a_folder_has_one_owner)
{
    struct outbox *second;
    struct err e = {0};
    struct outbox_config config = {.path = folder};
    ck_assert_int_eq(outbox_open(&config, &second, &e), OL_EBUSY);
    ck_assert_ptr_null(second);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outbox");
    TCase *t = tcase_create("outbox");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, rows_come_back_after_a_restart);
    tcase_add_test(t, batches_are_found_by_their_receipts);
    tcase_add_test(t, receipts_are_walked_in_both_directions);
    tcase_add_test(t, transactions_keep_every_variant);
    tcase_add_test(t, threads_share_the_line);
    tcase_add_test(t, a_kill_leaves_a_prefix);
    tcase_add_test(t, a_full_disk_is_named_and_left_again);
    tcase_add_test(t, a_failure_takes_later_writes_along);
    tcase_add_test(t, little_space_stops_new_work_only);
    tcase_add_test(t, a_folder_has_one_owner);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
