/* A request for answers, from its parameters to the engine: one part per choice, all with one adapter version and tenant.
 *
 * Its lock is taken by three kinds of threads: the server's, the engine's and chainlited's client's. Nobody calls the
 * server or the engine with it held where they may call back with a lock of their own. */
#include "api/generation_internal.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { MAX_PARTS = 128, MAX_UNSENT_BYTES = 16 << 20 };

void prompts_deinit(struct prompts *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->list[i].ids);
    free(p->list);
    *p = (struct prompts){0};
}

static void destroy(struct generation *g)
{
    generation_bill_close(g);
    adapter_release(g->adapter);
    for (int i = 0; i < g->n_parts; i++)
        choice_deinit(&g->choices[i]);
    free(g->parts);
    free(g->choices);
    free(g->caller);
    params_deinit(&g->params);
    prompts_deinit(&g->prompts);
    format_deinit(&g->format);
    buf_deinit(&g->event);
    http_stream_release(g->stream);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void generation_release(struct generation *g)
{
    pthread_mutex_lock(&g->lock);
    bool last = --g->references == 0;
    pthread_mutex_unlock(&g->lock);
    if (last)
        destroy(g);
}

/* ---- on a server thread */

static void respond_whole(struct generation *g, struct http_request *r)
{
    struct buf json;
    buf_init(&json, MAX_EVENT_BYTES);
    generation_bill_headers(g, r);
    if (g->bill) {
        buf_add(&json, buf_str(&g->before), g->before.len);
        buf_add_str(&json, bill_outcome(g->bill));
        buf_add(&json, buf_str(&g->after), g->after.len);
    } else {
        format_whole(&g->format, g->choices, g->n_parts, &g->usage, &json);
    }
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
    bool stream = false;
    pthread_mutex_lock(&g->lock);
    if (g->refusal.status && !g->written) {
        refusal_respond(g->app, &g->refusal, r);
    } else if (g->failure.status && !g->written) {
        api_error_respond(&g->failure, r);
    } else if (g->params.stream) {
        stream = g->written = true; /* the head, at least: from here on errors are events */
        generation_bill_headers(g, r);
    } else {
        respond_whole(g, r);
    }
    pthread_mutex_unlock(&g->lock);
    /* Not under the lock: the server asks a stream for bytes with a lock of its own held, and what is called when a stream
     * is drained takes ours. */
    if (stream)
        http_respond_stream(r, 200, "text/event-stream; charset=utf-8", g->stream);
}

/* Not under the lock while the engine is called: it may be calling us. */
void generation_cancel(struct generation *g)
{
    for (int i = 0; i < g->n_parts; i++) {
        pthread_mutex_lock(&g->lock);
        uint64_t id = g->parts[i].ended ? 0 : g->parts[i].id;
        pthread_mutex_unlock(&g->lock);
        if (id)
            engine_cancel(g->app->engine, id);
    }
}

static void gone(void *user)
{
    struct generation *g = user;
    pthread_mutex_lock(&g->lock);
    g->hung_up = true;
    pthread_mutex_unlock(&g->lock);
    generation_cancel(g);
}

static void done(void *user)
{
    struct generation *g = user;
    pthread_mutex_lock(&g->lock);
    g->gone = true;
    pthread_mutex_unlock(&g->lock);
    generation_release(g);
}

static uint64_t random_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint64_t)clock_mono_ns();
    return seed;
}

_Static_assert((int)SERVICE_DEFAULT == TIER_DEFAULT && (int)SERVICE_FLEX == TIER_FLEX &&
                   (int)SERVICE_PRIORITY == TIER_PRIORITY, "what a price is for is how it is scheduled");

enum tier generation_tier(const struct generation *g)
{
    return g->params.tier > 0 ? (enum tier)g->params.tier : TIER_DEFAULT;
}

/* Submits one part with a reference of its own on the adapter. */
static int submit(struct generation *g, struct generation_part *p, const struct engine_request *base,
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
    request.adapter = g->adapter ? adapter_ref(g->adapter) : NULL;
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

int generation_submit(struct generation *g, struct api_error *e)
{
    struct engine_request request = {.sampling = g->params.sampling, .tenant = g->tenant,
                                     .tier = (enum service_tier)generation_tier(g),
                                     .max_tokens = g->params.max_tokens, .on_token = generation_on_token,
                                     .on_end = generation_on_end};
    request.sampling.seed = g->params.has_seed ? (uint64_t)g->params.seed : random_seed();
    int rc = 0;
    for (int i = 0; i < g->n_parts && rc == 0; i++)
        rc = submit(g, &g->parts[i], &request, e);
    if (rc != 0) {
        pthread_mutex_lock(&g->lock);
        if (g->bill)
            g->failure = *e; /* the connection waits for it */
        else
            g->gone = true;
        pthread_mutex_unlock(&g->lock);
        generation_cancel(g);
    }
    adapter_release(g->adapter); /* the parts have their own */
    pthread_mutex_lock(&g->lock);
    g->adapter = NULL;
    if (--g->n_running == 0) /* all ended while we submitted */
        generation_finish(g);
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
    struct generation_part *parts = calloc((size_t)n, sizeof *parts);
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
                             .n_running = 1, .n_parts = n, .route = route, .parts = parts, .choices = choices};
    pthread_mutex_init(&g->lock, NULL);
    buf_init(&g->event, MAX_EVENT_BYTES);
    bool chat = route == ROUTE_CHAT;
    format_init(&g->format, chat, params->stream, params->include_usage, model, app->fingerprint);
    for (int i = 0; i < n; i++) {
        choice_init(&choices[i], i, app->tokenizer, &g->params, chat);
        parts[i] = (struct generation_part){.generation = g, .choice = &choices[i]};
    }
    return g;
}

/* The adapter's version of this moment, whose name may point elsewhere before the answer begins. */
static int choose_adapter(struct generation *g, const char *adapter, struct api_error *e)
{
    struct err why = {0};
    if (adapter && adapter_acquire(engine_adapters(g->app->engine), adapter, &g->adapter, &why) != 0)
        return api_fail_err(e, &why, "model");
    g->wait_for_token = !g->params.stream || needs_reading(g->app, adapter);
    return 0;
}

/* Fairness, prefix cache and bills go by the name that was proven; without one by what the client says. */
static int choose_tenant(struct generation *g, const struct caller *caller, struct api_error *e)
{
    const char *user = g->params.user ? g->params.user : "";
    bool named = caller->kind == CALLER_KEY || caller->kind == CALLER_WALLET;
    snprintf(g->tenant, sizeof g->tenant, "%s", named ? caller->tenant : user);
    if (!g->app->billing)
        return 0;
    g->caller = malloc(sizeof *g->caller);
    if (!g->caller)
        return api_fail(e, 503, NULL, "no_memory", "no memory for the request; try again");
    *g->caller = *caller;
    return 0;
}

static int check_tier(const struct generation *g, struct api_error *e)
{
    if (g->app->billing || g->params.tier <= 0)
        return 0;
    return api_fail(e, 400, "service_tier", "unsupported_value", "'service_tier' supports only auto and default on a "
                    "node that does not bill");
}

int generation_answer(struct app *app, struct http_request *r, enum route route, struct params *params,
                      struct prompts *prompts, const struct caller *caller, struct api_error *e)
{
    const char *model = params->model ? params->model : app->model_name;
    const char *adapter = strcmp(model, app->model_name) == 0 ? NULL : model;
    bool responded = false;
    if (prompts->n * params->n > MAX_PARTS) {
        int rc = api_fail(e, 400, "n", NULL, "at most %d choices over all prompts", MAX_PARTS);
        params_deinit(params);
        prompts_deinit(prompts);
        return rc;
    }
    struct generation *g = create(app, route, params, prompts, model);
    if (!g)
        return api_fail(e, 503, NULL, "no_memory", "no memory for the request; try again");
    int rc = limit_tokens(g, e);
    if (rc == 0)
        rc = check_tier(g, e);
    if (rc == 0)
        rc = choose_tenant(g, caller, e);
    if (rc == 0)
        rc = choose_adapter(g, adapter, e);
    if (rc == 0)
        rc = app->billing ? generation_bill_start(g, r, &responded, e) : generation_submit(g, e);
    if (rc != 0 || responded) {
        generation_release(g);
        return rc;
    }
    counters_request(&app->counters, g->params.n, g->params.max_tokens);
    g->params.model = g->params.user = NULL; /* the body goes with http_wait */
    http_wait(r, g->stream, &(struct http_wait){.ready = ready, .gone = gone, .done = done, .user = g});
    if (!app->billing && !g->wait_for_token)
        http_stream_wake(g->stream);
    return 0;
}
