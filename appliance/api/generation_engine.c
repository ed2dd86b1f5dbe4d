/* What the engine tells a generation. All but the lock's holder runs on the engine's thread. */
#include "api/generation_internal.h"

/* Sends g->event; false when nobody reads. */
bool generation_send(struct generation *g)
{
    if (buf_failed(&g->event)) {
        http_stream_end(g->stream, false);
        return false;
    }
    g->written = g->written || g->event.len > 0;
    generation_bill_sending(g);
    g->stream_bytes += g->event.len;
    bool ok = g->event.len == 0 || http_stream_write(g->stream, g->event.data, g->event.len);
    buf_reset(&g->event);
    return ok;
}

/* Sends what a choice has made since its last event; false when nobody reads. */
static bool send_delta(struct generation *g, struct generation_part *p)
{
    if (!p->opened)
        format_role(&g->format, p->choice, &g->event);
    p->opened = true;
    size_t before = g->event.len;
    generation_bill_text(p);
    format_delta(&g->format, p->choice, &g->event);
    if (g->event.len > before)
        generation_bill_event(p);
    return generation_send(g);
}

bool generation_on_token(void *user, const struct step_result *token)
{
    struct generation_part *p = user;
    struct generation *g = p->generation;
    pthread_mutex_lock(&g->lock);
    bool go_on = !g->gone && !g->failure.status && choice_push(p->choice, token);
    generation_bill_token(p, token);
    if (g->params.stream && !g->gone && !g->failure.status && !send_delta(g, p))
        go_on = false;
    pthread_mutex_unlock(&g->lock);
    return go_on;
}

static void fail_part(struct generation *g, const struct generation_part *p, enum engine_end end, const struct err *why)
{
    if (g->failure.status)
        return;
    if (end == END_ERROR && why)
        api_fail_err(&g->failure, why, NULL);
    else if (end == END_CANCELLED && g->bill && g->hung_up)
        return; /* what was delivered is billed */
    else if (end == END_CANCELLED)
        api_fail(&g->failure, 503, NULL, "cancelled", "the request was cancelled: %s",
                 atomic_load(&g->app->draining) ? "the server is shutting down" : "its adapter was unloaded");
    else if (buf_failed(&p->choice->text))
        api_fail(&g->failure, 503, NULL, "no_memory", "no memory for the answer");
    else
        return;
    for (int i = 0; i < g->n_parts; i++) /* an answer with a choice missing is no answer */
        if (!g->parts[i].ended)
            engine_cancel(g->app->engine, g->parts[i].id);
}

static double longer(double a, double b) { return a > b ? a : b; }

static void add_usage(struct usage *sum, const struct usage *u, bool first_of_prompt)
{
    sum->output_tokens += u->output_tokens;
    sum->queue_ms = longer(sum->queue_ms, u->queue_ms);
    sum->prefill_ms = longer(sum->prefill_ms, u->prefill_ms);
    sum->decode_ms = longer(sum->decode_ms, u->decode_ms);
    if (first_of_prompt) { /* choices share their prompt: it counts once */
        sum->prompt_tokens += u->prompt_tokens;
        sum->cached_tokens += u->cached_tokens;
    }
}

void generation_fail(struct generation *g)
{
    if (!g->written) {
        http_stream_wake(g->stream); /* `ready` still chooses the status, unless the head is out */
    } else {
        if (g->refusal.status)
            api_fail(&g->failure, g->refusal.status, g->refusal.param, g->refusal.code, "%s", g->refusal.message);
        buf_add_str(&g->event, "data: ");
        api_error_json(&g->failure, &g->event);
        buf_add_str(&g->event, "\n\n");
    }
    generation_send(g);
    if (g->params.stream)
        http_stream_end(g->stream, true);
}

void generation_finish(struct generation *g)
{
    if (g->bill) {
        generation_bill_finish(g);
    } else if (g->failure.status) {
        generation_fail(g);
    } else if (!g->params.stream) {
        http_stream_wake(g->stream);
    } else {
        if (g->params.include_usage)
            format_usage(&g->format, &g->usage, &g->event);
        format_done(&g->event);
        generation_send(g);
        http_stream_end(g->stream, true);
    }
}

void generation_on_end(void *user, enum engine_end end, const struct usage *usage, const struct err *why)
{
    struct generation_part *p = user;
    struct generation *g = p->generation;
    pthread_mutex_lock(&g->lock);
    p->ended = true;
    choice_end(p->choice, end, usage);
    add_usage(&g->usage, usage, p->choice->index % g->params.n == 0);
    if (!g->gone) {
        fail_part(g, p, end, why);
        if (g->params.stream && !g->failure.status) {
            send_delta(g, p);
            if (!g->bill) { /* a bill's finish events wait for the receipt */
                format_finish(&g->format, p->choice, &g->event);
                generation_send(g);
            }
        }
    }
    if (--g->n_running == 0)
        generation_finish(g);
    pthread_mutex_unlock(&g->lock);
    generation_release(g);
}

