/* The lane's thread and its step; see lane.h. */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEFAULT_BATCH = 8192, DEFAULT_CLAIMS = 24, DEFAULT_POLL_MS = 500, DEFAULT_BUMP_BLOCKS = 3, DEFAULT_WARN = 10 };
enum { BATCH_GAS = 400000 }; /* of claims and submission, where no batch of ours tells */

void lane_warn(struct lane *l, const char *format, ...)
{
    char text[LANE_WARNING_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool shown = false; /* logged when it is new, not at every step */
    pthread_mutex_lock(&l->mutex);
    for (int i = 0; i < l->warnings; i++)
        shown = shown || strcmp(l->warning[i], text) == 0;
    pthread_mutex_unlock(&l->mutex);
    if (!shown)
        log_line(LOG_WARN, "lane", "%s", text);
    if (l->n_fresh < LANE_WARNINGS)
        snprintf(l->fresh[l->n_fresh++], LANE_WARNING_BYTES, "%s", text);
}

void lane_dead(struct lane *l, uint64_t epoch, uint64_t sequence, const char *code, const char *reason)
{
    struct outbox_dead old, dead = {.epoch = epoch, .sequence = sequence, .at_ms = (uint64_t)clock_unix_ms()};
    struct outbox_write *w;
    snprintf(dead.code, sizeof dead.code, "%s", code);
    snprintf(dead.reason, sizeof dead.reason, "%s", reason);
    if (outbox_dead(l->outbox, epoch, sequence, &old, NULL) == 0 && strcmp(old.code, dead.code) == 0 &&
        strcmp(old.reason, dead.reason) == 0)
        return;
    /* A letter that cannot be written changes nothing: the next step finds the same reason again. */
    if (outbox_begin(l->outbox, &w, NULL))
        return;
    outbox_put_dead(w, &dead);
    if (outbox_commit(w, NULL) == 0)
        log_line(LOG_WARN, "lane", "%s %llu: %s: %s", epoch ? "receipt" : "batch", (unsigned long long)sequence, code,
                 dead.reason);
}

/* ---- the step */

static void show(struct lane *l)
{
    pthread_mutex_lock(&l->mutex);
    l->shown = l->chain;
    l->has_shown = true;
    pthread_mutex_unlock(&l->mutex);
}

static void show_warnings(struct lane *l)
{
    pthread_mutex_lock(&l->mutex);
    memcpy(l->warning, l->fresh, sizeof l->warning);
    l->warnings = l->n_fresh;
    pthread_mutex_unlock(&l->mutex);
}

/* Warns when the key's balance pays for few batches, by what the last one cost. */
static void check_balance(struct lane *l)
{
    struct outbox_batch b;
    wei_t cost = l->chain.head.base_fee_wei * BATCH_GAS;
    if (l->chain.last && outbox_batch(l->outbox, l->chain.last, &b, NULL) == 0 && b.gas_paid_wei)
        cost = b.gas_paid_wei;
    if (cost && l->chain.balance_wei / cost < l->config.warn_batches)
        lane_warn(l, "the node's key pays for about %llu more batches; send it some of the chain's coin",
                  (unsigned long long)(l->chain.balance_wei / cost));
}

/* A reorg took a row back that the batch names: what is ours we publish again, for others' we wait. */
static int wait_for_rows(struct lane *l, const struct outbox_batch *batch, struct err *e)
{
    bool sent = false;
    int rc = l->quiet ? publish_step(l, &sent, e) : 0;
    if (rc || sent)
        return rc;
    return err_set(e, OL_EBUSY, "lane", "batch %llu waits: a row it names is not registered (any more)",
                   (unsigned long long)batch->batch.number);
}

static int act(struct lane *l, struct err *e)
{
    struct outbox_batch batch;
    if (clock_unix_ms() < l->refused_until_ms)
        return 0;
    int rc = watch_next(l, &batch, e);
    if (rc == OL_ENOTFOUND) {
        bool sent;
        if (!l->quiet) /* what it would do may be on its way */
            return 0;
        rc = refund_step(l, &sent, e);
        if (!rc && !sent)
            rc = payout_step(l, &sent, e);
        if (!rc && !sent)
            rc = publish_step(l, &sent, e);
        return rc || sent ? rc : finalise_step(l, e);
    }
    if (rc)
        return rc;
    uint64_t registered;
    rc = registered_receipts(l, batch.batch.first_sequence, batch.batch.count, &registered, e);
    if (rc)
        return rc;
    if (registered < batch.batch.count)
        return wait_for_rows(l, &batch, e);
    struct claimed claimed;
    rc = claims_step(l, &batch, &claimed, e);
    return rc || !claimed.decided ? rc : submit_step(l, &batch, &claimed, e);
}

static int step(struct lane *l, struct err *e)
{
    bool foreign, idle, ready, sent;
    int rc = chain_read(l, &l->chain, e);
    if (rc)
        return rc;
    show(l);
    check_balance(l);
    rc = watch_batches(l, &foreign, e);
    if (!rc)
        rc = nonce_step(l, &idle, e);
    if (!rc)
        rc = epoch_step(l, idle, foreign, &ready, e);
    if (!rc && ready)
        rc = closing_step(l, e);
    if (!rc && !ready && l->quiet) /* frozen, or no epoch: payers do not wait for that */
        rc = refund_step(l, &sent, e);
    return !rc && ready && idle ? act(l, e) : rc;
}

int lane_step(struct lane *l, struct err *e)
{
    struct err local = {0};
    e = e ? e : &local;
    l->n_fresh = 0;
    l->step_fees = (struct fees){0};
    pthread_mutex_lock(&l->mutex);
    if (l->retry)
        l->refused_until_ms = l->publish_again_ms = l->refund_again_ms = 0;
    l->retry = false;
    pthread_mutex_unlock(&l->mutex);
    int rc = step(l, e);
    if (rc)
        lane_warn(l, "%s", e->message);
    show_warnings(l);
    return rc;
}

static void *run(void *user)
{
    struct lane *l = user;
    pthread_mutex_lock(&l->mutex);
    while (!l->stop) {
        l->woken = false;
        pthread_mutex_unlock(&l->mutex);
        struct err e = {0};
        if (lane_step(l, &e)) /* it has warned; the next one decides anew */
            log_line(LOG_DEBUG, "lane", "%s", e.message);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        int64_t ns = until.tv_nsec + (int64_t)l->config.poll_ms * 1000000;
        until.tv_sec += ns / 1000000000;
        until.tv_nsec = ns % 1000000000;
        pthread_mutex_lock(&l->mutex);
        while (!l->stop && !l->woken && pthread_cond_timedwait(&l->wake, &l->mutex, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* ---- life */

static int make_folder(const char *base, const char *name, char *out, size_t cap, struct err *e)
{
    if ((size_t)snprintf(out, cap, "%s/%s", base, name) >= cap)
        return err_set(e, OL_EINVAL, "lane", "the folder's name is too long");
    if (mkdir(out, 0755) && errno != EEXIST)
        return err_set(e, OL_EIO, "lane", "making %s: %s", out, strerror(errno));
    return 0;
}

static void set_defaults(struct lane_config *c)
{
    c->batch_receipts = c->batch_receipts ? c->batch_receipts : DEFAULT_BATCH;
    if (c->batch_receipts > OUTBOX_MAX_BATCH_RECEIPTS)
        c->batch_receipts = OUTBOX_MAX_BATCH_RECEIPTS;
    c->claims_per_tx = c->claims_per_tx ? c->claims_per_tx : DEFAULT_CLAIMS;
    if (c->claims_per_tx > CALL_MAX_CLAIMS)
        c->claims_per_tx = CALL_MAX_CLAIMS;
    c->poll_ms = c->poll_ms ? c->poll_ms : DEFAULT_POLL_MS;
    c->bump_blocks = c->bump_blocks ? c->bump_blocks : DEFAULT_BUMP_BLOCKS;
    c->warn_batches = c->warn_batches ? c->warn_batches : DEFAULT_WARN;
}

int lane_open(const struct lane_config *config, struct outbox *outbox, struct lane **out, struct err *e)
{
    CHECK(config->statements);
    struct lane *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(e, OL_ENOMEM, "lane", "no memory for the lane");
    l->config = *config;
    l->outbox = outbox;
    l->missing_prices = -1;
    snprintf(l->refusal, sizeof l->refusal, "the chain was not read yet");
    set_defaults(&l->config);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_mutex_init(&l->trees_mutex, NULL);
    pthread_cond_init(&l->wake, NULL);
    int rc = make_folder(config->folder, "bodies", l->bodies, sizeof l->bodies, e);
    if (!rc)
        rc = make_folder(config->folder, "proofs", l->proofs, sizeof l->proofs, e);
    if (!rc)
        rc = payout_load(l, e);
    if (!rc)
        rc = rpc_open(&config->rpc, &l->rpc, e);
    if (!rc)
        rc = light_open(l->rpc, &l->light, e);
    if (rc) {
        lane_close(l);
        return rc;
    }
    *out = l;
    return 0;
}

int lane_start(struct lane *l, struct err *e)
{
    int why = pthread_create(&l->thread, NULL, run, l);
    if (why)
        return err_set(e, OL_EIO, "lane", "starting the lane's thread: %s", strerror(why));
    l->running = true;
    return 0;
}

void lane_stop(struct lane *l)
{
    if (!l->running)
        return;
    pthread_mutex_lock(&l->mutex);
    l->stop = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->mutex);
    rpc_cancel(l->rpc);
    pthread_join(l->thread, NULL);
    l->running = false;
}

void lane_close(struct lane *l)
{
    if (!l)
        return;
    CHECK(!l->running);
    if (l->light)
        light_close(l->light);
    if (l->rpc)
        rpc_close(l->rpc);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->mutex);
    pthread_mutex_destroy(&l->trees_mutex);
    batch_trees_deinit(&l->trees);
    free(l);
}

void lane_wake(struct lane *l)
{
    pthread_mutex_lock(&l->mutex);
    l->woken = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->mutex);
}

int lane_may_record(struct lane *l, uint64_t *epoch, struct err *e)
{
    pthread_mutex_lock(&l->mutex);
    int rc = l->refusal[0] ? err_set(e, OL_EBUSY, "lane", "%s", l->refusal) : 0;
    *epoch = l->shown.epoch;
    pthread_mutex_unlock(&l->mutex);
    return rc;
}

void lane_open_epoch(struct lane *l)
{
    pthread_mutex_lock(&l->mutex);
    l->epoch_wanted = true;
    pthread_mutex_unlock(&l->mutex);
    lane_wake(l);
}
