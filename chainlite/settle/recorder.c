/* The recorder's life and what it keeps in memory. */
#include "chainlite/settle/recorder.h"

#include "base/clock.h"
#include "base/log.h"
#include "chainlite/core/hex.h"
#include "chainlite/settle/crash_points.h"
#include "chainlite/settle/recorder_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MODULE "recorder"

enum { MAX_IDLE_PAYERS = 65536, SPEND_BYTES = 24 };

static const char identity_name[] = "recorder.identity", epoch_name[] = "recorder.epoch", spend_prefix[] = "recorder.spend.";

/* ---- reading the outbox */

static int add_reservation(void *user, const struct outbox_reservation *row)
{
    struct recorder *r = user;
    struct open_reservation *o = calloc(1, sizeof *o);
    if (!o || (o->row = *row, !idmap_add(&r->reservations, o))) {
        free(o);
        return OL_ENOMEM;
    }
    return 0;
}

/* Payers and spenders of the reservations that are open. */
static int hold_reservations(struct recorder *r, struct err *e)
{
    for (size_t i = 0; i < r->reservations.cap; i++) {
        const struct open_reservation *o = r->reservations.slot[i];
        if (!o)
            continue;
        struct payer *p = recorder_take_payer(r, o->row.payer, NULL, e);
        if (!p)
            return OL_ENOMEM;
        p->reserved_wei += o->row.max_fee_wei;
        p->n_reserved++;
        if (o->row.own_voucher) {
            struct spender *s = recorder_take_spender(r, o->row.tenant, o->row.time_ms / DAY_MS, e);
            if (!s)
                return OL_ENOMEM;
            s->reserved_wei += o->row.max_fee_wei;
        }
    }
    return 0;
}

static void drop_memory(struct recorder *r)
{
    idmap_deinit(&r->reservations);
    idmap_deinit(&r->payers);
    idmap_deinit(&r->spenders);
    r->generation = 0;
    pthread_cond_broadcast(&r->changed); /* nobody waits for a write that failed */
}

static int load(struct recorder *r, struct err *e)
{
    uint64_t generation = outbox_generation(r->outbox), last = 0;
    drop_memory(r);
    r->epoch = 1;
    int rc = outbox_meta_u64(r->outbox, epoch_name, &r->epoch, e);
    if (rc == OL_ENOTFOUND)
        rc = 0;
    if (rc == 0)
        rc = outbox_receipt_last(r->outbox, r->epoch, &last, e);
    if (rc == 0)
        rc = outbox_reservations(r->outbox, add_reservation, r, e);
    if (rc == OL_ENOMEM)
        err_set(e, rc, MODULE, "no memory for open reservations");
    if (rc == 0)
        rc = hold_reservations(r, e);
    if (rc != 0) {
        drop_memory(r);
        return rc;
    }
    r->next_sequence = last + 1;
    r->generation = generation;
    return 0;
}

/* ---- writes */

int recorder_begin(struct recorder *r, struct recorder_write *w, struct err *e)
{
    int rc = outbox_begin(r->outbox, &w->out, e);
    if (rc == 0 && r->generation != outbox_generation(r->outbox))
        rc = load(r, e);
    if (rc != 0) {
        outbox_cancel(w->out);
        w->out = NULL;
        return rc;
    }
    w->generation = r->generation;
    r->in_flight++;
    return 0;
}

void recorder_cancel(struct recorder *r, struct recorder_write *w)
{
    outbox_cancel(w->out);
    r->in_flight--;
}

int recorder_commit(struct recorder *r, struct recorder_write *w, struct err *e)
{
    int rc = outbox_commit(w->out, e);
    pthread_mutex_lock(&r->lock);
    r->in_flight--;
    if (rc != 0 && r->generation == w->generation) /* else it was read again since, by somebody else's write */
        drop_memory(r);
    return rc;
}

struct ending {
    struct recorder *r;
    struct outbox_write *w;
    uint64_t before_ms, n;
};

static bool ends(void *user, void *object)
{
    struct ending *x = user;
    const struct open_reservation *o = object;
    if (o->recording || o->row.time_ms >= x->before_ms)
        return false;
    outbox_drop_reservation(x->w, o->row.receipt_id);
    recorder_release(x->r, &o->row);
    x->n++;
    return true;
}

/* Ends what was made before; returns how many. */
static uint64_t end_open(struct recorder *r, struct outbox_write *w, uint64_t before_ms)
{
    struct ending x = {r, w, before_ms, 0};
    idmap_filter(&r->reservations, ends, &x);
    return x.n;
}

int recorder_enter_epoch(struct recorder *r, struct outbox_write *w, uint64_t epoch, struct err *e)
{
    uint64_t last;
    if (epoch == 0 || epoch == r->epoch)
        return 0;
    if (epoch < r->epoch)
        return err_set(e, OL_EBUSY, MODULE, "the chain is in epoch %llu, the outbox in %llu: the chain's view is old",
                       (unsigned long long)epoch, (unsigned long long)r->epoch);
    int rc = outbox_receipt_last(r->outbox, epoch, &last, e);
    if (rc != 0)
        return rc;
    uint64_t ended = end_open(r, w, UINT64_MAX); /* they were promised on the old epoch's sums */
    outbox_put_meta_u64(w, epoch_name, epoch);
    r->epoch = epoch;
    r->next_sequence = last + 1;
    log_line(LOG_INFO, MODULE, "epoch %llu; %llu open reservations ended", (unsigned long long)epoch,
             (unsigned long long)ended);
    return 0;
}

/* ---- payers and spenders */

static bool idle(void *user, void *object)
{
    const struct payer *p = object;
    (void)user;
    return p->n_reserved == 0;
}

struct payer *recorder_take_payer(struct recorder *r, const uint8_t address[ADDRESS_BYTES], const wei_t *claimed_wei,
                                  struct err *e)
{
    struct payer *p = idmap_find(&r->payers, address);
    if (!p) {
        /* What a write under way has changed is not on disk yet: then nobody may be forgotten. */
        if (r->payers.n >= MAX_IDLE_PAYERS && r->in_flight <= 1)
            idmap_filter(&r->payers, idle, NULL);
        p = calloc(1, sizeof *p);
        int rc = p ? outbox_payer(r->outbox, address, &p->row, e) : OL_ENOMEM;
        if (rc == OL_ENOTFOUND) {
            memset(&p->row, 0, sizeof p->row);
            memcpy(p->row.payer, address, ADDRESS_BYTES);
            rc = 0;
        }
        if (rc != 0 || !idmap_add(&r->payers, p)) {
            free(p);
            err_set(e, rc ? rc : OL_ENOMEM, MODULE, "no memory for a payer, or its row cannot be read");
            return NULL;
        }
    }
    bool begun = p->row.epoch == r->epoch && (p->row.last_sequence > 0 || p->n_reserved > 0);
    if (!begun && claimed_wei) { /* its chain starts here */
        p->row.epoch = r->epoch;
        p->row.base_wei = p->row.cumulative_wei = *claimed_wei;
        p->row.last_sequence = 0;
    }
    return p;
}

static void spender_id(const char *tenant, uint8_t out[32]) { keccak256(tenant, strlen(tenant), out); }

static void spend_name(const uint8_t id[32], char out[OUTBOX_KEY_BYTES])
{
    char hex[33];
    hex_encode(id, 16, hex);
    snprintf(out, OUTBOX_KEY_BYTES, "%s%s", spend_prefix, hex);
}

struct spender *recorder_take_spender(struct recorder *r, const char *tenant, uint64_t day, struct err *e)
{
    uint8_t id[32], value[SPEND_BYTES];
    char name[OUTBOX_KEY_BYTES];
    spender_id(tenant, id);
    struct spender *s = idmap_find(&r->spenders, id);
    if (!s) {
        s = calloc(1, sizeof *s);
        spend_name(id, name);
        int rc = s ? outbox_meta(r->outbox, name, value, sizeof value, e) : OL_ENOMEM;
        if (rc == 0) {
            for (int i = 0; i < 8; i++)
                s->day = s->day << 8 | value[i];
            s->spent_wei = wei_from_be16(value + 8);
        }
        if (s)
            memcpy(s->id, id, sizeof id);
        if ((rc != 0 && rc != OL_ENOTFOUND) || !idmap_add(&r->spenders, s)) {
            free(s);
            err_set(e, OL_ENOMEM, MODULE, "no memory for a tenant, or its spending cannot be read");
            return NULL;
        }
    }
    if (s->day < day) { /* a clock that goes back does not give a day's cap again */
        s->day = day;
        s->spent_wei = 0;
    }
    return s;
}

void recorder_put_spender(struct outbox_write *w, const struct spender *s)
{
    uint8_t value[SPEND_BYTES];
    char name[OUTBOX_KEY_BYTES];
    for (int i = 0; i < 8; i++)
        value[i] = (uint8_t)(s->day >> (56 - 8 * i));
    wei_to_be16(s->spent_wei, value + 8);
    spend_name(s->id, name);
    outbox_put_meta(w, name, value, sizeof value);
}

void recorder_release(struct recorder *r, const struct outbox_reservation *row)
{
    struct payer *p = idmap_find(&r->payers, row->payer);
    CHECK(p && p->reserved_wei >= row->max_fee_wei && p->n_reserved > 0);
    p->reserved_wei -= row->max_fee_wei;
    p->n_reserved--;
    if (row->own_voucher) {
        uint8_t id[32];
        spender_id(row->tenant, id);
        struct spender *s = idmap_find(&r->spenders, id);
        CHECK(s && s->reserved_wei >= row->max_fee_wei);
        s->reserved_wei -= row->max_fee_wei;
    }
}

int recorder_now_ms(struct recorder *r, int64_t *out, struct err *e)
{
    *out = clock_unix_ms();
    return r->config.view ? r->config.view->now_ms(r->config.view->user, out, e) : 0;
}

int recorder_view_epoch(struct recorder *r, uint64_t *out, struct err *e)
{
    *out = 0;
    return r->config.view ? r->config.view->epoch(r->config.view->user, out, e) : 0;
}

/* ---- ending without a charge */

int recorder_end(struct recorder *r, const uint8_t receipt_id[32], struct err *e)
{
    struct recorder_write w;
    struct outbox_receipt receipt;
    pthread_mutex_lock(&r->lock);
    int rc = recorder_begin(r, &w, e);
    if (rc != 0) {
        pthread_mutex_unlock(&r->lock);
        return rc;
    }
    const struct open_reservation *o = idmap_find(&r->reservations, receipt_id);
    if (!o) {
        rc = outbox_receipt_find(r->outbox, receipt_id, &receipt, e);
        rc = rc == 0 ? err_set(e, OL_EEXIST, MODULE, "this answer is recorded: its receipt stands")
             : rc == OL_ENOTFOUND ? err_set(e, rc, MODULE, "no such reservation is open") : rc;
    } else if (o->recording) {
        rc = err_set(e, OL_EEXIST, MODULE, "this answer is being recorded");
    }
    if (rc != 0) {
        recorder_cancel(r, &w);
        pthread_mutex_unlock(&r->lock);
        return rc;
    }
    outbox_drop_reservation(w.out, receipt_id);
    recorder_release(r, &o->row);
    idmap_remove(&r->reservations, receipt_id);
    pthread_mutex_unlock(&r->lock);
    rc = recorder_commit(r, &w, e);
    pthread_mutex_unlock(&r->lock);
    crash_point(recorder_ended);
    return rc;
}

int recorder_end_before(struct recorder *r, uint64_t time_ms, struct err *e)
{
    struct recorder_write w;
    pthread_mutex_lock(&r->lock);
    int rc = recorder_begin(r, &w, e);
    if (rc == 0) {
        uint64_t n = end_open(r, w.out, time_ms);
        pthread_mutex_unlock(&r->lock);
        rc = recorder_commit(r, &w, e);
        if (rc == 0 && n > 0)
            log_line(LOG_WARN, MODULE, "%llu reservations were never recorded and are ended", (unsigned long long)n);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

/* ---- life */

/* The outbox of another deployment or key would give proofs that nobody can settle. */
static int check_identity(struct recorder *r, struct outbox_write *w, struct err *e)
{
    uint8_t ours[8 + 3 * ADDRESS_BYTES], theirs[sizeof ours];
    for (int i = 0; i < 8; i++)
        ours[i] = (uint8_t)(r->config.chain_id >> (56 - 8 * i));
    memcpy(ours + 8, r->config.settlement, ADDRESS_BYTES);
    memcpy(ours + 8 + ADDRESS_BYTES, r->config.escrow, ADDRESS_BYTES);
    memcpy(ours + 8 + 2 * ADDRESS_BYTES, r->node, ADDRESS_BYTES);
    int rc = outbox_meta(r->outbox, identity_name, theirs, sizeof theirs, e);
    if (rc == OL_ENOTFOUND) {
        outbox_put_meta(w, identity_name, ours, sizeof ours);
        return 0;
    }
    if (rc == 0 && memcmp(ours, theirs, sizeof ours) != 0)
        rc = err_set(e, OL_EINVAL, MODULE, "the outbox belongs to another node key or another deployment of the "
                     "contracts: use its key and chain file, or start with another state folder");
    return rc;
}

static int start(struct recorder *r, struct err *e)
{
    struct recorder_write w;
    pthread_mutex_lock(&r->lock);
    int rc = recorder_begin(r, &w, e);
    if (rc == 0) {
        rc = check_identity(r, w.out, e);
        if (rc != 0) {
            recorder_cancel(r, &w);
        } else {
            pthread_mutex_unlock(&r->lock);
            rc = recorder_commit(r, &w, e);
        }
    }
    if (rc == 0 && r->reservations.n > 0)
        log_line(LOG_INFO, MODULE, "%zu reservations of before this start are open", r->reservations.n);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

int recorder_open(const struct recorder_config *config, struct outbox *outbox, const struct keystore *keys,
                  struct recorder **out, struct err *e)
{
    *out = NULL;
    struct recorder *r = calloc(1, sizeof *r);
    if (!r || getrandom(&r->seed, sizeof r->seed, 0) != (ssize_t)sizeof r->seed) {
        free(r);
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the recorder");
    }
    r->config = *config;
    r->outbox = outbox;
    r->keys = keys;
    r->node = keystore_node(keys);
    domains_make(config->chain_id, config->settlement, config->escrow, &r->domains);
    chain_catalog_init(&r->catalog);
    idmap_init(&r->reservations, 32, r->seed);
    idmap_init(&r->payers, ADDRESS_BYTES, r->seed);
    idmap_init(&r->spenders, 32, r->seed);
    pthread_rwlock_init(&r->catalog_lock, NULL);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->signers = signers_open();
    int rc = r->signers ? start(r, e) : err_set(e, OL_ENOMEM, MODULE, "no memory for the recorder");
    if (rc != 0) {
        recorder_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void recorder_close(struct recorder *r)
{
    if (!r)
        return;
    signers_close(r->signers);
    drop_memory(r);
    chain_catalog_deinit(&r->catalog);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    pthread_rwlock_destroy(&r->catalog_lock);
    free(r);
}

void recorder_set_catalog(struct recorder *r, struct chain_catalog *catalog)
{
    pthread_rwlock_wrlock(&r->catalog_lock);
    struct chain_catalog old = r->catalog;
    r->catalog = *catalog;
    pthread_rwlock_unlock(&r->catalog_lock);
    chain_catalog_init(catalog);
    chain_catalog_deinit(&old);
}

const struct chain_catalog *recorder_catalog_lock(struct recorder *r)
{
    pthread_rwlock_rdlock(&r->catalog_lock);
    return &r->catalog;
}

void recorder_catalog_unlock(struct recorder *r) { pthread_rwlock_unlock(&r->catalog_lock); }

/* ---- what others may know */

void recorder_status(struct recorder *r, struct recorder_status *out)
{
    pthread_mutex_lock(&r->lock);
    if (r->generation != outbox_generation(r->outbox))
        load(r, NULL); /* figures only: what cannot be read now is shown as it was */
    *out = (struct recorder_status){r->epoch, r->next_sequence, r->reservations.n};
    pthread_mutex_unlock(&r->lock);
}

int recorder_payer(struct recorder *r, const uint8_t payer[ADDRESS_BYTES], struct payer_status *out, struct err *e)
{
    *out = (struct payer_status){0};
    const struct chain_view *v = r->config.view;
    out->has_account = v && v->account(v->user, payer, &out->account, NULL) == 0;
    pthread_mutex_lock(&r->lock);
    const struct payer *p = idmap_find(&r->payers, payer);
    int rc = 0;
    if (p) {
        out->row = p->row;
        out->reserved_wei = p->reserved_wei;
    } else {
        rc = outbox_payer(r->outbox, payer, &out->row, e);
    }
    if (rc == OL_ENOTFOUND) {
        memcpy(out->row.payer, payer, ADDRESS_BYTES);
        out->row.cumulative_wei = out->row.base_wei = out->account.claimed_wei;
        rc = 0;
    } else if (rc == 0 && out->row.epoch != r->epoch && out->reserved_wei == 0) {
        out->row.cumulative_wei = out->row.base_wei = out->account.claimed_wei;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}
