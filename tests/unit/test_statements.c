/* Statements on a real outbox: rows keep their lists, kinds follow from what came when, a mean follows the batches before,
 * nothing is signed twice, and what comes too late or cannot be is refused. */
#include "chainlite/settle/statement_make.h"
#include "chainlite/settle/statements.h"
#include "unit/schema_fill.h"
#include "unit/vectors.h"

#include <stdio.h>
#include <unistd.h>

enum { EPOCH = 3, TOKENS = 100, OPEN = 40 };

static const uint8_t node_key[SECRET_BYTES] = {9};
static char folder[64], path[96];
static struct outbox *outbox;
static struct statements *statements;
static struct secp *secp;
static unsigned signatures;

static int sign(void *user, const uint8_t digest[HASH_BYTES], uint8_t signature[SIGNATURE_BYTES], struct err *e)
{
    signatures++;
    return secp_sign(user, node_key, digest, signature, e);
}

static void open_outbox(void)
{
    struct err e = {0};
    ck_assert_msg(outbox_open(&(struct outbox_config){.path = path}, &outbox, &e) == 0, "%s", e.message);
    struct statements_config config = {.outbox = outbox, .sign = sign, .user = secp};
    domains_make(31337, (const uint8_t[ADDRESS_BYTES]){1}, (const uint8_t[ADDRESS_BYTES]){2}, &config.domains);
    ck_assert_int_eq(statements_open(&config, &statements, &e), 0);
}

static void close_outbox(void)
{
    statements_close(statements);
    outbox_close(outbox);
}

static void set_up(void)
{
    signatures = 0;
    secp = secp_open((const uint8_t[32]){1});
    snprintf(folder, sizeof folder, "/tmp/statements-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/outbox", folder);
    open_outbox();
}

static void tear_down(void)
{
    close_outbox();
    secp_close(secp);
}

static struct outbox_receipt receipt(uint64_t sequence, uint8_t policy)
{
    struct outbox_receipt r = {.recorded_ms = 1};
    r.proof = (struct proof){.epoch = EPOCH, .sequence = sequence, .output_tokens = TOKENS};
    memset(r.proof.receipt_id, (int)sequence, 32);
    r.proof.attribution_policy[0] = policy;
    return r;
}

/* A receipt of this policy (0: none) with one span of 50 of 100 tokens, 40 open. */
static void record(uint64_t sequence, uint8_t policy)
{
    struct outbox_write *w;
    struct outbox_receipt r = receipt(sequence, policy);
    struct receipt_span span = {.start = 3, .tokens = 50, .beneficiary = {0xa1}};
    struct sumnode node;
    struct outbox_attribution a = {.answer_tokens = TOKENS, .open_tokens = OPEN, .spans = {&span, 1}};
    ck_assert_int_eq(outbox_begin(outbox, &w, NULL), 0);
    if (policy) {
        spans_root(&span, 1, &node, r.proof.span_root);
        outbox_put_attribution(w, EPOCH, sequence, &a);
    }
    outbox_put_receipt(w, &r);
    ck_assert_int_eq(outbox_commit(w, NULL), 0);
}

static const char *post(uint64_t sequence, const struct gradient_units *g, size_t n)
{
    struct gradient_request q = {.query_hash = {7}, .gradient = {(void *)(uintptr_t)g, n}};
    struct gradient_result result;
    memset(q.receipt_id, (int)sequence, 32);
    ck_assert_int_eq(statements_gradients(statements, &q, &result, 1, NULL), 0);
    ck_assert((result.code == NULL) == (result.message[0] == '\0'));
    return result.code ? result.code : "ok";
}

static void close_batch(uint64_t first, uint64_t count)
{
    struct statement_set *set;
    struct outbox_write *w;
    struct err e = {0};
    ck_assert_msg(statements_begin(statements, EPOCH, first, count, &set, &e) == 0, "%s", e.message);
    ck_assert_int_eq(outbox_begin(outbox, &w, NULL), 0);
    statements_put(set, w);
    ck_assert_int_eq(outbox_commit(w, NULL), 0);
    statements_end(set);
}

static struct signed_statement statement(uint64_t sequence)
{
    struct signed_statement s;
    struct err e = {0};
    ck_assert_msg(outbox_statement(outbox, EPOCH, sequence, &s, &e) == 0, "%llu: %s", (unsigned long long)sequence,
                  e.message);
    return s;
}

static void expect(uint64_t sequence, uint8_t kind, size_t n, const struct share *shares)
{
    struct signed_statement s = statement(sequence);
    ck_assert_int_eq(s.statement.kind, kind);
    ck_assert_uint_eq(s.shares.n, n);
    for (size_t i = 0; i < n; i++) {
        const struct share *share = (const struct share *)s.shares.at + i;
        ck_assert_mem_eq(share->beneficiary, shares[i].beneficiary, ADDRESS_BYTES);
        ck_assert_uint_eq(share->span_units, shares[i].span_units);
        ck_assert_uint_eq(share->gradient_units, shares[i].gradient_units);
    }
    schema_free(&signed_statement_schema, &s);
}

START_TEST(test_rows_keep_their_lists)
{
    const struct schema *const schemas[] = {&outbox_attribution_schema, &signed_statement_schema, &outbox_mean_schema};
    struct outbox_write *w;
    struct outbox_attribution a = {0}, a2;
    struct signed_statement s = {0}, s2;
    struct outbox_mean m = {0}, m2;
    void *const objects[] = {&a, &s, &m}, *const again[] = {&a2, &s2, &m2};
    const uint8_t policy[32] = {5};
    uint32_t seed = 11;
    for (size_t i = 0; i < 3; i++)
        schema_fill(schemas[i], objects[i], &seed);
    ck_assert_int_eq(outbox_begin(outbox, &w, NULL), 0);
    outbox_put_attribution(w, 7, 8, &a);
    outbox_put_statement(w, &s);
    outbox_put_mean(w, 7, policy, &m);
    ck_assert_int_eq(outbox_commit(w, NULL), 0);
    close_outbox();
    open_outbox();
    ck_assert_int_eq(outbox_attribution(outbox, 7, 8, &a2, NULL), 0);
    ck_assert_int_eq(outbox_statement(outbox, s.statement.epoch, s.statement.sequence, &s2, NULL), 0);
    ck_assert_int_eq(outbox_mean(outbox, 7, policy, &m2, NULL), 0);
    for (size_t i = 0; i < 3; i++) {
        struct buf x, y;
        buf_init(&x, 1 << 16);
        buf_init(&y, 1 << 16);
        notation_write(schemas[i], objects[i], &x);
        notation_write(schemas[i], again[i], &y);
        ck_assert_str_eq(buf_str(&x), buf_str(&y));
        buf_deinit(&x);
        buf_deinit(&y);
        schema_free(schemas[i], objects[i]);
        schema_free(schemas[i], again[i]);
    }
    ck_assert_int_eq(outbox_attribution(outbox, 7, 9, &a2, NULL), OL_ENOTFOUND);
    ck_assert_ptr_null(a2.spans.at);
}
END_TEST

/* Batches of 4, 4 and 2: gradients for one of the first, none for the second. */
START_TEST(test_kinds)
{
    static const struct gradient_units g[] = {{{0xa1}, 100000000}, {{0xb2}, 20000000}};
    for (uint64_t s = 1; s <= 10; s++)
        record(s, s % 4 ? 5 : 0);
    ck_assert_str_eq(post(1, g, 2), "ok");
    close_batch(1, 4);
    ck_assert_uint_eq(signatures, 3);
    expect(1, STATEMENT_GRADIENTS, 2, (struct share[]){{{0xa1}, 500000000, 100000000}, {{0xb2}, 0, 20000000}});
    expect(2, STATEMENT_SPANS, 1, (struct share[]){{{0xa1}, 500000000, 0}});
    ck_assert(!outbox_has_statement(outbox, EPOCH, 4));
    struct signed_statement first = statement(1);
    close_batch(1, 4); /* closed again: nothing is signed again, no sum counts twice */
    ck_assert_uint_eq(signatures, 3);
    close_batch(5, 4);
    /* The mean of one: the same units again. */
    expect(5, STATEMENT_MEAN, 2, (struct share[]){{{0xa1}, 500000000, 100000000}, {{0xb2}, 0, 20000000}});
    struct signed_statement same = statement(1);
    ck_assert_mem_eq(first.signature, same.signature, SIGNATURE_BYTES);
    schema_free(&signed_statement_schema, &first);
    schema_free(&signed_statement_schema, &same);
    /* With an answer without influence it halves. */
    ck_assert_str_eq(post(9, NULL, 0), "ok");
    close_batch(9, 1);
    expect(9, STATEMENT_GRADIENTS, 1, (struct share[]){{{0xa1}, 500000000, 0}});
    close_batch(10, 1);
    expect(10, STATEMENT_MEAN, 2, (struct share[]){{{0xa1}, 500000000, 50000000}, {{0xb2}, 0, 10000000}});
}
END_TEST

static int count(void *user, const struct signed_statement *s)
{
    uint64_t *seen = user;
    seen[seen[0]++ + 1] = s->statement.sequence;
    return 0;
}

START_TEST(test_walks)
{
    uint64_t seen[16] = {0};
    static const struct gradient_units g[] = {{{0xb2}, 1}};
    for (uint64_t s = 1; s <= 6; s++)
        record(s, s == 3 ? 0 : 5);
    ck_assert_str_eq(post(2, g, 1), "ok");
    ck_assert_str_eq(post(5, g, 1), "ok");
    close_batch(1, 6);
    ck_assert_int_eq(outbox_statements(outbox, EPOCH, 2, 6, count, seen, NULL), 0);
    ck_assert_uint_eq(seen[0], 3);
    ck_assert(seen[1] == 2 && seen[2] == 4 && seen[3] == 5);
    const struct { uint64_t epoch, sequence; size_t n; } from[] = {{UINT64_MAX, UINT64_MAX, 2}, {EPOCH, 6, 2}, {EPOCH, 5, 1},
                                                                   {EPOCH, 2, 0}, {EPOCH, 0, 0}, {0, 0, 0}};
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        seen[0] = 0;
        ck_assert_int_eq(outbox_statements_of(outbox, g[0].beneficiary, from[i].epoch, from[i].sequence, 100, count, seen,
                                              NULL), 0);
        ck_assert_uint_eq(seen[0], from[i].n);
    }
}
END_TEST

START_TEST(test_refusals)
{
    static const struct gradient_units much[] = {{{0xa1}, 400000001}}, twice[] = {{{0xa1}, 1}, {{0xa1}, 1}},
                                       nobody[] = {{{0}, 1}};
    record(1, 5);
    record(2, 0);
    ck_assert_str_eq(post(3, NULL, 0), "unknown_receipt");
    ck_assert_str_eq(post(2, NULL, 0), "no_policy");
    ck_assert_str_eq(post(1, much, 1), "invalid");
    ck_assert_str_eq(post(1, twice, 2), "invalid");
    ck_assert_str_eq(post(1, nobody, 1), "invalid");
    struct gradient_request q = {.query_hash = {0}};
    struct gradient_result result;
    memset(q.receipt_id, 1, 32);
    ck_assert_int_eq(statements_gradients(statements, &q, &result, 1, NULL), 0);
    ck_assert_str_eq(result.code, "invalid");
    close_batch(1, 2);
    ck_assert_str_eq(post(1, NULL, 0), "too_late");
    expect(1, STATEMENT_SPANS, 1, (struct share[]){{{0xa1}, 500000000, 0}});
    /* A receipt with a policy whose attribution is lost cannot be stated: the batch must wait, not pay anybody else. */
    struct outbox_write *w;
    struct outbox_receipt lost = receipt(4, 5);
    struct statement_set *set;
    struct err e = {0};
    ck_assert_int_eq(outbox_begin(outbox, &w, NULL), 0);
    outbox_put_receipt(w, &lost);
    ck_assert_int_eq(outbox_commit(w, NULL), 0);
    ck_assert_int_eq(statements_begin(statements, EPOCH, 4, 1, &set, &e), OL_ENOTFOUND);
    ck_assert(strstr(e.message, "receipt 4"));
    ck_assert_ptr_null(set);
    record(5, 5);
    close_batch(5, 1); /* the gate is open again */
}
END_TEST

/* Spans of one half of the most beneficiaries, gradients of the other and one more. */
START_TEST(test_too_many_to_share)
{
    enum { HALF = RECEIPT_MAX_SHARES / 2 };
    struct receipt_span *spans = calloc(HALF, sizeof *spans);
    struct gradient_units *g = calloc(HALF + 1, sizeof *g);
    struct proof p = {.output_tokens = 100000, .attribution_policy = {1}};
    struct sumnode *nodes = calloc(HALF, sizeof *nodes);
    struct signed_statement s;
    for (uint32_t i = 0; i <= HALF; i++) {
        g[i] = (struct gradient_units){{2, (uint8_t)(i >> 8), (uint8_t)i}, 1};
        if (i < HALF)
            spans[i] = (struct receipt_span){.start = i, .tokens = 1, .beneficiary = {1, (uint8_t)(i >> 8), (uint8_t)i}};
    }
    struct outbox_attribution a = {.answer_tokens = 100000, .open_tokens = 90000, .spans = {spans, HALF},
                                   .has_gradient = true, .query_hash = {1}, .gradient = {g, HALF}};
    struct outbox_mean mean = {0};
    spans_root(spans, HALF, nodes, p.span_root);
    ck_assert_int_eq(statement_make(&p, &a, NULL, &s, NULL), 0);
    ck_assert_int_eq(s.statement.kind, STATEMENT_GRADIENTS);
    ck_assert_uint_eq(s.shares.n, RECEIPT_MAX_SHARES);
    schema_free(&signed_statement_schema, &s);
    a.gradient.n = HALF + 1;
    ck_assert_int_eq(statement_make(&p, &a, NULL, &s, NULL), 0);
    ck_assert_int_eq(s.statement.kind, STATEMENT_SPANS);
    ck_assert_uint_eq(s.shares.n, HALF);
    schema_free(&signed_statement_schema, &s);
    ck_assert_int_eq(mean_add(&mean, &a, NULL), 0);
    ck_assert_uint_eq(mean.sum_open, 900000000);
    for (uint32_t i = 0; i <= HALF; i++)
        g[i].beneficiary[0] = 3;
    ck_assert_int_eq(mean_add(&mean, &a, NULL), OL_ELIMIT); /* two more than a mean has */
    ck_assert(mean.sums.n == HALF + 1 && mean.sum_open == 900000000);
    a.gradient.n = HALF - 1;
    ck_assert_int_eq(mean_add(&mean, &a, NULL), 0);
    ck_assert_uint_eq(mean.sums.n, RECEIPT_MAX_SHARES);
    schema_free(&outbox_mean_schema, &mean);
    free(spans);
    free(g);
    free(nodes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("statements");
    TCase *tcase = tcase_create("statements");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_rows_keep_their_lists);
    tcase_add_test(tcase, test_kinds);
    tcase_add_test(tcase, test_walks);
    tcase_add_test(tcase, test_refusals);
    tcase_add_test(tcase, test_too_many_to_share);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
