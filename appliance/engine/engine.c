/* Starting and stopping an engine on any backend. */
#include "engine/engine_internal.h"

#include <stdio.h>
#include <stdlib.h>

static int set_default(int32_t *value, int32_t standard, int32_t min, int32_t max, const char *name, struct err *e)
{
    if (*value == 0)
        *value = standard;
    if (*value < min || *value > max)
        return err_set(e, OL_EINVAL, "engine", "%s must be between %d and %d, not %d", name, (int)min, (int)max,
                       (int)*value);
    return 0;
}

int engine_config_resolve(struct engine_config *c, const struct model_config *m, struct err *e)
{
    enum { MAX_CONTEXT = 1 << 20, MAX_SEQS = 4096, MAX_ROWS = 1 << 16, MAX_QUEUE = 1 << 20 };
    int32_t trained = m->context < MAX_CONTEXT ? m->context : MAX_CONTEXT;
    int rc = set_default(&c->max_context, trained < 8192 ? trained : 8192, 2, trained, "max_context", e);
    if (!rc)
        rc = set_default(&c->max_seqs, 64, 1, MAX_SEQS, "max_seqs", e);
    if (!rc)
        rc = set_default(&c->max_rows, c->max_seqs < 512 ? 512 : c->max_seqs, c->max_seqs, MAX_ROWS, "max_rows", e);
    if (!rc)
        rc = set_default(&c->max_queue, 256, 0, MAX_QUEUE, "max_queue", e);
    if (!rc)
        rc = set_default(&c->step_timeout_ms, 30000, 1, 3600000, "step_timeout_ms", e);
    if (!c->adapter_host_bytes)
        c->adapter_host_bytes = (size_t)512 << 20;
    return rc;
}

/* Penalty and bias lists of one step are bounded: a sequence that finds no room waits for the next step. Each list
 * holds at least what one sequence can have. */
static int32_t history_capacity(const struct engine_config *c)
{
    return c->max_context > 65536 ? c->max_context : 65536;
}
static int32_t bias_capacity(const struct engine_config *c)
{
    return c->max_seqs < 16 ? c->max_seqs * SEQUENCE_MAX_BIAS : 16 * SEQUENCE_MAX_BIAS;
}

struct step_limits engine_step_limits(const struct engine_config *c, int32_t n_pages)
{
    return (struct step_limits){
        .max_rows = c->max_rows,
        .max_seqs = c->max_seqs,
        .max_logits = c->max_seqs,
        .max_pages = c->max_seqs * pages_of_tokens(c->max_context) + n_pages, /* sequences; adapters, each once */
        .max_history = history_capacity(c),
        .max_bias = bias_capacity(c),
    };
}

static void wake_engine(void *engine)
{
    struct engine *e = engine;
    pthread_mutex_lock(&e->mutex);
    e->event = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->mutex);
}

static int open_store(struct engine *e, const struct engine_config *c, const struct adapter_reader *reader,
                      struct err *err)
{
    struct adapter_store_config sc = {
        .model = e->model, .page_bytes = e->page_bytes, .host_bytes = c->adapter_host_bytes,
        .roots = c->adapter_roots, .n_roots = c->n_adapter_roots,
    };
    int rc =
        reader ? adapter_store_open_with(&sc, reader, &e->adapters, err) : adapter_store_open(&sc, &e->adapters, err);
    if (!rc)
        adapter_store_set_wake(e->adapters, wake_engine, e);
    return rc;
}

/* Everything but the backend, which engine_start's caller keeps on failure. */
static void destroy(struct engine *e)
{
    if (e->thread_running) {
        pthread_mutex_lock(&e->mutex);
        e->closing = e->event = true;
        pthread_cond_signal(&e->wake);
        pthread_mutex_unlock(&e->mutex);
        pthread_join(e->thread, NULL);
    }
    adapter_store_close(e->adapters);
    scheduler_deinit(&e->sched);
    free(e->results);
    pthread_cond_destroy(&e->wake);
    pthread_mutex_destroy(&e->mutex);
    free(e);
}

int engine_start(const struct engine_config *c, const struct engine_backend *backend, const struct model_config *model,
                 const char *version, const struct memory_plan *plan, const struct adapter_reader *reader,
                 struct engine **out, struct err *err)
{
    *out = NULL;
    struct engine *e = calloc(1, sizeof *e);
    if (!e)
        return err_set(err, OL_ENOMEM, "engine", "no memory for the engine");
    e->config = *c;
    e->backend = *backend;
    e->model = model;
    e->page_bytes = plan->page_bytes;
    e->stats.memory = *plan;
    snprintf(e->version, sizeof e->version, "%s", version);
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->wake, NULL);
    e->backend.info(e->backend.ctx, &e->stats.device);
    struct scheduler_config sc = {
        .n_pages = plan->n_pages, .max_context = c->max_context, .max_seqs = c->max_seqs, .max_rows = c->max_rows,
        .max_live = c->max_seqs + c->max_queue, .max_history = history_capacity(c), .max_bias = bias_capacity(c),
        .no_prefix_cache = c->no_prefix_cache, .origin = {e->version, e->stats.device.numerics},
    };
    e->results = calloc((size_t)c->max_seqs, sizeof *e->results);
    int rc =
        e->results ? scheduler_init(&e->sched, &sc, err) : err_set(err, OL_ENOMEM, "engine", "no memory for results");
    if (!rc)
        rc = open_store(e, c, reader, err);
    if (!rc) {
        engine_publish_stats(e);
        if (pthread_create(&e->thread, NULL, engine_main, e) == 0)
            e->thread_running = true;
        else
            rc = err_set(err, OL_ENOMEM, "engine", "cannot start the engine's thread");
    }
    if (rc) {
        destroy(e);
        return rc;
    }
    *out = e;
    return 0;
}

void engine_close(struct engine *e)
{
    if (!e)
        return;
    struct engine_backend backend = e->backend;
    struct model_file *file = e->file;
    destroy(e);
    backend.close(backend.ctx);
    if (file)
        model_file_close(file);
}
