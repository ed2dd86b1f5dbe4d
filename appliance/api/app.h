/* What all routes share. Filled by app_open before the first request, then immutable but for what is atomic. */
#ifndef OPENLORA_API_APP_H
#define OPENLORA_API_APP_H

#include "api/config.h"
#include "api/counters.h"
#include "attributor/attributor.h"
#include "billing/billing.h"
#include "engine/engine.h"
#include "http/server.h"
#include "http/worker.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct app {
    const struct config *config;
    struct http_server *http;
    struct worker *worker; /* for routes that read files */
    struct engine *engine;
    struct tokenizer *tokenizer;
    struct chat_template *chat_template; /* NULL: the model has none */
    bool template_has_tools;
    char model_name[128]; /* of the base model in the API */
    char numerics[32];    /* of the device */
    char fingerprint[24]; /* system_fingerprint: the base version */
    int64_t started;      /* Unix seconds; "created" of the models */
    struct keys *keys;       /* API keys; NULL: nobody needs one */
    struct billing *billing; /* NULL: nothing is billed */
    struct attributor *attributor; /* NULL: no policy, every data part is nobody's */
    struct counters counters;
    atomic_bool draining;
};

/* Takes the port, loads the model, registers the adapters; answers nobody yet. */
int app_open(const struct config *, struct app **out, struct err *e) __attribute__((warn_unused_result));
int app_start(struct app *, struct err *e) __attribute__((warn_unused_result));
int app_port(const struct app *);

/* Refuses new work and waits until all that runs is answered; what still runs after config->drain_s is cancelled. */
void app_drain(struct app *);
void app_close(struct app *);

/* Routes, one file per family. */
void chat_completions(void *app, struct http_request *);
void completions(void *app, struct http_request *);
void models_list(void *app, struct http_request *);
void models_get(void *app, struct http_request *);
void adapters_list(void *app, struct http_request *);
void adapters_get(void *app, struct http_request *);
void adapters_put(void *app, struct http_request *);
void adapters_delete(void *app, struct http_request *);
void adapters_load(void *app, struct http_request *);
void adapters_unload(void *app, struct http_request *);
void health_live(void *app, struct http_request *);
void health_ready(void *app, struct http_request *);
void health_version(void *app, struct http_request *);
void metrics(void *app, struct http_request *);
void receipts_list(void *app, struct http_request *);
void receipts_get(void *app, struct http_request *);
void contributors_get(void *app, struct http_request *);
void statement(void *app, struct http_request *);
void prices(void *app, struct http_request *);
void account(void *app, struct http_request *);
void batches_list(void *app, struct http_request *);
void batches_body(void *app, struct http_request *);

#endif
