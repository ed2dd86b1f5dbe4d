/* GET /livez (the process answers), /readyz (it takes work, on what, and whether it can bill), /version. */
#include "api/app.h"
#include "api/json_text.h"

#include <string.h>

void health_live(void *app, struct http_request *r)
{
    (void)app;
    http_respond(r, 200, "text/plain; charset=utf-8", "ok\n", 3);
}

static json_t *known(int64_t n) { return n < 0 ? json_null() : json_integer(n); }

/* Which paid work is served: {"state":"off"}, or ready or refusing with what is wrong. */
static json_t *billing_json(struct app *app, bool *refusing)
{
    struct billing_health h;
    *refusing = false;
    if (!app->billing)
        return json_pack("{ss}", "state", "off");
    billing_health(app->billing, &h);
    *refusing = h.refusal;
    json_t *warnings = json_array();
    if (h.missing_prices > 0)
        json_array_append_new(warnings, json_string("prices_missing"));
    if (h.gas_pays_batches >= 0 && h.gas_pays_batches < GAS_LOW_BATCHES)
        json_array_append_new(warnings, json_string("gas_low"));
    return json_pack("{ss ss? ss? so so so so sI}", "state", h.refusal ? "refusing" : "ready", "refusal", h.refusal,
                     "message", h.refusal ? h.message : NULL, "warnings", warnings, "prices", known(h.prices),
                     "missing_prices", known(h.missing_prices), "gas_pays_batches", known(h.gas_pays_batches),
                     "receipts_waiting", (json_int_t)h.receipts_waiting);
}

/* {"name": a GPU's or null, "index", "allocated_bytes", "memory_bytes", "graphs"} */
static json_t *device_json(const struct engine_stats *s)
{
    const struct device_info *d = &s->device;
    return json_pack("{ss? si sI sI si}", "name", d->name[0] ? d->name : NULL, "index", d->index, "allocated_bytes",
                     (json_int_t)memory_plan_taken(&s->memory), "memory_bytes", (json_int_t)s->memory.total_bytes, "graphs",
                     d->graphs);
}

void health_ready(void *user, struct http_request *r)
{
    struct app *app = user;
    struct engine_stats s;
    engine_stats(app->engine, &s);
    bool refusing;
    json_t *billing = billing_json(app, &refusing);
    const char *status = s.failed                      ? "failed"
                         : s.restarting                ? "restarting"
                         : atomic_load(&app->draining) ? "draining"
                         : refusing                    ? "refusing"
                                                       : "ready";
    json_t *pages = json_pack("{si si si si}", "total", (int)s.pages_total, "kv", (int)s.pages_kv, "adapter",
                              (int)s.pages_adapter, "cached", (int)s.pages_cached);
    json_t *tree =
        json_pack("{ss ss ss so si ss ss ss si si si si si so so}", "status", status, "backend", s.device.backend, "isa",
                  s.device.isa, "device", device_json(&s), "threads", s.device.threads, "model", app->model_name,
                  "base_version", engine_version(app->engine), "numerics", app->numerics, "max_context",
                  (int)engine_max_context(app->engine), "adapters", adapter_store_count(engine_adapters(app->engine)),
                  "running", (int)s.running, "waiting", (int)s.waiting, "restarts",
                  (int)s.restarts, "pages", pages, "billing", billing);
    json_respond(r, strcmp(status, "ready") == 0 ? 200 : 503, tree);
}

void health_version(void *app, struct http_request *r)
{
    const struct app *a = app;
    json_respond(r, 200, json_pack("{ss ss}", "version", OPENLORA_VERSION, "numerics", a->numerics));
}
