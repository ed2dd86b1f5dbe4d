/* A request whose answer comes from chainlited, in one question or several: the connection sleeps on a stream meanwhile.
 * Two hold the answer, the request and the question under way; the later of them frees it. */
#include "api/chain_answer.h"

#include "api/auth.h"
#include "billing/bill_internal.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 64 << 20 };

struct chain_answer {
    struct app *app;
    chain_answer_step step;
    void *user;
    void (*free_user)(void *);
    bool of_bytes;
    struct http_stream *stream; /* only to wake the request */
    atomic_int references;      /* the request's, and one while chainlited is asked */
    atomic_bool gone;
    struct refusal refusal;
    const char *content_type;
    struct buf bytes;
};

static void release(void *user)
{
    struct chain_answer *a = user;
    if (atomic_fetch_sub(&a->references, 1) != 1)
        return;
    a->free_user(a->user);
    http_stream_release(a->stream);
    buf_deinit(&a->bytes);
    free(a);
}

static void ready(void *user, struct http_request *r)
{
    struct chain_answer *a = user;
    if (a->refusal.status)
        refusal_respond(a->app, &a->refusal, r);
    else
        http_respond(r, 200, a->content_type, buf_str(&a->bytes), a->bytes.len);
}

static void gone(void *user) { atomic_store(&((struct chain_answer *)user)->gone, true); }

static void on_answer(void *user, int rc, int status, const json_t *body, const struct err *why)
{
    struct chain_answer *a = user;
    const char *message = json_string_value(json_object_get(json_object_get(body, "error"), "message"));
    if (rc != 0)
        refuse_unavailable(a->app->billing, &a->refusal, why);
    else if (status == 404)
        refuse(&a->refusal, 404, "not_found", NULL, "there is no such %s", a->of_bytes ? "body" : "receipt");
    else if (status != 200)
        refuse(&a->refusal, status < 500 ? 400 : 503, NULL, NULL, "%s", message ? message : "chainlited refused");
    else if (atomic_load(&a->gone)) /* and nobody waits for more */
        refuse(&a->refusal, 503, "cancelled", NULL, "the request was cancelled");
    else
        (void)!a->step(a, body, &a->refusal);
    if (a->refusal.status || a->content_type)
        http_stream_wake(a->stream);
    release(a);
}

int chain_answer_ask(struct chain_answer *a, const char *path, struct refusal *r)
{
    struct err e;
    atomic_fetch_add(&a->references, 1);
    struct chain_client *chain = a->app->billing->chain;
    if ((a->of_bytes ? chain_query_bytes(chain, path, on_answer, a, &e)
                     : chain_query(chain, "GET", path, on_answer, a, &e)) == 0)
        return 0;
    atomic_fetch_sub(&a->references, 1);
    refuse_unavailable(a->app->billing, r, &e);
    return -1;
}

void *chain_answer_user(struct chain_answer *a) { return a->user; }
struct app *chain_answer_app(struct chain_answer *a) { return a->app; }

void chain_answer_give(struct chain_answer *a, const char *content_type, struct buf *bytes)
{
    a->bytes = *bytes;
    a->content_type = content_type;
}

int chain_answer_give_json(struct chain_answer *a, json_t *tree, struct refusal *r)
{
    struct buf bytes;
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;
    json_decref(tree);
    buf_init(&bytes, MAX_BYTES);
    if (text)
        buf_add_str(&bytes, text);
    free(text);
    if (!text || buf_failed(&bytes)) {
        buf_deinit(&bytes);
        return refuse(r, 503, "no_memory", NULL, "no memory for the answer");
    }
    chain_answer_give(a, "application/json", &bytes);
    return 0;
}

static void start(struct app *app, struct http_request *r, const char *path, bool of_bytes, chain_answer_step step,
                  void *user, void (*free_user)(void *user))
{
    struct refusal refused;
    struct chain_answer *a = calloc(1, sizeof *a);
    struct http_stream *stream = http_stream_open(1);
    if (!a || !stream) {
        free(a);
        http_stream_release(stream);
        free_user(user);
        refuse(&refused, 503, "no_memory", NULL, "no memory for the answer");
        refusal_respond(app, &refused, r);
        return;
    }
    *a = (struct chain_answer){
        .app = app, .step = step, .user = user, .free_user = free_user, .of_bytes = of_bytes, .stream = stream};
    atomic_init(&a->references, 1);
    if (chain_answer_ask(a, path, &refused) == 0) {
        http_wait(r, stream, &(struct http_wait){.ready = ready, .gone = gone, .done = release, .user = a});
        return;
    }
    refusal_respond(app, &refused, r);
    release(a);
}

void chain_answer_start(struct app *app, struct http_request *r, const char *path, chain_answer_step step, void *user,
                        void (*free_user)(void *user))
{
    start(app, r, path, false, step, user, free_user);
}

void chain_answer_start_bytes(struct app *app, struct http_request *r, const char *path, chain_answer_step step,
                              void *user, void (*free_user)(void *user))
{
    start(app, r, path, true, step, user, free_user);
}
