/* /v1/adapters: what is registered, and load, replace, pin, unload. Files are read on the worker thread; meanwhile
 * the connection sleeps, and what runs goes on with the version it started with. */
#include "api/adapter_list.h"
#include "api/app.h"
#include "api/auth.h"
#include "api/json_text.h"
#include "api/request_body.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *adapter_json(const struct app *app, const struct adapter_info *a)
{
    return json_pack("{ss ss ss ss ss si sI sI sb sb sb sb si sI sf ss?}", "object", "adapter", "name", a->name, "base",
                     app->model_name, "path", a->path, "hash", a->hash, "rank", (int)a->rank, "parameters",
                     (json_int_t)a->parameters, "bytes", (json_int_t)a->bytes, "in_host", a->in_host, "in_pages",
                     a->in_pages, "pinned", a->pinned, "loading", a->loading, "references", (int)a->references,
                     "requests", (json_int_t)a->requests, "load_s", a->load_s, "error", a->error[0] ? a->error : NULL);
}

static void respond_adapter(struct app *app, struct http_request *r, const char *name)
{
    struct api_error e;
    struct adapter_info *info = malloc(sizeof *info);
    if (info && adapter_store_info(engine_adapters(app->engine), name, info)) {
        json_respond(r, 200, adapter_json(app, info));
    } else {
        api_fail(&e, 404, "name", "adapter_not_found", "there is no adapter '%.127s'; see /v1/adapters", name);
        api_error_respond(&e, r);
    }
    free(info);
}

void adapters_list(void *user, struct http_request *r)
{
    struct app *app = user;
    json_t *data = json_array();
    if (!data || adapter_list_add(app, data, adapter_json) != 0) {
        json_decref(data);
        data = NULL;
    }
    json_respond(r, 200, data ? json_pack("{ss so}", "object", "list", "data", data) : NULL);
}

void adapters_get(void *user, struct http_request *r) { respond_adapter(user, r, http_request_rest(r)); }

/* A failure of the store: what is wrong with the files or the path is the client's to mend, so never a 5xx. */
static int store_failed(struct api_error *e, const struct err *why, const char *param)
{
    if (why->code == OL_EIO)
        return api_fail(e, 400, param, "adapter_unreadable", "%s", why->message);
    return api_fail_err(e, why, param);
}

/* ---- loading */

struct load {
    struct app *app;
    atomic_int references; /* the request's and the worker's */
    struct http_stream *stream; /* only to wake the request */
    char *name, *path;     /* owned */
    bool replace, pinned;
    bool plain;            /* answer as vLLM does: a line of text */
    struct api_error failure;
};

static void load_release(void *user)
{
    struct load *l = user;
    if (atomic_fetch_sub(&l->references, 1) != 1)
        return;
    http_stream_release(l->stream);
    free(l->name);
    free(l->path);
    free(l);
}

static void load_run(void *user)
{
    struct load *l = user;
    struct err why = {0};
    if (adapter_load(engine_adapters(l->app->engine), l->name, l->path, l->replace, l->pinned, &why) != 0)
        store_failed(&l->failure, &why, l->plain ? "lora_path" : "path");
    http_stream_wake(l->stream);
    load_release(l);
}

static void load_ready(void *user, struct http_request *r)
{
    struct load *l = user;
    char text[ADAPTER_NAME_BYTES + 64];
    if (l->failure.status) {
        api_error_respond(&l->failure, r);
    } else if (l->plain) {
        int n = snprintf(text, sizeof text, "Success: LoRA adapter '%.127s' added successfully.", l->name);
        http_respond(r, 200, "text/plain; charset=utf-8", text, (size_t)n);
    } else {
        respond_adapter(l->app, r, l->name);
    }
}

static void load_gone(void *user) { (void)user; } /* a load that was asked for is finished */

/* Waits for the load; fails when it cannot even begin. */
static int load_start(struct app *app, struct http_request *r, const struct load *wanted, struct api_error *e)
{
    if (strcmp(wanted->name, app->model_name) == 0)
        return api_fail(e, 400, wanted->plain ? "lora_name" : "name", "already_exists",
                        "'%.127s' is the base model's name", wanted->name);
    struct load *l = malloc(sizeof *l);
    struct http_stream *stream = http_stream_open(1);
    char *name = strdup(wanted->name), *path = strdup(wanted->path);
    if (!l || !stream || !name || !path) {
        free(l);
        free(name);
        free(path);
        http_stream_release(stream);
        return api_fail(e, 503, NULL, "no_memory", "no memory to load an adapter");
    }
    *l = *wanted;
    l->app = app;
    l->stream = stream;
    l->name = name;
    l->path = path;
    atomic_init(&l->references, 2);
    if (!worker_do(app->worker, load_run, l)) {
        load_release(l);
        load_release(l);
        return api_fail(e, 429, NULL, "overloaded", "too many adapters are being loaded; try again");
    }
    http_wait(r, stream, &(struct http_wait){.ready = load_ready, .gone = load_gone, .done = load_release, .user = l});
    return 0;
}

/* ---- bodies: a few keys, each of one type, nothing else */

struct body_field {
    const char *name;
    const char **text; /* one of the two, or neither: accepted without effect */
    bool *flag;
    bool required;
};

static int read_fields(const json_t *body, const struct body_field *fields, int n, struct api_error *e)
{
    const char *key;
    json_t *value;
    if (!json_is_object(body))
        return api_fail(e, 400, NULL, NULL, "the body must be a JSON object");
    json_object_foreach((json_t *)(uintptr_t)body, key, value) {
        int i = 0;
        while (i < n && strcmp(fields[i].name, key) != 0)
            i++;
        if (i == n)
            return api_fail(e, 400, key, "unknown_parameter", "unknown or unsupported parameter: '%.100s'", key);
        if (fields[i].text && !json_is_string(value))
            return api_fail(e, 400, key, NULL, "'%s' must be a string", key);
        if (fields[i].flag && !json_is_boolean(value))
            return api_fail(e, 400, key, NULL, "'%s' must be true or false", key);
        if (fields[i].text)
            *fields[i].text = json_string_value(value);
        if (fields[i].flag)
            *fields[i].flag = json_is_true(value);
    }
    for (int i = 0; i < n; i++)
        if (fields[i].required && !*fields[i].text)
            return api_fail(e, 400, fields[i].name, "missing_parameter", "'%s' is missing", fields[i].name);
    return 0;
}

static int answer_put(struct app *app, struct http_request *r, const json_t *body, struct api_error *e)
{
    const char *path = NULL;
    struct load wanted = {.name = (char *)(uintptr_t)http_request_rest(r)}; /* copied before the handler returns */
    const struct body_field fields[] = {{"path", &path, NULL, false}, {"replace", NULL, &wanted.replace, false},
                                   {"pinned", NULL, &wanted.pinned, false}};
    struct err why = {0};
    if (read_fields(body, fields, 3, e) != 0)
        return -1;
    if (path) {
        wanted.path = (char *)(uintptr_t)path;
        return load_start(app, r, &wanted, e);
    }
    if (!json_object_get(body, "pinned"))
        return api_fail(e, 400, "path", "missing_parameter", "give 'path' to load, or 'pinned' to pin or unpin");
    if (adapter_pin(engine_adapters(app->engine), wanted.name, wanted.pinned, &why) != 0)
        return store_failed(e, &why, "name");
    respond_adapter(app, r, wanted.name);
    return 0;
}

void adapters_put(void *app, struct http_request *r)
{
    if (auth_admin(app, r))
        body_answer(app, r, answer_put);
}

static int answer_load(struct app *app, struct http_request *r, const json_t *body, struct api_error *e)
{
    const char *name = NULL, *path = NULL;
    struct load wanted = {.plain = true};
    const struct body_field fields[] = {{"lora_name", &name, NULL, true},
                                   {"lora_path", &path, NULL, true},
                                   {"load_inplace", NULL, &wanted.replace, false},
                                   {"pinned", NULL, &wanted.pinned, false}};
    if (read_fields(body, fields, 4, e) != 0)
        return -1;
    wanted.name = (char *)(uintptr_t)name;
    wanted.path = (char *)(uintptr_t)path;
    return load_start(app, r, &wanted, e);
}

void adapters_load(void *app, struct http_request *r)
{
    if (auth_admin(app, r))
        body_answer(app, r, answer_load);
}

/* ---- unloading */

static int answer_unload(struct app *app, struct http_request *r, const json_t *body, struct api_error *e)
{
    const char *name = NULL;
    char text[ADAPTER_NAME_BYTES + 64];
    const struct body_field fields[] = {{"lora_name", &name, NULL, true}, {"lora_int_id", NULL, NULL, false}};
    struct err why = {0};
    if (read_fields(body, fields, 2, e) != 0)
        return -1;
    if (adapter_unload(engine_adapters(app->engine), name, false, &why) != 0)
        return store_failed(e, &why, "lora_name");
    int n = snprintf(text, sizeof text, "Success: LoRA adapter '%.127s' removed successfully.", name);
    http_respond(r, 200, "text/plain; charset=utf-8", text, (size_t)n);
    return 0;
}

void adapters_unload(void *app, struct http_request *r)
{
    if (auth_admin(app, r))
        body_answer(app, r, answer_unload);
}

void adapters_delete(void *user, struct http_request *r)
{
    struct app *app = user;
    const char *force = http_request_query(r, "force"), *name = http_request_rest(r);
    bool forced = force && (strcmp(force, "1") == 0 || strcmp(force, "true") == 0);
    struct err why = {0};
    struct api_error e;
    if (!auth_admin(app, r))
        return;
    if (adapter_unload(engine_adapters(app->engine), name, forced, &why) != 0) {
        store_failed(&e, &why, "name");
        api_error_respond(&e, r);
        return;
    }
    json_respond(r, 200, json_pack("{ss ss sb}", "object", "adapter", "name", name, "deleted", 1));
}
