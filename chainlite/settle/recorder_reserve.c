/* Reservations. First what needs no lock, the network or a signature's check; then, under the lock and in order, what
 * depends on the payers' sums. */
#include "base/clock.h"
#include "chainlite/settle/crash_points.h"
#include "chainlite/settle/recorder_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "recorder"

/* One request on its way through. */
struct candidate {
    const struct reserve_request *request;
    struct reserve_result *result;
    struct escrow_account account;
    bool has_account;
    uint8_t signer[ADDRESS_BYTES];
};

static void refuse(struct reserve_result *result, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct reserve_result *result, const char *code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(result->message, sizeof result->message, format, ap);
    va_end(ap);
    result->code = code;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

/* ---- before the lock */

/* The most that an answer within these bounds can cost: the fee is linear in the cached tokens, so at one of their ends. */
static int max_fee(const struct row_price *price, uint32_t prompt, uint32_t output, wei_t *out, struct err *e)
{
    *out = 0;
    for (int cached = 0; cached < 2; cached++) {
        struct fee fee;
        wei_t sum;
        int rc = fee_of(price, prompt, cached ? prompt : 0, output, STATUS_STOP, &fee, e);
        if (rc == 0 && !wei_add(fee.royalty_wei, fee.compute_wei, &sum))
            rc = err_set(e, OL_ELIMIT, MODULE, "the fee leaves 128 bits");
        if (rc != 0)
            return rc;
        *out = sum > *out ? sum : *out;
    }
    return 0;
}

/* Price and split from the catalog. */
static void price(struct recorder *r, struct candidate *c, int64_t now_ms)
{
    const struct reserve_request *q = c->request;
    struct err e = {0};
    bool adapter = !is_zero(q->adapter_version, 32);
    const uint8_t *version = adapter ? q->adapter_version : q->model_version;
    const struct chain_catalog *catalog = recorder_catalog_lock(r);
    const struct catalogued_version *v = chain_catalog_version(catalog, version);
    const struct catalogued_split *split = chain_catalog_split_in_force(catalog);
    const struct catalogued_price *p =
        q->tier <= TIER_PRIORITY
            ? chain_catalog_price_at(catalog, r->node, version, (enum tier)q->tier, (uint64_t)now_ms / 1000) : NULL;
    if (!v || (adapter && (memcmp(v->row.base_version, q->model_version, 32) != 0 ||
                           !chain_catalog_version(catalog, q->model_version))))
        refuse(c->result, "not_registered", "the catalog has no such version%s: register it, then reload",
               v ? " on this base" : "");
    else if (!split)
        refuse(c->result, "not_priced", "the catalog has no split in force");
    else if (!p)
        refuse(c->result, "not_priced", "this version has no price in tier %u that is in effect", q->tier);
    else if (max_fee(&p->row, q->prompt_tokens, q->max_output_tokens, &c->result->max_fee_wei, &e) != 0)
        refuse(c->result, "not_priced", "%s", e.message);
    if (!c->result->code) {
        memcpy(c->result->price_id, p->id, 32);
        memcpy(c->result->split_id, split->id, 32);
    }
    recorder_catalog_unlock(r);
}

static void check_rows(struct recorder *r, struct candidate *c)
{
    const struct reserve_request *q = c->request;
    const struct chain_view *view = r->config.view;
    const uint8_t *ids[] = {q->model_version, q->adapter_version, c->result->price_id, c->result->split_id};
    struct err e = {0};
    for (size_t i = 0; view && i < sizeof ids / sizeof *ids; i++) {
        bool there = false;
        if (i == 1 && is_zero(ids[i], 32))
            continue;
        if (view->registered(view->user, ids[i], &there, &e) != 0)
            refuse(c->result, "chain_stale", "whether the rows are registered cannot be proven: %.120s", e.message);
        else if (!there)
            refuse(c->result, "not_registered", "the registry does not have this %s yet",
                   i < 2 ? "version" : i == 2 ? "price" : "split");
        if (c->result->code)
            return;
    }
}

/* Who pays, and is the voucher his? */
static void check_voucher(struct recorder *r, struct candidate *c)
{
    const struct reserve_request *q = c->request;
    const struct voucher *v = &q->voucher.voucher;
    const struct chain_view *view = r->config.view;
    uint8_t digest[HASH_BYTES];
    struct err e = {0};
    bool allowed = false;
    if (!q->has_voucher) {
        memcpy(c->result->payer, q->has_payer ? q->payer.at : keystore_operator(r->keys), ADDRESS_BYTES);
        if (q->has_payer && !keystore_holds(r->keys, q->payer.at))
            refuse(c->result, "voucher_required", "the key of this payer is not held here: send a voucher");
        return;
    }
    memcpy(c->result->payer, v->payer, ADDRESS_BYTES);
    if (memcmp(v->node, r->node, ADDRESS_BYTES) != 0) {
        refuse(c->result, "voucher_invalid", "the voucher is for another node");
    } else if (memcmp(v->request_hash, q->request_hash, 32) != 0) {
        refuse(c->result, "voucher_invalid", "the voucher is for another request");
    } else {
        voucher_digest(v, &r->domains, digest);
        if (secp_recover(keystore_secp(r->keys), digest, q->voucher.signature, c->signer, &e) != 0)
            refuse(c->result, "voucher_invalid", "the voucher's signature is none: %.120s", e.message);
        else if (memcmp(c->signer, v->payer, ADDRESS_BYTES) == 0)
            return;
        else if (!view)
            refuse(c->result, "voucher_invalid", "the voucher is not signed by its payer");
        else if (view->signer(view->user, v->payer, c->signer, &allowed, &e) != 0)
            refuse(c->result, "chain_stale", "whether the signer may sign cannot be proven: %.120s", e.message);
        else if (!allowed)
            refuse(c->result, "voucher_invalid", "the voucher is signed neither by its payer nor by a signer of his");
    }
}

static void prepare(struct recorder *r, struct candidate *c, int64_t now_ms)
{
    const struct chain_view *view = r->config.view;
    price(r, c, now_ms);
    if (!c->result->code)
        check_voucher(r, c);
    if (!c->result->code)
        check_rows(r, c);
    if (!c->result->code && view)
        c->has_account = view->account(view->user, c->result->payer, &c->account, NULL) == 0;
}

/* ---- under the lock */

static void check_unknown(struct recorder *r, struct candidate *c)
{
    struct outbox_receipt receipt;
    struct err e = {0};
    int rc = idmap_find(&r->reservations, c->request->receipt_id)
                 ? 0 : outbox_receipt_find(r->outbox, c->request->receipt_id, &receipt, &e);
    if (rc == 0)
        refuse(c->result, "duplicate", "this receipt id is in use");
    else if (rc != OL_ENOTFOUND)
        refuse(c->result, "disk_full", "the outbox cannot be read: %.150s", e.message);
}

/* What the chain's proof covers, or, where there is no fresh one, what we are ready to lose. */
static void check_escrow(struct recorder *r, struct candidate *c, const struct payer *p)
{
    struct reserve_result *out = c->result;
    bool fresh = c->has_account && c->account.age_ms <= r->config.max_age_ms;
    wei_t claimed = c->has_account && c->account.claimed_wei > p->row.base_wei ? c->account.claimed_wei : p->row.base_wei;
    wei_t unclaimed = p->row.cumulative_wei > claimed ? p->row.cumulative_wei - claimed : 0;
    wei_t owed = unclaimed + p->reserved_wei;
    if (c->has_account && c->account.thaw_wei > 0) {
        refuse(out, "payer_thawing", "the payer has announced a withdrawal");
        return;
    }
    wei_t limit = c->has_account ? c->account.balance_wei : r->config.max_exposure_wei;
    if (!fresh && limit > r->config.max_exposure_wei)
        limit = r->config.max_exposure_wei;
    out->needed_wei = out->max_fee_wei;
    out->available_wei = limit > owed ? limit - owed : 0;
    if (out->needed_wei <= out->available_wei)
        return;
    if (c->has_account && limit == c->account.balance_wei)
        refuse(out, "escrow_too_small", "the escrow does not cover this answer: deposit more");
    else if (r->config.view)
        refuse(out, "chain_stale", "the payer's escrow cannot be proven now, and without that no more is served");
    else
        refuse(out, "spend_limit", "without a chain no more than the exposure limit is served to one payer");
}

/* Signs for a wallet of ours, within the tenant's day. */
static void sign_own(struct recorder *r, struct candidate *c, const struct spender *s, struct signed_voucher *v)
{
    struct reserve_result *out = c->result;
    wei_t cap = r->config.tenant_daily_cap_wei, spent = s->spent_wei + s->reserved_wei;
    uint8_t digest[HASH_BYTES];
    struct err e = {0};
    if (cap != 0 && (spent > cap || out->max_fee_wei > cap - spent)) {
        out->needed_wei = out->max_fee_wei;
        out->available_wei = cap > spent ? cap - spent : 0;
        refuse(out, "spend_limit", "the tenant's limit of this day is reached");
        return;
    }
    memcpy(v->voucher.payer, out->payer, ADDRESS_BYTES);
    memcpy(v->voucher.node, r->node, ADDRESS_BYTES);
    memcpy(v->voucher.request_hash, c->request->request_hash, 32);
    v->voucher.ceiling_wei = out->ceiling_needed_wei;
    voucher_digest(&v->voucher, &r->domains, digest);
    if (keystore_sign(r->keys, out->payer, digest, v->signature, &e) != 0)
        refuse(out, "voucher_required", "%s", e.message);
}

/* The voucher that pays for this: the given one, or one of ours. */
static void check_ceiling(struct recorder *r, struct candidate *c, struct payer *p, const struct spender *s,
                          struct signed_voucher *v)
{
    struct reserve_result *out = c->result;
    wei_t base;
    if (!wei_add(p->row.cumulative_wei, p->reserved_wei, &base) ||
        !wei_add(base, out->max_fee_wei, &out->ceiling_needed_wei)) {
        refuse(out, "voucher_too_small", "no ceiling is that high");
    } else if (!c->request->has_voucher) {
        sign_own(r, c, s, v);
    } else {
        *v = c->request->voucher;
        out->needed_wei = out->max_fee_wei;
        out->available_wei = v->voucher.ceiling_wei > base ? v->voucher.ceiling_wei - base : 0;
        if (out->needed_wei > out->available_wei)
            refuse(out, "voucher_too_small", "the voucher's ceiling is below what is charged, reserved and needed now");
    }
}

/* In memory and in the write. */
static int promise(struct recorder *r, struct candidate *c, struct payer *p, struct spender *s,
                   const struct signed_voucher *v, int64_t now_ms, struct outbox_write *w)
{
    const struct reserve_request *q = c->request;
    struct open_reservation *o = calloc(1, sizeof *o);
    if (!o)
        return OL_ENOMEM;
    struct outbox_reservation *row = &o->row;
    memcpy(row->receipt_id, q->receipt_id, 32);
    memcpy(row->tenant, q->tenant, sizeof row->tenant);
    row->own_voucher = !q->has_voucher;
    memcpy(row->caller, q->caller, 32);
    memcpy(row->payer, c->result->payer, ADDRESS_BYTES);
    memcpy(row->model_version, q->model_version, 32);
    memcpy(row->adapter_version, q->adapter_version, 32);
    memcpy(row->price_id, c->result->price_id, 32);
    memcpy(row->split_id, c->result->split_id, 32);
    memcpy(row->request_hash, q->request_hash, 32);
    row->prompt_tokens = q->prompt_tokens;
    row->max_output_tokens = q->max_output_tokens;
    row->max_fee_wei = c->result->max_fee_wei;
    row->time_ms = (uint64_t)now_ms;
    if (!idmap_add(&r->reservations, o)) {
        free(o);
        return OL_ENOMEM;
    }
    p->reserved_wei += row->max_fee_wei;
    p->n_reserved++;
    if (s)
        s->reserved_wei += row->max_fee_wei;
    if (!p->row.has_voucher || v->voucher.ceiling_wei > p->row.highest.voucher.ceiling_wei) {
        p->row.has_voucher = true;
        p->row.highest = *v;
    }
    outbox_put_reservation(w, row);
    outbox_put_payer(w, &p->row);
    return 0;
}

static int decide(struct recorder *r, struct candidate *c, int64_t now_ms, struct outbox_write *w, struct err *e)
{
    struct reserve_result *out = c->result;
    struct signed_voucher v = {0};
    const wei_t claimed = c->has_account ? c->account.claimed_wei : 0;
    check_unknown(r, c);
    if (out->code)
        return 0;
    /* Without the chain's word a payer whose chain of receipts has not begun cannot begin it: where from? */
    bool known = c->has_account || !r->config.view;
    struct payer *p = recorder_take_payer(r, out->payer, known ? &claimed : NULL, e);
    struct spender *s = p && !c->request->has_voucher
                            ? recorder_take_spender(r, c->request->tenant, (uint64_t)now_ms / DAY_MS, e) : NULL;
    if (!p || (!c->request->has_voucher && !s))
        return OL_ENOMEM;
    if (p->row.epoch != r->epoch) {
        refuse(out, "chain_stale", "the payer's escrow was never proven in this epoch");
        return 0;
    }
    out->cumulative_wei = p->row.cumulative_wei;
    check_ceiling(r, c, p, s, &v);
    if (!out->code)
        check_escrow(r, c, p);
    if (out->code)
        return 0;
    out->needed_wei = out->available_wei = out->ceiling_needed_wei = 0;
    return promise(r, c, p, s, &v, now_ms, w);
}

static int reserve_locked(struct recorder *r, struct candidate *c, size_t n, uint64_t epoch, int64_t now_ms,
                          struct err *e)
{
    struct recorder_write w;
    int rc = recorder_begin(r, &w, e);
    if (rc != 0)
        return rc;
    rc = recorder_enter_epoch(r, w.out, epoch, e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (!c[i].result->code)
            rc = decide(r, &c[i], now_ms, w.out, e);
    if (rc == OL_EBUSY) { /* the epoch: nothing was changed */
        recorder_cancel(r, &w);
        return rc;
    }
    crash_point(recorder_reserved);
    pthread_mutex_unlock(&r->lock);
    if (rc != 0) /* half of it is in memory: fail the write, so that memory is read again */
        outbox_fail(w.out, rc, e);
    rc = recorder_commit(r, &w, e);
    if (rc == 0)
        crash_point(recorder_reservation_durable);
    return rc;
}

const char *recorder_refusal(struct recorder *r, int64_t *now_ms, uint64_t *epoch, struct err *why)
{
    if (outbox_room(r->outbox, why) != 0)
        return "disk_full";
    if (recorder_now_ms(r, now_ms, why) != 0)
        return "chain_stale";
    if (recorder_view_epoch(r, epoch, why) != 0)
        return "epoch_closed";
    /* The clocks of the machine and of the chain must agree, or no start time would be accepted later. */
    int64_t apart_ms = clock_unix_ms() - *now_ms;
    if (apart_ms >= -START_TOLERANCE_MS && apart_ms <= START_TOLERANCE_MS)
        return NULL;
    err_set(why, OL_EINVAL, MODULE, "this machine's clock and the chain's are %lld s apart: set it",
            (long long)(apart_ms < 0 ? -apart_ms : apart_ms) / 1000);
    return "clock_skew";
}

int recorder_reserve(struct recorder *r, const struct reserve_request *requests, struct reserve_result *results,
                     size_t n, struct err *e)
{
    struct candidate c[RECORDER_MAX_ITEMS];
    struct err why = {0};
    int64_t now_ms;
    uint64_t epoch;
    CHECK(n <= RECORDER_MAX_ITEMS);
    memset(results, 0, n * sizeof *results);
    const char *code = recorder_refusal(r, &now_ms, &epoch, &why);
    for (size_t i = 0; code && i < n; i++)
        refuse(&results[i], code, "%.190s", why.message);
    if (code)
        return 0;
    for (size_t i = 0; i < n; i++) {
        c[i] = (struct candidate){.request = &requests[i], .result = &results[i]};
        if (!results[i].code)
            prepare(r, &c[i], now_ms);
    }
    pthread_mutex_lock(&r->lock);
    int rc = reserve_locked(r, c, n, epoch, now_ms, e);
    pthread_mutex_unlock(&r->lock);
    return rc;
}
