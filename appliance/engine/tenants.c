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

static struct tenant *find_or_make(struct tenants *ts, const char *name)
{
    struct tenant *spare = NULL;
    for (int32_t i = 0; i < ts->capacity; i++) {
        struct tenant *t = &ts->slots[i];
        if (t->used && strcmp(t->name, name) == 0)
            return t;
        /* Best place for a new one: an unused slot, else the idle tenant with the lowest counter. */
        if (!t->used ? !spare || spare->used
                     : is_idle(t) && t != ts->last && (!spare || (spare->used && t->service < spare->service)))
            spare = t;
    }
    CHECK(spare); /* capacity exceeds the sequences alive at one time */
    *spare = (struct tenant){.used = true};
    memcpy(spare->name, name, strlen(name) + 1);
    return spare;
}

static void lift(struct tenants *ts, struct tenant *t)
{
    uint64_t floor = UINT64_MAX;
    for (int32_t i = 0; i < ts->n_waiting; i++)
        if (ts->waiting[i]->service < floor)
            floor = ts->waiting[i]->service;
    if (!ts->n_waiting)
        floor = ts->last ? ts->last->service : 0;
    if (t->service < floor)
        t->service = floor;
}

void tenants_requeue(struct tenants *ts, struct sequence *s)
{
    struct tenant *t = s->tenant;
    ts->n_active += is_idle(t);
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
    struct tenant *t = s->tenant = find_or_make(ts, s->tenant_name);
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
    ts->n_active -= is_idle(t);
    if (t->n_waiting)
        return;
    int32_t i = 0;
    while (ts->waiting[i] != t)
        i++;
    ts->waiting[i] = ts->waiting[--ts->n_waiting];
}

void tenants_started(struct tenants *ts, struct tenant *t)
{
    ts->n_active += is_idle(t);
    t->n_running++;
}

void tenants_stopped(struct tenants *ts, struct tenant *t)
{
    t->n_running--;
    ts->n_active -= is_idle(t);
}

struct tenant *tenants_next(const struct tenants *ts, uint64_t epoch)
{
    struct tenant *best = NULL;
    for (int32_t i = 0; i < ts->n_waiting; i++) {
        struct tenant *t = ts->waiting[i];
        if (t->skip_epoch != epoch && (!best || t->service < best->service ||
                                       (t->service == best->service && t->head->id < best->head->id)))
            best = t;
    }
    return best;
}
