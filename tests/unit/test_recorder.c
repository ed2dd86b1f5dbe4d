/* The recorder against a chain that the test plays: every refusal with its figures, vouchers of payers and their signers,
 * what a stale chain is worth, epochs, and memory that follows the disk. */
#include "chainlite/core/hex.h"
#include "chainlite/settle/recorder.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static char folder[64];
static struct outbox *box;
static struct keystore *keys;
static struct recorder *recorder;
static struct secp *secp;
static struct recorder_config config;
static struct domains domains;
static uint8_t model[32], adapter[32], payer[ADDRESS_BYTES], signer[ADDRESS_BYTES];
static const uint8_t payer_secret[32] = {[31] = 7}, signer_secret[32] = {[31] = 8};
static uint8_t next_id;

/* A request of 1,000 prompt and 100 output tokens: at most 5,000 + 900 + 100 wei (all cached, the dearer kind here). */
enum { MAX_FEE = 5000 + 900 + 100 };
/* ... of which 1,000 uncached and 50 output: 3,000 + 450 + 1,050. */
enum { FEE = 3000 + 450 + 1050 };

/* ---- the chain */

static struct {
    struct escrow_account account;
    int account_rc;
    bool allowed, registered, no_price;
    int64_t ahead_ms;
    uint64_t epoch;
    int epoch_rc;
} chain;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int view_account(void *u, const uint8_t *p, struct escrow_account *out, struct err *e)
{
    (void)u, (void)p;
    *out = chain.account;
    return chain.account_rc ? err_set(e, chain.account_rc, "test", "away") : 0;
}

static int view_signer(void *u, const uint8_t *p, const uint8_t *s, bool *out, struct err *e)
{
    (void)u, (void)e;
    *out = chain.allowed && memcmp(p, payer, 20) == 0 && memcmp(s, signer, 20) == 0;
    return 0;
}

static int view_registered(void *u, const uint8_t *id, bool *out, struct err *e)
{
    (void)u, (void)e;
    bool version = memcmp(id, model, 32) == 0 || memcmp(id, adapter, 32) == 0;
    *out = chain.registered && (version || !chain.no_price);
    return 0;
}

static int view_now(void *u, int64_t *out, struct err *e)
{
    (void)u, (void)e;
    *out = now_ms() + chain.ahead_ms;
    return 0;
}

static int view_epoch(void *u, uint64_t *out, struct err *e)
{
    (void)u;
    *out = chain.epoch;
    return chain.epoch_rc ? err_set(e, chain.epoch_rc, "test", "behind the chain") : 0;
}

static const struct chain_view view = {NULL, view_account, view_signer, view_registered, view_now, view_epoch};

/* ---- the node */

static void add_price(struct chain_catalog *c, const uint8_t *version, uint64_t effective)
{
    struct row_price p = {.tier = TIER_DEFAULT, .effective_time = effective, .input_wei = 3000000, .cached_wei = 5000000,
                          .output_wei = 9000000, .floor_wei = 5, .compute_wei = 1000000};
    struct err e = {0};
    memcpy(p.node, keystore_node(keys), ADDRESS_BYTES);
    memcpy(p.version, version, 32);
    ck_assert_msg(chain_catalog_add_price(c, &p, &e) == 0, "%s", e.message);
}

static void make_catalog(struct chain_catalog *c)
{
    struct row_version m = {.number = 1, .content_hash = {1}, .payee = {1}};
    struct row_version a = {.number = 1, .content_hash = {2}, .payee = {2}};
    struct row_split s = {400000000, 300000000, 200000000, 100000000, {3}, {4}, {5}};
    struct err e = {0};
    chain_catalog_init(c);
    ck_assert_int_eq(chain_catalog_add_version(c, ITEM_MODEL, payer, "m", &m, &e), 0);
    memcpy(model, chain_catalog_by_name(c, ITEM_MODEL, "m")->id, 32);
    memcpy(a.base_version, model, 32);
    ck_assert_int_eq(chain_catalog_add_version(c, ITEM_ADAPTER, payer, "a", &a, &e), 0);
    memcpy(adapter, chain_catalog_by_name(c, ITEM_ADAPTER, "a")->id, 32);
    ck_assert_int_eq(chain_catalog_add_split(c, &s, &e), 0);
    add_price(c, model, 1);
}

static void open_recorder(void)
{
    struct err e = {0};
    struct chain_catalog catalog;
    ck_assert_msg(outbox_open(&(struct outbox_config){.path = folder, .min_free_bytes = 1}, &box, &e) == 0, "%s", e.message);
    ck_assert_msg(recorder_open(&config, box, keys, &recorder, &e) == 0, "%s", e.message);
    make_catalog(&catalog);
    recorder_set_catalog(recorder, &catalog);
}

static void close_recorder(void)
{
    recorder_close(recorder);
    outbox_close(box);
}

static void setup(void)
{
    struct err e = {0};
    char path[128], passphrase[128];
    snprintf(folder, sizeof folder, "/tmp/recorder-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/keys", folder);
    snprintf(passphrase, sizeof passphrase, "%s/passphrase", folder);
    ck_assert_msg(keystore_open(&(struct keystore_config){path, passphrase}, &keys, &e) == 0, "%s", e.message);
    secp = secp_open((const uint8_t[32]){1});
    ck_assert_int_eq(secp_address(secp, payer_secret, payer, &e), 0);
    ck_assert_int_eq(secp_address(secp, signer_secret, signer, &e), 0);
    memset(&chain, 0, sizeof chain);
    chain.account = (struct escrow_account){.balance_wei = 1000000};
    chain.registered = true;
    chain.epoch = 1;
    config = (struct recorder_config){.chain_id = 31337, .settlement = {1}, .escrow = {2}, .view = &view,
                                      .max_exposure_wei = 2 * MAX_FEE, .max_age_ms = 60000};
    domains_make(config.chain_id, config.settlement, config.escrow, &domains);
    open_recorder();
}

static void teardown(void)
{
    char command[128];
    close_recorder();
    keystore_close(keys);
    secp_close(secp);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    FILE *p = popen(command, "r");
    if (p)
        pclose(p);
}

static struct reserve_request request(void)
{
    struct reserve_request q = {.prompt_tokens = 1000, .max_output_tokens = 100};
    q.receipt_id[0] = ++next_id;
    q.receipt_id[31] = 1;
    q.request_hash[0] = next_id;
    memcpy(q.model_version, model, 32);
    snprintf(q.tenant, sizeof q.tenant, "tenant");
    return q;
}

static void sign_voucher(struct reserve_request *q, wei_t ceiling, const uint8_t secret[32])
{
    struct voucher *v = &q->voucher.voucher;
    uint8_t digest[32];
    struct err e = {0};
    q->has_voucher = true;
    memcpy(v->payer, payer, ADDRESS_BYTES);
    memcpy(v->node, keystore_node(keys), ADDRESS_BYTES);
    memcpy(v->request_hash, q->request_hash, 32);
    v->ceiling_wei = ceiling;
    voucher_digest(v, &domains, digest);
    ck_assert_int_eq(secp_sign(secp, secret, digest, q->voucher.signature, &e), 0);
}

static struct reserve_result reserve(const struct reserve_request *q)
{
    struct reserve_result r;
    struct err e = {0};
    ck_assert_msg(recorder_reserve(recorder, q, &r, 1, &e) == 0, "%s", e.message);
    return r;
}

static struct reserve_result reserve_paid(wei_t ceiling)
{
    struct reserve_request q = request();
    sign_voucher(&q, ceiling, payer_secret);
    return reserve(&q);
}

static void expect(const struct reserve_result *r, const char *code)
{
    if (!code)
        ck_assert_msg(!r->code, "%s: %s", r->code, r->message);
    else
        ck_assert_msg(r->code && strcmp(r->code, code) == 0, "%s instead of %s: %s", r->code ? r->code : "ok", code, r->message);
}

static struct record_result record_id(uint8_t id)
{
    struct record_request q = {.status = STATUS_STOP, .kind = KIND_CHAT, .start_time_ms = (uint64_t)(now_ms() + chain.ahead_ms),
                               .prompt_tokens = 1000, .output_tokens = 50};
    struct record_result r;
    struct err e = {0};
    q.receipt_id[0] = id;
    q.receipt_id[31] = 1;
    ck_assert_msg(recorder_record(recorder, &q, &r, 1, &e) == 0, "%s", e.message);
    return r;
}

/* ---- */

START_TEST(a_receipt_is_what_it_should_be)
{
    struct reserve_request q = request();
    struct err e = {0};
    uint8_t digest[32];
    memset(q.caller, 9, 32);
    sign_voucher(&q, 20000, payer_secret);
    struct reserve_result reserved = reserve(&q);
    expect(&reserved, NULL);
    ck_assert_uint_eq(reserved.max_fee_wei, MAX_FEE);
    ck_assert_mem_eq(reserved.payer, payer, ADDRESS_BYTES);
    struct record_result r = record_id(next_id);
    ck_assert_msg(!r.code, "%s", r.message);
    ck_assert_uint_eq(r.proof.fee_wei, FEE);
    ck_assert_uint_eq(r.proof.payer_cumulative_wei, FEE);
    ck_assert_uint_eq(r.proof.sequence, 1);
    ck_assert_uint_eq(r.proof.payer_previous, 0);
    ck_assert_mem_eq(r.proof.caller, q.caller, 32);
    ck_assert_mem_eq(r.proof.request_hash, q.request_hash, 32);
    voucher_digest(&q.voucher.voucher, &domains, digest);
    ck_assert_mem_eq(r.proof.voucher_digest, digest, 32);
    proof_digest(&r.proof, &domains, digest);
    ck_assert_int_eq(signature_check(secp, digest, r.signature, keystore_node(keys), "proof", &e), 0);
    q = request(); /* the operator's wallet pays in between */
    expect(&(struct reserve_result){.code = reserve(&q).code}, NULL);
    ck_assert_uint_eq(record_id(next_id).proof.sequence, 2);
    reserve_paid(20000);
    struct record_result second = record_id(next_id);
    ck_assert_uint_eq(second.proof.sequence, 3);
    ck_assert_uint_eq(second.proof.payer_previous, 1);
    ck_assert_uint_eq(second.proof.payer_cumulative_wei, 2 * FEE);
}
END_TEST

START_TEST(vouchers_must_be_the_payers)
{
    struct reserve_request q = request();
    sign_voucher(&q, 20000, signer_secret);
    struct reserve_result r = reserve(&q);
    expect(&r, "voucher_invalid");
    chain.allowed = true; /* the payer authorised him */
    r = reserve(&q);
    expect(&r, NULL);
    q = request();
    sign_voucher(&q, 20000, payer_secret);
    q.voucher.voucher.ceiling_wei++;
    r = reserve(&q);
    expect(&r, "voucher_invalid");
    q = request();
    sign_voucher(&q, 20000, payer_secret);
    q.request_hash[5] ^= 1; /* signed for another request */
    r = reserve(&q);
    expect(&r, "voucher_invalid");
    q = request();
    sign_voucher(&q, 20000, payer_secret);
    q.voucher.voucher.node[0] ^= 1;
    r = reserve(&q);
    expect(&r, "voucher_invalid");
    q = request();
    sign_voucher(&q, 20000, payer_secret);
    q.voucher.signature[64] = 29;
    r = reserve(&q);
    expect(&r, "voucher_invalid");
}
END_TEST

START_TEST(ceilings_count_what_is_reserved)
{
    struct reserve_result r = reserve_paid(MAX_FEE - 1);
    expect(&r, "voucher_too_small");
    ck_assert_uint_eq(r.ceiling_needed_wei, MAX_FEE);
    ck_assert_uint_eq(r.needed_wei, MAX_FEE);
    ck_assert_uint_eq(r.available_wei, MAX_FEE - 1);
    r = reserve_paid(MAX_FEE);
    expect(&r, NULL);
    r = reserve_paid(MAX_FEE); /* all of it is held back for the first */
    expect(&r, "voucher_too_small");
    ck_assert_uint_eq(r.ceiling_needed_wei, 2 * MAX_FEE);
    ck_assert_uint_eq(r.available_wei, 0);
    record_id((uint8_t)(next_id - 1));
    r = reserve_paid(FEE + MAX_FEE - 1);
    expect(&r, "voucher_too_small");
    ck_assert_uint_eq(r.cumulative_wei, FEE);
    r = reserve_paid(FEE + MAX_FEE);
    expect(&r, NULL);
    r = reserve_paid(~(wei_t)0);
    expect(&r, NULL);
}
END_TEST

START_TEST(escrows_must_cover_it)
{
    chain.account.balance_wei = 2 * MAX_FEE - 1;
    struct reserve_result r = reserve_paid(1000000);
    expect(&r, NULL);
    r = reserve_paid(1000000);
    expect(&r, "escrow_too_small");
    ck_assert_uint_eq(r.available_wei, MAX_FEE - 1);
    ck_assert_uint_eq(r.needed_wei, MAX_FEE);
    record_id((uint8_t)(next_id - 1));
    r = reserve_paid(1000000); /* FEE is owed now, less than was held back */
    expect(&r, NULL);
    struct err e = {0};
    uint8_t id[32] = {next_id, [31] = 1};
    ck_assert_int_eq(recorder_end(recorder, id, &e), 0);
    chain.account = (struct escrow_account){.balance_wei = MAX_FEE, .claimed_wei = FEE}; /* the batch has collected it */
    r = reserve_paid(1000000);
    expect(&r, NULL);
    chain.account.thaw_wei = 1;
    r = reserve_paid(1000000);
    expect(&r, "payer_thawing");
}
END_TEST

START_TEST(a_stale_chain_is_worth_the_exposure)
{
    struct reserve_result r = reserve_paid(1000000);
    expect(&r, NULL);
    chain.account.age_ms = 60001; /* two answers of exposure, one is open */
    r = reserve_paid(1000000);
    expect(&r, NULL);
    r = reserve_paid(1000000);
    expect(&r, "chain_stale");
    ck_assert_uint_eq(r.available_wei, 0);
    chain.account_rc = OL_EIO;        /* not even an old proof: the same payer within the same limit */
    record_id((uint8_t)(next_id - 2));
    r = reserve_paid(1000000);
    expect(&r, "chain_stale");
    ck_assert_uint_eq(r.available_wei, MAX_FEE - FEE);
}
END_TEST

START_TEST(an_unknown_payer_needs_the_chain)
{
    chain.account_rc = OL_EIO;
    struct reserve_result r = reserve_paid(1000000);
    expect(&r, "chain_stale");
    chain.account_rc = 0;
    chain.account.claimed_wei = 77; /* from before: the chain of receipts begins there */
    r = reserve_paid(1000000);
    expect(&r, NULL);
    ck_assert_uint_eq(record_id(next_id).proof.payer_cumulative_wei, 77 + FEE);
}
END_TEST

START_TEST(rows_must_be_there)
{
    struct reserve_request q = request();
    q.model_version[0] ^= 1;
    struct reserve_result r = reserve(&q);
    expect(&r, "not_registered");
    q = request();
    q.tier = TIER_FLEX;
    r = reserve(&q);
    expect(&r, "not_priced");
    q = request();
    q.tier = 3;
    r = reserve(&q);
    expect(&r, "not_priced");
    q = request();
    memcpy(q.adapter_version, adapter, 32); /* without a price so far, then one of tomorrow */
    r = reserve(&q);
    expect(&r, "not_priced");
    struct chain_catalog catalog;
    make_catalog(&catalog);
    add_price(&catalog, adapter, (uint64_t)now_ms() / 1000 + 86400);
    recorder_set_catalog(recorder, &catalog);
    r = reserve(&q);
    expect(&r, "not_priced");
    make_catalog(&catalog);
    add_price(&catalog, adapter, 2);
    recorder_set_catalog(recorder, &catalog);
    r = reserve(&q);
    expect(&r, NULL);
    q = request();
    memcpy(q.adapter_version, adapter, 32);
    memcpy(q.model_version, adapter, 32); /* not its base */
    r = reserve(&q);
    expect(&r, "not_registered");
    chain.registered = false;
    q = request();
    r = reserve(&q);
    expect(&r, "not_registered");
    chain.registered = chain.no_price = true;
    r = reserve(&q);
    expect(&r, "not_registered");
}
END_TEST

START_TEST(clocks_must_agree)
{
    chain.ahead_ms = 61000;
    struct reserve_result r = reserve_paid(1000000);
    expect(&r, "clock_skew");
    chain.ahead_ms = -59000;
    r = reserve_paid(1000000);
    expect(&r, NULL);
    ck_assert_ptr_null(record_id(next_id).code); /* by the chain's clock */
    reserve_paid(1000000);
    chain.ahead_ms += 61000;
    ck_assert_str_eq(record_id(next_id).code, "clock_skew");
}
END_TEST

START_TEST(wallets_that_we_hold)
{
    struct reserve_request q = request();
    struct reserve_result r;
    config.tenant_daily_cap_wei = MAX_FEE + 10;
    close_recorder();
    open_recorder();
    q.has_payer = true;
    memcpy(q.payer.at, payer, ADDRESS_BYTES);
    r = reserve(&q);
    expect(&r, "voucher_required");
    q.has_payer = false;
    r = reserve(&q);
    expect(&r, NULL);
    ck_assert_mem_eq(r.payer, keystore_operator(keys), ADDRESS_BYTES);
    struct record_result receipt = record_id(next_id);
    ck_assert_mem_eq(receipt.proof.payer, keystore_operator(keys), ADDRESS_BYTES);
    struct outbox_receipt row;
    struct err e = {0};
    uint8_t digest[32];
    ck_assert_int_eq(outbox_receipt(box, 1, 1, &row, &e), 0);
    voucher_digest(&row.voucher.voucher, &domains, digest);
    ck_assert_int_eq(signature_check(secp, digest, row.voucher.signature, keystore_operator(keys), "voucher", &e), 0);
    ck_assert_mem_eq(digest, row.proof.voucher_digest, 32);
    q = request();
    r = reserve(&q); /* FEE is spent; MAX_FEE more is over the cap */
    expect(&r, "spend_limit");
    ck_assert_uint_eq(r.available_wei, MAX_FEE + 10 - FEE);
    snprintf(q.tenant, sizeof q.tenant, "another");
    r = reserve(&q);
    expect(&r, NULL);
}
END_TEST

START_TEST(ids_are_used_once)
{
    struct reserve_request q = request();
    struct reserve_result r = reserve(&q);
    expect(&r, NULL);
    r = reserve(&q);
    expect(&r, "duplicate");
    struct record_result first = record_id(next_id), again = record_id(next_id);
    ck_assert_mem_eq(&first.proof, &again.proof, sizeof first.proof);
    ck_assert_mem_eq(first.signature, again.signature, SIGNATURE_BYTES);
    r = reserve(&q);
    expect(&r, "duplicate");
    ck_assert_str_eq(record_id(200).code, "no_reservation");
}
END_TEST

START_TEST(a_new_epoch_starts_again)
{
    reserve_paid(1000000);
    record_id(next_id);
    reserve_paid(1000000);
    uint8_t open = next_id;
    chain.epoch = 2;
    chain.account.claimed_wei = FEE;
    struct reserve_result r = reserve_paid(1000000);
    expect(&r, NULL);
    ck_assert_str_eq(record_id(open).code, "no_reservation");
    struct record_result receipt = record_id(next_id);
    ck_assert_uint_eq(receipt.proof.epoch, 2);
    ck_assert_uint_eq(receipt.proof.sequence, 1);
    ck_assert_uint_eq(receipt.proof.payer_previous, 0);
    ck_assert_uint_eq(receipt.proof.payer_cumulative_wei, 2 * FEE);
    close_recorder();
    open_recorder();
    struct recorder_status s;
    recorder_status(recorder, &s);
    ck_assert_uint_eq(s.epoch, 2);
    ck_assert_uint_eq(s.next_sequence, 2);
    chain.epoch_rc = OL_EBUSY;
    r = reserve_paid(1000000);
    expect(&r, "epoch_closed");
}
END_TEST

/* An answer that ends while chainlited is away is billed when it is back; what nobody records ends when it is old. */
START_TEST(reservations_outlive_a_restart)
{
    for (int i = 0; i < 3; i++)
        reserve_paid(1000000);
    record_id(next_id);
    close_recorder();
    open_recorder();
    struct recorder_status s;
    struct payer_status p;
    struct err e = {0};
    recorder_status(recorder, &s);
    ck_assert_uint_eq(s.open_reservations, 2);
    ck_assert_int_eq(recorder_payer(recorder, payer, &p, &e), 0);
    ck_assert_uint_eq(p.reserved_wei, 2 * MAX_FEE);
    ck_assert_uint_eq(p.row.cumulative_wei, FEE);
    struct record_result late = record_id((uint8_t)(next_id - 1));
    ck_assert_ptr_null(late.code);
    ck_assert_uint_eq(late.proof.sequence, 2);
    ck_assert_uint_eq(late.proof.payer_cumulative_wei, 2 * FEE);
    ck_assert_int_eq(recorder_end_before(recorder, (uint64_t)now_ms() + 1000, &e), 0);
    ck_assert_int_eq(recorder_payer(recorder, payer, &p, &e), 0);
    ck_assert_uint_eq(p.reserved_wei, 0);
    reserve_paid(1000000);
    ck_assert_int_eq(recorder_end_before(recorder, (uint64_t)now_ms() - 1000, &e), 0);
    recorder_status(recorder, &s);
    ck_assert_uint_eq(s.open_reservations, 1);
    ck_assert_int_eq(recorder_end_before(recorder, (uint64_t)now_ms() + 1000, &e), 0);
    ck_assert_str_eq(record_id(next_id).code, "no_reservation");
}
END_TEST

/* A write that fails leaves memory as the disk is: what was reserved stays reserved, and can be recorded later. */
START_TEST(memory_follows_the_disk)
{
    struct rlimit limit, small;
    struct err e = {0};
    struct record_request q = {.status = STATUS_STOP, .kind = KIND_CHAT, .prompt_tokens = 1000, .output_tokens = 50};
    struct record_result r;
    signal(SIGXFSZ, SIG_IGN);
    reserve_paid(1000000);
    q.receipt_id[0] = next_id;
    q.receipt_id[31] = 1;
    q.start_time_ms = (uint64_t)now_ms();
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 1;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_eq(recorder_record(recorder, &q, &r, 1, &e), OL_ELIMIT);
    ck_assert_int_eq(recorder_record(recorder, &q, &r, 1, &e), OL_ELIMIT);
    struct reserve_result refused = reserve_paid(1000000);
    expect(&refused, "disk_full");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 1200 && outbox_room(box, &e) != 0; i++)
        usleep(50000);
    ck_assert_int_eq(recorder_record(recorder, &q, &r, 1, &e), 0);
    ck_assert_msg(!r.code, "%s", r.message);
    ck_assert_uint_eq(r.proof.sequence, 1);
    ck_assert_uint_eq(r.proof.payer_cumulative_wei, FEE);
}
END_TEST

START_TEST(another_deployments_outbox_is_refused)
{
    struct recorder *other;
    struct err e = {0};
    config.escrow[0] ^= 1;
    ck_assert_int_eq(recorder_open(&config, box, keys, &other, &e), OL_EINVAL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("recorder");
    TCase *t = tcase_create("recorder");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_receipt_is_what_it_should_be);
    tcase_add_test(t, vouchers_must_be_the_payers);
    tcase_add_test(t, ceilings_count_what_is_reserved);
    tcase_add_test(t, escrows_must_cover_it);
    tcase_add_test(t, a_stale_chain_is_worth_the_exposure);
    tcase_add_test(t, an_unknown_payer_needs_the_chain);
    tcase_add_test(t, rows_must_be_there);
    tcase_add_test(t, clocks_must_agree);
    tcase_add_test(t, wallets_that_we_hold);
    tcase_add_test(t, ids_are_used_once);
    tcase_add_test(t, a_new_epoch_starts_again);
    tcase_add_test(t, reservations_outlive_a_restart);
    tcase_add_test(t, memory_follows_the_disk);
    tcase_add_test(t, another_deployments_outbox_is_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
