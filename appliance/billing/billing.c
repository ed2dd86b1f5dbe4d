#include "billing/billing.h"

#include "base/log.h"
#include "billing/idempotency.h"
#include "chainlite/json/values.h"
#include "chainlite/core/hex.h"
#include "billing/bill.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define MODULE "billing"

enum { FIRST_READ_MS = 250, READ_MS = 5000, SWEEP_MS = 60000, SWEEP_ROWS = 1000, ORPHANS_PER_PAGE = 500 };

struct billing_keeper {
    struct billing *billing;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop, asked;        /* asked: an answer to the last query is to come */
    bool orphans_ended;      /* reservations of an earlier process */
    bool reachable;
    struct err why;
    struct catalog *catalog; /* the one in force; NULL: none yet */
};

/* ---- the catalog */

static void note(struct billing_keeper *k, bool reachable, const struct err *why)
{
    if (k->reachable && !reachable)
        log_line(LOG_ERROR, MODULE, "%s; nothing is served until it is back", why->message);
    if (!k->reachable && reachable)
        log_line(LOG_INFO, MODULE, "chainlited answers");
    k->reachable = reachable;
    if (!reachable)
        k->why = *why;
}

static void on_catalog(void *user, int rc, int status, const json_t *answer, const struct err *why)
{
    struct billing_keeper *k = user;
    struct catalog *c = NULL;
    struct err e = {0};
    if (rc != 0)
        e = *why;
    else if (status != 200)
        rc = err_set(&e, OL_EIO, MODULE, "chainlited answered %d when asked for its catalog", status);
    else
        rc = catalog_parse(answer, &c, &e);
    pthread_mutex_lock(&k->lock);
    note(k, rc == 0, &e);
    if (c) {
        catalog_release(k->catalog);
        k->catalog = c;
    }
    k->asked = false;
    pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
}

/* ---- reservations that nobody will record */

static void end_orphan(struct billing *b, const json_t *row)
{
    uint8_t id[32];
    struct buf extras;
    if (!hex_from_json(json_object_get(row, "receipt_id"), id, sizeof id))
        return;
    buf_init(&extras, 1 << 20);
    bool kept = ledger_get(b->ledger, LEDGER_RECEIPT, id, &extras, NULL) == 0 && strstr(buf_str(&extras), "\"kept\":");
    buf_deinit(&extras);
    if (!kept)
        bill_end_reservation(b, id);
}

static void on_orphans(void *user, int rc, int status, const json_t *answer, const struct err *why)
{
    struct billing_keeper *k = user;
    const json_t *list = json_object_get(answer, "receipts"), *row;
    struct err e = {0};
    size_t i;
    if (rc != 0)
        e = *why;
    else if (status != 200 || !json_is_array(list))
        rc = err_set(&e, OL_EIO, MODULE, "chainlited answered %d when asked for its reservations", status);
    if (rc == 0) {
        json_array_foreach(list, i, row)
            end_orphan(k->billing, row);
        if (json_array_size(list) > 0)
            log_line(LOG_INFO, MODULE, "%zu reservations of an earlier process", json_array_size(list));
    }
    pthread_mutex_lock(&k->lock);
    if (rc != 0)
        note(k, false, &e);
    k->orphans_ended = rc == 0;
    k->asked = false;
    pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
}

/* ---- the thread */

static void ask(struct billing_keeper *k)
{
    struct err e;
    bool orphans = !k->orphans_ended;
    k->asked = true;
    pthread_mutex_unlock(&k->lock);
    char path[80];
    snprintf(path, sizeof path, "/v1/receipts?state=reserved&limit=%d", ORPHANS_PER_PAGE);
    int rc = chain_query(k->billing->chain, "GET", orphans ? path : "/v1/catalog", orphans ? on_orphans : on_catalog, k,
                         &e);
    pthread_mutex_lock(&k->lock);
    if (rc != 0)
        k->asked = false;
}

static void wait_ms(struct billing_keeper *k, int ms)
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
    uint8_t id[32];
    json_t *j = json_loadb(answer, n, 0, NULL);
    if (hex_from_json(json_object_get(j, "receipt_id"), id, sizeof id))
        bill_end_reservation(user, id);
    json_decref(j);
}

static void *keeper_main(void *arg)
{
    struct billing_keeper *k = arg;
    int swept_ms = SWEEP_MS;
    pthread_setname_np(pthread_self(), "ol-billing");
    pthread_mutex_lock(&k->lock);
    while (!k->stop) {
        ask(k);
        while (k->asked) /* the client answers everything, even when it stops */
            pthread_cond_wait(&k->changed, &k->lock);
        bool first = !k->catalog;
        if (swept_ms >= SWEEP_MS) {
            struct err e = {0};
            pthread_mutex_unlock(&k->lock);
            if (ledger_sweep(k->billing->ledger, (int64_t)time(NULL), SWEEP_ROWS, on_gone, k->billing, &e) < 0)
                log_line(LOG_ERROR, MODULE, "%s", e.message);
            pthread_mutex_lock(&k->lock);
            swept_ms = 0;
        }
        if (first && k->orphans_ended && k->reachable)
            continue;
        wait_ms(k, first ? FIRST_READ_MS : READ_MS);
        swept_ms += first ? FIRST_READ_MS : READ_MS;
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

static int keeper_open(struct billing *b, struct err *e)
{
    struct billing_keeper *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for billing");
    k->billing = b;
    k->reachable = true; /* so that the first failure is said */
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->changed, NULL);
    err_set(&k->why, OL_EIO, MODULE, "chainlited was not asked yet");
    if (pthread_create(&k->thread, NULL, keeper_main, k) != 0) {
        free(k);
        return err_set(e, OL_ENOMEM, MODULE, "starting the billing thread failed");
    }
    b->keeper = k;
    return 0;
}

struct catalog *billing_catalog(struct billing *b)
{
    pthread_mutex_lock(&b->keeper->lock);
    struct catalog *c = catalog_ref(b->keeper->catalog);
    pthread_mutex_unlock(&b->keeper->lock);
    return c;
}

bool billing_reachable(struct billing *b, struct err *why)
{
    pthread_mutex_lock(&b->keeper->lock);
    bool reachable = b->keeper->reachable && b->keeper->catalog;
    if (!reachable)
        *why = b->keeper->why;
    pthread_mutex_unlock(&b->keeper->lock);
    return reachable;
}

/* ---- life */

static int open_parts(struct billing *b, struct err *e)
{
    char folder[4096];
    uint8_t random[32];
    const struct billing_config *c = &b->config;
    struct chain_config chain = {.socket = c->socket, .before_record = bill_before_record, .ctx = b};
    int n = snprintf(folder, sizeof folder, "%s/ledger", c->state_dir);
    if (n < 0 || (size_t)n >= sizeof folder)
        return err_set(e, OL_ELIMIT, MODULE, "%.120s: the path is too long", c->state_dir);
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return err_set(e, OL_EIO, MODULE, "the system gives no random bytes");
    b->secp = secp_open(random);
    int rc = b->secp ? 0 : err_set(e, OL_ENOMEM, MODULE, "no memory for billing");
    if (rc == 0)
        rc = ledger_open(folder, &b->ledger, e);
    if (rc == 0)
        rc = spend_open(b->ledger, &b->spend, e);
    if (rc == 0)
        rc = idempotency_open(b, &b->idempotency, e);
    if (rc == 0)
        rc = chain_client_open(&chain, &b->chain, e);
    return rc == 0 ? keeper_open(b, e) : rc;
}

int billing_open(const struct billing_config *config, struct billing **out, struct err *e)
{
    *out = NULL;
    struct billing *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for billing");
    b->config = *config;
    int rc = open_parts(b, e);
    if (rc != 0) {
        billing_close(b);
        return rc;
    }
    *out = b;
    return 0;
}

void billing_stop(struct billing *b)
{
    if (!b)
        return;
    struct billing_keeper *k = b->keeper;
    if (k && !k->stop) {
        pthread_mutex_lock(&k->lock);
        k->stop = true;
        pthread_cond_signal(&k->changed);
        pthread_mutex_unlock(&k->lock);
    }
    chain_client_stop(b->chain);
}

void billing_close(struct billing *b)
{
    if (!b)
        return;
    billing_stop(b);
    if (b->keeper) {
        pthread_join(b->keeper->thread, NULL);
        catalog_release(b->keeper->catalog);
        pthread_mutex_destroy(&b->keeper->lock);
        pthread_cond_destroy(&b->keeper->changed);
        free(b->keeper);
    }
    chain_client_close(b->chain);
    idempotency_close(b->idempotency);
    spend_close(b->spend);
    ledger_close(b->ledger);
    secp_close(b->secp);
    free(b);
}
