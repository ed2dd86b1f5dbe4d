/* Work that is shared: each index once, by several callers at a time, whatever the number of cores. */
#include "chainlite/settle/signers.h"
#include "unit/vectors.h"

#include <pthread.h>
#include <stdatomic.h>

enum { MAX_N = 1000, CALLERS = 6, ROUNDS = 300 };

struct caller {
    struct signers *signers;
    atomic_int seen[MAX_N];
    pthread_t thread;
    unsigned seed;
};

static void mark(void *user, size_t i)
{
    struct caller *c = user;
    atomic_fetch_add(&c->seen[i], 1);
}

static void *call(void *user)
{
    struct caller *c = user;
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = (c->seed = c->seed * 1103515245 + 12345) / 65536 % MAX_N;
        signers_run(c->signers, n, mark, c);
        for (size_t i = 0; i < MAX_N; i++) /* all are done, and once, when it returns */
            ck_assert_int_eq(atomic_exchange(&c->seen[i], 0), i < n);
    }
    return NULL;
}

START_TEST(test_each_once)
{
    static struct caller callers[CALLERS];
    struct signers *s = signers_open();
    ck_assert_ptr_nonnull(s);
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i].signers = s;
        callers[i].seed = i;
        ck_assert_int_eq(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i].thread, NULL);
    signers_close(s);
}
END_TEST

START_TEST(test_nothing)
{
    struct caller c = {.signers = signers_open()};
    signers_run(c.signers, 0, mark, &c);
    signers_close(c.signers);
    signers_close(NULL);
}
END_TEST

int main(void) { return RUN_SUITE("signers", test_each_once, test_nothing); }
