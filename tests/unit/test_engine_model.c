/* The engine on a real forward pass: tokens and the bits of their log-probabilities are those of each request alone,
 * whatever the pool, the step size, the cache and the threads. */
#include "tiny_engine.h"

START_TEST(bits_do_not_depend_on_company)
{
    static struct run alone, other;
    const size_t page = 4096; /* of this model */
    run((struct engine_config){.pool_bytes = 500 * page, .no_prefix_cache = true, .device = {.threads = 1}}, false,
        &alone);
    ck_assert_int_eq(alone.stats.pages_total, 500);
    int different = 0; /* the model says something, and adapters change it */
    for (int i = 1; i < REQUESTS; i++)
        different += alone.answers[i].tokens[3] != alone.answers[i - 1].tokens[3];
    ck_assert_int_gt(different, REQUESTS / 2);

    run((struct engine_config){.pool_bytes = 500 * page, .device = {.threads = 2}}, true, &other);
    compare(&alone, &other);

    run((struct engine_config){.pool_bytes = 14 * page, .max_seqs = 6, .max_rows = 7, .device = {.threads = 2}}, true,
        &other);
    compare(&alone, &other);
    ck_assert_uint_gt(other.stats.preemptions, 0);
    ck_assert_uint_gt(other.stats.prefix_hits, 0);
    ck_assert_uint_gt(other.stats.lora_ops, 0);

    run((struct engine_config){.pool_bytes = 500 * page, .max_seqs = 1, .max_rows = 1, .device = {.threads = 1}}, true,
        &other);
    compare(&alone, &other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_model");
    TCase *t = tcase_create("engine_model");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, bits_do_not_depend_on_company);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
