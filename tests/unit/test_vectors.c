/* Contributor vectors: what is written is read again, numbers become integers as stated, roots are exact. */
#include "attribution/influence.h"
#include "chainlite/core/rows.h"

#include "unit/vectors.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

static const struct vectors_owner owners[] = {{0, {1}}, {0, {2}}, {2, {1}}};

START_TEST(test_round_trip)
{
    struct sketch s;
    struct vectors v;
    char path[] = "/tmp/test_vectors.XXXXXX";
    int16_t values[3 * 8];
    for (int i = 0; i < 24; i++)
        values[i] = (int16_t)(i * 1000 - VECTOR_LIMIT / 3);
    close(mkstemp(path));
    sketch_init(&s, 99, 4, 9);
    ck_assert_uint_eq(s.dimensions, 8);
    ck_assert_int_eq(vectors_write(path, &s, -5, 0.75, owners, values, 3, NULL), 0);
    ck_assert_int_eq(vectors_open(path, &v, NULL), 0);
    ck_assert(v.n == 3 && v.exponent == -5 && v.clip_norm == 0.75);
    ck_assert(v.sketch.seed == 99 && v.sketch.n_blocks == 4 && v.sketch.dimensions == 8);
    ck_assert_uint_eq(sketch_offset(&v.sketch, 3), 6);
    ck_assert_mem_eq(v.owners, owners, sizeof owners);
    ck_assert_mem_eq(v.values, values, sizeof values);
    uint64_t square = 0;
    for (int i = 8; i < 16; i++)
        square += (uint64_t)(values[i] * values[i]);
    ck_assert_uint_eq(v.squares[1], square);
    vectors_close(&v);
    unlink(path);
}
END_TEST

START_TEST(test_bad_vectors_are_not_written)
{
    const struct vectors_owner unordered[] = {{1, {1}}, {0, {2}}}, nobody[] = {{0, {0}}, {0, {2}}};
    const char *path = "/tmp/test_vectors.never";
    int16_t values[4] = {1, 2, 3, INT16_MIN};
    struct sketch s;
    sketch_init(&s, 0, 1, 2);
    unlink(path);
    ck_assert_int_eq(vectors_write(path, &s, 0, 1, owners, values, 2, NULL), OL_EINVAL); /* −32,768 */
    values[3] = 0;
    ck_assert_int_eq(vectors_write(path, &s, 0, 1, unordered, values, 2, NULL), OL_EINVAL);
    ck_assert_int_eq(vectors_write(path, &s, 0, 1, nobody, values, 2, NULL), OL_EINVAL);
    ck_assert_int_eq(vectors_write(path, &s, 127, 1, owners, values, 2, NULL), OL_EINVAL);
    ck_assert_int_eq(vectors_write(path, &s, 0, 0, owners, values, 2, NULL), OL_EINVAL);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(test_one_scale_for_all)
{
    static const double cases[] = {1, 0.75, 32767, 32767.4, 32767.6, 32768, 1e-20, 3e20, 0.9999847, 0.99999};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double u[] = {cases[i] / 3, -cases[i], 0};
        int16_t out[3];
        int32_t exponent;
        ck_assert_int_eq(vectors_quantize(u, 3, out, &exponent, NULL), 0);
        ck_assert_int_le(-out[1], VECTOR_LIMIT);
        ck_assert_int_ge(-out[1], VECTOR_LIMIT / 2); /* the largest scale that fits */
        ck_assert(fabs(ldexp(out[0], -exponent) - u[0]) <= ldexp(0.5, -exponent));
        ck_assert_int_eq(out[2], 0);
    }
    const double ties[] = {16384, 0.5, 1.5, -2.5};
    int16_t out[4];
    int32_t exponent;
    ck_assert_int_eq(vectors_quantize(ties, 4, out, &exponent, NULL), 0);
    ck_assert_int_eq(exponent, 0);
    ck_assert(out[1] == 0 && out[2] == 2 && out[3] == -2);
    ck_assert_int_eq(vectors_quantize((double[]){0, 0}, 2, out, &exponent, NULL), 0);
    ck_assert(exponent == 0 && out[0] == 0);
    ck_assert_int_eq(vectors_quantize((double[]){1, NAN}, 2, out, &exponent, NULL), OL_EINVAL);
    ck_assert_int_eq(vectors_quantize((double[]){1, INFINITY}, 2, out, &exponent, NULL), OL_EINVAL);
    ck_assert_int_eq(vectors_quantize((double[]){1e-40}, 1, out, &exponent, NULL), OL_EINVAL);
    ck_assert_int_eq(vectors_quantize((double[]){1e60}, 1, out, &exponent, NULL), OL_EINVAL);
}
END_TEST

START_TEST(test_a_query_has_norm_one)
{
    int16_t out[2];
    uint8_t hash[HASH_BYTES], again[HASH_BYTES];
    ck_assert_int_eq(query_quantize((double[]){3e-9, -4e-9}, 2, out, NULL), 0);
    ck_assert(out[0] == 19661 && out[1] == -26214); /* 0.6 and 0.8 of 2^15 */
    query_hash(out, 2, hash);
    keccak256("\xcd\x4c\x9a\x99", 4, again);
    ck_assert_mem_eq(hash, again, HASH_BYTES);
    ck_assert_int_eq(query_quantize((double[]){0, 7}, 2, out, NULL), 0);
    ck_assert(out[0] == 0 && out[1] == VECTOR_LIMIT);
    ck_assert_int_eq(query_quantize((double[]){0, -7}, 2, out, NULL), 0);
    ck_assert_int_eq(out[1], -VECTOR_LIMIT);
    ck_assert_int_eq(query_quantize((double[]){0, 0}, 2, out, NULL), OL_EINVAL);
    ck_assert_int_eq(query_quantize((double[]){0, NAN}, 2, out, NULL), OL_EINVAL);
}
END_TEST

START_TEST(test_roots)
{
    static const uint64_t bases[] = {0, 1, 2, 3, 1000, 65535, 65536, (uint64_t)1 << 42, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        unsigned __int128 square = (unsigned __int128)bases[i] * bases[i];
        ck_assert_uint_eq(influence_root(square), bases[i]);
        if (square)
            ck_assert_uint_eq(influence_root(square - 1), bases[i] - 1);
        ck_assert_uint_eq(influence_root(square + bases[i]), bases[i]);
    }
    ck_assert_uint_eq(influence_root(~(unsigned __int128)0), UINT64_MAX);
}
END_TEST

/* A contributor at the floor earns nothing, one ppb below it earns: κ is the least that silences it. */
START_TEST(test_kappa_silences)
{
    struct vectors v = {.n = 1, .owners = owners, .values = (const int16_t[]){300, 41}, .squares = &(uint64_t){91681}};
    v.sketch.dimensions = 2;
    const int16_t query[] = {20000, 12345};
    struct influence_answer answer = {query, 10, 10};
    struct influence_rule rule = {influence_cosine_ppb(&v, query, 0), 1};
    struct influence_result r;
    ck_assert(rule.kappa_ppb > 0 && rule.kappa_ppb < PPB);
    ck_assert_int_eq(influence_units(&v, &rule, &answer, &r, NULL), 0);
    ck_assert(r.units == 0 && r.total == 0 && r.rows[0].influence > 0);
    influence_result_deinit(&r);
    rule.kappa_ppb -= 1000;
    ck_assert_int_eq(influence_units(&v, &rule, &answer, &r, NULL), 0);
    ck_assert(r.units == PPB && r.rows[0].units == PPB);
    influence_result_deinit(&r);
    answer.open_tokens = 11;
    ck_assert_int_eq(influence_units(&v, &rule, &answer, &r, NULL), OL_EINVAL);
    answer.open_tokens = 3;
    rule.s0 = 0;
    ck_assert_int_eq(influence_units(&v, &rule, &answer, &r, NULL), OL_EINVAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vectors");
    TCase *tcase = tcase_create("vectors");
    tcase_add_test(tcase, test_round_trip);
    tcase_add_test(tcase, test_bad_vectors_are_not_written);
    tcase_add_test(tcase, test_one_scale_for_all);
    tcase_add_test(tcase, test_a_query_has_norm_one);
    tcase_add_test(tcase, test_roots);
    tcase_add_test(tcase, test_kappa_silences);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
