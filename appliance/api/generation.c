#include "api/generation.h"

#include "api/format.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { MAX_PARTS = 128, MAX_EVENT_BYTES = 80 << 20, MAX_UNSENT_BYTES = 16 << 20 };

struct part { /* a choice as a request to the engine */
    struct generation *generation;
    struct choice *choice;
    uint64_t id;   /* the engine's; 0: not submitted */
    bool opened;   /* its first event is out */
    bool ended;
};

struct generation {
    pthread_mutex_t lock; /* guards what follows `stream` */
    struct app *app;      /* borrowed */
    struct params params; /* model and user are dead after the handler returned */
    struct prompts prompts;
    struct format format;
    struct http_stream *stream;
    int references;       /* the HTTP request's, and one per submitted part */
    int n_running;        /* parts, and one while they are being submitted */
    bool gone;            /* nobody reads: write nothing more */
    bool written;         /* bytes went to the stream */
    struct api_error failure; /* status 0: none */
    struct usage usage;   /* summed over the choices */
    struct buf event;     /* scratch */
    int n_parts;
    struct part *parts;      /* owned, both of n_parts */
    struct choice *choices;
};

void prompts_deinit(struct prompts *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->list[i].ids);
    free(p->list);
    *p = (struct prompts){0};
}

static void destroy(struct generation *g)
{
    for (int i = 0; i < g->n_parts; i++)
        choice_deinit(&g->choices[i]);
    free(g->parts);
    free(g->choices);
    params_deinit(&g->params);
    prompts_deinit(&g->prompts);
    format_deinit(&g->format);
    buf_deinit(&g->event);
    http_stream_release(g->stream);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static void release(struct generation *g)
{
    pthread_mutex_lock(&g->lock);
    bool last = --g->references == 0;
    pthread_mutex_unlock(&g->lock);
    if (last)
        destroy(g);
}

/* ---- on the engine's thread, under the lock */

/* Sends g->event; false when nobody reads. */
static bool send(struct generation *g)
{
    if (buf_failed(&g->event)) {
        http_stream_end(g->stream, false);
        return false;
    }
    g->written = g->written || g->event.len > 0;
    bool ok = g->event.len == 0 || http_stream_write(g->stream, g->event.data, g->event.len);
    buf_reset(&g->event);
    return ok;
}

static bool on_token(void *user, const struct step_result *token)
{
    struct part *p = user;
    struct generation *g = p->generation;
    pthread_mutex_lock(&g->lock);
    bool go_on = !g->gone && !g->failure.status && choice_push(p->choice, token);
    if (g->params.stream && !g->gone && !g->failure.status) {
        if (!p->opened)
            format_role(&g->format, p->choice, &g->event);
        p->opened = true;
        format_delta(&g->format, p->choice, &g->event);
        if (!send(g))
            go_on = false;
    }
    pthread_mutex_unlock(&g->lock);
    return go_on;
}

static void fail_part(struct generation *g, const struct part *p, enum engine_end end, const struct err *why)
{
    if (g->failure.status)
        return;
    if (end == END_ERROR && why)
        api_fail_err(&g->failure, why, NULL);
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

static void add_usage(struct usage *sum, const struct usage *u, bool first_of_prompt)
{
    sum->output_tokens += u->output_tokens;
    if (first_of_prompt) { /* choices share their prompt: it counts once */
        sum->prompt_tokens += u->prompt_tokens;
        sum->cached_tokens += u->cached_tokens;
    }
}

/* All parts have ended. */
static void finish(struct generation *g)
{
    if (!g->params.stream) {
        http_stream_wake(g->stream);
        return;
    }
    if (g->failure.status && !g->written) {
        http_stream_wake(g->stream); /* `ready` still chooses the status, unless the head is out */
    } else if (g->failure.status) {
        buf_add_str(&g->event, "data: ");
        api_error_json(&g->failure, &g->event);
        buf_add_str(&g->event, "\n\n");
    } else {
        if (g->params.include_usage)
            format_usage(&g->format, &g->usage, &g->event);
        format_done(&g->event);
    }
    send(g);
    http_stream_end(g->stream, true);
}

static void on_end(void *user, enum engine_end end, const struct usage *usage, const struct err *why)
{
    struct part *p = user;
    struct generation *g = p->generation;
    pthread_mutex_lock(&g->lock);
    p->ended = true;
    choice_end(p->choice, end, usage);
    add_usage(&g->usage, usage, p->choice->index % g->params.n == 0);
    if (!g->gone) {
        fail_part(g, p, end, why);
        if (g->params.stream && !g->failure.status) {
            if (!p->opened)
                format_role(&g->format, p->choice, &g->event);
            format_delta(&g->format, p->choice, &g->event);
            format_finish(&g->format, p->choice, &g->event);
            send(g);
        }
    }
    if (--g->n_running == 0)
        finish(g);
    pthread_mutex_unlock(&g->lock);
    release(g);
}

/* ---- on a server thread */

static void respond_whole(struct generation *g, struct http_request *r)
{
    struct buf json;
    buf_init(&json, MAX_EVENT_BYTES);
    format_whole(&g->format, g->choices, g->n_parts, &g->usage, &json);
    if (buf_failed(&json)) {
        api_fail(&g->failure, 503, NULL, "no_memory", "no memory for the answer");
        api_error_respond(&g->failure, r);
    } else {
        http_respond(r, 200, "application/json", json.data, json.len);
    }
    buf_deinit(&json);
}

static void ready(void *user, struct http_request *r)
{
    struct generation *g = user;
    pthread_mutex_lock(&g->lock);
    if (g->failure.status && !g->written) {
        api_error_respond(&g->failure, r);
    } else if (g->params.stream) {
        g->written = true; /* the head, at least: from here on errors are events */
        http_respond_stream(r, 200, "text/event-stream; charset=utf-8", g->stream);
    } else {
        respond_whole(g, r);
    }
    pthread_mutex_unlock(&g->lock);
}

/* Not under the lock while the engine is called: it may be calling us. */
static void cancel_all(struct generation *g)
{
    for (int i = 0; i < g->n_parts; i++) {
        pthread_mutex_lock(&g->lock);
        uint64_t id = g->parts[i].ended ? 0 : g->parts[i].id;
        pthread_mutex_unlock(&g->lock);
        if (id)
            engine_cancel(g->app->engine, id);
    }
}

static void gone(void *user) { cancel_all(user); }

static void done(void *user)
{
    struct generation *g = user;
    pthread_mutex_lock(&g->lock);
    g->gone = true;
    pthread_mutex_unlock(&g->lock);
    release(g);
}

static uint64_t random_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint64_t)clock_mono_ns();
    return seed;
}

/* Submits one part with a reference of its own on the adapter. */
static int submit(struct generation *g, struct part *p, const struct engine_request *base, const char *adapter,
                  struct api_error *e)
{
    const struct prompt *prompt = &g->prompts.list[p->choice->index / g->params.n];
    struct engine_request request = *base;
    struct err why = {0};
    uint64_t id = 0;
    request.prompt = prompt->ids;
    request.n_prompt = (int32_t)prompt->n;
    request.choice = p->choice->index % g->params.n;
    request.user = p;
    if (adapter && adapter_acquire(engine_adapters(g->app->engine), adapter, &request.adapter, &why) != 0)
        return api_fail_err(e, &why, "model");
    pthread_mutex_lock(&g->lock);
    g->references++;
    g->n_running++;
    pthread_mutex_unlock(&g->lock);
    int rc = engine_submit(g->app->engine, &request, &id, &why);
    pthread_mutex_lock(&g->lock);
    p->id = id;
    if (rc != 0) {
        g->references--;
        g->n_running--;
        p->ended = true;
    }
    pthread_mutex_unlock(&g->lock);
    if (rc == 0)
        return 0;
    if (request.adapter)
        adapter_release(request.adapter);
    if (why.code == OL_EBUSY && atomic_load(&g->app->draining))
        return api_fail(e, 503, NULL, "shutting_down", "the server is shutting down");
    return api_fail_err(e, &why, NULL);
}

static int submit_all(struct generation *g, const char *adapter, struct api_error *e)
{
    struct engine_request request = {.sampling = g->params.sampling, .tenant = g->params.user,
                                     .max_tokens = g->params.max_tokens, .on_token = on_token, .on_end = on_end};
    request.sampling.seed = g->params.has_seed ? (uint64_t)g->params.seed : random_seed();
    int rc = 0;
    for (int i = 0; i < g->n_parts && rc == 0; i++)
        rc = submit(g, &g->parts[i], &request, adapter, e);
    if (rc != 0) {
        pthread_mutex_lock(&g->lock);
        g->gone = true;
        pthread_mutex_unlock(&g->lock);
        cancel_all(g);
    }
    pthread_mutex_lock(&g->lock);
    if (--g->n_running == 0) /* all ended while we submitted */
        finish(g);
    pthread_mutex_unlock(&g->lock);
    return rc;
}

/* Does the adapter (NULL: none) have to be read from disk first? */
static bool needs_reading(struct app *app, const char *adapter)
{
    struct adapter_info *info = adapter ? malloc(sizeof *info) : NULL;
    bool cold = info && adapter_store_info(engine_adapters(app->engine), adapter, info) && !info->in_host;
    free(info);
    return cold;
}

/* Without an explicit limit a chat goes on as long as the context; OpenAI's completions stop after 16 tokens. */
static int limit_tokens(struct generation *g, struct api_error *e)
{
    int32_t context = engine_max_context(g->app->engine), longest = 0;
    for (int i = 0; i < g->prompts.n; i++)
        if (g->prompts.list[i].n > (size_t)longest)
            longest = (int32_t)g->prompts.list[i].n;
    int32_t asked = g->params.max_tokens ? g->params.max_tokens : g->format.chat ? 1 : 16;
    if (asked > context - longest)
        return api_fail(e, 400, g->format.chat ? "messages" : "prompt", "context_length_exceeded",
                        "this model's maximum context length is %d tokens, but %d were requested (%d in the prompt, "
                        "%d to generate)", context, longest + (asked < context ? asked : context), longest, asked);
    if (!g->params.max_tokens)
        g->params.max_tokens = g->format.chat ? context - longest : asked;
    return 0;
}

static struct generation *create(struct app *app, enum route route, struct params *params, struct prompts *prompts,
                                 const char *model)
{
    struct generation *g = calloc(1, sizeof *g);
    int n = prompts->n * params->n;
    struct part *parts = calloc((size_t)n, sizeof *parts);
    struct choice *choices = calloc((size_t)n, sizeof *choices);
    struct http_stream *stream = http_stream_open(MAX_UNSENT_BYTES);
    if (!g || !parts || !choices || !stream) {
        free(g);
        free(parts);
        free(choices);
        http_stream_release(stream);
        params_deinit(params);
        prompts_deinit(prompts);
        return NULL;
    }
    *g = (struct generation){.app = app, .params = *params, .prompts = *prompts, .stream = stream, .references = 1,
                             .n_running = 1, .n_parts = n, .parts = parts, .choices = choices};
    pthread_mutex_init(&g->lock, NULL);
    buf_init(&g->event, MAX_EVENT_BYTES);
    bool chat = route == ROUTE_CHAT;
    format_init(&g->format, chat, params->stream, params->include_usage, model, app->fingerprint);
    for (int i = 0; i < n; i++) {
        choice_init(&choices[i], i, app->tokenizer, &g->params, chat);
        parts[i] = (struct part){.generation = g, .choice = &choices[i]};
    }
    return g;
}

int generation_answer(struct app *app, struct http_request *r, enum route route, struct params *params,
                      struct prompts *prompts, struct api_error *e)
{
    const char *model = params->model ? params->model : app->model_name;
    const char *adapter = strcmp(model, app->model_name) == 0 ? NULL : model;
    if (prompts->n * params->n > MAX_PARTS) {
        int rc = api_fail(e, 400, "n", NULL, "at most %d choices over all prompts", MAX_PARTS);
        params_deinit(params);
        prompts_deinit(prompts);
        return rc;
    }
    struct generation *g = create(app, route, params, prompts, model);
    if (!g)
        return api_fail(e, 503, NULL, "no_memory", "no memory for the request; try again");
    bool wait_for_token = !g->params.stream || needs_reading(app, adapter);
    int rc = limit_tokens(g, e);
    if (rc == 0)
        rc = submit_all(g, adapter, e);
    if (rc != 0) {
        release(g);
        return rc;
    }
    counters_request(&app->counters, g->params.n, g->params.max_tokens);
    g->params.model = g->params.user = NULL; /* the body goes with http_wait */
    http_wait(r, g->stream, &(struct http_wait){.ready = ready, .gone = gone, .done = done, .user = g});
    if (!wait_for_token)
        http_stream_wake(g->stream);
    return 0;
}
