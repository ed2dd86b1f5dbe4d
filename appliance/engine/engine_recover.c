/* Going on after what computes was lost.
 *
 * Whatever the lost pages held can be computed again: each sequence still has its tokens, and its next one does not
 * depend on how the ones before were computed. So a loss costs time, not answers: everybody waits again, the backend is
 * started again, cache and adapters come back with use. Three bounds:
 *  - a sequence that was in the step each time the backend was lost ends with an error after MAX_LOSSES: it may be why;
 *  - after PATIENCE failed attempts to start again, those who wait end with an error and new ones are refused, until an
 *    attempt succeeds;
 *  - attempts come ever less often, up to MAX_DELAY_S apart, until the backend has worked for QUIET_S. */
#include "engine/engine_internal.h"

#include "base/clock.h"
#include "base/log.h"

enum { MAX_LOSSES = 3, PATIENCE = 3 };
static const double FIRST_DELAY_S = 0.25, MAX_DELAY_S = 30, QUIET_S = 60, POLL_S = 0.01, CHECK_S = 0.5;

static double delay_s(const struct recovery *r)
{
    double delay = FIRST_DELAY_S;
    for (int i = 2; i < r->in_a_row && delay < MAX_DELAY_S; i++)
        delay *= 2;
    return r->in_a_row < 2 ? 0 : delay < MAX_DELAY_S ? delay : MAX_DELAY_S;
}

/* What other threads see of it. */
static void set_state(struct engine *e, bool restarting, bool refusing, const struct err *why)
{
    pthread_mutex_lock(&e->mutex);
    e->restarting = restarting;
    e->refusing = refusing;
    if (why)
        e->lost_why = *why;
    pthread_mutex_unlock(&e->mutex);
}

static void fail_for_good(struct engine *e, const struct err *why)
{
    log_line(LOG_ERROR, "engine", "device lost, every request ends: %s", why->message);
    pthread_mutex_lock(&e->mutex);
    e->failed = true; /* from here nothing is added to the inbox */
    pthread_mutex_unlock(&e->mutex);
    engine_end_all(e, END_ERROR, why);
}

/* Ends who was in the failed step too often. */
static void blame(struct engine *e, const struct plan *p, const struct err *why)
{
    struct err told;
    for (int32_t i = 0; p && i < p->n_items; i++) {
        struct sequence *q = p->items[i].seq;
        if (++q->losses < MAX_LOSSES)
            continue;
        err_set(&told, OL_EDEVICE, "engine", "the engine had to be restarted %d times while it computed this request: "
                "%.140s", q->losses, why->message);
        engine_end(e, q, END_ERROR, &told);
    }
}

void engine_lose(struct engine *e, const struct plan *p, const struct err *why)
{
    struct recovery *r = &e->recovery;
    double now_s = clock_mono_s();
    if (!e->backend.restart) {
        fail_for_good(e, why);
        return;
    }
    log_line(LOG_ERROR, "engine", "%s; starting it again, requests go on then", why->message);
    if (now_s - r->works_since_s > QUIET_S)
        r->in_a_row = 0;
    r->in_a_row++;
    r->failed_attempts = 0;
    r->next_s = now_s + delay_s(r);
    set_state(e, true, false, why);
    blame(e, p, why);
    scheduler_lose_pages(&e->sched);
    engine_sync_adapters(e);
    engine_publish_stats(e);
}

static void attempt_failed(struct engine *e, const struct err *why, double now_s)
{
    struct recovery *r = &e->recovery;
    r->in_a_row++;
    r->next_s = now_s + delay_s(r);
    log_line(LOG_ERROR, "engine", "starting again failed, next attempt in %.1f s: %s", r->next_s - now_s, why->message);
    if (++r->failed_attempts < PATIENCE)
        return;
    set_state(e, true, true, why);
    struct err told;
    err_set(&told, OL_EDEVICE, "engine", "the engine could not be restarted: %.180s", why->message);
    engine_end_all(e, END_ERROR, &told);
}

void engine_recover(struct engine *e)
{
    struct recovery *r = &e->recovery;
    struct err why = {0};
    double now_s = clock_mono_s();
    if (now_s < r->next_s)
        return;
    int rc = e->backend.restart(e->backend.ctx, &why);
    now_s = clock_mono_s();
    if (rc == OL_EBUSY) {
        r->next_s = now_s + POLL_S;
        return;
    }
    if (rc) {
        attempt_failed(e, &why, now_s);
        return;
    }
    r->works_since_s = now_s;
    e->stats.restarts++;
    e->backend.info(e->backend.ctx, &e->stats.device);
    set_state(e, false, false, NULL);
    engine_publish_stats(e);
    log_line(LOG_INFO, "engine", "computing again");
}

void engine_check(struct engine *e)
{
    struct err why = {0};
    if (e->backend.check && e->backend.check(e->backend.ctx, &why) != 0)
        engine_lose(e, NULL, &why);
}

double engine_next_look_s(struct engine *e, double now_s)
{
    if (e->restarting)
        return e->recovery.next_s;
    return e->backend.check && !e->failed ? now_s + CHECK_S : 0;
}
