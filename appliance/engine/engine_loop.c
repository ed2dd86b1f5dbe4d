/* The engine's thread: events in, one step, tokens out, again. */
#include "engine/engine_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <time.h>

static void unlink_live(struct engine *e, struct sequence *q)
{
    *(q->prev_live ? &q->prev_live->next_live : &e->live) = q->next_live;
    if (q->next_live)
        q->next_live->prev_live = q->prev_live;
}

void engine_end(struct engine *e, struct sequence *q, enum engine_end end, const struct err *why)
{
    scheduler_remove(&e->sched, q);
    engine_sync_adapters(e); /* before the reference goes */
    engine_observe_end(e, q, end, clock_mono_s());
    engine_publish_stats(e);
    pthread_mutex_lock(&e->mutex);
    e->n_live--; /* the place is free before the client hears of it */
    pthread_mutex_unlock(&e->mutex);
    q->on_end(q->user, end, &q->usage, why);
    pthread_mutex_lock(&e->mutex);
    unlink_live(e, q); /* idle only after the last callback */
    pthread_mutex_unlock(&e->mutex);
    adapter_release(q->adapter);
    sequence_free(q);
}

/* Moves the inbox to the live list; returns its oldest entry, from which prev_live leads to the newest. */
static struct sequence *take_inbox(struct engine *e)
{
    struct sequence *first = e->inbox_head;
    for (struct sequence *q = first, *next; q; q = next) {
        next = q->next_live;
        q->prev_live = NULL;
        q->next_live = e->live;
        if (e->live)
            e->live->prev_live = q;
        e->live = q;
    }
    e->inbox_head = e->inbox_tail = NULL;
    return first;
}

static void end_cancelled(struct engine *e)
{
    for (struct sequence *q = e->live, *next; q; q = next) {
        next = q->next_live;
        if (atomic_load(&q->cancelled))
            engine_end(e, q, END_CANCELLED, NULL);
    }
}

void engine_end_all(struct engine *e, enum engine_end end, const struct err *why)
{
    pthread_mutex_lock(&e->mutex);
    take_inbox(e);
    pthread_mutex_unlock(&e->mutex);
    while (e->live)
        engine_end(e, e->live, end, why);
}

/* Waits for an event, or until until_s (0: for ever). The mutex is held. */
static void wait_event(struct engine *e, double until_s)
{
    struct timespec until = {.tv_sec = (time_t)until_s, .tv_nsec = (long)((until_s - (double)(time_t)until_s) * 1e9)};
    while (!e->event)
        if (until_s == 0)
            pthread_cond_wait(&e->wake, &e->mutex);
        else if (pthread_cond_clockwait(&e->wake, &e->mutex, CLOCK_MONOTONIC, &until) == ETIMEDOUT)
            return;
}

/* Waits for an event if there is nothing to compute, then applies what happened. False when closing. */
static bool take_events(struct engine *e, bool idle)
{
    double look_s = idle ? engine_next_look_s(e, clock_mono_s()) : 0;
    pthread_mutex_lock(&e->mutex);
    if (idle)
        wait_event(e, look_s);
    e->event = false;
    struct sequence *q = take_inbox(e);
    bool cancel = e->cancel_pending, closing = e->closing;
    e->cancel_pending = false;
    pthread_mutex_unlock(&e->mutex);

    double now_s = clock_mono_s();
    for (struct sequence *newer; q; q = newer) {
        newer = q->prev_live;
        scheduler_add(&e->sched, q, now_s);
        engine_sync_adapters(e);
        engine_settle(e, q);
    }
    if (cancel)
        end_cancelled(e);
    uint64_t events = adapter_store_events(e->adapters);
    if (events != e->adapter_events) {
        e->adapter_events = events;
        engine_refresh_adapters(e);
    }
    return !closing;
}

/* Hands each result to its sequence, in the order of the step's logits rows. */
static void deliver(struct engine *e, const struct plan *p)
{
    const struct step_result *r = e->results;
    double now_s = clock_mono_s();
    for (int32_t i = 0; i < p->n_items; i++) {
        struct sequence *q = p->items[i].seq;
        if (!p->items[i].logits)
            continue;
        scheduler_append(&e->sched, q, r->token);
        engine_observe_token(e, q, r, now_s);
        if (!q->on_token(q->user, r++))
            engine_end(e, q, END_STOP, NULL);
        else if (q->n_tokens == q->max_total)
            engine_end(e, q, END_LENGTH, NULL);
    }
}

/* Plans and computes one step. False when there was nothing to do. */
static bool run_step(struct engine *e)
{
    double start_s = clock_mono_s();
    const struct plan *p = scheduler_plan(&e->sched, start_s);
    if (!p->n_items) {
        engine_publish_stats(e);
        return false;
    }
    struct err err = {0};
    int rc = engine_upload_adapters(e, p, &err);
    engine_sync_adapters(e);
    if (!rc) {
        step_fill(e->backend.step(e->backend.ctx), p);
        rc = e->backend.run(e->backend.ctx, e->results, &err);
    }
    if (rc) {
        engine_lose(e, p, &err);
        return false;
    }
    engine_observe_step(e, p, clock_mono_s() - start_s);
    scheduler_commit(&e->sched);
    deliver(e, p);
    engine_publish_stats(e);
    return true;
}

/* One round; false when there was nothing to compute. */
static bool work(struct engine *e)
{
    if (e->failed) /* nothing to run, only to refuse */
        return false;
    if (e->restarting) {
        engine_recover(e);
        return !e->restarting;
    }
    if (run_step(e))
        return true;
    engine_check(e);
    return false;
}

void *engine_main(void *engine)
{
    struct engine *e = engine;
    bool idle = true;
    pthread_setname_np(pthread_self(), "ol-engine");
    while (take_events(e, idle))
        idle = !work(e);
    engine_end_all(e, END_CANCELLED, NULL);
    return NULL;
}
