/* Opening an engine on a model file: which device, and a backend on it in this process or in one of its own. */
#include "engine/engine_internal.h"
#include "engine/model_backend.h"
#include "engine/worker_process.h"

#include "base/log.h"

#include <string.h>

/* A model file and what the engine needs to know of it. config: defaults filled in. */
struct opening {
    struct engine_config config;
    struct model_file *file; /* owned until an engine takes it */
    char version[65];
    bool in_worker;
};

static int prepare(const struct engine_config *config, struct opening *o, struct err *e)
{
    *o = (struct opening){.config = *config};
    int rc = model_file_open(config->model_path, &o->file, e);
    if (!rc)
        rc = engine_config_resolve(&o->config, model_file_config(o->file), e);
    return rc ? rc : model_file_version(o->file, o->version, e);
}

static void log_fallback(const char *reason)
{
    if (reason[0])
        log_line(LOG_INFO, "engine", "computing on the CPU: %s", reason);
}

static int open_here(struct opening *o, struct model_backend **b, struct memory_plan *plan, struct err *e)
{
    struct device_choice device;
    *b = NULL;
    int rc = device_choose(o->config.device_name, &device, e);
    if (rc)
        return rc;
    log_fallback(device.reason);
    return model_backend_open(&o->config, &device, o->file, 0, b, plan, e);
}

/* True if a worker is wanted, or might be: whether there is a GPU to use is then for the worker to find out. */
static bool try_worker(const struct engine_config *c)
{
    bool cpu = c->device_name && strcmp(c->device_name, "cpu") == 0;
    return c->worker == WORKER_ON || (c->worker == WORKER_AUTO && !cpu && device_plugin_there());
}

static int open_worker(struct opening *o, struct worker_process **w, struct memory_plan *plan, struct err *e)
{
    struct err why_not = {0};
    int rc = worker_process_open(&o->config, o->version, o->config.worker == WORKER_AUTO, w, plan, &why_not, e);
    if (!rc)
        log_fallback(why_not.message);
    return rc;
}

static int open_backend(struct opening *o, struct engine_backend *out, struct memory_plan *plan, struct err *e)
{
    struct worker_process *w = NULL;
    struct model_backend *b;
    if (try_worker(&o->config)) {
        int rc = open_worker(o, &w, plan, e);
        if (rc)
            return rc;
        o->in_worker = w;
        o->config.device_name = "cpu"; /* if it found no GPU */
    }
    if (w) {
        *out = worker_process_table(w);
        return 0;
    }
    int rc = open_here(o, &b, plan, e);
    if (!rc)
        *out = model_backend_table(b);
    return rc;
}

static int start(struct opening *o, const struct engine_backend *backend, const struct memory_plan *plan,
                 struct engine **out, struct err *e)
{
    struct device_info info;
    char text[320];
    backend->info(backend->ctx, &info);
    int rc = engine_start(&o->config, backend, model_file_config(o->file), o->version, plan, NULL, out, e);
    if (rc)
        return rc;
    (*out)->file = o->file;
    memory_plan_text(plan, info.name[0] ? info.name : info.backend, text, sizeof text);
    log_line(LOG_INFO, "engine", "%s on %s (%s, %d threads)%s", model_file_config(o->file)->arch, info.backend,
             info.isa, info.threads, o->in_worker ? ", in a worker process" : "");
    log_line(LOG_INFO, "engine", "%s", text);
    return 0;
}

int engine_open(const struct engine_config *config, struct engine **out, struct err *e)
{
    struct opening o;
    struct engine_backend backend = {0};
    struct memory_plan plan;
    *out = NULL;
    int rc = prepare(config, &o, e);
    if (!rc)
        rc = open_backend(&o, &backend, &plan, e);
    if (!rc)
        rc = start(&o, &backend, &plan, out, e);
    if (rc) {
        if (backend.close)
            backend.close(backend.ctx);
        if (o.file)
            model_file_close(o.file);
    }
    return rc;
}

int engine_plan(const struct engine_config *config, struct memory_plan *out, struct err *e)
{
    struct opening o;
    struct model_backend *b = NULL;
    int rc = prepare(config, &o, e);
    if (!rc)
        rc = open_here(&o, &b, out, e);
    model_backend_close(b);
    if (o.file)
        model_file_close(o.file);
    return rc;
}
