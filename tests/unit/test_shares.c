/* docs/attribution.md §2, §4, §5 against another implementation: tests/vectors/attribution.json (viem, big integers, a
 * division by sorting). And what must be refused. */
#include "chainlite/core/statement.h"
#include "chainlite/json/notation.h"
#include "unit/vectors.h"

enum { MOST = 512 };

static json_t *file;

static void load(void) { file = vectors_load("tests/vectors/attribution.json"); }
static void unload(void) { json_decref(file); }

static const json_t *list_of(const char *key)
{
    const json_t *list = json_object_get(file, key);
    ck_assert_msg(json_array_size(list) > 0, "no list \"%s\"", key);
    return list;
}

static size_t rows_at(const json_t *item, const char *key, const struct schema *s, void *out, size_t most)
{
    const json_t *list = json_object_get(item, key), *row;
    size_t i;
    struct err e = {0};
    ck_assert_uint_le(json_array_size(list), most);
    json_array_foreach(list, i, row)
        ck_assert_msg(notation_read(s, row, (char *)out + i * s->bytes, &e) == 0, "%s", e.message);
    return i;
}

static uint32_t number_at(const json_t *item, const char *key)
{
    return (uint32_t)json_integer_value(json_object_get(item, key));
}

START_TEST(test_divisions)
{
    const json_t *item, *weight;
    size_t i, k;
    load();
    json_array_foreach(list_of("divisions"), i, item) {
        struct division d[MOST];
        const json_t *parts = json_object_get(item, "parts");
        json_array_foreach(json_object_get(item, "weights"), k, weight)
            d[k] = (struct division){.weight = strtoull(json_string_value(weight), NULL, 10), .units = 99};
        units_divide(number_at(item, "units"), d, k);
        while (k-- > 0)
            ck_assert_uint_eq(d[k].units, (uint32_t)json_integer_value(json_array_get(parts, k)));
    }
    ck_assert_uint_gt(i, 100);
    unload();
}
END_TEST

static void check_answer(const json_t *item)
{
    struct receipt_span spans[MOST];
    struct gradient_units g[MOST];
    struct share shares[MOST], expected[MOST];
    struct division scratch[MOST];
    struct posting postings[MOST], due[MOST];
    struct sumnode nodes[MOST];
    uint8_t root[HASH_BYTES], pool[ADDRESS_BYTES];
    uint32_t tokens, total, answer = number_at(item, "answer_tokens"), open = number_at(item, "open_tokens");
    size_t n_spans = rows_at(item, "spans", &span_schema, spans, MOST), n;
    size_t n_gradients = rows_at(item, "gradient", &gradient_schema, g, MOST);
    size_t n_shares = rows_at(item, "shares", &share_schema, expected, MOST);
    size_t n_postings = rows_at(item, "postings", &posting_schema, due, MOST);
    wei_t data_wei;
    ck_assert_int_eq(spans_check(spans, n_spans, answer, open, &tokens, NULL), 0);
    ck_assert_uint_eq(tokens, number_at(item, "span_tokens"));
    spans_root(spans, n_spans, nodes, root);
    ck_assert_hex(root, 32, text_at(item, "span_root"));
    ck_assert_int_eq(shares_of_spans(spans, n_spans, answer, shares, scratch, &n, NULL), 0);
    ck_assert_int_eq(gradients_check(g, n_gradients, open, answer, NULL), 0);
    ck_assert_int_eq(shares_merge(shares, &n, g, n_gradients, NULL), 0);
    ck_assert_uint_eq(n, n_shares);
    for (size_t i = 0; i < n; i++) {
        ck_assert_mem_eq(shares[i].beneficiary, expected[i].beneficiary, ADDRESS_BYTES);
        ck_assert_uint_eq(shares[i].span_units, expected[i].span_units);
        ck_assert_uint_eq(shares[i].gradient_units, expected[i].gradient_units);
    }
    ck_assert_int_eq(shares_root(shares, n, nodes, root, &total, NULL), 0);
    ck_assert_hex(root, 32, text_at(item, "shares_root"));
    ck_assert_uint_eq(total, number_at(item, "shares_total"));
    ck_assert(wei_parse(text_at(item, "data"), &data_wei));
    ck_assert(hex_decode(text_at(item, "pool"), pool, sizeof pool));
    uint64_t sequence = (uint64_t)json_integer_value(json_object_get(item, "sequence"));
    ck_assert_uint_eq(shares_postings(shares, n, data_wei, pool, sequence, postings), n_postings);
    for (size_t i = 0; i < n_postings; i++) {
        ck_assert_int_eq(posting_order(&postings[i], &due[i]), 0);
        ck_assert(postings[i].amount_wei == due[i].amount_wei);
    }
}

START_TEST(test_answers)
{
    const json_t *item;
    size_t i;
    load();
    json_array_foreach(list_of("answers"), i, item)
        check_answer(item);
    ck_assert_uint_gt(i, 30);
    unload();
}
END_TEST

START_TEST(test_means)
{
    const json_t *item, *pair;
    size_t i, k;
    load();
    json_array_foreach(list_of("means"), i, item) {
        struct gradient_sum sums[MOST] = {0};
        struct gradient_units out[MOST], expected[MOST];
        struct division scratch[MOST];
        size_t n, n_expected = rows_at(item, "gradient", &gradient_schema, expected, MOST);
        json_array_foreach(json_object_get(item, "sums"), k, pair) {
            ck_assert(hex_decode(json_string_value(json_array_get(pair, 0)), sums[k].beneficiary, ADDRESS_BYTES));
            sums[k].units = (uint64_t)json_integer_value(json_array_get(pair, 1));
        }
        gradients_mean(sums, k, (uint64_t)json_integer_value(json_object_get(item, "sum_open")),
                       number_at(item, "open_tokens"), number_at(item, "answer_tokens"), out, scratch, &n);
        ck_assert_uint_eq(n, n_expected);
        for (k = 0; k < n; k++) {
            ck_assert_mem_eq(out[k].beneficiary, expected[k].beneficiary, ADDRESS_BYTES);
            ck_assert_uint_eq(out[k].units, expected[k].units);
        }
    }
    unload();
}
END_TEST

START_TEST(test_statements)
{
    const uint8_t blinding[32] = {1};
    struct secp *secp = secp_open(blinding);
    const json_t *item;
    size_t i;
    load();
    json_array_foreach(list_of("statements"), i, item) {
        const json_t *d = json_array_get(list_of("deployments"), number_at(item, "deployment"));
        struct attribution_statement s;
        struct domains domains;
        uint8_t settlement[ADDRESS_BYTES], escrow[ADDRESS_BYTES], key[32], hash[HASH_BYTES], signature[SIGNATURE_BYTES];
        struct err e = {0};
        ck_assert_msg(notation_read(&attribution_statement_schema, json_object_get(item, "value"), &s, &e) == 0, "%s",
                      e.message);
        ck_assert(hex_decode(text_at(d, "settlement"), settlement, sizeof settlement));
        ck_assert(hex_decode(text_at(d, "escrow"), escrow, sizeof escrow));
        ck_assert(hex_decode(text_at(item, "private_key"), key, sizeof key));
        domains_make((uint64_t)json_integer_value(json_object_get(d, "chain_id")), settlement, escrow, &domains);
        statement_struct_hash(&s, hash);
        ck_assert_hex(hash, sizeof hash, text_at(item, "struct_hash"));
        statement_digest(&s, &domains, hash);
        ck_assert_hex(hash, sizeof hash, text_at(item, "digest"));
        ck_assert_int_eq(secp_sign(secp, key, hash, signature, NULL), 0);
        ck_assert_hex(signature, sizeof signature, text_at(item, "signature"));
    }
    ck_assert_uint_gt(i, 20);
    secp_close(secp);
    unload();
}
END_TEST

/* ---- what is refused */

static struct receipt_span span(uint32_t start, uint32_t tokens, uint8_t who)
{
    return (struct receipt_span){.start = start, .tokens = tokens, .beneficiary = {who}};
}

START_TEST(test_bad_spans)
{
    const struct {
        struct receipt_span spans[2];
        uint32_t answer, open;
        int rc;
    } c[] = {
        {{span(0, 4, 1), span(4, 4, 2)}, 8, 0, 0},
        {{span(0, 4, 1), span(4, 4, 2)}, 9, 1, 0},
        {{span(0, 4, 1), span(4, 4, 2)}, 9, 2, OL_EFORMAT},               /* open and owned are more than all */
        {{span(0, 4, 1), span(3, 4, 2)}, 8, 0, OL_EFORMAT},               /* overlap */
        {{span(4, 4, 1), span(0, 4, 2)}, 8, 0, OL_EFORMAT},               /* order */
        {{span(0, 4, 1), span(4, 0, 2)}, 8, 0, OL_EFORMAT},               /* nothing */
        {{span(0, 4, 1), span(5, 4, 2)}, 8, 0, OL_EFORMAT},               /* beyond the end */
        {{span(0, 4, 1), span(UINT32_MAX, UINT32_MAX, 2)}, UINT32_MAX, 0, OL_EFORMAT}, /* 2³² does not wrap */
        {{span(0, 1, 1), span(1, UINT32_MAX, 2)}, UINT32_MAX, 0, OL_EFORMAT},
    };
    uint32_t tokens;
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        ck_assert_int_eq(spans_check(c[i].spans, 2, c[i].answer, c[i].open, &tokens, NULL), c[i].rc);
    struct receipt_span *many = calloc(RECEIPT_MAX_SPANS + 1, sizeof *many);
    for (uint32_t i = 0; i <= RECEIPT_MAX_SPANS; i++)
        many[i] = span(i, 1, 1);
    ck_assert_int_eq(spans_check(many, RECEIPT_MAX_SPANS, UINT32_MAX, 0, &tokens, NULL), 0);
    ck_assert_int_eq(spans_check(many, RECEIPT_MAX_SPANS + 1, UINT32_MAX, 0, &tokens, NULL), OL_ELIMIT);
    free(many);
}
END_TEST

START_TEST(test_bad_gradients)
{
    const struct {
        struct gradient_units g[2];
        int rc;
    } c[] = {
        {{{{1}, 250000000}, {{2}, 250000000}}, 0},
        {{{{1}, 250000000}, {{2}, 250000001}}, OL_EFORMAT}, /* more than is open */
        {{{{2}, 1}, {{1}, 1}}, OL_EFORMAT},
        {{{{1}, 1}, {{1}, 1}}, OL_EFORMAT}, /* an address twice */
        {{{{0}, 1}, {{1}, 1}}, OL_EFORMAT}, /* nobody */
        {{{{1}, 0}, {{2}, 1}}, OL_EFORMAT},
        {{{{1}, UINT32_MAX}, {{2}, UINT32_MAX}}, OL_EFORMAT},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        ck_assert_int_eq(gradients_check(c[i].g, 2, 1, 2, NULL), c[i].rc);
    ck_assert_int_eq(gradients_check(c[0].g, 2, 0, 0, NULL), OL_EFORMAT);
    ck_assert_int_eq(gradients_check(c[0].g, 0, 0, 0, NULL), 0);
}
END_TEST

START_TEST(test_bad_shares)
{
    const struct {
        struct share s[2];
        int rc;
    } c[] = {
        {{{{1}, 1, 0}, {{2}, 0, 999999999}}, 0},
        {{{{1}, 1, 0}, {{2}, 1, 999999999}}, OL_EFORMAT}, /* above the whole */
        {{{{1}, 1, 0}, {{2}, UINT32_MAX, UINT32_MAX}}, OL_EFORMAT},
        {{{{2}, 1, 0}, {{1}, 1, 0}}, OL_EFORMAT},
        {{{{1}, 1, 0}, {{1}, 1, 0}}, OL_EFORMAT},
        {{{{0}, 1, 0}, {{1}, 1, 0}}, OL_EFORMAT},
        {{{{1}, 0, 0}, {{2}, 1, 0}}, OL_EFORMAT},
    };
    struct sumnode nodes[2];
    uint8_t root[HASH_BYTES];
    uint32_t total;
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        ck_assert_int_eq(shares_root(c[i].s, 2, nodes, root, &total, NULL), c[i].rc);
}
END_TEST

/* As many beneficiaries as may share, and one more; each of the lists is at its bound. */
START_TEST(test_limits)
{
    enum { N = RECEIPT_MAX_SHARES };
    struct receipt_span *spans = calloc(N + 2, sizeof *spans);
    struct share *shares = calloc(N + 1, sizeof *shares);
    struct division *scratch = calloc(N + 1, sizeof *scratch);
    struct gradient_units one = {{0xff}, 1};
    size_t n;
    for (uint32_t i = 0; i < N + 2; i++) {
        spans[i] = span(i, 1, 1);
        spans[i].beneficiary[1] = (uint8_t)(i >> 8);
        spans[i].beneficiary[2] = (uint8_t)i;
    }
    ck_assert_int_eq(shares_of_spans(spans, N, N, shares, scratch, &n, NULL), 0);
    ck_assert_uint_eq(n, N);
    ck_assert_int_eq(shares_merge(shares, &n, &one, 1, NULL), OL_ELIMIT);
    ck_assert_int_eq(shares_of_spans(spans, N + 1, N + 1, shares, scratch, &n, NULL), OL_ELIMIT);
    ck_assert_int_eq(shares_of_spans(spans, N + 2, N + 2, shares, scratch, &n, NULL), OL_ELIMIT);
    memset(spans[0].beneficiary, 0, ADDRESS_BYTES); /* nobody needs no place */
    ck_assert_int_eq(shares_of_spans(spans, N + 1, N + 1, shares, scratch, &n, NULL), 0);
    ck_assert_uint_eq(n, N);
    free(spans);
    free(shares);
    free(scratch);
}
END_TEST

START_TEST(test_statement_of_another_proof)
{
    struct proof p = {.receipt_id = {1}, .node = {2}, .epoch = 3, .sequence = 4, .output_tokens = 10,
                      .span_root = {5}, .attribution_policy = {6}};
    const struct attribution_statement good = {.receipt_id = {1}, .node = {2}, .epoch = 3, .sequence = 4, .policy = {6},
                                               .kind = STATEMENT_GRADIENTS, .answer_tokens = 10, .open_tokens = 10,
                                               .span_root = {5}, .query_hash = {7}, .shares_root = {8},
                                               .shares_count = 1, .shares_total = 1};
    struct attribution_statement s;
    ck_assert_int_eq(statement_check(&good, &p, NULL), 0);
#define WRONG(CHANGE)                                                                                                  \
    do {                                                                                                               \
        s = good;                                                                                                      \
        CHANGE;                                                                                                        \
        ck_assert_msg(statement_check(&s, &p, NULL) == OL_EFORMAT, #CHANGE);                                           \
    } while (0)
    WRONG(s.receipt_id[31] = 1);
    WRONG(s.node[0] = 1);
    WRONG(s.epoch++);
    WRONG(s.sequence++);
    WRONG(s.policy[0]++);
    WRONG(s.kind = 0);
    WRONG(s.kind = 4);
    WRONG(s.kind = STATEMENT_MEAN); /* has no query */
    WRONG(s.answer_tokens = 11);
    WRONG(s.answer_tokens = 9); /* fewer than open */
    WRONG(s.span_root[0]++);
    WRONG(s.shares_count = 0);
    WRONG((s.shares_count = 0, s.shares_total = 0)); /* a root of nothing */
    WRONG(s.shares_total = UNITS + 1);
    memset(p.attribution_policy, 0, 32);
    WRONG(memset(s.policy, 0, 32));
}
END_TEST

int main(void)
{
    return RUN_SUITE("shares", test_divisions, test_answers, test_means, test_statements, test_bad_spans,
                     test_bad_gradients, test_bad_shares, test_limits, test_statement_of_another_proof);
}
