/* Clients of an engine on the fake model: submit, collect, wait, and compare with what the request gets alone. */
#ifndef OPENLORA_TESTS_ENGINE_CLIENT_H
#define OPENLORA_TESTS_ENGINE_CLIENT_H

#include "fake_model.h"

#include "base/log.h"

#include <check.h>
#include <unistd.h>

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

static inline bool client_token(void *user, const struct step_result *r)
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

static inline void client_end(void *user, enum engine_end end, const struct usage *usage, const struct err *why)
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

static inline struct client *client_new(int32_t n_prompt, int32_t max_tokens)
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

static inline int client_submit(struct client *c, struct engine *e, struct err *err)
{
    uint64_t id = 0;
    c->engine = e;
    pthread_mutex_lock(&c->mutex); /* callbacks that need the id wait for it */
    int rc = engine_submit(e, &c->request, &id, err);
    c->id = id;
    pthread_mutex_unlock(&c->mutex);
    return rc;
}

static inline void client_wait(struct client *c)
{
    pthread_mutex_lock(&c->mutex);
    while (!c->ends)
        pthread_cond_wait(&c->done, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

/* All tokens so far are those the request gets alone, and usage agrees with them. */
static inline void client_check(struct client *c)
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

static inline void client_free(struct client *c)
{
    pthread_mutex_destroy(&c->mutex);
    pthread_cond_destroy(&c->done);
    free(c);
}

static inline void run_one(struct client *c, struct engine *e)
{
    struct err err;
    ck_assert_int_eq(client_submit(c, e, &err), 0);
    client_wait(c);
    client_check(c);
}

static inline void close_all(struct engine *e, struct fake_model *m)
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

static inline struct engine *open_with_adapters(struct fake_model *m, struct engine_config c, int32_t n_pages, int n,
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

static inline void use_adapter(struct client *c, struct engine *e, int i)
{
    char name[32];
    struct err err;
    snprintf(name, sizeof name, "a%d", i);
    ck_assert_int_eq(adapter_acquire(engine_adapters(e), name, &c->request.adapter, &err), 0);
    c->adapter_value = 1000u * (unsigned)(i + 1);
}

/* Runs the suite with the adapters' folder around it; the exit status of the test program. */
static inline int run_engine_suite(Suite *suite)
{
    log_set_level(LOG_QUIET);
    CHECK(mkdtemp(folder));
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    fake_remove_adapters(folder);
    return failed ? 1 : 0;
}

#endif
