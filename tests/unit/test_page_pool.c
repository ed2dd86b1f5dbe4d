#include "engine/page_pool.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* ck_assert reports every success to the test's parent: too slow for checks made millions of times. */
#define EXPECT(condition) ((condition) ? (void)0 : ck_abort_msg("%s, line %d", #condition, __LINE__))

START_TEST(counts_and_references)
{
    struct page_pool p;
    ck_assert_int_eq(page_pool_init(&p, 3, NULL), 0);
    int32_t a = page_pool_take(&p, PAGE_KV), b = page_pool_take(&p, PAGE_ADAPTER), c = page_pool_take(&p, PAGE_KV);
    ck_assert(a >= 0 && b >= 0 && c >= 0 && a != b && b != c && a != c);
    ck_assert_int_eq(page_pool_take(&p, PAGE_KV), -1);
    ck_assert_int_eq(p.count[PAGE_KV], 2);
    ck_assert_int_eq(p.count[PAGE_ADAPTER], 1);
    page_pool_ref(&p, a);
    ck_assert(!page_pool_release(&p, a));
    ck_assert(page_pool_release(&p, a));
    ck_assert_int_eq(page_pool_free_count(&p), 1);
    ck_assert_int_eq(page_pool_take(&p, PAGE_ADAPTER), a);
    ck_assert_int_eq(p.count[PAGE_ADAPTER], 2);
    page_pool_deinit(&p);
}
END_TEST

START_TEST(refuses_nonsense)
{
    struct page_pool p;
    struct err e;
    ck_assert_int_eq(page_pool_init(&p, 0, &e), OL_EINVAL);
    ck_assert_int_eq(page_pool_init(&p, -5, &e), OL_EINVAL);
}
END_TEST

/* Releasing a free page is a bug of ours and must not go on silently. */
START_TEST(double_release_aborts)
{
    struct page_pool p;
    ck_assert_int_eq(page_pool_init(&p, 2, NULL), 0);
    int32_t a = page_pool_take(&p, PAGE_KV);
    page_pool_release(&p, a);
    page_pool_release(&p, a);
}
END_TEST

START_TEST(random_use)
{
    enum { N = 50 };
    struct page_pool p;
    int32_t refs[N] = {0};
    unsigned seed = 1;
    ck_assert_int_eq(page_pool_init(&p, N, NULL), 0);
    for (int i = 0; i < 100000; i++) {
        int32_t page = rand_r(&seed) % N;
        if (refs[page] && rand_r(&seed) % 2) {
            EXPECT(page_pool_release(&p, page) == (refs[page] == 1));
            refs[page]--;
        } else if (refs[page] && p.owner[page] == PAGE_KV) {
            page_pool_ref(&p, page);
            refs[page]++;
        } else {
            int32_t got = page_pool_take(&p, rand_r(&seed) % 3 ? PAGE_KV : PAGE_ADAPTER);
            if (got >= 0)
                EXPECT(refs[got]++ == 0);
        }
        int32_t used = 0;
        for (int k = 0; k < N; k++)
            used += refs[k] > 0;
        EXPECT(page_pool_free_count(&p) == N - used);
        EXPECT(p.count[PAGE_KV] + p.count[PAGE_ADAPTER] == used);
    }
    page_pool_deinit(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_pool");
    TCase *t = tcase_create("page_pool");
    tcase_add_test(t, counts_and_references);
    tcase_add_test(t, refuses_nonsense);
    tcase_add_test_raise_signal(t, double_release_aborts, 6 /* SIGABRT */);
    tcase_add_test(t, random_use);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
