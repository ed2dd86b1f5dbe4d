/* The engine end to end on the fake model: whatever paging, prefix cache, copy-on-write, preemption, batching and
 * adapter placement do, every request gets the tokens it gets alone. */
#include "fake_model.h"

#include "base/log.h"

#include <check.h>
#include <unistd.h>

/* ---- A client ---- */

enum { MAX_PROMPT = 1024, MAX_OUTPUT = 256 };

struct client {
    struct engine_request request;
    int32_t prompt[MAX_PROMPT];
    char tenant[16];
    struct step_bias bias[4];
    uint64_t adapter_value, id;
    int32_t tokens[MAX_OUTPUT];
    int32_t n, stop_after; /* stop_after 0: never */
    int32_t cancel_after;  /* from the callback */
    struct engine *engine;
    struct usage usage;
    struct err why;
    enum engine_end end;
    int ends;
    pthread_mutex_t mutex;
    pthread_cond_t done;
};

static bool client_token(void *user, const struct step_result *r)
{
    struct client *c = user;
    pthread_mutex_lock(&c->mutex);
    CHECK(c->ends == 0 && c->n < MAX_OUTPUT);
    c->tokens[c->n++] = r->token;
    bool stop = c->stop_after && c->n == c->stop_after;
    uint64_t cancel = c->cancel_after && c->n == c->cancel_after ? c->id : 0;
    pthread_mutex_unlock(&c->mutex);
    if (cancel)
        engine_cancel(c->engine, cancel);
    return !stop;
}

static void client_end(void *user, enum engine_end end, const struct usage *usage, const struct err *why)
{
    struct client *c = user;
    pthread_mutex_lock(&c->mutex);
    c->end = end;
    c->usage = *usage;
    if (why)
        c->why = *why;
    c->ends++;
    pthread_cond_signal(&c->done);
    pthread_mutex_unlock(&c->mutex);
}

static struct client *client_new(int32_t n_prompt, int32_t max_tokens)
{
    struct client *c = calloc(1, sizeof *c);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->done, NULL);
    c->request = (struct engine_request){
        .prompt = c->prompt, .n_prompt = n_prompt, .max_tokens = max_tokens, .tenant = c->tenant,
        .sampling = {.temperature = 1, .top_p = 1, .repetition = 1, .bias = c->bias},
        .on_token = client_token, .on_end = client_end, .user = c,
    };
    for (int i = 0; i < n_prompt; i++)
        c->prompt[i] = (i * 7 + 1) % FAKE_VOCAB;
    return c;
}

static int client_submit(struct client *c, struct engine *e, struct err *err)
{
    uint64_t id = 0;
    c->engine = e;
    pthread_mutex_lock(&c->mutex); /* callbacks that need the id wait for it */
    int rc = engine_submit(e, &c->request, &id, err);
    c->id = id;
    pthread_mutex_unlock(&c->mutex);
    return rc;
}

static void client_wait(struct client *c)
{
    pthread_mutex_lock(&c->mutex);
    while (!c->ends)
        pthread_cond_wait(&c->done, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

/* All tokens so far are those the request gets alone, and usage agrees with them. */
static void client_check(struct client *c)
{
    int32_t expected[MAX_OUTPUT];
    fake_expected(&c->request, c->adapter_value, expected, c->n);
    ck_assert_int_eq(c->ends, 1);
    for (int32_t i = 0; i < c->n; i++)
        if (c->tokens[i] != expected[i])
            ck_abort_msg("token %d of request %llu is %d, alone it is %d", i, (unsigned long long)c->id, c->tokens[i],
                         expected[i]);
    ck_assert_int_eq(c->usage.prompt_tokens, c->request.n_prompt);
    ck_assert_int_eq(c->usage.output_tokens, c->n);
    ck_assert_int_lt(c->usage.cached_tokens, c->request.n_prompt);
    ck_assert(c->usage.sum_logprob == -c->n);
}

static void client_free(struct client *c)
{
    pthread_mutex_destroy(&c->mutex);
    pthread_cond_destroy(&c->done);
    free(c);
}

static void run_one(struct client *c, struct engine *e)
{
    struct err err;
    ck_assert_int_eq(client_submit(c, e, &err), 0);
    client_wait(c);
    client_check(c);
}

static void close_all(struct engine *e, struct fake_model *m)
{
    while (!engine_idle(e)) /* the last callback comes just before idle */
        usleep(100);
    struct engine_stats s;
    engine_stats(e, &s);
    ck_assert_int_eq(s.running + s.waiting, 0);
    ck_assert_int_eq(s.pages_kv, s.pages_cached); /* nothing but the cache holds KV pages */
    for (const struct adapter *a = e->adapters->host; a; a = a->next_host)
        ck_assert_int_eq(a->wants, 0); /* no host image is held for nobody */
    engine_close(e);
    fake_model_free(m);
}

/* ---- Adapters: files of fake_model.h in a folder of this run ---- */

static char folder[] = "/tmp/openlora_test_engine_XXXXXX";

static struct engine *open_with_adapters(struct fake_model *m, struct engine_config c, int32_t n_pages, int n,
                                         int pages)
{
    const char *roots[] = {folder};
    struct err err;
    c.adapter_roots = roots;
    c.n_adapter_roots = 1;
    struct engine *e = fake_open(m, c, n_pages);
    for (int i = 0; i < n; i++) {
        char name[32], path[600];
        snprintf(name, sizeof name, "a%d", i);
        fake_write_adapter(folder, name, 1000u * (unsigned)(i + 1), pages + i % 2, "");
        snprintf(path, sizeof path, "%s/%s", folder, name);
        ck_assert_int_eq(adapter_register(engine_adapters(e), name, path, false, &err), 0);
    }
    return e;
}

static void use_adapter(struct client *c, struct engine *e, int i)
{
    char name[32];
    struct err err;
    snprintf(name, sizeof name, "a%d", i);
    ck_assert_int_eq(adapter_acquire(engine_adapters(e), name, &c->request.adapter, &err), 0);
    c->adapter_value = 1000u * (unsigned)(i + 1);
}

/* ---- Tests ---- */

START_TEST(one_request)
{
    struct fake_model m = {0};
    struct engine *e = fake_open(&m, (struct engine_config){0}, 64);
    struct client *c = client_new(40, 30);
    run_one(c, e);
    ck_assert_int_eq(c->n, 30);
    ck_assert_int_eq(c->end, END_LENGTH);
    struct client *stop = client_new(40, 30);
    stop->stop_after = 3;
    run_one(stop, e);
    ck_assert_int_eq(stop->n, 3);
    ck_assert_int_eq(stop->end, END_STOP);
    ck_assert_int_eq(stop->usage.cached_tokens, 39); /* all but the last token, by copying the third page */
    client_free(stop);
    client_free(c);
    close_all(e, &m);
}
END_TEST

START_TEST(limits)
{
    struct fake_model m = {0};
    struct err err;
    struct engine *e = fake_open(&m, (struct engine_config){.max_context = 128}, 64);
    struct client *c = client_new(128, 10); /* no room for one token */
    ck_assert_int_eq(client_submit(c, e, &err), OL_ELIMIT);
    client_free(c);
    c = client_new(120, 100); /* cut to the context */
    run_one(c, e);
    ck_assert_int_eq(c->n, 8);
    ck_assert_int_eq(c->end, END_LENGTH);
    client_free(c);
    c = client_new(5, 5);
    c->prompt[2] = FAKE_VOCAB;
    ck_assert_int_eq(client_submit(c, e, &err), OL_EINVAL);
    c->prompt[2] = 3;
    c->request.sampling.top_p = 0;
    ck_assert_int_eq(client_submit(c, e, &err), OL_EINVAL);
    client_free(c);
    close_all(e, &m);

    m = (struct fake_model){0};
    e = fake_open(&m, (struct engine_config){.max_context = 128}, 4); /* the pool is smaller than the context */
    c = client_new(64, 100);
    run_one(c, e);
    ck_assert_int_eq(c->n, 1); /* the last token needs no page */
    c->request.n_prompt = 65;
    ck_assert_int_eq(client_submit(c, e, &err), OL_ELIMIT);
    client_free(c);
    close_all(e, &m);
}
END_TEST

START_TEST(multi_turn_uses_the_cache)
{
    struct fake_model m = {0};
    struct engine *e = fake_open(&m, (struct engine_config){0}, 64);
    struct client *first = client_new(20, 50), *second = client_new(80, 10);
    run_one(first, e);
    memcpy(second->prompt + 20, first->tokens, 50 * sizeof *first->tokens);
    run_one(second, e);
    ck_assert_int_eq(second->usage.cached_tokens, 69); /* the 70th was never computed */
    struct client *other = client_new(80, 10); /* another tenant's cache is not shared */
    memcpy(other->prompt, second->prompt, sizeof other->prompt);
    snprintf(other->tenant, sizeof other->tenant, "other");
    run_one(other, e);
    ck_assert_int_eq(other->usage.cached_tokens, 0);
    client_free(first);
    client_free(second);
    client_free(other);
    close_all(e, &m);
}
END_TEST

START_TEST(choices_prefill_once)
{
    enum { N = 8, PROMPT = 512 };
    struct fake_model m = {0};
    struct engine *e = fake_open(&m, (struct engine_config){.max_rows = 100}, 600); /* steps with room for others */
    struct client *c[N];
    struct err err;
    for (int i = 0; i < N; i++) {
        c[i] = client_new(PROMPT, 5);
        c[i]->request.choice = i;
        ck_assert_int_eq(client_submit(c[i], e, &err), 0);
    }
    for (int i = 0; i < N; i++) {
        client_wait(c[i]);
        client_check(c[i]);
        client_free(c[i]);
    }
    /* One whole prompt, then at most its last page and the outputs of each. */
    ck_assert_uint_le(m.rows, PROMPT + N * (STEP_PAGE_TOKENS + 5));
    close_all(e, &m);
}
END_TEST

START_TEST(cancelling)
{
    struct fake_model m = {.step_ns = 200000};
    struct err err;
    struct engine *e = fake_open(&m, (struct engine_config){0}, 64);
    struct client *c = client_new(40, 200);
    c->cancel_after = 5;
    ck_assert_int_eq(client_submit(c, e, &err), 0);
    client_wait(c);
    client_check(c);
    ck_assert_int_eq(c->end, END_CANCELLED);
    ck_assert_int_le(c->n, 6);
    engine_cancel(e, c->id); /* finished: ignored */
    engine_cancel(e, 12345);
    client_free(c);
    close_all(e, &m);
}
END_TEST

START_TEST(queue_is_bounded_and_drains)
{
    enum { N = 12 };
    struct fake_model m = {.step_ns = 500000};
    struct err err;
    struct engine *e = fake_open(&m, (struct engine_config){.max_seqs = 4, .max_queue = 6}, 64);
    struct client *c[N];
    int accepted = 0;
    for (int i = 0; i < N; i++) {
        c[i] = client_new(20, 40);
        int rc = client_submit(c[i], e, &err);
        ck_assert_int_eq(rc, i < 10 ? 0 : OL_EBUSY);
        accepted += rc == 0;
    }
    engine_stop_admission(e);
    ck_assert_int_eq(client_submit(c[N - 1], e, &err), OL_EBUSY);
    for (int i = 0; i < N; i++) {
        if (i < accepted) {
            client_wait(c[i]);
            client_check(c[i]);
            ck_assert_int_eq(c[i]->end, END_LENGTH);
        }
        client_free(c[i]);
    }
    struct engine_stats s;
    engine_stats(e, &s);
    ck_assert_uint_eq(s.rejected, 2);
    ck_assert_uint_eq(s.ended[END_LENGTH], 10);
    close_all(e, &m);
}
END_TEST

START_TEST(device_loss_ends_everything)
{
    enum { N = 6 };
    struct fake_model m = {0};
    struct err err;
    struct engine *e = open_with_adapters(&m, (struct engine_config){.max_seqs = 2}, 64, 0, 0);
    struct client *c[N];
    struct client *before = client_new(20, 2);
    run_one(before, e);
    client_free(before);
    atomic_store(&m.fail_after, 1); /* in the very step that copies a cached page */
    int accepted = 0;
    for (int i = 0; i < N; i++) {
        c[i] = client_new(20, 200);
        accepted += client_submit(c[i], e, &err) == 0;
    }
    ck_assert_int_ge(accepted, 1);
    for (int i = 0; i < accepted; i++) {
        client_wait(c[i]);
        client_check(c[i]);
        ck_assert_int_eq(c[i]->end, END_ERROR);
        ck_assert_int_eq(c[i]->why.code, OL_EDEVICE);
    }
    struct engine_stats s;
    engine_stats(e, &s);
    ck_assert(s.failed);
    ck_assert_int_eq(client_submit(c[0], e, &err), OL_EDEVICE);
    ck_assert_int_eq(adapter_unload(engine_adapters(e), "none", true, &err), OL_ENOTFOUND); /* the store lives on */
    fake_write_adapter(folder, "x", 1, 1, "");
    char path[600];
    snprintf(path, sizeof path, "%s/x", folder);
    ck_assert_int_eq(adapter_load(engine_adapters(e), "x", path, false, false, &err), 0); /* wakes the thread */
    usleep(2000);
    for (int i = 0; i < N; i++)
        client_free(c[i]);
    engine_close(e);
    fake_model_free(&m);
}
END_TEST

/* ---- Tests with adapters ---- */

START_TEST(adapters_compete_for_pages)
{
    enum { N = 24 };
    struct fake_model m = {0};
    struct err err;
    struct engine *e = open_with_adapters(&m, (struct engine_config){.max_seqs = 6, .max_rows = 32}, 24, 8, 3);
    struct client *c[N];
    for (int i = 0; i < N; i++) {
        c[i] = client_new(30 + i, 20);
        if (i % 9)
            use_adapter(c[i], e, i % 9 - 1);
        ck_assert_int_eq(client_submit(c[i], e, &err), 0);
    }
    for (int i = 0; i < N; i++) {
        client_wait(c[i]);
        client_check(c[i]);
        ck_assert_int_eq(c[i]->end, END_LENGTH);
        client_free(c[i]);
    }
    struct engine_stats s;
    engine_stats(e, &s);
    ck_assert_uint_gt(s.adapter_evictions, 0);
    close_all(e, &m);
}
END_TEST

START_TEST(bad_adapter_fails_its_requests_only)
{
    struct fake_model m = {0};
    struct err err;
    struct engine *e = open_with_adapters(&m, (struct engine_config){0}, 64, 2, 2);
    fake_write_adapter(folder, "a1", 5, 2, "bad");
    struct client *bad = client_new(20, 10), *good = client_new(20, 10), *huge = client_new(20, 10);
    use_adapter(bad, e, 1);
    use_adapter(good, e, 0);
    ck_assert_int_eq(client_submit(bad, e, &err), 0);
    run_one(good, e);
    client_wait(bad);
    ck_assert_int_eq(bad->end, END_ERROR);
    ck_assert_int_eq(bad->why.code, OL_EFORMAT);
    fake_write_adapter(folder, "a1", 2000, 64, ""); /* repaired, but as large as the pool: tried again, and refused */
    use_adapter(huge, e, 1);
    ck_assert_int_eq(client_submit(huge, e, &err), 0);
    client_wait(huge);
    ck_assert_int_eq(huge->end, END_ERROR);
    ck_assert_int_eq(huge->why.code, OL_ELIMIT);
    client_free(bad);
    client_free(good);
    client_free(huge);
    close_all(e, &m);
}
END_TEST

START_TEST(replace_and_unload_under_load)
{
    struct fake_model m = {.step_ns = 300000};
    struct err err;
    char path[600];
    struct engine *e = open_with_adapters(&m, (struct engine_config){0}, 64, 2, 2);
    struct adapter_store *store = engine_adapters(e);
    struct client *old = client_new(20, 100), *new = client_new(20, 20), *forced = client_new(20, 200);
    use_adapter(old, e, 0);
    ck_assert_int_eq(client_submit(old, e, &err), 0);
    while (atomic_load(&m.steps) < 3)
        usleep(200);
    fake_write_adapter(folder, "a0b", 77000, 1, "");
    snprintf(path, sizeof path, "%s/a0b", folder);
    ck_assert_int_eq(adapter_load(store, "a0", path, false, false, &err), OL_EEXIST);
    ck_assert_int_eq(adapter_load(store, "a0", path, true, false, &err), 0);
    use_adapter(new, e, 0);
    new->adapter_value = 77000;
    run_one(new, e); /* the new version, not a page of the old one's cache */
    ck_assert_int_eq(new->usage.cached_tokens, 0);
    client_wait(old); /* ran to its end on the old version */
    client_check(old);
    ck_assert_int_eq(old->end, END_LENGTH);

    use_adapter(forced, e, 0);
    forced->adapter_value = 77000;
    ck_assert_int_eq(client_submit(forced, e, &err), 0);
    usleep(3000);
    ck_assert_int_eq(adapter_unload(store, "a0", true, &err), 0);
    client_wait(forced);
    client_check(forced);
    ck_assert_int_eq(forced->end, END_CANCELLED);
    ck_assert_int_eq(adapter_unload(store, "a0", true, &err), OL_ENOTFOUND);
    struct engine_stats s;
    do { /* pages go with the last reference */
        usleep(200);
        engine_stats(e, &s);
    } while (s.pages_adapter);
    client_free(old);
    client_free(new);
    client_free(forced);
    close_all(e, &m);
}
END_TEST

/* ---- Load ---- */

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

static void run_load(struct engine_config config, int32_t n_pages, int requests, bool expect_pressure)
{
    enum { THREADS = 12 };
    struct fake_model m = {0};
    struct engine *e = open_with_adapters(&m, config, n_pages, 6, 2);
    struct load l[THREADS];
    pthread_t t[THREADS];
    long cancelled = 0, preempted = 0, cached = 0;
    for (int i = 0; i < THREADS; i++) {
        l[i] = (struct load){.engine = e, .seed = (unsigned)(i * 97 + 5), .requests = requests};
        ck_assert_int_eq(pthread_create(&t[i], NULL, load_thread, &l[i]), 0);
    }
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

START_TEST(load_with_room) { run_load((struct engine_config){0}, 600, 60, false); }
END_TEST

START_TEST(load_under_pressure)
{
    run_load((struct engine_config){.max_seqs = 8, .max_rows = 24}, 30, 60, true);
}
END_TEST

START_TEST(load_without_cache)
{
    run_load((struct engine_config){.max_seqs = 8, .max_rows = 24, .no_prefix_cache = true}, 30, 20, false);
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
    CHECK(mkdtemp(folder));
    log_set_level(LOG_QUIET);
    Suite *suite = suite_create("engine");
    TCase *t = tcase_create("engine");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, one_request);
    tcase_add_test(t, limits);
    tcase_add_test(t, multi_turn_uses_the_cache);
    tcase_add_test(t, choices_prefill_once);
    tcase_add_test(t, cancelling);
    tcase_add_test(t, queue_is_bounded_and_drains);
    tcase_add_test(t, device_loss_ends_everything);
    tcase_add_test(t, adapters_compete_for_pages);
    tcase_add_test(t, bad_adapter_fails_its_requests_only);
    tcase_add_test(t, replace_and_unload_under_load);
    tcase_add_test(t, load_with_room);
    tcase_add_test(t, load_under_pressure);
    tcase_add_test(t, load_without_cache);
    tcase_add_test(t, adapters_change_under_load);
    tcase_add_test(t, close_under_load);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    fake_remove_adapters(folder);
    return failed ? 1 : 0;
}
