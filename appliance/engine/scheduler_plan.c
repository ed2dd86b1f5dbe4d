/* Making a plan: the three passes that scheduler.h describes. */
#include "engine/scheduler_internal.h"

#include <string.h>

enum { PAGE = STEP_PAGE_TOKENS, MAX_PREFIX_WAITS = 64 /* plans */ };

/* Preempts the most junior sequence that is junior to q and not in this plan. Junior is who is of a tier that costs
 * more, and within a tier who is younger: a total order, so the most senior one always gets its page. */
static bool preempt_junior(struct scheduler *s, const struct sequence *q)
{
    struct sequence *victim = NULL;
    bool younger = true;
    for (struct sequence *v = s->tail; v; v = v->prev) {
        younger &= v != q;
        bool junior = v->tier == q->tier ? younger : tier_cost(v->tier) > tier_cost(q->tier);
        if (junior && v->planned_epoch != s->epoch && (!victim || tier_cost(v->tier) > tier_cost(victim->tier)))
            victim = v;
    }
    if (victim)
        scheduler_preempt(s, victim);
    return victim;
}

/* Makes room for position n_computed; false: sit this step out. */
static bool grow(struct scheduler *s, struct sequence *q)
{
    if (q->n_computed < q->n_pages * PAGE)
        return true;
    while (!scheduler_make_free(s, 1, s->n_running == 1))
        if (!preempt_junior(s, q))
            return false;
    q->pages[q->n_pages++] = page_pool_take(&s->pool, PAGE_KV);
    return true;
}

/* Room in the step's penalty and bias lists for one more row that wants logits? */
static bool lists_fit(const struct scheduler *s, const struct sequence *q)
{
    return s->plan.n_history + q->n_history <= s->config.max_history &&
           s->plan.n_bias + q->sampling.n_bias <= s->config.max_bias;
}

/* Puts the next rows of q into the plan, as many as the budget allows. */
static void plan_rows(struct scheduler *s, struct sequence *q)
{
    struct plan *p = &s->plan;
    int32_t rest = q->n_tokens - q->n_computed, room = s->config.max_rows - p->n_rows;
    int32_t n = rest < room ? rest : room;
    bool logits = n == rest;
    if (logits && !lists_fit(s, q)) { /* its last token waits for a step with room, first in line */
        q->deferred = true;
        logits = false;
        n--;
    }
    if (n <= 0)
        return;
    if (logits) {
        q->deferred = false;
        p->n_history += q->n_history;
        p->n_bias += q->sampling.n_bias;
    }
    p->items[p->n_items++] = (struct plan_item){.seq = q, .n_rows = n, .logits = logits};
    p->n_rows += n;
    q->planned_epoch = s->epoch;
}

/* Senior ones first, so that who makes way for a page is not in the plan yet. */
static void plan_decodes(struct scheduler *s, bool deferred)
{
    static const enum service_tier by_cost[] = {SERVICE_PRIORITY, SERVICE_DEFAULT, SERVICE_FLEX};
    for (int i = 0; i < SERVICE_TIERS; i++)
        for (struct sequence *q = s->tenants.tier[by_cost[i]].n_running ? s->head : NULL; q; q = q->next)
            if (q->tier == by_cost[i] && q->n_tokens - q->n_computed == 1 && q->deferred == deferred &&
                q->planned_epoch != s->epoch && grow(s, q))
                plan_rows(s, q);
}

static void plan_prefills(struct scheduler *s, enum service_tier tier)
{
    for (struct sequence *q = s->head; q && s->plan.n_rows < s->config.max_rows; q = q->next)
        if (q->tier == tier && q->n_tokens - q->n_computed > 1)
            plan_rows(s, q);
}

/* Is a running sequence about to compute full pages that q could then take from the cache? */
static bool shares_running_prefill(const struct scheduler *s, const struct sequence *q)
{
    int32_t cached = -1;
    for (const struct sequence *r = s->head; r; r = r->next) {
        if (r->n_tokens - r->n_computed <= 1 || memcmp(&r->space, &q->space, sizeof q->space) != 0)
            continue;
        int32_t limit = r->n_tokens < q->n_tokens - 1 ? r->n_tokens : q->n_tokens - 1, n = 0;
        while (n < limit && r->tokens[n] == q->tokens[n])
            n++;
        n -= n % PAGE;
        if (n <= r->n_computed)
            continue; /* what they share is computed: cached already, or evicted again */
        if (cached < 0)
            cached = prefix_cache_peek(&s->cache, &q->space, q->tokens, q->n_tokens - 1);
        if (n > cached)
            return true;
    }
    return false;
}

static bool can_be_admitted(struct scheduler *s, struct sequence *q)
{
    struct residency *r = q->residency;
    if (r && !r->resident && !r->ready)
        return false;
    if (s->config.no_prefix_cache)
        return true;
    if (!q->space_known) { /* from here on the adapter's hash is known, and fixed */
        q->space_known = true;
        cache_space_init(&q->space, &s->config.origin, q->tenant_name, r ? r->hash : "");
    }
    if (q->prefix_waits < MAX_PREFIX_WAITS && shares_running_prefill(s, q)) {
        q->prefix_waits++;
        return false;
    }
    return true;
}

/* The next sequence to admit: fair between tenants, first come first served within one. */
static struct sequence *next_candidate(struct scheduler *s, enum service_tier tier)
{
    struct tenant *t;
    while ((t = tenants_next(&s->tenants, tier, s->epoch))) {
        for (struct sequence *q = t->head; q; q = q->next) {
            if (q->skip_epoch == s->epoch)
                continue;
            if (can_be_admitted(s, q))
                return q;
            q->skip_epoch = s->epoch;
        }
        t->skip_epoch = s->epoch;
    }
    return NULL;
}

/* Takes pages for q's tokens, and for its adapter if that is not resident. False, and nothing changed, when they
 * cannot be had. */
static bool take_pages(struct scheduler *s, struct sequence *q)
{
    struct plan *p = &s->plan;
    struct residency *r = q->residency;
    bool alone = s->n_running == 0;
    int32_t limit = s->config.no_prefix_cache ? 0 : q->n_tokens - 1;
    struct cache_match m = prefix_cache_match(&s->cache, &q->space, q->tokens, limit, q->pages);
    if (r)
        r->n_running++; /* from here its pages are not idle */
    int32_t adapter_pages = r && !r->resident ? r->n_pages : 0;
    int32_t need = pages_of_tokens(q->n_tokens) - m.n_pages + adapter_pages;
    /* Leave each running sequence a page to grow into, so that admission does not lead straight to preemption. */
    int32_t want = need + s->n_running;
    if (m.partial_page >= 0 && scheduler_available_pages(s, alone) < want) { /* the page to copy from is one too many */
        prefix_cache_release(&s->cache, m.partial_page);
        m.partial_page = -1;
    }
    bool fits = scheduler_available_pages(s, alone) >= want && scheduler_make_free(s, need, alone);
    q->n_pages = m.n_pages;
    if (!fits) {
        while (q->n_pages)
            prefix_cache_release(&s->cache, q->pages[--q->n_pages]);
        if (r)
            r->n_running--;
        return false;
    }
    if (adapter_pages) {
        residency_place(&s->adapters, r, s->now_s);
        p->uploads[p->n_uploads++] = r;
    }
    while (q->n_pages < pages_of_tokens(q->n_tokens))
        q->pages[q->n_pages++] = page_pool_take(&s->pool, PAGE_KV);
    q->n_published = m.n_pages;
    q->n_computed = m.n_pages * PAGE;
    if (m.partial_page >= 0) { /* the reference on the source is held until commit */
        q->n_computed += m.n_partial;
        p->copies[p->n_copies++] = (struct step_copy){.src_page = m.partial_page, .dst_page = q->pages[m.n_pages]};
    }
    return true;
}

static bool admit(struct scheduler *s, struct sequence *q)
{
    if (!take_pages(s, q))
        return false;
    scheduler_stop_waiting(s, q);
    scheduler_start_running(s, q);
    if (q->residency)
        q->residency->last_used_s = s->now_s;
    tenants_admitted(&s->tenants, q->tenant);
    if (!q->charged) { /* once: neither cached tokens nor those of a preemption are the tenant's cost */
        q->charged = true;
        q->usage.cached_tokens = q->n_computed;
        q->scheduled_s = s->now_s;
        s->prompt_tokens += (uint64_t)q->n_prompt;
        s->cached_tokens += (uint64_t)q->n_computed;
        tenants_charge(&s->tenants, q->tenant, (uint64_t)VTC_INPUT_WEIGHT * (uint64_t)(q->n_prompt - q->n_computed));
    }
    plan_rows(s, q);
    return true;
}

/* Base first, then adapters in order of placement; within one, order of admission. */
static void group_by_adapter(struct plan *p)
{
    for (int32_t i = 1; i < p->n_items; i++) {
        struct plan_item item = p->items[i];
        uint64_t order = item.seq->residency ? item.seq->residency->order : 0;
        int32_t j = i;
        for (; j > 0; j--) {
            const struct residency *before = p->items[j - 1].seq->residency;
            if ((before ? before->order : 0) <= order)
                break;
            p->items[j] = p->items[j - 1];
        }
        p->items[j] = item;
    }
}

/* Of the tiers that cost more and had more than they are due: the youngest sequence of the one that costs most. */
static struct sequence *of_lower_tier(const struct scheduler *s, enum service_tier tier)
{
    struct sequence *victim = NULL;
    for (struct sequence *q = s->tail; q; q = q->prev)
        if (tier_cost(q->tier) > tier_cost(victim ? victim->tier : tier) &&
            s->tenants.tier[q->tier].service > s->tenants.tier[tier].service)
            victim = q;
    return victim;
}

/* Of the tenants of a tier that run more than their share of its places: the youngest sequence of the one that runs
 * most. Strictly below and strictly above the share, so that nothing goes to and fro. */
static struct sequence *of_other_tenant(const struct scheduler *s, const struct tenant *t)
{
    const struct tier_line *l = &s->tenants.tier[t->tier];
    struct sequence *victim = NULL;
    int32_t share = l->n_running / l->n_active;
    if (share < 1)
        share = 1;
    for (struct sequence *q = s->tail; q && t->n_running < share; q = q->prev)
        if (q->tier == t->tier && q->tenant->n_running > (victim ? victim->tenant->n_running : share))
            victim = q;
    return victim;
}

/* Whose turn it was waits in vain for a place or pages: somebody makes way, one per plan. */
static void make_way(struct scheduler *s)
{
    const struct tenant *t = s->starved;
    s->starved = NULL;
    if (!t || !t->n_waiting)
        return;
    struct sequence *victim = of_lower_tier(s, t->tier);
    if (!victim && s->n_running >= 2)
        victim = of_other_tenant(s, t);
    if (victim)
        scheduler_preempt(s, victim);
}

/* Admits while there is room in the step. Who lacks a place or pages is not passed by others: false then. */
static bool admit_waiting(struct scheduler *s, enum service_tier tier)
{
    struct sequence *q;
    while (s->plan.n_rows < s->config.max_rows && s->n_waiting && (q = next_candidate(s, tier)))
        if (s->n_running == s->config.max_seqs || !admit(s, q)) {
            s->starved = q->tenant;
            return false;
        }
    return true;
}

/* Tier by tier as they are due, so that a long prompt of one does not hold up the others' first tokens. */
static void plan_prompts(struct scheduler *s)
{
    enum service_tier due[SERVICE_TIERS];
    bool open = true;
    tenants_tiers(&s->tenants, due);
    for (int i = 0; i < SERVICE_TIERS; i++) {
        plan_prefills(s, due[i]);
        open = open && admit_waiting(s, due[i]);
    }
}

const struct plan *scheduler_plan(struct scheduler *s, double now_s)
{
    struct plan *p = &s->plan;
    CHECK(p->n_copies == 0); /* the last plan was committed */
    p->n_items = p->n_uploads = p->n_rows = p->n_history = p->n_bias = 0;
    s->epoch++;
    s->now_s = s->cache.now_s = now_s;
    make_way(s);
    plan_decodes(s, true);
    plan_decodes(s, false);
    plan_prompts(s);
    CHECK(p->n_items || !s->n_running);
    group_by_adapter(p);
    return p;
}
