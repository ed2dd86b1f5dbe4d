/* Gradients of answers, one after another, on processor time that nobody else wants; those that the policy's sample drew
 * also on time that others want, within a budget of all processors' time.
 *
 * What waits stands in the ledger (LEDGER_OPEN) too, so a restart goes on with it. Prompt and answer longer than MAX_ROWS
 * tokens together get the mean: their activations would take too much memory. The base in float32 is loaded at the first
 * job and kept. */
#include "attribution/answer.h"
#include "attributor/attributor_internal.h"
#include "attributor/queue.h"

#include "base/clock.h"
#include "base/log.h"
#include "billing/bill_attribution.h"
#include "model/adapter_file.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MODULE "attributor"

enum { MAX_ROWS = 1024, LOOK_MS = 100, BUDGET_PERCENT = 2, BUDGET_S = 60 };

struct idle_worker {
    struct attributor *attributor;
    pthread_t thread;
    bool running;
    atomic_bool stop;
    struct queue *queue;
    /* The thread's own: */
    struct lora_model *model;
    const struct policy *loaded; /* whose adapter the model has */
    int64_t credit_ns, credited_at_ns; /* of the budget, at most BUDGET_S worth of it */
};

void idle_add(struct idle_worker *w, const uint8_t receipt_id[32], bool drawn, bool first)
{
    struct queued job = {.drawn = drawn};
    memcpy(job.receipt_id, receipt_id, 32);
    (void)!queue_add(w->queue, &job, first || drawn); /* full: it gets the mean, and a restart finds it again */
}

/* ---- the budget */

static int64_t thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* BUDGET_PERCENT of all processors' time since the last look is credited. */
static bool has_credit(struct idle_worker *w)
{
    const int64_t now_ns = clock_mono_ns(), cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int64_t most_ns = BUDGET_S * 1000000000LL * cores * BUDGET_PERCENT / 100;
    w->credit_ns += (now_ns - w->credited_at_ns) * cores * BUDGET_PERCENT / 100;
    w->credited_at_ns = now_ns;
    if (w->credit_ns > most_ns)
        w->credit_ns = most_ns;
    return w->credit_ns > 0;
}

static void set_class(int class)
{
    const struct sched_param none = {0};
    if (pthread_setschedparam(pthread_self(), class, &none) != 0)
        log_line(LOG_WARN, MODULE, "gradients compete with answers: this system has no idle class");
}

/* ---- evidence */

static int load(struct idle_worker *w, const uint8_t id[32], struct evidence *out, struct err *e)
{
    struct buf text;
    buf_init(&text, EVIDENCE_MAX_BYTES);
    int rc = ledger_get(w->attributor->config.billing->ledger, LEDGER_EVIDENCE, id, &text, e);
    if (rc == 0)
        rc = evidence_parse(buf_str(&text), text.len, out, e);
    buf_deinit(&text);
    return rc;
}

/* v (may be NULL: nothing changed) is on disk before its statement is given away; then it is open no more. */
static int store(struct idle_worker *w, const uint8_t id[32], const struct evidence *v, struct err *e)
{
    struct ledger_write *write = ledger_begin(w->attributor->config.billing->ledger);
    struct buf text;
    buf_init(&text, EVIDENCE_MAX_BYTES);
    if (v)
        evidence_write(v, &text);
    if (v && !buf_failed(&text))
        ledger_put(write, LEDGER_EVIDENCE, id, buf_str(&text), text.len);
    ledger_drop(write, LEDGER_OPEN, id);
    buf_deinit(&text);
    return ledger_commit(write, true, e);
}

/* ---- the statement */

static void on_stated(void *user, int rc, int status, const json_t *result, const struct err *why)
{
    struct attributor *a = user;
    const char *code = json_string_value(json_object_get(result, "code"));
    (void)status;
    bool late = rc == 0 && code && strcmp(code, "too_late") == 0;
    pthread_mutex_lock(&a->lock);
    a->stats.too_late += late;
    a->stats.failed += !late && (rc != 0 || code);
    pthread_mutex_unlock(&a->lock);
    if (!late && (rc != 0 || code))
        log_line(LOG_WARN, MODULE, "a statement was not taken: %s", rc != 0 ? why->message : code);
}

static int give_statement(struct attributor *a, const struct evidence *v, struct err *e)
{
    const struct byte_string *query = &v->gradients.query;
    uint8_t hash[HASH_BYTES];
    keccak256(query->at, query->n, hash);
    return chain_statement(a->config.billing->chain,
                           bill_gradients_json(v->receipt_id, hash, v->gradients.units.at, v->gradients.units.n), on_stated,
                           a, e);
}

/* ---- the work */

static int open_model(struct idle_worker *w, struct err *e)
{
    const struct train_config config = {.threads = 1, .max_rows = MAX_ROWS};
    if (w->model)
        return 0;
    log_line(LOG_INFO, MODULE, "gradients: loading the base model in float32, %zu MB",
             lora_model_bytes(w->attributor->config.model, &config) >> 20);
    return lora_model_open(w->attributor->config.model, &config, &w->model, e);
}

/* The adapter's exact bytes, checked against the content that was registered. */
static int load_adapter(struct idle_worker *w, const struct policy *p, struct err *e)
{
    const struct attributor_config *c = &w->attributor->config;
    const struct model_config *model = model_file_config(c->model);
    struct adapter_image image;
    char path[PATH_MAX], hash[65];
    if (w->loaded == p)
        return 0;
    w->loaded = NULL;
    if (!p->document.has_adapter)
        return err_set(e, OL_EUNSUPPORTED, MODULE, "gradients of a base model without an adapter");
    if (!c->adapter_path(c->user, p->document.adapter_version.id, hash, path, sizeof path))
        return err_set(e, OL_ENOTFOUND, MODULE, "the adapter of this policy is not registered here any more");
    int rc = adapter_file_load(path, model, (adapter_min_page_bytes(model) + 63) / 64 * 64, &image, e);
    if (rc != 0)
        return rc;
    bool same = strcmp(image.hash, hash) == 0;
    adapter_image_deinit(&image);
    if (!same)
        return err_set(e, OL_EFORMAT, MODULE, "%.120s has changed since it was loaded", path);
    rc = lora_model_load_adapter(w->model, path, e);
    if (rc == 0)
        rc = gradient_sketch_check(&p->vectors.sketch, lora_model_layout(w->model), e);
    if (rc == 0)
        w->loaded = p;
    return rc;
}

static int compute(struct idle_worker *w, struct evidence *v, struct err *e)
{
    const struct policy *p = attributor_policy(w->attributor, v->policy);
    if (!p || !p->document.has_gradients)
        return err_set(e, OL_ENOTFOUND, MODULE, "the policy is not served here, or has no gradients");
    int16_t *query = calloc(p->vectors.sketch.dimensions, sizeof *query);
    int rc = query ? open_model(w, e) : err_set(e, OL_ENOMEM, MODULE, "no memory for gradients");
    if (rc == 0)
        rc = load_adapter(w, p, e);
    if (rc == 0)
        rc = answer_query(p, w->model, v, query, e);
    if (rc == 0)
        rc = answer_set_gradients(p, query, v, e);
    free(query);
    return rc;
}

static int attribute(struct idle_worker *w, const uint8_t id[32], struct err *e)
{
    struct attributor *a = w->attributor;
    struct evidence v;
    int rc = load(w, id, &v, e);
    if (rc != 0)
        return rc;
    if (v.open_tokens > 0 && !v.has_gradients)
        rc = compute(w, &v, e);
    if (rc == 0)
        rc = store(w, id, &v, e);
    if (rc == 0 && v.has_gradients)
        rc = give_statement(a, &v, e);
    evidence_deinit(&v);
    return rc;
}

static void run_one(struct idle_worker *w, const struct queued *job)
{
    struct attributor *a = w->attributor;
    struct err e = {0};
    const int64_t began_ns = clock_mono_ns(), began_cpu_ns = thread_ns();
    bool competes = job->drawn && has_credit(w);
    if (competes)
        set_class(SCHED_OTHER);
    int rc = attribute(w, job->receipt_id, &e);
    if (competes) {
        w->credit_ns -= thread_ns() - began_cpu_ns;
        set_class(SCHED_IDLE);
    }
    pthread_mutex_lock(&a->lock);
    a->stats.gradients += rc == 0;
    a->stats.failed += rc != 0;
    a->stats.gradient_ms = (double)(clock_mono_ns() - began_ns) / 1e6;
    pthread_mutex_unlock(&a->lock);
    if (rc == 0)
        return;
    log_line(LOG_WARN, MODULE, "an answer gets its policy's mean, not its own gradients: %s", e.message);
    if (store(w, job->receipt_id, NULL, &e) != 0)
        log_line(LOG_WARN, MODULE, "%s", e.message);
}

/* Until chainlited was there once nobody knows the policies' rows. */
static void wait_for_catalog(struct idle_worker *w)
{
    while (!atomic_load(&w->stop)) {
        struct catalog *catalog = billing_catalog(w->attributor->config.billing);
        catalog_release(catalog);
        if (catalog)
            return;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
    }
}

static void *run(void *user)
{
    struct idle_worker *w = user;
    const struct attributor_config *c = &w->attributor->config;
    struct queued job;
    pthread_setname_np(pthread_self(), "ol-gradients");
    set_class(SCHED_IDLE);
    w->credited_at_ns = clock_mono_ns();
    wait_for_catalog(w);
    while (queue_take(w->queue, c->busy, c->user, &job))
        run_one(w, &job);
    return NULL;
}

/* ---- life */

/* What an earlier process left. */
static int take_left(void *user, const uint8_t key[LEDGER_KEY_BYTES], const char *value, size_t n)
{
    struct queued job = {0};
    (void)value, (void)n;
    memcpy(job.receipt_id, key, 32);
    return queue_add(user, &job, false) ? 0 : 1;
}

int idle_open(struct attributor *a, struct idle_worker **out, struct err *e)
{
    *out = NULL;
    struct idle_worker *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the thread of gradients");
    w->attributor = a;
    atomic_init(&w->stop, false);
    int rc = queue_open(&w->queue, e);
    if (rc == 0)
        rc = ledger_each(a->config.billing->ledger, LEDGER_OPEN, take_left, w->queue, e);
    int why = rc < 0 ? 0 : pthread_create(&w->thread, NULL, run, w);
    if (rc >= 0)
        rc = why ? err_set(e, OL_EIO, MODULE, "starting the thread of gradients: %s", strerror(why)) : 0;
    if (rc != 0) {
        queue_close(w->queue);
        free(w);
        return rc;
    }
    w->running = true;
    *out = w;
    return 0;
}

void idle_stop(struct idle_worker *w)
{
    if (!w->running)
        return;
    atomic_store(&w->stop, true);
    queue_stop(w->queue);
    pthread_join(w->thread, NULL);
    w->running = false;
}

uint32_t idle_waiting(struct idle_worker *w) { return queue_waiting(w->queue); }

void idle_close(struct idle_worker *w)
{
    idle_stop(w);
    lora_model_close(w->model);
    queue_close(w->queue);
    free(w);
}
