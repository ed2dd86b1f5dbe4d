/* The scheduler's state: pages given and taken back, sequences that wait and run. The plan is made in
 * scheduler_plan.c. */
#include "engine/scheduler_internal.h"

#include <stdlib.h>

enum { PAGE = STEP_PAGE_TOKENS };

int scheduler_init(struct scheduler *s, const struct scheduler_config *config, struct err *e)
{
    *s = (struct scheduler){.config = *config, .kv_page_s = 0.01};
    CHECK(config->max_seqs >= 1 && config->max_rows >= config->max_seqs && config->max_context >= 2);
    s->adapters.pool = &s->pool;
    size_t n = (size_t)config->max_seqs;
    s->plan.items = calloc(n, sizeof *s->plan.items);
    s->plan.copies = calloc(n, sizeof *s->plan.copies);
    s->plan.uploads = calloc(n, sizeof *s->plan.uploads);
    int rc = OL_ENOMEM;
    if (!s->plan.items || !s->plan.copies || !s->plan.uploads)
        err_set(e, rc, "scheduler", "no memory for plans of %d sequences", (int)config->max_seqs);
    else if (!(rc = page_pool_init(&s->pool, config->n_pages, e)) && !(rc = prefix_cache_init(&s->cache, &s->pool, e)))
        rc = tenants_init(&s->tenants, 2 * config->max_live + 16, e);
    if (rc)
        scheduler_deinit(s);
    return rc;
}

void scheduler_deinit(struct scheduler *s)
{
    free(s->plan.items);
    free(s->plan.copies);
    free(s->plan.uploads);
    tenants_deinit(&s->tenants);
    prefix_cache_deinit(&s->cache);
    page_pool_deinit(&s->pool);
    *s = (struct scheduler){0};
}

int32_t scheduler_max_total(const struct scheduler_config *c, int32_t adapter_pages)
{
    /* The last output token is never computed, so a total of t tokens needs the pages of t − 1. */
    int64_t by_pages = (int64_t)(c->n_pages - adapter_pages) * PAGE + 1;
    return by_pages < c->max_context ? (int32_t)(by_pages < 0 ? 0 : by_pages) : c->max_context;
}

/* ---- Pages ---- */

/* Frees at least one page from what nobody uses; whatever is cheapest to make again goes first. */
static bool reclaim(struct scheduler *s, bool pinned)
{
    double adapter_value = 0;
    struct residency *r = residency_cheapest(&s->adapters, s->now_s, pinned, &adapter_value);
    if (s->cache.n_idle) {
        double age_s = s->now_s - prefix_cache_oldest_s(&s->cache);
        if (!r || r->pinned || residency_value(s->kv_page_s, age_s) <= adapter_value) {
            prefix_cache_evict(&s->cache);
            return true;
        }
    }
    if (!r)
        return false;
    residency_drop(&s->adapters, r);
    s->adapters.evictions++;
    return true;
}

bool scheduler_make_free(struct scheduler *s, int32_t n, bool pinned)
{
    while (page_pool_free_count(&s->pool) < n)
        if (!reclaim(s, pinned))
            return false;
    return true;
}

int32_t scheduler_available_pages(const struct scheduler *s, bool pinned)
{
    return page_pool_free_count(&s->pool) + s->cache.n_idle + residency_idle_pages(&s->adapters, pinned);
}

/* Publishes what is computed since the last time. tail: the last page too, though it is not full; nothing will be
 * written to it any more. */
static void publish(struct scheduler *s, struct sequence *q, bool tail)
{
    if (s->config.no_prefix_cache)
        return;
    while (q->n_published < q->n_pages) {
        int32_t i = q->n_published, n = q->n_computed - i * PAGE;
        if (n <= 0 || (n < PAGE && !tail))
            return;
        q->pages[i] = prefix_cache_publish(&s->cache, &q->space, i ? q->pages[i - 1] : -1, q->tokens + i * PAGE,
                                           n < PAGE ? n : PAGE, q->pages[i]);
        if (n < PAGE)
            return;
        q->n_published++;
    }
}

static void give_back_pages(struct scheduler *s, struct sequence *q)
{
    publish(s, q, true);
    while (q->n_pages)
        prefix_cache_release(&s->cache, q->pages[--q->n_pages]);
    q->n_computed = q->n_published = 0;
}

/* ---- Running and waiting ---- */

void scheduler_start_running(struct scheduler *s, struct sequence *q)
{
    q->state = SEQ_RUNNING;
    q->next = NULL;
    q->prev = s->tail;
    *(s->tail ? &s->tail->next : &s->head) = q;
    s->tail = q;
    s->n_running++;
    tenants_started(&s->tenants, q->tenant);
}

/* Takes a sequence off the running list, with its pages and its use of the adapter. */
static void stop_running(struct scheduler *s, struct sequence *q)
{
    give_back_pages(s, q);
    *(q->prev ? &q->prev->next : &s->head) = q->next;
    *(q->next ? &q->next->prev : &s->tail) = q->prev;
    q->next = q->prev = NULL;
    s->n_running--;
    tenants_stopped(&s->tenants, q->tenant);
    if (q->residency) {
        q->residency->n_running--;
        q->residency->last_used_s = s->now_s;
    }
}

static void start_waiting(struct scheduler *s, struct sequence *q)
{
    q->state = SEQ_WAITING;
    s->n_waiting++;
    if (q->residency) {
        q->residency->n_waiting++;
        residency_mark_changed(&s->adapters, q->residency);
    }
}

void scheduler_stop_waiting(struct scheduler *s, struct sequence *q)
{
    tenants_dequeue(&s->tenants, q);
    s->n_waiting--;
    if (q->residency) {
        q->residency->n_waiting--;
        residency_mark_changed(&s->adapters, q->residency);
    }
}

void scheduler_add(struct scheduler *s, struct sequence *q, double now_s)
{
    CHECK(q->state == SEQ_NEW);
    s->now_s = now_s;
    tenants_arrive(&s->tenants, q);
    start_waiting(s, q);
}

void scheduler_remove(struct scheduler *s, struct sequence *q)
{
    if (q->state == SEQ_WAITING)
        scheduler_stop_waiting(s, q);
    else if (q->state == SEQ_RUNNING)
        stop_running(s, q);
    q->state = SEQ_ENDED;
}

void scheduler_preempt(struct scheduler *s, struct sequence *q)
{
    stop_running(s, q);
    tenants_requeue(&s->tenants, q);
    start_waiting(s, q);
    q->usage.preemptions++;
    s->preemptions++;
}

void scheduler_lose_pages(struct scheduler *s)
{
    struct plan *p = &s->plan;
    struct sequence *q;
    while (p->n_copies)
        prefix_cache_release(&s->cache, p->copies[--p->n_copies].src_page);
    while ((q = s->tail)) { /* last first, each to the front of its queue */
        q->n_computed = 0;  /* so nothing is published */
        stop_running(s, q);
        tenants_requeue(&s->tenants, q);
        start_waiting(s, q);
    }
    while (s->cache.n_idle)
        prefix_cache_evict(&s->cache);
    while (s->adapters.head)
        residency_drop(&s->adapters, s->adapters.head);
    CHECK(page_pool_free_count(&s->pool) == s->pool.n_pages);
}

void scheduler_commit(struct scheduler *s)
{
    struct plan *p = &s->plan;
    for (int32_t i = 0; i < p->n_items; i++) {
        p->items[i].seq->n_computed += p->items[i].n_rows;
        publish(s, p->items[i].seq, false);
    }
    while (p->n_copies)
        prefix_cache_release(&s->cache, p->copies[--p->n_copies].src_page);
}

void scheduler_append(struct scheduler *s, struct sequence *q, int32_t token)
{
    sequence_append(q, token);
    tenants_charge(&s->tenants, q->tenant, VTC_OUTPUT_WEIGHT);
}
