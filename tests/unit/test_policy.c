/* The policy document, units by beneficiary, and the figures of calibration. */
#include "attribution/calibration.h"
#include "attribution/policy.h"

#include "unit/vectors.h"

#include <stdio.h>

#define H "\"0x00000000000000000000000000000000000000000000000000000000000000"
static const char whole[] =
    "{\"version\":1,\"model_version\":" H "01\",\"adapter_version\":" H "02\",\"numerics\":\"lora-f32-1\","
    "\"datanets\":[{\"version\":" H "03\",\"root\":" H "04\"}],"
    "\"spans\":{\"index\":" H "05\",\"surprisal\":" H "06\",\"sources\":" H "08\",\"tau_millibits\":35000},"
    "\"gradients\":{\"vectors\":" H "07\",\"dimensions\":4080,\"seed\":9,\"clip_norm\":\"2.5\",\"kappa_ppb\":9000000,"
    "\"s0\":\"1000\"},"
    "\"calibration\":{\"null_prompts\":400,\"false_tokens_ppm\":12,\"any_credit_ppm\":34},\"sampling_ppb\":20000000}";

static int parse(const char *text, struct policy_document *d, struct err *e)
{
    uint8_t hash[SHA256_BYTES];
    return policy_document_parse(text, strlen(text), d, hash, e);
}

START_TEST(test_document)
{
    struct policy_document d;
    struct buf text;
    ck_assert_int_eq(parse(whole, &d, NULL), 0);
    ck_assert(d.has_adapter && d.adapter_version.id[31] == 2 && d.model_version[31] == 1 && d.datanets.n == 1);
    ck_assert(d.has_gradients && d.gradients.kappa_ppb == 9000000 && d.gradients.s0 == 1000);
    buf_init(&text, 1 << 16);
    notation_write(&policy_document_schema, &d, &text);
    ck_assert_str_eq(buf_str(&text), whole);
    buf_deinit(&text);
    policy_document_deinit(&d);
}
END_TEST

START_TEST(test_documents_that_no_policy_has)
{
    static const struct {
        const char *from, *to, *named;
    } cases[] = {
        {"\"version\":1", "\"version\":2", "version"},
        {"lora-f32-1", "lora-f32-2", "numerics"},
        {"[{\"version\":" H "03\",\"root\":" H "04\"}]", "[]", "datanets"},
        {"4080", "4097", "dimensions"},
        {"4080", "0", "dimensions"},
        {"9000000", "1000000001", "kappa_ppb"},
        {"\"1000\"", "\"0\"", "s0"},
        {"\"1000\"", "\"9223372036854775808\"", "s0"},
        {"\"1000\"", "1000", "s0"},
        {"20000000}", "1000000001}", "sampling_ppb"},
        {"\"seed\":9", "\"seed\":-1", "seed"},
        {"\"seed\":9,", "", "seed"},
        {"\"seed\":9", "\"seed\":9,\"more\":1", "more"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        struct policy_document d;
        struct err e = {0};
        const char *at = strstr(whole, cases[i].from);
        ck_assert_ptr_nonnull(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, cases[i].to, at + strlen(cases[i].from));
        ck_assert_int_lt(parse(text, &d, &e), 0);
        ck_assert_msg(strstr(e.message, cases[i].named), "%s: %s", cases[i].named, e.message);
    }
}
END_TEST

/* Ann in both Datanets, Ben and Cat in one each; Ben pays. */
START_TEST(test_units_by_beneficiary)
{
    static const struct vectors_owner owners[] = {{0, {1}}, {0, {2}}, {1, {1}}, {1, {3}}};
    static const int16_t values[] = {100, 0, 300, 0, 50, 0, 7, 0}, query[] = {10, 0};
    uint64_t squares[] = {10000, 90000, 2500, 49};
    struct span_datanet datanets[2] = {{{0}, {0}, {0}}};
    struct span_contribution contributions[] = {{.contributor = {3}, .datanet = 1}, {.contributor = {1}, .datanet = 1},
                                                {.contributor = {2}, .datanet = 0}, {.contributor = {1}, .datanet = 0}};
    struct policy p = {
        .document = {.has_gradients = true, .gradients = {.s0 = 1}},
        .vectors = {.sketch.dimensions = 2, .n = 4, .owners = owners, .values = values, .squares = squares},
        .sources = {.datanets = {datanets, 2}, .contributions = {contributions, 4}}};
    const struct influence_answer answer = {query, 2, 1};
    const uint8_t ben[ADDRESS_BYTES] = {2}, nobody[ADDRESS_BYTES] = {9};
    struct gradient_units out[4];
    size_t n;
    ck_assert_int_eq(policy_gradient_units(&p, &answer, nobody, out, &n, NULL), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert(out[0].beneficiary[0] == 1 && out[1].beneficiary[0] == 2 && out[2].beneficiary[0] == 3);
    ck_assert_uint_eq(out[0].units + out[1].units + out[2].units, PPB / 2);
    ck_assert_uint_eq(out[1].units, 328227571); /* 10⁹/2 · 300/457, rounded in two steps */
    uint32_t ann = out[0].units;
    ck_assert_int_eq(policy_gradient_units(&p, &answer, ben, out, &n, NULL), 0);
    ck_assert(n == 2 && out[0].units == ann && out[1].beneficiary[0] == 3); /* Ben's are nobody's */
    const uint8_t model[32] = {1}, adapter[32] = {2}, none[32] = {0};
    p.document.model_version[0] = 1;
    ck_assert(policy_covers(&p, model, none) && !policy_covers(&p, model, adapter) && !policy_covers(&p, none, none));
    p.document.has_adapter = true;
    p.document.adapter_version.id[0] = 2;
    ck_assert(policy_covers(&p, model, adapter) && !policy_covers(&p, model, none));
}
END_TEST

/* The signature 1, 2 … 65; its number by eth_utils' keccak. */
START_TEST(test_draws)
{
    struct policy_document d = {0};
    uint8_t signature[SIGNATURE_BYTES];
    for (int i = 0; i < SIGNATURE_BYTES; i++)
        signature[i] = (uint8_t)(i + 1);
    ck_assert(!policy_draws(&d, signature));
    d.sampling_ppb = 245417380;
    ck_assert(!policy_draws(&d, signature));
    d.sampling_ppb++;
    ck_assert(policy_draws(&d, signature));
    d.sampling_ppb = PPB;
    for (int i = 0; i < 256; i++, signature[0]++)
        ck_assert(policy_draws(&d, signature));
}
END_TEST

START_TEST(test_intervals)
{
    static const uint32_t cases[][4] = {/* hits, n, interval in millionths, by sums of exact binomials */
                                        {0, 60, 0, 59630},       {1, 60, 421, 89400},      {5, 500, 3254, 23182},
                                        {60, 60, 940370, 1000000}, {3, 10, 66739, 652453}, {2, 400, 606, 17945},
                                        {0, 0, 0, 1000000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t low, high;
        calibration_interval(cases[i][0], cases[i][1], &low, &high);
        ck_assert_uint_eq(low, cases[i][2]);
        ck_assert_uint_eq(high, cases[i][3]);
    }
}
END_TEST

START_TEST(test_ranks)
{
    static uint32_t cosines[400];
    for (uint32_t i = 0; i < 400; i++)
        cosines[i] = (i * 7 + 3) % 400 + 1; /* 1 … 400, mixed */
    ck_assert_uint_eq(calibration_kappa(cosines, 400), 399);
    ck_assert_uint_eq(calibration_kappa(cosines, 199), 199);
    ck_assert_uint_eq(calibration_kappa(cosines, 12), 12); /* too few: the largest */
    ck_assert_uint_eq(calibration_median((uint64_t[]){5, 1, 9}, 3), 5);
    ck_assert_uint_eq(calibration_median((uint64_t[]){5, 1, 9, 0}, 4), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tcase = tcase_create("policy");
    tcase_add_test(tcase, test_document);
    tcase_add_test(tcase, test_documents_that_no_policy_has);
    tcase_add_test(tcase, test_units_by_beneficiary);
    tcase_add_test(tcase, test_draws);
    tcase_add_test(tcase, test_intervals);
    tcase_add_test(tcase, test_ranks);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
