/* Many clients at once on the fake model: whatever paging, prefix cache, copy-on-write, preemption, batching and
 * adapter placement do, every request gets the tokens it gets alone. Runs under the thread sanitizer too. */
#include "engine_client.h"

struct load {
    struct engine *engine;
    unsigned seed;
    int requests;
    long cancelled, preempted, cached;
};

static void randomize(struct client *c, struct load *l)
{
    unsigned *seed = &l->seed;
    int family = rand_r(seed) % 4; /* prompts of a family share beginnings, off page borders */
    int shared = rand_r(seed) % (c->request.n_prompt + 1);
    for (int i = 0; i < c->request.n_prompt; i++)
        c->prompt[i] = i < shared ? (i * 13 + family) % FAKE_VOCAB : rand_r(seed) % FAKE_VOCAB;
    struct sampling *s = &c->request.sampling;
    s->seed = (uint64_t)rand_r(seed) << 20;
    c->request.choice = rand_r(seed) % 3;
    snprintf(c->tenant, sizeof c->tenant, "t%d", rand_r(seed) % 3);
    if (rand_r(seed) % 3 == 0) {
        s->repetition = rand_r(seed) % 2 ? 1.1f : 1;
        s->frequency = 0.5f;
    }
    for (s->n_bias = rand_r(seed) % 4, c->request.sampling.bias = c->bias; rand_r(seed) % 2 && s->n_bias > 1;)
        s->n_bias--;
    for (int i = 0; i < s->n_bias; i++)
        c->bias[i] = (struct step_bias){.token = rand_r(seed) % FAKE_VOCAB, .add = 1.5f};
    if (rand_r(seed) % 3)
        use_adapter(c, l->engine, rand_r(seed) % 6);
    if (rand_r(seed) % 5 == 0)
        c->cancel_after = 1 + rand_r(seed) % 20;
    if (rand_r(seed) % 5 == 0)
        c->stop_after = 1 + rand_r(seed) % 20;
}

static void *load_thread(void *arg)
{
    struct load *l = arg;
    for (int i = 0; i < l->requests; i++) {
        struct client *c = client_new(1 + rand_r(&l->seed) % 150, 1 + rand_r(&l->seed) % 60);
        struct err err;
        randomize(c, l);
        int rc = client_submit(c, l->engine, &err);
        CHECK(rc == 0);
        if (rand_r(&l->seed) % 10 == 0)
            engine_cancel(l->engine, c->id);
        client_wait(c);
        client_check(c);
        l->cancelled += c->end == END_CANCELLED;
        l->preempted += c->usage.preemptions;
        l->cached += c->usage.cached_tokens;
        CHECK(c->end != END_ERROR);
        client_free(c);
    }
    return NULL;
}

/* Loses the device now and then, with all that its pages hold. */
static void lose_device(struct fake_model *m, int times)
{
    static const int after[] = {20, 70, 150, 90};
    for (int i = 0; i < times; i++) {
        atomic_store(&m->fail_after, after[i]);
        while (atomic_load(&m->fail_after))
            usleep(100);
    }
}

static void run_load(struct engine_config config, int32_t n_pages, int requests, bool expect_pressure, int losses)
{
    enum { THREADS = 12 };
    struct fake_model m = {.can_restart = losses, .busy = losses};
    struct engine *e = open_with_adapters(&m, config, n_pages, 6, 2);
    struct load l[THREADS];
    pthread_t t[THREADS];
    long cancelled = 0, preempted = 0, cached = 0;
    for (int i = 0; i < THREADS; i++) {
        l[i] = (struct load){.engine = e, .seed = (unsigned)(i * 97 + 5), .requests = requests};
        ck_assert_int_eq(pthread_create(&t[i], NULL, load_thread, &l[i]), 0);
    }
    lose_device(&m, losses);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        cancelled += l[i].cancelled;
        preempted += l[i].preempted;
        cached += l[i].cached;
    }
    ck_assert_int_gt(cancelled, 0);
    if (expect_pressure) {
        ck_assert_int_gt(preempted, 0);
        ck_assert_int_gt(cached, 0);
        ck_assert_uint_gt(m.copies, 0);
    }
    close_all(e, &m);
}

START_TEST(load_with_room) { run_load((struct engine_config){0}, 600, 60, false, 0); }
END_TEST

START_TEST(load_under_pressure)
{
    run_load((struct engine_config){.max_seqs = 8, .max_rows = 24}, 30, 60, true, 0);
}
END_TEST

START_TEST(load_with_losses)
{
    run_load((struct engine_config){.max_seqs = 8, .max_rows = 24}, 30, 60, true, 4);
}
END_TEST

START_TEST(load_without_cache)
{
    run_load((struct engine_config){.max_seqs = 8, .max_rows = 24, .no_prefix_cache = true}, 30, 20, false, 0);
}
END_TEST

/* Names are replaced, unloaded and registered again while requests run on them; some references are never used. */
static void *churn_client(void *arg)
{
    struct load *l = arg;
    for (int i = 0; i < l->requests; i++) {
        struct client *c = client_new(1 + rand_r(&l->seed) % 60, 1 + rand_r(&l->seed) % 20);
        struct err err;
        int k = rand_r(&l->seed) % 4;
        char name[8];
        snprintf(name, sizeof name, "a%d", k);
        int rc = adapter_acquire(engine_adapters(l->engine), name, &c->request.adapter, &err);
        c->adapter_value = 1000u * (unsigned)(k + 1);
        if (rc == 0 && rand_r(&l->seed) % 4 == 0) {
            adapter_release(c->request.adapter);
        } else if (rc == 0) {
            rc = client_submit(c, l->engine, &err);
            CHECK(rc == 0);
            client_wait(c);
            client_check(c);
            CHECK(c->end == END_LENGTH || c->end == END_CANCELLED);
        }
        client_free(c);
    }
    return NULL;
}

START_TEST(adapters_change_under_load)
{
    enum { THREADS = 5 };
    struct fake_model m = {0};
    struct err err;
    struct engine *e = open_with_adapters(&m, (struct engine_config){.max_seqs = 4, .max_rows = 16}, 16, 4, 2);
    struct load l[THREADS];
    pthread_t t[THREADS];
    unsigned seed = 4;
    for (int i = 0; i < THREADS; i++) {
        l[i] = (struct load){.engine = e, .seed = (unsigned)i + 1, .requests = 150};
        ck_assert_int_eq(pthread_create(&t[i], NULL, churn_client, &l[i]), 0);
    }
    for (int i = 0; i < 400; i++) {
        char name[8], path[600];
        snprintf(name, sizeof name, "a%d", rand_r(&seed) % 4);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (rand_r(&seed) % 2)
            ck_assert_int_eq(adapter_load(engine_adapters(e), name, path, true, rand_r(&seed) % 2, &err), 0);
        else if (adapter_unload(engine_adapters(e), name, rand_r(&seed) % 2, &err) == 0)
            ck_assert_int_eq(adapter_register(engine_adapters(e), name, path, false, &err), 0);
        usleep(200);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    close_all(e, &m);
}
END_TEST

START_TEST(close_under_load)
{
    enum { N = 20 };
    struct fake_model m = {.step_ns = 100000};
    struct err err;
    struct engine *e = open_with_adapters(&m, (struct engine_config){.max_seqs = 4}, 64, 4, 2);
    struct client *c[N];
    for (int i = 0; i < N; i++) {
        c[i] = client_new(30, 200);
        if (i % 2)
            use_adapter(c[i], e, i % 4);
        ck_assert_int_eq(client_submit(c[i], e, &err), 0);
    }
    usleep(2000);
    engine_close(e);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(c[i]->ends, 1);
        client_check(c[i]);
        client_free(c[i]);
    }
    fake_model_free(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_load");
    TCase *t = tcase_create("engine_load");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, load_with_room);
    tcase_add_test(t, load_under_pressure);
    tcase_add_test(t, load_with_losses);
    tcase_add_test(t, load_without_cache);
    tcase_add_test(t, adapters_change_under_load);
    tcase_add_test(t, close_under_load);
    suite_add_tcase(suite, t);
    return run_engine_suite(suite);
}
