/* The queue of answers that wait for gradients: who goes first, who waits for an idle engine, the bound, the end. */
#include "attributor/queue.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct queue *queue;
static atomic_bool engine_busy;

static bool busy(void *user)
{
    (void)user;
    return atomic_load(&engine_busy);
}

static void setup(void)
{
    struct err e;
    atomic_store(&engine_busy, false);
    ck_assert_int_eq(queue_open(&queue, &e), 0);
}

static void teardown(void) { queue_close(queue); }

static bool add(uint8_t name, bool first)
{
    struct queued job = {.drawn = first};
    memset(job.receipt_id, name, 32);
    return queue_add(queue, &job, first);
}

static int take(void)
{
    struct queued job;
    return queue_take(queue, busy, NULL, &job) ? job.receipt_id[31] : -1;
}

START_TEST(test_order)
{
    ck_assert(add(1, false) && add(2, false) && add(3, true) && add(4, false) && add(5, true));
    ck_assert_uint_eq(queue_waiting(queue), 5);
    const int expected[] = {3, 5, 1, 2, 4};
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(take(), expected[i]);
    ck_assert_uint_eq(queue_waiting(queue), 0);
}
END_TEST

static void *fall_idle(void *user)
{
    (void)user;
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    atomic_store(&engine_busy, false);
    return NULL;
}

START_TEST(test_a_busy_engine)
{
    pthread_t thread;
    atomic_store(&engine_busy, true);
    ck_assert(add(1, false) && add(2, true));
    ck_assert_int_eq(take(), 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, fall_idle, NULL), 0);
    ck_assert_int_eq(take(), 1); /* not before the engine fell idle */
    ck_assert(!atomic_load(&engine_busy));
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(test_bound)
{
    int n = 0;
    while (add((uint8_t)n, false))
        ck_assert_int_lt(++n, 1 << 20);
    ck_assert(add(7, true)); /* those that go first have room of their own */
    ck_assert_int_eq(take(), 7);
    for (int i = 0; i < 3 * n; i++) { /* once around and further */
        ck_assert_int_eq(take(), (uint8_t)i);
        ck_assert(add((uint8_t)(n + i), false));
        ck_assert(!add(0, false));
    }
}
END_TEST

static void *waiter(void *user)
{
    *(int *)user = take();
    return NULL;
}

START_TEST(test_stop)
{
    pthread_t thread;
    int got = 0;
    ck_assert_int_eq(pthread_create(&thread, NULL, waiter, &got), 0);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    queue_stop(queue);
    pthread_join(thread, NULL);
    ck_assert_int_eq(got, -1);
    ck_assert(add(1, true));
    ck_assert_int_eq(take(), -1); /* for good */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("queue");
    TCase *t = tcase_create("queue");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_order);
    tcase_add_test(t, test_a_busy_engine);
    tcase_add_test(t, test_bound);
    tcase_add_test(t, test_stop);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
