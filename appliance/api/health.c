/* GET /livez (the process answers), /readyz (it takes work, and on what), /version. */
#include "api/app.h"
#include "api/json_text.h"

#include <string.h>

void health_live(void *app, struct http_request *r)
{
    (void)app;
    http_respond(r, 200, "text/plain; charset=utf-8", "ok\n", 3);
}

void health_ready(void *user, struct http_request *r)
{
    struct app *app = user;
    struct engine_stats s;
    engine_stats(app->engine, &s);
    const char *status = s.failed ? "failed" : atomic_load(&app->draining) ? "draining" : "ready";
    json_t *pages = json_pack("{si si si si}", "total", (int)s.pages_total, "kv", (int)s.pages_kv, "adapter",
                              (int)s.pages_adapter, "cached", (int)s.pages_cached);
    json_t *tree =
        json_pack("{ss ss ss si ss ss ss si si si si so}", "status", status, "backend", s.device.backend, "isa",
                  s.device.isa, "threads", s.device.threads, "model", app->model_name, "base_version",
                  engine_version(app->engine), "numerics", NUMERICS_ID, "max_context",
                  (int)engine_max_context(app->engine), "adapters", adapter_store_count(engine_adapters(app->engine)),
                  "running", (int)s.running, "waiting", (int)s.waiting, "pages", pages);
    json_respond(r, strcmp(status, "ready") == 0 ? 200 : 503, tree);
}

void health_version(void *app, struct http_request *r)
{
    (void)app;
    json_respond(r, 200, json_pack("{ss ss}", "version", OPENLORA_VERSION, "numerics", NUMERICS_ID));
}
