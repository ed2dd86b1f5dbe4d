/* What openlorad says of an answer is what chainlited reads: the same spans and units, in the notation of the protocol. */
#include "billing/bill_attribution.h"
#include "chainlite/json/notation.h"
#include "unit/schema_fill.h"
#include "unit/vectors.h"

enum { N = 5 };

START_TEST(test_attribution)
{
    struct receipt_span spans[N] = {0}, read;
    struct bill_attribution a = {.policy = {0xfe}, .answer_tokens = UINT32_MAX, .open_tokens = 7, .spans = spans, .n_spans = N};
    uint32_t seed = 5;
    for (size_t i = 0; i < N; i++)
        schema_fill(&span_schema, &spans[i], &seed);
    json_t *j = bill_attribution_json(&a);
    const json_t *list = json_object_get(j, "spans");
    ck_assert_uint_eq(json_object_size(j), 4);
    ck_assert_str_eq(text_at(j, "policy"), "0xfe00000000000000000000000000000000000000000000000000000000000000");
    ck_assert_int_eq(json_integer_value(json_object_get(j, "answer_tokens")), UINT32_MAX);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "open_tokens")), 7);
    ck_assert_uint_eq(json_array_size(list), N);
    for (size_t i = 0; i < N; i++) {
        struct err e = {0};
        ck_assert_msg(notation_read(&span_schema, json_array_get(list, i), &read, &e) == 0, "%s", e.message);
        ck_assert_mem_eq(&read, &spans[i], sizeof read);
    }
    json_decref(j);
    a.n_spans = 0;
    j = bill_attribution_json(&a);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "spans")), 0);
    json_decref(j);
    j = bill_attribution_json(NULL);
    ck_assert(json_is_null(j));
    json_decref(j);
}
END_TEST

START_TEST(test_gradients)
{
    struct gradient_units g[N] = {0}, read;
    const uint8_t receipt[32] = {1}, query[32] = {2};
    uint32_t seed = 6;
    for (size_t i = 0; i < N; i++)
        schema_fill(&gradient_schema, &g[i], &seed);
    json_t *j = bill_gradients_json(receipt, query, g, N);
    const json_t *list = json_object_get(j, "gradient");
    ck_assert_uint_eq(json_object_size(j), 3);
    ck_assert_uint_eq(json_array_size(list), N);
    for (size_t i = 0; i < N; i++) {
        ck_assert_int_eq(notation_read(&gradient_schema, json_array_get(list, i), &read, NULL), 0);
        ck_assert_mem_eq(&read, &g[i], sizeof read);
    }
    ck_assert_hex(receipt, 32, text_at(j, "receipt_id"));
    ck_assert_hex(query, 32, text_at(j, "query_hash"));
    json_decref(j);
}
END_TEST

int main(void) { return RUN_SUITE("bill_attribution", test_attribution, test_gradients); }
