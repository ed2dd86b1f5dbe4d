/* Opening an engine on a model file: which device, then a backend on it in this process. */
#include "engine/engine_internal.h"
#include "engine/model_backend.h"

#include "base/log.h"

#include <stdlib.h>

/* A model file and what the engine needs to know of it. config: defaults filled in. */
struct opening {
    struct engine_config config;
    struct device_choice device;
    struct model_file *file; /* owned until an engine takes it */
    char version[65];
};

static int prepare(const struct engine_config *config, struct opening *o, struct err *e)
{
    *o = (struct opening){.config = *config};
    int rc = device_choose(config->device_name, &o->device, e);
    if (!rc)
        rc = model_file_open(config->model_path, &o->file, e);
    if (!rc)
        rc = engine_config_resolve(&o->config, model_file_config(o->file), e);
    if (!rc)
        rc = model_file_version(o->file, o->version, e);
    if (!rc && o->device.reason[0])
        log_line(LOG_INFO, "engine", "computing on the CPU: %s", o->device.reason);
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
    log_line(LOG_INFO, "engine", "%s on %s (%s, %d threads)", model_file_config(o->file)->arch, info.backend, info.isa,
             info.threads);
    log_line(LOG_INFO, "engine", "%s", text);
    return 0;
}

int engine_open(const struct engine_config *config, struct engine **out, struct err *e)
{
    struct opening o;
    struct model_backend *b = NULL;
    struct memory_plan plan;
    *out = NULL;
    int rc = prepare(config, &o, e);
    if (!rc)
        rc = model_backend_open(&o.config, &o.device, o.file, 0, &b, &plan, e);
    if (!rc) {
        struct engine_backend backend = model_backend_table(b);
        rc = start(&o, &backend, &plan, out, e);
    }
    if (rc) {
        model_backend_close(b);
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
        rc = model_backend_open(&o.config, &o.device, o.file, 0, &b, out, e);
    model_backend_close(b);
    if (o.file)
        model_file_close(o.file);
    return rc;
}
