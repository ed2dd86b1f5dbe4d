/* The life of openlorad, and the table of routes.
 *
 * The order of opening is that of failing cheaply: a busy port is known before the model is read, and nobody is answered
 * before app_start. Closing goes the other way, with one rule: what can wake a connection (worker, billing) is stopped
 * before the server goes, and freed after the engine, whose last callbacks may still use it. */
#include "api/app.h"

#include "api/app_adapters.h"
#include "api/app_attribution.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORKER_JOBS = 64, CANCEL_S = 10, POLL_NS = 2000000 };

static const struct http_route routes[] = {
    {"POST", "/v1/chat/completions", chat_completions},
    {"POST", "/v1/completions", completions},
    {"GET", "/v1/models", models_list},
    {"GET", "/v1/models/{}", models_get},
    {"GET", "/v1/adapters", adapters_list},
    {"GET", "/v1/adapters/{}", adapters_get},
    {"PUT", "/v1/adapters/{}", adapters_put},
    {"DELETE", "/v1/adapters/{}", adapters_delete},
    {"POST", "/v1/load_lora_adapter", adapters_load},
    {"POST", "/v1/unload_lora_adapter", adapters_unload},
    {"GET", "/v1/receipts", receipts_list},
    {"GET", "/v1/receipts/{}", receipts_get},
    {"GET", "/v1/contributors/{}", contributors_get},
    {"GET", "/v1/statement", statement},
    {"GET", "/v1/prices", prices},
    {"GET", "/v1/account", account},
    {"GET", "/v1/batches", batches_list},
    {"GET", "/v1/batches/{}", batches_body},
    {"GET", "/livez", health_live},
    {"GET", "/health", health_live}, /* vLLM's name */
    {"GET", "/readyz", health_ready},
    {"GET", "/version", health_version},
    {"GET", "/metrics", metrics},
};

/* The last part of the path, without ".gguf". */
static void name_model(struct app *app)
{
    const char *path = app->config->model, *slash;
    size_t n = strlen(path);
    if (app->config->model_name) {
        snprintf(app->model_name, sizeof app->model_name, "%s", app->config->model_name);
        return;
    }
    while (n > 1 && path[n - 1] == '/')
        n--;
    slash = memrchr(path, '/', n);
    if (slash && n > 1) {
        n -= (size_t)(slash + 1 - path);
        path = slash + 1;
    }
    if (n > 5 && memcmp(path + n - 5, ".gguf", 5) == 0)
        n -= 5;
    snprintf(app->model_name, sizeof app->model_name, "%.*s", (int)(n < 127 ? n : 127), path);
}

static int open_http(struct app *app, struct err *e)
{
    const struct config *c = app->config;
    struct http_config http = {.port = (int)c->port, .threads = (int)c->http_threads,
                               .max_connections = (int)c->max_connections, .timeout_s = (int)c->timeout_s,
                               .request_s = (int)c->request_s, .max_body_bytes = (size_t)c->max_body_mb << 20,
                               .hosts = (const char *const *)c->hosts.items, .n_hosts = c->hosts.n};
    return http_server_open(&http, &app->http, e);
}

static int worker_named(const char *name, enum engine_worker *out, struct err *e)
{
    static const char *const names[] = {[WORKER_OFF] = "off", [WORKER_ON] = "on", [WORKER_AUTO] = "auto"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum engine_worker)i;
            return 0;
        }
    return err_set(e, OL_EINVAL, "config", "worker is '%.40s': on, off and auto are possible", name);
}

static int open_engine(struct app *app, struct err *e)
{
    const struct config *c = app->config;
    struct config_list roots = {0};
    int rc = app_adapter_roots(c, &roots, e);
    if (rc != 0)
        return rc;
    struct engine_config engine = {
        .model_path = c->model,
        .device_name = c->device,
        .step_timeout_ms = (int32_t)c->step_timeout_ms,
        .device = {.threads = (int)c->threads, .isa = c->isa, .fast = c->fast},
        .pool_bytes = (size_t)c->pool_mb << 20,
        .max_context = (int32_t)c->max_context,
        .max_seqs = (int32_t)c->max_seqs,
        .max_rows = (int32_t)c->max_rows,
        .max_queue = (int32_t)c->max_queue,
        .adapter_host_bytes = (size_t)c->adapter_host_mb << 20,
        .adapter_roots = (const char *const *)roots.items,
        .n_adapter_roots = roots.n,
        .no_prefix_cache = !c->prefix_cache,
        .no_lora = !c->lora,
    };
    rc = worker_named(c->engine_worker, &engine.worker, e);
    if (rc == 0)
        rc = engine_open(&engine, &app->engine, e);
    app_adapter_roots_free(&roots);
    if (rc != 0)
        return rc;
    struct engine_stats s;
    engine_stats(app->engine, &s);
    snprintf(app->numerics, sizeof app->numerics, "%s", s.device.numerics);
    if (app->billing)
        billing_set_numerics(app->billing, app->numerics);
    return 0;
}

static int open_tokenizer(struct app *app, struct err *e)
{
    const struct model_file *file = engine_model_file(app->engine);
    int rc = model_file_gguf(file) ? tokenizer_open_gguf(model_file_gguf(file), &app->tokenizer, e)
                                   : tokenizer_open_dir(model_file_dir(file), &app->tokenizer, e);
    if (rc != 0)
        return rc;
    const char *source = tokenizer_chat_template(app->tokenizer);
    if (!source) {
        log_line(LOG_WARN, "api", "the model has no chat template: only /v1/completions will work");
        return 0;
    }
    app->template_has_tools = strstr(source, "tools") != NULL;
    return chat_template_compile(source, &app->chat_template, e);
}

/* Keys, and billing where chainlited's socket is named. */
static int open_billing(struct app *app, struct err *e)
{
    const struct config *c = app->config;
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/keys.json", c->billing_state ? c->billing_state : ".");
    if (c->billing_socket && !c->billing_state)
        return err_set(e, OL_EINVAL, "config", "[billing] socket needs state_dir as well: a folder for kept answers "
                       "and salts");
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, OL_EINVAL, "config", "[billing] state_dir is too long");
    struct billing_config billing = {.socket = c->billing_socket, .state_dir = c->billing_state,
                                     .currency = c->currency, .idempotency_s = c->idempotency_h * 3600,
                                     .receipts_s = c->receipts_days * 86400,
                                     .evidence_s = c->evidence_days * 86400, .kept_bytes = c->kept_mb << 20,
                                     .record_s = c->record_s, .max_arrears = c->max_waiting};
    int rc = c->billing_socket ? billing_open(&billing, &app->billing, e) : 0;
    if (rc == 0 && (c->auth_keys || app->billing))
        rc = keys_open(c->auth_keys ? c->auth_keys : path, &app->keys, e);
    return rc;
}

int app_open(const struct config *config, struct app **out, struct err *e)
{
    *out = NULL;
    struct app *app = calloc(1, sizeof *app);
    if (!app)
        return err_set(e, OL_ENOMEM, "api", "no memory");
    app->config = config;
    app->started = (int64_t)time(NULL);
    counters_init(&app->counters);
    name_model(app);
    int rc = open_http(app, e); /* a busy port is known before the model is read */
    if (rc == 0)
        rc = worker_open(WORKER_JOBS, &app->worker, e);
    if (rc == 0)
        rc = open_billing(app, e);
    if (rc == 0)
        rc = open_engine(app, e);
    if (rc == 0)
        rc = open_tokenizer(app, e);
    if (rc == 0)
        rc = app_adapters_register(app, e);
    if (rc == 0)
        rc = app_attribution_open(app, e);
    if (rc != 0) {
        app_close(app);
        return rc;
    }
    snprintf(app->fingerprint, sizeof app->fingerprint, "ol_%.12s", engine_version(app->engine));
    *out = app;
    return 0;
}

int app_start(struct app *app, struct err *e)
{
    if (!app->keys && app->config->hosts.n == 0)
        log_line(LOG_INFO, "api", "no API keys: whoever is on this machine may ask, and load and unload adapters");
    return http_server_start(app->http, routes, sizeof routes / sizeof *routes, app, e);
}

int app_port(const struct app *app) { return http_server_port(app->http); }

static bool wait_until_answered(struct app *app, int64_t seconds)
{
    const int64_t end = clock_mono_ns() + seconds * 1000000000;
    while (http_server_active(app->http) > 0) {
        if (clock_mono_ns() >= end)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
    return true;
}

void app_drain(struct app *app)
{
    atomic_store(&app->draining, true);
    engine_stop_admission(app->engine);
    if (wait_until_answered(app, app->config->drain_s))
        return;
    log_line(LOG_WARN, "api", "%d requests still run after %lld s: cancelling them", http_server_active(app->http),
             (long long)app->config->drain_s);
    http_server_expire(app->http);
    /* What is left now are clients that do not read their answer; their connections are not suspended. */
    wait_until_answered(app, CANCEL_S);
}

void app_close(struct app *app)
{
    if (!app)
        return;
    attributor_stop(app->attributor);
    worker_stop(app->worker); /* wakes the connections that wait for it */
    billing_stop(app->billing);
    http_server_close(app->http);
    worker_close(app->worker);
    if (app->engine)
        engine_close(app->engine);
    attributor_close(app->attributor);
    billing_close(app->billing);
    keys_close(app->keys);
    chat_template_free(app->chat_template);
    tokenizer_close(app->tokenizer);
    counters_deinit(&app->counters);
    free(app);
}
