/* Counters and histograms, kept by the engine's thread and copied out under the lock. */
#include "engine/engine_internal.h"

/* Upper bounds; the last bucket of each histogram is everything above. */
const double engine_time_bounds_s[ENGINE_BUCKETS - 1] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5,
                                                         0.75,  1,     2,     5,    10,   20,   60,  120, 300};
const double engine_token_bounds[ENGINE_BUCKETS - 1] = {1,   2,   4,    8,    16,   32,   64,    128,   256,  384,
                                                        512, 768, 1024, 2048, 4096, 8192, 16384, 32768, 65536};

static void observe(struct engine_histogram *h, const double *bounds, double value)
{
    int i = 0;
    while (i < ENGINE_BUCKETS - 1 && value > bounds[i])
        i++;
    h->count[i]++;
    h->total++;
    h->sum += value;
}

void engine_observe_step(struct engine *e, const struct plan *p, double step_s)
{
    enum { MIN_ROWS = 16, SMOOTH = 8 };
    observe(&e->stats.step_rows, engine_token_bounds, p->n_rows);
    e->stats.steps++;
    if (p->n_rows >= MIN_ROWS) { /* what a page of KV costs to compute again: steers eviction */
        double page_s = step_s / p->n_rows * STEP_PAGE_TOKENS;
        e->sched.kv_page_s += (page_s - e->sched.kv_page_s) / SMOOTH;
    }
}

void engine_observe_token(struct engine *e, struct sequence *q, const struct step_result *r, double now_s)
{
    if (!q->first_token_s) {
        q->first_token_s = now_s;
        observe(&e->stats.ttft_s, engine_time_bounds_s, now_s - q->submitted_s);
        observe(&e->stats.prefill_s, engine_time_bounds_s, now_s - q->scheduled_s);
    } else {
        observe(&e->stats.inter_token_s, engine_time_bounds_s, now_s - q->last_token_s);
    }
    q->last_token_s = now_s;
    q->usage.sum_logprob += r->logprob;
    e->stats.output_tokens++;
}

void engine_observe_end(struct engine *e, struct sequence *q, enum engine_end end, double now_s)
{
    struct usage *u = &q->usage;
    double scheduled_s = q->scheduled_s ? q->scheduled_s : now_s;
    double first_s = q->first_token_s ? q->first_token_s : now_s;
    u->queue_ms = (scheduled_s - q->submitted_s) * 1e3;
    u->prefill_ms = (first_s - scheduled_s) * 1e3;
    u->decode_ms = (now_s - first_s) * 1e3;
    e->stats.ended[end]++;
    observe(&e->stats.queue_s, engine_time_bounds_s, scheduled_s - q->submitted_s);
    observe(&e->stats.e2e_s, engine_time_bounds_s, now_s - q->submitted_s);
    observe(&e->stats.prompt_len, engine_token_bounds, q->n_prompt);
    observe(&e->stats.output_len, engine_token_bounds, u->output_tokens);
    if (q->first_token_s)
        observe(&e->stats.decode_s, engine_time_bounds_s, now_s - first_s);
}

static int32_t count_waiting_adapter(const struct tenants *t)
{
    int32_t n = 0;
    for (int32_t i = 0; i < t->n_waiting; i++)
        for (const struct sequence *q = t->waiting[i]->head; q; q = q->next)
            n += q->residency && !q->residency->resident;
    return n;
}

void engine_publish_stats(struct engine *e)
{
    const struct scheduler *s = &e->sched;
    struct engine_stats *out = &e->stats;
    out->running = s->n_running;
    out->waiting = s->n_waiting;
    for (int i = 0; i < SERVICE_TIERS; i++) {
        out->running_tier[i] = s->tenants.tier[i].n_running;
        out->waiting_tier[i] = s->tenants.tier[i].n_waiting;
    }
    out->waiting_adapter = s->n_waiting ? count_waiting_adapter(&s->tenants) : 0;
    out->pages_total = s->pool.n_pages;
    out->pages_kv = s->pool.count[PAGE_KV];
    out->pages_adapter = s->pool.count[PAGE_ADAPTER];
    out->pages_cached = s->cache.n_idle;
    out->prompt_tokens = s->prompt_tokens;
    out->prefix_queries = s->config.no_prefix_cache ? 0 : s->prompt_tokens;
    out->prefix_hits = out->cached_tokens = s->cached_tokens;
    out->preemptions = s->preemptions;
    out->adapter_evictions = s->adapters.evictions;
    out->lora_ops = e->backend.lora_ops(e->backend.ctx);
    pthread_mutex_lock(&e->mutex);
    e->published = *out;
    pthread_mutex_unlock(&e->mutex);
}

void engine_stats(struct engine *e, struct engine_stats *out)
{
    uint64_t loads = adapter_store_loads(e->adapters); /* before our lock: see the lock order */
    pthread_mutex_lock(&e->mutex);
    *out = e->published;
    out->rejected = e->rejected;
    out->failed = e->failed;
    out->restarting = e->restarting;
    for (const struct sequence *q = e->inbox_head; q; q = q->next_live)
        out->waiting++;
    pthread_mutex_unlock(&e->mutex);
    out->adapter_loads = loads;
}
