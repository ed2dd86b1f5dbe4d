/* Batches from a real outbox: totals carry over, postings are the parts of what settled, data parts come one batch later,
 * paths lead to the roots, bodies have the hash they are named after; and what must be refused. That the same follows by
 * someone else's code from the bodies is tests/fault/check_body.mjs's business. */
#include "unit/vectors.h"
#include "chainlite/settle/batch_body.h"
#include "chainlite/json/bundle.h"

#include <stdio.h>
#include <unistd.h>

enum { FIRST = 40, SECOND = 25 };

static struct row_version model, adapter;
static struct row_price price;
static struct row_split split;
static uint8_t model_id[32], adapter_id[32], price_at[32], split_at[32];
static bool hide_price;
static char folder[64];
static struct outbox *outbox;
static struct outbox_batch first, second;
static const struct credits none;

static int version_of(void *user, const uint8_t id[32], struct row_version *out, struct err *e)
{
    (void)user;
    if (memcmp(id, model_id, 32) != 0 && memcmp(id, adapter_id, 32) != 0)
        return err_set(e, OL_ENOTFOUND, "test", "no such version");
    *out = memcmp(id, model_id, 32) == 0 ? model : adapter;
    return 0;
}

static int price_of(void *user, const uint8_t id[32], struct row_price *out, struct err *e)
{
    (void)user;
    *out = price;
    return hide_price || memcmp(id, price_at, 32) != 0 ? err_set(e, OL_ENOTFOUND, "test", "no such price") : 0;
}

static int split_of(void *user, const uint8_t id[32], struct row_split *out, struct err *e)
{
    (void)user;
    *out = split;
    return memcmp(id, split_at, 32) != 0 ? err_set(e, OL_ENOTFOUND, "test", "no such split") : 0;
}

static const struct row_source rows = {NULL, version_of, price_of, split_of, NULL};

static void make_rows(void)
{
    memset(&model, 0, sizeof model);
    model.number = 1;
    memset(model.payee, 0x31, ADDRESS_BYTES);
    version_id(&model, model_id);
    adapter = model;
    memset(adapter.payee, 0x32, ADDRESS_BYTES);
    memcpy(adapter.base_version, model_id, 32);
    adapter.base_ppb = 250000000;
    version_id(&adapter, adapter_id);
    price = (struct row_price){.input_wei = 1000003, .cached_wei = 100, .output_wei = 3000017, .floor_wei = 5,
                               .compute_wei = 1001};
    price_id(&price, price_at);
    split = (struct row_split){.model_ppb = 400000000, .data_ppb = 300000000, .validators_ppb = 200000000,
                               .node_ppb = 100000000};
    memset(split.unattributed_pool, 0x42, ADDRESS_BYTES);
    memset(split.validators_pool, 0x41, ADDRESS_BYTES);
    memset(split.treasury, 0x43, ADDRESS_BYTES);
    split_id(&split, split_at);
}

static struct outbox_receipt receipt(uint64_t sequence)
{
    struct outbox_receipt r = {.recorded_ms = 1};
    struct proof *p = &r.proof;
    struct fee fee;
    memset(p->receipt_id, (int)sequence, 32);
    memset(p->node, 0x77, ADDRESS_BYTES);
    p->epoch = 1;
    p->sequence = sequence;
    memcpy(p->model_version, model_id, 32);
    if (sequence % 2)
        memcpy(p->adapter_version, adapter_id, 32);
    memcpy(p->price_id, price_at, 32);
    memcpy(p->split_id, split_at, 32);
    memset(p->payer, (int)(1 + sequence % 3), ADDRESS_BYTES);
    p->kind = KIND_CHAT;
    p->status = sequence % 7 ? STATUS_STOP : STATUS_FAILED;
    p->prompt_tokens = (uint32_t)(100 + sequence);
    p->cached_tokens = (uint32_t)sequence;
    p->output_tokens = (uint32_t)(10 * sequence);
    ck_assert_int_eq(fee_of(&price, p->prompt_tokens, p->cached_tokens, p->output_tokens,
                            (enum proof_status)p->status, &fee, NULL), 0);
    p->fee_wei = fee.royalty_wei + fee.compute_wei;
    memset(p->voucher_digest, (int)(sequence / 2), 32);
    return r;
}

static void set_up(void)
{
    struct outbox_write *w;
    make_rows();
    hide_price = false;
    snprintf(folder, sizeof folder, "/tmp/batch-trees-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    char path[96];
    snprintf(path, sizeof path, "%s/outbox", folder);
    struct outbox_config config = {.path = path};
    struct err e = {0};
    ck_assert_msg(outbox_open(&config, &outbox, &e) == 0, "%s", e.message);
    ck_assert_int_eq(outbox_begin(outbox, &w, &e), 0);
    for (uint64_t s = 1; s <= FIRST + SECOND; s++) {
        struct outbox_receipt r = receipt(s);
        outbox_put_receipt(w, &r);
    }
    ck_assert_int_eq(outbox_commit(w, &e), 0);
    first = (struct outbox_batch){.batch = {.number = 1, .epoch = 1, .first_sequence = 1, .count = FIRST}};
    second = (struct outbox_batch){
        .batch = {.number = 2, .epoch = 1, .first_sequence = FIRST + 1, .count = SECOND}};
    first.unsettled[0] = 0x12; /* receipts 2 and 5 */
}

static void tear_down(void)
{
    outbox_close(outbox);
}

static void build(const struct outbox_batch *b, const struct outbox_batch *before, const struct credits *credits,
                  struct batch_trees *t)
{
    struct err e = {0};
    ck_assert_msg(batch_trees_build(outbox, &rows, b, before, credits, t, &e) == 0, "%s", e.message);
}

START_TEST(test_totals)
{
    struct batch_trees a, b;
    build(&first, NULL, &none, &a);
    wei_t settled = 0;
    for (uint64_t s = 1; s <= FIRST; s++)
        settled += s == 2 || s == 5 ? 0 : receipt(s).proof.fee_wei;
    ck_assert(a.receipts_root.sum_wei == settled);
    ck_assert(a.postings_root.sum_wei + a.pending_wei == settled);
    ck_assert(a.credits_root.sum_wei == a.postings_root.sum_wei);
    ck_assert(a.pending_wei > 0);
    for (size_t i = 0; i < a.n_postings; i++) {
        ck_assert(a.posting[i].role != ROLE_DATA && a.posting[i].amount_wei > 0);
        ck_assert(a.posting[i].sequence != 2 && a.posting[i].sequence != 5 && a.posting[i].sequence % 7 != 0);
        ck_assert(i == 0 || posting_order(&a.posting[i - 1], &a.posting[i]) < 0);
    }

    struct credits credits = {a.credit, a.n_credits};
    build(&second, &first, &credits, &b);
    wei_t data = 0;
    for (size_t i = 0; i < b.n_postings; i++)
        if (b.posting[i].role == ROLE_DATA) {
            ck_assert_uint_eq(b.posting[i].beneficiary[0], 0x42);
            ck_assert(b.posting[i].sequence <= FIRST);
            data += b.posting[i].amount_wei;
        }
    ck_assert(data == a.pending_wei);
    ck_assert(b.postings_root.sum_wei + b.pending_wei == b.receipts_root.sum_wei + a.pending_wei);
    ck_assert(b.credits_root.sum_wei == a.credits_root.sum_wei + b.postings_root.sum_wei);
    for (size_t i = 1; i < b.n_credits; i++)
        ck_assert(memcmp(b.credit[i - 1].beneficiary, b.credit[i].beneficiary, ADDRESS_BYTES) < 0);
    batch_trees_deinit(&a);
    batch_trees_deinit(&b);
}
END_TEST

START_TEST(test_paths)
{
    struct batch_trees t;
    struct sumpath path;
    struct sumnode leaf;
    build(&first, NULL, &none, &t);
    for (size_t i = 0; i < t.n_receipts; i++) {
        struct outbox_receipt r = receipt(i + 1);
        uint8_t hash[HASH_BYTES];
        proof_struct_hash(&r.proof, hash);
        receipt_leaf(hash, batch_settles(&first, i + 1) ? r.proof.fee_wei : 0, &leaf);
        sumtree_path(t.receipts, t.n_receipts, i, &path);
        ck_assert_int_eq(sumtree_verify(&leaf, i, t.n_receipts, &path, &t.receipts_root, NULL, NULL), 0);
    }
    batch_trees_deinit(&t);
}
END_TEST

START_TEST(test_refused)
{
    struct batch_trees t;
    struct err e = {0};
    second.batch.count++; /* a receipt that is not there */
    ck_assert_int_eq(batch_trees_build(outbox, &rows, &second, NULL, &none, &t, &e), OL_EFORMAT);
    ck_assert_msg(strstr(e.message, "receipt 66 is missing"), "%s", e.message);
    hide_price = true;
    ck_assert_int_eq(batch_trees_build(outbox, &rows, &first, NULL, &none, &t, &e), OL_ENOTFOUND);
    ck_assert_msg(strstr(e.message, "receipt 1: no such price"), "%s", e.message);
    hide_price = false;
    price.output_wei += 1000000; /* the fee that was signed does not follow any more */
    ck_assert_int_eq(batch_trees_build(outbox, &rows, &first, NULL, &none, &t, &e), OL_EFORMAT);
    ck_assert_ptr_null(t.receipts);
}
END_TEST

START_TEST(test_body)
{
    enum { MAX_BYTES = 1 << 20 };
    struct batch_trees t;
    struct err e = {0};
    struct body body;
    struct buf text, again;
    uint8_t hash[32], same[32];
    char bodies[96], path[BODY_PATH_BYTES];
    snprintf(bodies, sizeof bodies, "%s/bodies", folder);
    build(&first, NULL, &none, &t);
    batch_trees_header(&t, &first.batch);
    ck_assert_msg(batch_body_write(bodies, outbox, &rows, &first, NULL, &t, hash, &e) == 0, "%s", e.message);
    ck_assert_int_eq(batch_body_write(bodies, outbox, &rows, &first, NULL, &t, same, &e), 0);
    ck_assert_mem_eq(hash, same, 32);
    buf_init(&text, MAX_BYTES);
    ck_assert_msg(batch_body_read(bodies, hash, &text, &e) == 0, "%s", e.message);
    ck_assert_msg(notation_parse(&body_schema, text.data, text.len, &body, &e) == 0, "%s", e.message);
    ck_assert_uint_eq(body.receipts.n, FIRST);
    ck_assert_uint_eq(body.postings.n, t.n_postings);
    ck_assert_uint_eq(body.vouchers.n, FIRST / 2 + 1); /* one per digest */
    buf_init(&again, MAX_BYTES); /* canonical: written again it is the same */
    notation_write(&body_schema, &body, &again);
    ck_assert_uint_eq(again.len, text.len);
    ck_assert_mem_eq(again.data, text.data, text.len);

    FILE *f = fopen(batch_body_path(bodies, hash, path), "r+"); /* a byte changed on disk is noticed */
    ck_assert_ptr_nonnull(f);
    fseek(f, 100, SEEK_SET);
    fputc('!', f);
    fclose(f);
    buf_reset(&text);
    ck_assert_int_eq(batch_body_read(bodies, hash, &text, &e), OL_EFORMAT);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(batch_body_read(bodies, hash, &text, &e), OL_ENOTFOUND);
    schema_free(&body_schema, &body);
    buf_deinit(&text);
    buf_deinit(&again);
    batch_trees_deinit(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch_trees");
    TCase *tcase = tcase_create("batch_trees");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_totals);
    tcase_add_test(tcase, test_paths);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_body);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
