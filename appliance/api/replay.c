/* The kept answer of an Idempotency-Key: at once if its receipt is known, else once chainlited has told it. Byte for byte
 * what the first answer was, so it does not matter which of the two a client lost. */
#include "api/replay.h"

#include "api/auth.h"
#include "api/errors.h"

#include <stdlib.h>
#include <string.h>

struct replay {
    struct app *app;
    struct kept_answer kept;
    struct refusal refusal;
    struct http_stream *stream; /* only to wake the request */
    atomic_int references;      /* the request's and the bill's */
};

static void release(void *user)
{
    struct replay *p = user;
    if (atomic_fetch_sub(&p->references, 1) != 1)
        return;
    http_stream_release(p->stream);
    kept_answer_deinit(&p->kept);
    free(p);
}

static void respond(struct app *app, struct http_request *r, const struct kept_answer *k)
{
    const char *id = json_string_value(json_object_get(k->answer, "receipt_id"));
    bool stream = json_is_true(json_object_get(k->answer, "stream"));
    struct refusal refused;
    struct buf all;
    if (k->before.len == 0) {
        refuse(&refused, 409, "idempotency_cancelled", NULL, "the request with this Idempotency-Key was cancelled by "
               "its client, and billed for what it was given (receipt %s); use another key", id ? id : "?");
        refusal_respond(app, &refused, r);
        return;
    }
    buf_init(&all, 3 * (size_t)LEDGER_MAX_VALUE_BYTES);
    buf_add(&all, buf_str(&k->before), k->before.len);
    buf_add(&all, buf_str(&k->outcome), k->outcome.len);
    buf_add(&all, buf_str(&k->after), k->after.len);
    if (id)
        http_respond_header(r, "OpenLoRA-Receipt", id);
    http_respond_header(r, "Idempotency-Replayed", "true");
    if (buf_failed(&all)) {
        refuse(&refused, 503, "no_memory", NULL, "no memory for the answer; try again");
        refusal_respond(app, &refused, r);
    } else {
        http_respond(r, 200, stream ? "text/event-stream; charset=utf-8" : "application/json", all.data, all.len);
    }
    buf_deinit(&all);
}

static void on_settled(void *user, const struct refusal *refused)
{
    struct replay *p = user;
    if (refused)
        p->refusal = *refused;
    http_stream_wake(p->stream);
    release(p);
}

static void ready(void *user, struct http_request *r)
{
    struct replay *p = user;
    if (p->refusal.status)
        refusal_respond(p->app, &p->refusal, r);
    else
        respond(p->app, r, &p->kept);
}

static void gone(void *user) { (void)user; } /* a receipt that was asked for comes */

static void settle(struct app *app, struct http_request *r, struct kept_answer *kept)
{
    struct refusal refused = {0};
    struct replay *p = calloc(1, sizeof *p);
    struct http_stream *stream = http_stream_open(1);
    if (!p || !stream) {
        free(p);
        http_stream_release(stream);
        kept_answer_deinit(kept);
        refuse(&refused, 503, "no_memory", NULL, "no memory for the answer; try again");
        refusal_respond(app, &refused, r);
        return;
    }
    p->app = app;
    p->kept = *kept;
    p->stream = stream;
    atomic_init(&p->references, 2);
    if (bill_resume(app->billing, &p->kept, on_settled, p, &refused) == 0) {
        http_wait(r, stream, &(struct http_wait){.ready = ready, .gone = gone, .done = release, .user = p});
        return;
    }
    refusal_respond(app, &refused, r);
    release(p);
    release(p);
}

void replay_answer(struct app *app, struct http_request *r, struct kept_answer *kept)
{
    atomic_fetch_add(&app->billing->counters.replayed, 1);
    if (kept->outcome.len == 0) {
        settle(app, r, kept);
        return;
    }
    respond(app, r, kept);
    kept_answer_deinit(kept);
}
