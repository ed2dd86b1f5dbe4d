#include "engine/tenants.h"

#include <stdlib.h>
#include <string.h>

int tenants_init(struct tenants *t, int32_t capacity, struct err *e)
{
    *t = (struct tenants){.capacity = capacity};
    t->slots = calloc((size_t)capacity, sizeof *t->slots);
    t->waiting = calloc((size_t)capacity, sizeof *t->waiting);
    if (!t->slots || !t->waiting) {
        tenants_deinit(t);
        return err_set(e, OL_ENOMEM, "scheduler", "no memory for %d tenants", (int)capacity);
    }
    return 0;
}

void tenants_deinit(struct tenants *t)
{
    free(t->slots);
    free(t->waiting);
    *t = (struct tenants){0};
}

static bool is_idle(const struct tenant *t) { return t->n_waiting == 0 && t->n_running == 0; }

uint64_t tier_cost(enum service_tier tier)
{
    static const uint64_t cost[SERVICE_TIERS] = {[SERVICE_PRIORITY] = 1, [SERVICE_DEFAULT] = 4, [SERVICE_FLEX] = 16};
    return cost[tier];
}

static struct tenant *find_or_make(struct tenants *ts, const char *name, enum service_tier tier)
{
    struct tenant *spare = NULL;
    for (int32_t i = 0; i < ts->capacity; i++) {
        struct tenant *t = &ts->slots[i];
        if (t->used && t->tier == tier && strcmp(t->name, name) == 0)
            return t;
        /* Best place for a new one: an unused slot, else the idle tenant with the lowest counter. */
        if (!t->used ? !spare || spare->used
                     : is_idle(t) && t != ts->tier[t->tier].last && (!spare || (spare->used && t->service < spare->service)))
            spare = t;
    }
    CHECK(spare); /* capacity exceeds the sequences alive at one time */
    *spare = (struct tenant){.used = true, .tier = tier};
    memcpy(spare->name, name, strlen(name) + 1);
    return spare;
}

static void lift_tier(struct tenants *ts, struct tier_line *l)
{
    uint64_t floor = UINT64_MAX;
    for (int i = 0; i < SERVICE_TIERS; i++)
        if (ts->tier[i].n_waiting && ts->tier[i].service < floor)
            floor = ts->tier[i].service;
    if (!ts->n_waiting)
        floor = ts->tier[ts->last].service;
    if (l->service < floor)
        l->service = floor;
}

static void lift(struct tenants *ts, struct tenant *t)
{
    const struct tier_line *l = &ts->tier[t->tier];
    uint64_t floor = UINT64_MAX;
    for (int32_t i = 0; i < ts->n_waiting; i++)
        if (ts->waiting[i]->tier == t->tier && ts->waiting[i]->service < floor)
            floor = ts->waiting[i]->service;
    if (!l->n_waiting)
        floor = l->last ? l->last->service : 0;
    if (t->service < floor)
        t->service = floor;
}

void tenants_requeue(struct tenants *ts, struct sequence *s)
{
    struct tenant *t = s->tenant;
    struct tier_line *l = &ts->tier[t->tier];
    l->n_active += is_idle(t);
    l->n_waiting++;
    if (t->n_waiting++ == 0)
        ts->waiting[ts->n_waiting++] = t;
    struct sequence *after = t->tail; /* new sequences have the highest id; preempted ones go near the front */
    if (after && after->id > s->id)
        for (after = t->head->id > s->id ? NULL : t->head; after && after->next->id < s->id;)
            after = after->next;
    s->prev = after;
    s->next = after ? after->next : t->head;
    *(s->prev ? &s->prev->next : &t->head) = s;
    *(s->next ? &s->next->prev : &t->tail) = s;
}

void tenants_arrive(struct tenants *ts, struct sequence *s)
{
    struct tenant *t = s->tenant = find_or_make(ts, s->tenant_name, s->tier);
    if (!ts->tier[t->tier].n_waiting)
        lift_tier(ts, &ts->tier[t->tier]);
    if (!t->n_waiting)
        lift(ts, t);
    tenants_requeue(ts, s);
}

void tenants_dequeue(struct tenants *ts, struct sequence *s)
{
    struct tenant *t = s->tenant;
    *(s->prev ? &s->prev->next : &t->head) = s->next;
    *(s->next ? &s->next->prev : &t->tail) = s->prev;
    s->next = s->prev = NULL;
    t->n_waiting--;
    ts->tier[t->tier].n_waiting--;
    ts->tier[t->tier].n_active -= is_idle(t);
    if (t->n_waiting)
        return;
    int32_t i = 0;
    while (ts->waiting[i] != t)
        i++;
    ts->waiting[i] = ts->waiting[--ts->n_waiting];
}

void tenants_started(struct tenants *ts, struct tenant *t)
{
    ts->tier[t->tier].n_active += is_idle(t);
    ts->tier[t->tier].n_running++;
    t->n_running++;
}

void tenants_stopped(struct tenants *ts, struct tenant *t)
{
    t->n_running--;
    ts->tier[t->tier].n_running--;
    ts->tier[t->tier].n_active -= is_idle(t);
}

void tenants_charge(struct tenants *ts, struct tenant *t, uint64_t tokens)
{
    t->service += tokens;
    ts->tier[t->tier].service += tokens * tier_cost(t->tier);
}

void tenants_admitted(struct tenants *ts, struct tenant *t)
{
    ts->last = t->tier;
    ts->tier[t->tier].last = t;
}

static bool due_before(const struct tenants *ts, enum service_tier a, enum service_tier b)
{
    uint64_t of_a = ts->tier[a].service, of_b = ts->tier[b].service;
    return of_a < of_b || (of_a == of_b && tier_cost(a) < tier_cost(b));
}

void tenants_tiers(const struct tenants *ts, enum service_tier out[SERVICE_TIERS])
{
    for (int i = 0; i < SERVICE_TIERS; i++) {
        int at = i;
        for (; at > 0 && due_before(ts, (enum service_tier)i, out[at - 1]); at--)
            out[at] = out[at - 1];
        out[at] = (enum service_tier)i;
    }
}

struct tenant *tenants_next(const struct tenants *ts, enum service_tier tier, uint64_t epoch)
{
    struct tenant *best = NULL;
    for (int32_t i = 0; i < ts->n_waiting; i++) {
        struct tenant *t = ts->waiting[i];
        if (t->tier == tier && t->skip_epoch != epoch && (!best || t->service < best->service ||
                                       (t->service == best->service && t->head->id < best->head->id)))
            best = t;
    }
    return best;
}
