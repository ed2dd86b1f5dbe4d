/* One question at a time, and each answer is waited for: a chainlited that hangs delays only this thread. What others ask
 * (catalog, health) is answered from what it said last. */
#include "billing/keeper.h"

#include "base/log.h"
#include "billing/bill.h"
#include "chainlite/json/values.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODULE "billing"

enum { FIRST_MS = 250, ROUND_MS = 1000, CATALOG_MS = 3000, SWEEP_MS = 60000, SWEEP_ROWS = 1000, ORPHANS_PER_PAGE = 500 };

struct keeper {
    struct billing *billing;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stop, asked;          /* asked: an answer to the last question is to come */
    bool orphans_ended;        /* reservations of an earlier process */
    char orphans_after[67];    /* the next page of them */
    bool reachable;
    struct err why;            /* not */
    struct catalog *catalog;   /* the one in force; NULL: none yet */
    struct readiness ready;
    int catalog_age_ms;
};

/* ---- questions to chainlited; each answer ends with answered() */

static void note(struct keeper *k, bool reachable, const struct err *why)
{
    if (k->reachable && !reachable)
        log_line(LOG_ERROR, MODULE, "%s; nothing is served until it is back", why->message);
    if (!k->reachable && reachable)
        log_line(LOG_INFO, MODULE, "chainlited answers");
    k->reachable = reachable;
    if (!reachable)
        k->why = *why;
}

/* Lock held. */
static void answered(struct keeper *k, int rc, const struct err *why)
{
    if (rc != 0)
        note(k, false, why);
    k->asked = false;
    pthread_cond_signal(&k->changed);
}

static int check(int rc, int status, const struct err *why, const char *what, struct err *e)
{
    if (rc != 0)
        *e = *why;
    else if (status != 200)
        rc = err_set(e, OL_EIO, MODULE, "chainlited answered %d when asked for its %s", status, what);
    return rc;
}

static void on_catalog(void *user, int rc, int status, const json_t *answer, const struct err *why)
{
    struct keeper *k = user;
    struct catalog *c = NULL;
    struct err e = {0};
    rc = check(rc, status, why, "catalog", &e);
    if (rc == 0)
        rc = catalog_parse(answer, &c, &e);
    pthread_mutex_lock(&k->lock);
    if (c) {
        catalog_release(k->catalog);
        k->catalog = c;
        note(k, true, NULL);
    }
    answered(k, rc, &e);
    pthread_mutex_unlock(&k->lock);
}

static void on_readiness(void *user, int rc, int status, const json_t *answer, const struct err *why)
{
    struct keeper *k = user;
    struct readiness now;
    struct err e = {0};
    rc = check(rc, status, why, "readiness", &e);
    if (rc == 0)
        readiness_read(answer, &now);
    pthread_mutex_lock(&k->lock);
    if (rc == 0) {
        if (now.refusal && now.refusal != k->ready.refusal)
            log_line(LOG_ERROR, MODULE, "chainlited promises nothing now (%s): %s", now.refusal, now.message);
        k->ready = now;
    }
    answered(k, rc, &e);
    pthread_mutex_unlock(&k->lock);
}

/* ---- reservations that nobody will record */

/* May its receipt still be asked for: by who comes back for a kept answer, or by us? */
static bool is_wanted(struct billing *b, const uint8_t id[32])
{
    struct buf extras;
    buf_init(&extras, 1 << 20);
    bool kept = ledger_get(b->ledger, LEDGER_RECEIPT, id, &extras, NULL) == 0 && strstr(buf_str(&extras), "\"kept\":");
    buf_deinit(&extras);
    return kept || arrears_hold(b->ledger, id);
}

static void end_orphans(struct billing *b, const json_t *list)
{
    const json_t *row;
    size_t i, n = 0;
    uint8_t id[32];
    json_array_foreach(list, i, row)
        if (hex_from_json(json_object_get(row, "receipt_id"), id, sizeof id) && !is_wanted(b, id)) {
            bill_end_reservation(b, id);
            n++;
        }
    if (n > 0)
        log_line(LOG_INFO, MODULE, "%zu reservations of an earlier process are ended", n);
}

static void on_orphans(void *user, int rc, int status, const json_t *answer, const struct err *why)
{
    struct keeper *k = user;
    const json_t *list = json_object_get(answer, "receipts");
    const char *next = json_string_value(json_object_get(answer, "next"));
    struct err e = {0};
    rc = check(rc, status, why, "reservations", &e);
    if (rc == 0 && (!json_is_array(list) || (next && strlen(next) >= sizeof k->orphans_after)))
        rc = err_set(&e, OL_EFORMAT, MODULE, "chainlited's list of reservations is none");
    if (rc == 0)
        end_orphans(k->billing, list);
    pthread_mutex_lock(&k->lock);
    if (rc == 0 && next)
        memcpy(k->orphans_after, next, strlen(next) + 1);
    k->orphans_ended = rc == 0 && !next;
    answered(k, rc, &e);
    pthread_mutex_unlock(&k->lock);
}

/* ---- the thread */

/* Waits for the answer. Lock held. */
static void ask(struct keeper *k, const char *path, chain_done done)
{
    struct err e;
    k->asked = true;
    pthread_mutex_unlock(&k->lock);
    int rc = chain_query(k->billing->chain, "GET", path, done, k, &e);
    pthread_mutex_lock(&k->lock);
    if (rc != 0)
        k->asked = false;
    while (k->asked) /* the client answers everything, even when it stops */
        pthread_cond_wait(&k->changed, &k->lock);
}

static void ask_for_orphans(struct keeper *k)
{
    char path[160];
    snprintf(path, sizeof path, "/v1/receipts?state=reserved&limit=%d%s%s", ORPHANS_PER_PAGE,
             k->orphans_after[0] ? "&after=" : "", k->orphans_after);
    ask(k, path, on_orphans);
}

static void wait_ms(struct keeper *k, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!k->stop && pthread_cond_timedwait(&k->changed, &k->lock, &until) == 0)
        ;
}

/* An answer that nobody came back for: what it had reserved is free again. */
static void on_gone(void *user, const char *answer, size_t n)
{
    struct billing *b = user;
    uint8_t id[32];
    json_t *j = json_loadb(answer, n, 0, NULL);
    if (hex_from_json(json_object_get(j, "receipt_id"), id, sizeof id) && !arrears_hold(b->ledger, id))
        bill_end_reservation(b, id);
    json_decref(j);
}

static void sweep(struct billing *b)
{
    struct err e = {0};
    if (ledger_sweep(b->ledger, (int64_t)time(NULL), SWEEP_ROWS, on_gone, b, &e) < 0)
        log_line(LOG_ERROR, MODULE, "%s", e.message);
}

/* One round; true: the next may follow at once. Lock held. */
static bool ask_all(struct keeper *k)
{
    if (!k->orphans_ended) {
        ask_for_orphans(k);
        return k->orphans_ended || k->orphans_after[0];
    }
    if (!k->catalog || !k->reachable || k->catalog_age_ms >= CATALOG_MS) {
        ask(k, "/v1/catalog", on_catalog);
        k->catalog_age_ms = 0;
    }
    if (k->reachable)
        ask(k, "/v1/readiness", on_readiness);
    if (!k->reachable || k->ready.refusal || k->stop)
        return false;
    pthread_mutex_unlock(&k->lock);
    bill_hand_in(k->billing);
    pthread_mutex_lock(&k->lock);
    return false;
}

static void *keeper_main(void *arg)
{
    struct keeper *k = arg;
    int swept_ms = SWEEP_MS;
    pthread_setname_np(pthread_self(), "ol-billing");
    pthread_mutex_lock(&k->lock);
    while (!k->stop) {
        bool more = ask_all(k);
        if (swept_ms >= SWEEP_MS) {
            pthread_mutex_unlock(&k->lock);
            sweep(k->billing);
            pthread_mutex_lock(&k->lock);
            swept_ms = 0;
        }
        if (more && k->reachable)
            continue;
        const int ms = k->catalog ? ROUND_MS : FIRST_MS;
        wait_ms(k, ms);
        swept_ms += ms;
        k->catalog_age_ms += ms;
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

int keeper_open(struct billing *b, struct keeper **out, struct err *e)
{
    struct keeper *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for billing");
    k->billing = b;
    k->reachable = true; /* so that the first failure is said */
    k->ready = READINESS_UNKNOWN;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    err_set(&k->why, OL_EIO, MODULE, "chainlited was not asked yet");
    *out = k; /* before the thread is there: it asks billing for the catalog as others do */
    if (pthread_create(&k->thread, NULL, keeper_main, k) != 0) {
        *out = NULL;
        free(k);
        return err_set(e, OL_ENOMEM, MODULE, "starting the billing thread failed");
    }
    return 0;
}

void keeper_stop(struct keeper *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->stop = true;
    pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
}

void keeper_close(struct keeper *k)
{
    if (!k)
        return;
    pthread_join(k->thread, NULL);
    catalog_release(k->catalog);
    pthread_mutex_destroy(&k->lock);
    pthread_cond_destroy(&k->changed);
    free(k);
}

/* ---- what others ask */

struct catalog *keeper_catalog(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    struct catalog *c = catalog_ref(k->catalog);
    pthread_mutex_unlock(&k->lock);
    return c;
}

bool keeper_reachable(struct keeper *k, struct err *why)
{
    pthread_mutex_lock(&k->lock);
    bool reachable = k->reachable && k->catalog;
    if (!reachable)
        *why = k->why;
    pthread_mutex_unlock(&k->lock);
    return reachable;
}

void keeper_health(struct keeper *k, struct billing_health *h)
{
    const struct billing *b = k->billing;
    const size_t waiting = arrears_count(b->arrears);
    pthread_mutex_lock(&k->lock);
    billing_health_of(k->catalog, &k->ready, k->reachable && k->catalog ? NULL : k->why.message, waiting,
                      (size_t)b->config.max_arrears, h);
    pthread_mutex_unlock(&k->lock);
}
