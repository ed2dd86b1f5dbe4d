/* The scheduler by simulation: thousands of random requests, cancellations, adapters and a pool that is always too
 * small, with every invariant checked after every plan. */
#include "engine/scheduler.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 50, MAX_ADAPTERS = 8, MAX_ALIVE = 64 };

/* ck_assert reports every success to the test's parent: too slow for checks made millions of times. */
#define EXPECT(condition) ((condition) ? (void)0 : ck_abort_msg("%s, line %d", #condition, __LINE__))

static struct scheduler sched;
static struct residency adapters[MAX_ADAPTERS];
static int32_t adapter_ready_at[MAX_ADAPTERS]; /* step at which a wanted image arrives; 0: not wanted */
static struct sequence *alive[MAX_ALIVE];
static int n_alive, ended, submitted;
static uint64_t next_id;
static int32_t step_no;
static unsigned seed;

static int pick(int n) { return rand_r(&seed) % n; }

static void open_sched(struct scheduler_config c)
{
    c.origin = (struct cache_origin){"v", "n"};
    c.max_live = MAX_ALIVE;
    c.max_history = c.max_history ? c.max_history : 1 << 16;
    c.max_bias = c.max_bias ? c.max_bias : 1 << 14;
    ck_assert_int_eq(scheduler_init(&sched, &c, NULL), 0);
    for (int i = 0; i < MAX_ADAPTERS; i++) {
        static const char *hashes[MAX_ADAPTERS] = {"h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7"};
        adapters[i] = (struct residency){.n_pages = 1 + i % 3, .hash = hashes[i], .reload_s = 0.1 * (i + 1)};
        adapters[i].pages = calloc(3, sizeof *adapters[i].pages);
        adapter_ready_at[i] = 0;
    }
    n_alive = ended = submitted = 0;
    next_id = 0;
    step_no = 0;
    seed = 7;
}

static void close_sched(void)
{
    ck_assert_int_eq(n_alive, 0);
    ck_assert_int_eq(ended, submitted);
    ck_assert_int_eq(sched.n_running + sched.n_waiting, 0);
    for (int i = 0; i < MAX_ADAPTERS; i++) {
        ck_assert_int_eq(adapters[i].n_running + adapters[i].n_waiting, 0);
        if (adapters[i].resident)
            residency_drop(&sched.adapters, &adapters[i]);
        free(adapters[i].pages);
    }
    while (sched.cache.n_idle)
        prefix_cache_evict(&sched.cache);
    ck_assert_int_eq(page_pool_free_count(&sched.pool), sched.pool.n_pages); /* nothing leaked */
    scheduler_deinit(&sched);
}

static struct sequence *submit_tier(const char *tenant, enum service_tier tier, int32_t n_prompt, int32_t max_tokens,
                                    int adapter, int shared)
{
    static int32_t prompt[4096];
    struct sequence *q;
    for (int32_t i = 0; i < n_prompt; i++)
        prompt[i] = i < shared ? 1 : pick(VOCAB);
    struct engine_request r = {.prompt = prompt, .n_prompt = n_prompt, .max_tokens = max_tokens, .tenant = tenant, .tier = tier,
                               .sampling = {.top_p = 1, .repetition = pick(3) ? 1 : 1.2f}};
    int32_t most = scheduler_max_total(&sched.config, adapter < 0 ? 0 : adapters[adapter].n_pages);
    EXPECT(n_prompt < most);
    EXPECT(sequence_create(&r, VOCAB, n_prompt + max_tokens < most ? n_prompt + max_tokens : most, &q, NULL) == 0);
    q->id = ++next_id;
    q->residency = adapter < 0 ? NULL : &adapters[adapter];
    scheduler_add(&sched, q, step_no);
    EXPECT(n_alive < MAX_ALIVE);
    alive[n_alive++] = q;
    submitted++;
    return q;
}

static struct sequence *submit(const char *tenant, int32_t n_prompt, int32_t max_tokens, int adapter, int shared)
{
    return submit_tier(tenant, SERVICE_DEFAULT, n_prompt, max_tokens, adapter, shared);
}

static void end(struct sequence *q)
{
    scheduler_remove(&sched, q);
    EXPECT(q->n_pages == 0);
    for (int i = 0; i < n_alive; i++)
        if (alive[i] == q) {
            alive[i] = alive[--n_alive];
            sequence_free(q);
            ended++;
            return;
        }
    ck_abort_msg("a sequence ended twice");
}

/* Images of adapters arrive some steps after they are wanted, as the engine would see it. */
static void load_adapters(int32_t delay)
{
    for (struct residency *r; (r = residency_take_changed(&sched.adapters));) {
        int i = (int)(r - adapters);
        bool want = r->n_waiting > 0 && !r->resident;
        if (want && !r->ready && !adapter_ready_at[i])
            adapter_ready_at[i] = step_no + 1 + pick(delay);
        if (!want)
            r->ready = false, adapter_ready_at[i] = 0;
    }
    for (int i = 0; i < MAX_ADAPTERS; i++)
        if (adapter_ready_at[i] && adapter_ready_at[i] <= step_no)
            adapters[i].ready = true, adapter_ready_at[i] = 0;
}

/* Every reference of every page is accounted for: sequences, cache, copies, adapters. */
static void check_pages(const struct plan *p)
{
    int32_t held[4096] = {0}, written_by[4096] = {0};
    EXPECT(sched.pool.n_pages <= 4096);
    for (const struct sequence *q = sched.head; q; q = q->next)
        for (int32_t k = 0; k < q->n_pages; k++)
            held[q->pages[k]]++;
    for (int32_t i = 0; i < p->n_copies; i++)
        held[p->copies[i].src_page]++;
    for (int i = 0; i < MAX_ADAPTERS; i++)
        for (int32_t k = 0; adapters[i].resident && k < adapters[i].n_pages; k++) {
            EXPECT(sched.pool.owner[adapters[i].pages[k]] == PAGE_ADAPTER);
            EXPECT(held[adapters[i].pages[k]]++ == 0);
        }
    int32_t cached = 0;
    for (int32_t page = 0; page < sched.pool.n_pages; page++) {
        int32_t more = sched.pool.refs[page] - held[page];
        EXPECT(more == 0 || more == 1);
        cached += more;
    }
    EXPECT(cached == sched.cache.n_nodes);
    for (int32_t i = 0; i < p->n_items; i++) {
        const struct sequence *q = p->items[i].seq;
        int32_t last = q->n_computed + p->items[i].n_rows - 1;
        for (int32_t k = q->n_computed / 16; k <= last / 16; k++) {
            EXPECT(k < q->n_pages);
            EXPECT(sched.pool.refs[q->pages[k]] == 1); /* nobody else sees a page that is written */
            EXPECT(written_by[q->pages[k]]++ == 0);
        }
    }
}

static void check_plan(const struct plan *p)
{
    int32_t rows = 0, history = 0;
    bool seen[MAX_ADAPTERS] = {false};
    const struct residency *previous = NULL;
    EXPECT(p->n_items <= sched.config.max_seqs);
    EXPECT(sched.n_running <= sched.config.max_seqs);
    for (int32_t i = 0; i < p->n_items; i++) {
        const struct plan_item *item = &p->items[i];
        const struct sequence *q = item->seq;
        EXPECT(q->state == SEQ_RUNNING);
        EXPECT(item->n_rows >= 1);
        EXPECT(q->n_computed + item->n_rows <= q->n_tokens);
        if (item->logits)
            EXPECT(q->n_computed + item->n_rows == q->n_tokens);
        rows += item->n_rows;
        history += item->logits ? q->n_history : 0;
        const struct residency *r = q->residency;
        EXPECT(!r || r->resident);
        if (r != previous) { /* segments: base first, each adapter once */
            EXPECT(r && !seen[r - adapters]);
            seen[r - adapters] = true;
        }
        previous = r;
        for (int32_t k = 0; k < i; k++)
            EXPECT(p->items[k].seq != q);
    }
    EXPECT(rows == p->n_rows);
    EXPECT(rows <= sched.config.max_rows);
    EXPECT(history <= sched.config.max_history);
    check_pages(p);
}

/* One step; returns rows computed. */
static int32_t step(void)
{
    step_no++;
    load_adapters(5);
    const struct plan *p = scheduler_plan(&sched, step_no);
    check_plan(p);
    int32_t n_items = p->n_items, n_rows = p->n_rows;
    if (!n_items)
        EXPECT(sched.n_running == 0);
    scheduler_commit(&sched);
    for (int32_t i = 0; i < n_items; i++) {
        struct sequence *q = p->items[i].seq;
        if (!p->items[i].logits)
            continue;
        scheduler_append(&sched, q, pick(VOCAB));
        if (q->n_tokens == q->max_total || pick(200) == 0)
            end(q);
    }
    return n_rows;
}

static void drain(int32_t max_steps)
{
    for (int32_t i = 0; n_alive; i++) {
        ck_assert_msg(i < max_steps, "%d sequences still not finished after %d steps", n_alive, max_steps);
        step();
    }
}

/* ---- Tests ---- */

static void simulate(struct scheduler_config c, int steps, bool pressure)
{
    open_sched(c);
    for (int i = 0; i < steps; i++) {
        static const char *const tenants[] = {"a", "b", "c", ""};
        while (n_alive < MAX_ALIVE - 1 && pick(3)) {
            int adapter = pick(2) ? -1 : pick(MAX_ADAPTERS), shared = pick(2) ? 0 : pick(100);
            submit_tier(tenants[pick(4)], (enum service_tier)pick(SERVICE_TIERS), 1 + pick(pick(10) ? 60 : 200),
                        1 + pick(60), adapter, shared);
        }
        if (n_alive && pick(4) == 0)
            end(alive[pick(n_alive)]);
        if (pick(20) == 0)
            adapters[pick(MAX_ADAPTERS)].pinned = pick(2);
        step();
    }
    drain(20000);
    ck_assert_int_gt(submitted, steps / 4);
    if (pressure) {
        ck_assert_uint_gt(sched.preemptions, 0);
        ck_assert_uint_gt(sched.adapters.evictions, 0);
    }
    if (!c.no_prefix_cache)
        ck_assert_uint_gt(sched.cached_tokens, 0);
    close_sched();
}

START_TEST(random_with_room)
{
    simulate((struct scheduler_config){.n_pages = 2000, .max_context = 512, .max_seqs = 16, .max_rows = 64}, 10000,
             false);
}
END_TEST

START_TEST(random_under_pressure)
{
    simulate((struct scheduler_config){.n_pages = 40, .max_context = 512, .max_seqs = 16, .max_rows = 40}, 20000, true);
}
END_TEST

START_TEST(random_without_cache)
{
    simulate(
        (struct scheduler_config){
            .n_pages = 40, .max_context = 512, .max_seqs = 8, .max_rows = 8, .no_prefix_cache = true},
        5000, true);
}
END_TEST

START_TEST(random_with_short_penalty_lists)
{
    simulate(
        (struct scheduler_config){
            .n_pages = 200, .max_context = 512, .max_seqs = 16, .max_rows = 64, .max_history = VOCAB},
        5000, false);
}
END_TEST

/* A sequence as large as pool and context allow finishes, with its adapter, while pinned adapters fill the pool. */
START_TEST(largest_sequence_finishes)
{
    open_sched((struct scheduler_config){.n_pages = 12, .max_context = 512, .max_seqs = 4, .max_rows = 16});
    for (int i = 0; i < 4; i++)
        submit("a", 4, 4, i, 0);
    drain(200);
    for (int i = 0; i < 4; i++)
        adapters[i].pinned = true;
    int32_t most = scheduler_max_total(&sched.config, adapters[5].n_pages);
    ck_assert_int_eq(most, 9 * 16 + 1);
    submit("a", 20, 4000, 5, 0);
    submit("b", most - 1, 10, 5, 0);
    drain(2000);
    close_sched();
}
END_TEST

/* While small requests keep coming, a large one that needs most of the pool gets its turn. */
START_TEST(large_request_is_not_starved)
{
    open_sched((struct scheduler_config){.n_pages = 20, .max_context = 400, .max_seqs = 8, .max_rows = 32});
    for (int i = 0; i < 20; i++)
        submit("small", 20, 30, -1, 0);
    struct sequence *big = submit("big", 250, 2, -1, 0);
    uint64_t id = big->id;
    int32_t steps = 0;
    for (bool there = true; there; steps++) {
        ck_assert_int_lt(steps, 200);
        while (n_alive < 30)
            submit("small", 20, 30, -1, 0);
        step();
        there = false;
        for (int i = 0; i < n_alive; i++)
            there |= alive[i]->id == id;
    }
    while (n_alive)
        end(alive[0]);
    close_sched();
}
END_TEST

/* VTC: two tenants that always have work waiting differ in service by no more than the bound, whatever the shape of
 * their requests. */
static void flood(int32_t prompt_a, int32_t out_a, int32_t prompt_b, int32_t out_b)
{
    enum { SEQS = 8, PAGES = 200 };
    open_sched((struct scheduler_config){.n_pages = PAGES, .max_context = 512, .max_seqs = SEQS, .max_rows = 64});
    int64_t longest = prompt_a > prompt_b ? prompt_a : prompt_b;
    int64_t running = SEQS * (longest + (out_a > out_b ? out_a : out_b)); /* tokens in the running batch */
    int64_t bound =
        2 * (longest * VTC_INPUT_WEIGHT > running * VTC_OUTPUT_WEIGHT ? longest : running * VTC_OUTPUT_WEIGHT);
    int64_t service_a = 0, service_b = 0;
    for (int i = 0; i < 3000; i++) {
        const struct tenant *a = NULL, *b = NULL;
        while (n_alive < 40) { /* both always have work waiting, A ten times as much */
            submit("a", prompt_a, out_a, -1, 0);
            if (n_alive % 4 == 0)
                submit("b", prompt_b, out_b, -1, 0);
        }
        step();
        for (int32_t k = 0; k < sched.tenants.n_waiting; k++)
            *(sched.tenants.waiting[k]->name[0] == 'a' ? &a : &b) = sched.tenants.waiting[k];
        if (!a || !b)
            continue;
        service_a = (int64_t)a->service;
        service_b = (int64_t)b->service;
        EXPECT(llabs(service_a - service_b) <= bound);
    }
    EXPECT(service_a > 10000);
    EXPECT(service_b > 10000); /* and real progress for both */
    while (n_alive)
        end(alive[0]);
    close_sched();
}

START_TEST(flood_is_fair)
{
    flood(50, 20, 50, 20);
    flood(200, 5, 10, 60);
    flood(10, 100, 100, 2);
}
END_TEST

/* A tenant with one short request does not wait for another's long ones to end. */
START_TEST(light_tenant_gets_a_place)
{
    open_sched((struct scheduler_config){.n_pages = 500, .max_context = 512, .max_seqs = 4, .max_rows = 64});
    for (int i = 0; i < 20; i++)
        submit("flood", 20, 400, -1, 0);
    for (int i = 0; i < 10; i++)
        step();
    ck_assert_int_eq(sched.n_running, 4);
    struct sequence *light = submit("light", 30, 400, -1, 0);
    for (int i = 0; i < 3; i++)
        step();
    ck_assert_int_eq(light->state, SEQ_RUNNING);
    ck_assert_uint_eq(sched.preemptions, 1);
    submit("light", 30, 400, -1, 0); /* up to its share of two, and no further */
    submit("light", 30, 400, -1, 0);
    for (int i = 0; i < 20; i++)
        step();
    ck_assert_uint_le(sched.preemptions, 2);
    while (n_alive)
        end(alive[0]);
    close_sched();
}
END_TEST

/* ---- Tiers ---- */

static int32_t count_tier(enum service_tier tier)
{
    int32_t n = 0;
    for (int i = 0; i < n_alive; i++)
        n += alive[i]->tier == tier;
    return n;
}

/* While every tier has work waiting, tokens are served 16 : 4 : 1. */
START_TEST(tiers_share)
{
    static const char *const names[] = {"default", "flex", "priority"};
    static const double due[] = {4, 1, 16};
    open_sched((struct scheduler_config){.n_pages = 500, .max_context = 512, .max_seqs = 21, .max_rows = 64});
    uint64_t begin[SERVICE_TIERS] = {0};
    for (int i = 0; i < 4000; i++) {
        for (int tier = 0; tier < SERVICE_TIERS; tier++)
            while (sched.tenants.tier[tier].n_waiting < 4)
                submit_tier(names[tier], (enum service_tier)tier, 40, 30, -1, 0);
        if (i == 1000)
            for (int tier = 0; tier < SERVICE_TIERS; tier++)
                begin[tier] = sched.tenants.tier[tier].service;
        step();
    }
    double served[SERVICE_TIERS];
    for (int tier = 0; tier < SERVICE_TIERS; tier++)
        served[tier] = (double)((sched.tenants.tier[tier].service - begin[tier]) / tier_cost((enum service_tier)tier));
    for (int tier = 0; tier < SERVICE_TIERS; tier++) {
        double part = served[tier] / served[SERVICE_FLEX];
        ck_assert_msg(part > 0.9 * due[tier] && part < 1.1 * due[tier], "%s: %.2f of flex's", names[tier], part);
        ck_assert(served[tier] > 1000);
    }
    while (n_alive)
        end(alive[0]);
    close_sched();
}
END_TEST

/* Places taken by long flex answers: one of priority runs within three steps, in the place of a flex one, and one of
 * default takes none of priority's. */
START_TEST(priority_takes_a_place)
{
    open_sched((struct scheduler_config){.n_pages = 500, .max_context = 512, .max_seqs = 4, .max_rows = 64});
    for (int i = 0; i < 10; i++)
        submit_tier("batch", SERVICE_FLEX, 20, 400, -1, 0);
    for (int i = 0; i < 10; i++)
        step();
    ck_assert_int_eq(sched.tenants.tier[SERVICE_FLEX].n_running, 4);
    struct sequence *first = submit_tier("batch", SERVICE_PRIORITY, 30, 400, -1, 0); /* of the same tenant even */
    for (int i = 0; i < 3; i++)
        step();
    ck_assert_int_eq(first->state, SEQ_RUNNING);
    ck_assert_int_eq(sched.tenants.tier[SERVICE_FLEX].n_running, 3);
    for (int i = 0; i < 8; i++)
        submit_tier("web", SERVICE_DEFAULT, 30, 400, -1, 0);
    for (int i = 0; i < 20; i++)
        step();
    ck_assert_int_eq(first->state, SEQ_RUNNING);
    ck_assert_int_eq(first->usage.preemptions, 0);
    ck_assert_int_ge(sched.tenants.tier[SERVICE_DEFAULT].n_running, 2);
    while (n_alive)
        end(alive[0]);
    close_sched();
}
END_TEST

/* A long prompt of flex does not hold up the first token of others: rows go to who is due, step by step. */
START_TEST(long_prompt_of_flex_makes_way)
{
    open_sched((struct scheduler_config){.n_pages = 500, .max_context = 2048, .max_seqs = 4, .max_rows = 16});
    struct sequence *slow = submit_tier("batch", SERVICE_FLEX, 1500, 5, -1, 0);
    step();
    struct sequence *quick = submit_tier("web", SERVICE_PRIORITY, 10, 5, -1, 0);
    step();
    ck_assert_int_eq(sequence_outputs(quick), 1);
    ck_assert_int_lt(slow->n_computed, 100);
    drain(400);
    close_sched();
}
END_TEST

/* A tier that was idle comes back level with the others, and not with what it saved. */
START_TEST(returning_tier_is_lifted)
{
    open_sched((struct scheduler_config){.n_pages = 500, .max_context = 512, .max_seqs = 2, .max_rows = 64});
    for (int i = 0; i < 20; i++)
        submit_tier("web", SERVICE_DEFAULT, 50, 10, -1, 0);
    for (int i = 0; i < 60; i++)
        step();
    for (int i = 0; i < 4; i++)
        submit_tier("batch", SERVICE_FLEX, 50, 10, -1, 0);
    ck_assert_uint_ge(sched.tenants.tier[SERVICE_FLEX].service, sched.tenants.tier[SERVICE_DEFAULT].service);
    drain(2000);
    struct sequence *again = submit_tier("web", SERVICE_PRIORITY, 10, 5, -1, 0); /* nobody waits: level with the last */
    ck_assert_uint_ge(sched.tenants.tier[SERVICE_PRIORITY].service, sched.tenants.tier[SERVICE_FLEX].service);
    ck_assert_ptr_nonnull(again);
    drain(100);
    close_sched();
}
END_TEST

/* A growing sequence takes its page from a lower tier, even an older one, and never from a higher. */
START_TEST(flex_gives_its_pages)
{
    open_sched((struct scheduler_config){.n_pages = 12, .max_context = 512, .max_seqs = 2, .max_rows = 64,
                                         .no_prefix_cache = true});
    struct sequence *flex = submit_tier("batch", SERVICE_FLEX, 60, 100, -1, 0);
    step();
    struct sequence *first = submit_tier("web", SERVICE_PRIORITY, 60, 100, -1, 0);
    uint64_t id = first->id;
    bool made_way = false;
    for (bool there = true; there;) {
        ck_assert_int_eq(first->usage.preemptions, 0);
        made_way |= flex->usage.preemptions > 0;
        step();
        there = false;
        for (int i = 0; i < n_alive; i++)
            there |= alive[i]->id == id;
    }
    ck_assert(made_way);
    drain(500);
    close_sched();
}
END_TEST

/* However much of the dearer tiers keeps coming, flex gets on, and is not put back for it again and again. */
START_TEST(flex_is_not_starved)
{
    enum { MOST_PREEMPTIONS = 12 };
    open_sched((struct scheduler_config){.n_pages = 60, .max_context = 512, .max_seqs = 4, .max_rows = 32});
    for (int i = 0; i < 8; i++)
        submit_tier("web", i % 2 ? SERVICE_DEFAULT : SERVICE_PRIORITY, 20, 30, -1, 0);
    struct sequence *flex = submit_tier("batch", SERVICE_FLEX, 100, 50, -1, 0);
    int32_t steps = 0;
    for (; count_tier(SERVICE_FLEX); steps++) {
        ck_assert_int_lt(steps, 3000);
        ck_assert_int_le(flex->usage.preemptions, MOST_PREEMPTIONS);
        while (n_alive < 30)
            submit_tier("web", n_alive % 2 ? SERVICE_DEFAULT : SERVICE_PRIORITY, 20, 30, -1, 0);
        step();
    }
    ck_assert_int_gt(steps, 50); /* and it did wait */
    while (n_alive)
        end(alive[0]);
    close_sched();
}
END_TEST

/* Idle time earns no credit: a tenant that comes late starts level with the one that was served meanwhile. */
START_TEST(returning_tenant_is_lifted)
{
    open_sched((struct scheduler_config){.n_pages = 500, .max_context = 512, .max_seqs = 1, .max_rows = 64});
    for (int i = 0; i < 10; i++)
        submit("early", 100, 3, -1, 0);
    for (int i = 0; i < 20; i++)
        step();
    struct sequence *late = submit("late", 10, 5, -1, 0);
    ck_assert_uint_gt(late->tenant->service, 300);
    drain(1000);
    struct sequence *again = submit("new", 10, 5, -1, 0); /* nobody waits: level with the tenant served last */
    ck_assert_uint_ge(again->tenant->service, 300);
    drain(1000);
    close_sched();
}
END_TEST

/* Sequences whose adapter is still being read wait alone. */
START_TEST(loading_adapter_blocks_nobody)
{
    open_sched((struct scheduler_config){.n_pages = 100, .max_context = 512, .max_seqs = 4, .max_rows = 64});
    struct sequence *slow = submit("a", 20, 5, 0, 0);
    struct sequence *fast = submit("a", 20, 5, -1, 0);
    scheduler_plan(&sched, 1);
    ck_assert_int_eq(slow->state, SEQ_WAITING);
    ck_assert_int_eq(fast->state, SEQ_RUNNING);
    scheduler_commit(&sched);
    adapters[0].ready = true;
    scheduler_plan(&sched, 2);
    ck_assert_int_eq(slow->state, SEQ_RUNNING);
    scheduler_commit(&sched);
    while (n_alive)
        end(alive[0]);
    close_sched();
}
END_TEST

/* Choices of one request: one prefills, the others wait and take its pages. */
START_TEST(same_prompts_prefill_once)
{
    open_sched((struct scheduler_config){.n_pages = 100, .max_context = 512, .max_seqs = 8, .max_rows = 256});
    for (int i = 0; i < 4; i++)
        submit("a", 100, 5, -1, 100);
    ck_assert_int_eq(step(), 100);
    ck_assert_int_eq(sched.n_running, 1);
    ck_assert_int_le(step(), 1 + 3 * (100 - 96));
    ck_assert_int_eq(sched.n_running, 4);
    drain(100);
    close_sched();
}
END_TEST

/* Pinned adapters keep their pages while there is anything else to evict, however cheap they are to reload. */
START_TEST(pinned_adapter_stays)
{
    open_sched((struct scheduler_config){.n_pages = 8, .max_context = 512, .max_seqs = 2, .max_rows = 64});
    adapters[0].pinned = true;
    for (int i = 0; i < 4; i++) {
        submit("a", 4, 2, i, 0);
        drain(50);
    }
    ck_assert(adapters[0].resident && adapters[3].resident);
    submit("a", 70, 2, 4, 0);
    drain(50);
    ck_assert(adapters[0].resident && adapters[4].resident && !adapters[1].resident);
    for (int i = 0; i < 4; i++) /* growing into a full pool: one of them is preempted rather */
        submit("a", 20, 80, -1, 0);
    drain(2000);
    ck_assert_uint_gt(sched.preemptions, 0);
    ck_assert(adapters[0].resident);
    close_sched();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scheduler");
    TCase *t = tcase_create("scheduler");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, random_with_room);
    tcase_add_test(t, random_under_pressure);
    tcase_add_test(t, random_without_cache);
    tcase_add_test(t, random_with_short_penalty_lists);
    tcase_add_test(t, largest_sequence_finishes);
    tcase_add_test(t, large_request_is_not_starved);
    tcase_add_test(t, flood_is_fair);
    tcase_add_test(t, light_tenant_gets_a_place);
    tcase_add_test(t, tiers_share);
    tcase_add_test(t, priority_takes_a_place);
    tcase_add_test(t, long_prompt_of_flex_makes_way);
    tcase_add_test(t, returning_tier_is_lifted);
    tcase_add_test(t, flex_gives_its_pages);
    tcase_add_test(t, flex_is_not_starved);
    tcase_add_test(t, returning_tenant_is_lifted);
    tcase_add_test(t, loading_adapter_blocks_nobody);
    tcase_add_test(t, same_prompts_prefill_once);
    tcase_add_test(t, pinned_adapter_stays);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
