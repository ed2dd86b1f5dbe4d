/* Receipts: a reservation and what openlorad measured become a signed proof. Sequences are given under the lock, in the
 * order of the writes; signing and the disk are waited for without it. */
#include "base/clock.h"
#include "chainlite/settle/crash_points.h"
#include "chainlite/settle/recorder_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "recorder"

void recorder_refuse(struct record_result *result, const char *code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(result->message, sizeof result->message, format, ap);
    va_end(ap);
    result->code = code;
}

/* One receipt that is being made. */
struct draft {
    const struct record_request *request;
    struct record_result *result;
    struct outbox_receipt receipt;
    int signed_rc; /* what came of signing it */
};

/* The fee by the price and the tokens, whatever openlorad thinks. */
static bool fee(struct recorder *r, const struct record_request *q, const struct outbox_reservation *row,
                struct record_result *out, wei_t *fee_wei)
{
    struct fee parts;
    struct err e = {0};
    const struct chain_catalog *catalog = recorder_catalog_lock(r);
    const struct catalogued_price *price = chain_catalog_price(catalog, row->price_id);
    int rc = price ? fee_of(&price->row, q->prompt_tokens, q->cached_tokens, q->output_tokens,
                            (enum proof_status)q->status, &parts, &e)
                   : err_set(&e, OL_ENOTFOUND, MODULE, "the catalog has lost the price of this reservation");
    bool early = price && q->start_time_ms / 1000 < price->row.effective_time;
    recorder_catalog_unlock(r);
    if (rc != 0)
        recorder_refuse(out, rc == OL_ENOTFOUND ? "not_priced" : "invalid", "%s", e.message);
    else if (early)
        recorder_refuse(out, "clock_skew", "the answer began before its price was in effect");
    else if (!wei_add(parts.royalty_wei, parts.compute_wei, fee_wei) || *fee_wei > row->max_fee_wei)
        recorder_refuse(out, "invalid", "the fee is above what was reserved");
    return !out->code;
}

static bool plausible(const struct record_request *q, const struct outbox_reservation *row, struct record_result *out)
{
    int64_t apart = (int64_t)(q->start_time_ms - row->time_ms);
    if (q->status < STATUS_STOP || q->status > STATUS_FAILED)
        recorder_refuse(out, "invalid", "status %u is none of 1 … 4", q->status);
    else if (q->kind != KIND_CHAT && q->kind != KIND_COMPLETION)
        recorder_refuse(out, "invalid", "kind %u is neither 1 nor 2", q->kind);
    else if (q->prompt_tokens > row->prompt_tokens)
        recorder_refuse(out, "invalid", "%u prompt tokens; %u were reserved", q->prompt_tokens, row->prompt_tokens);
    else if (q->output_tokens > row->max_output_tokens)
        recorder_refuse(out, "invalid", "%u output tokens; %u were reserved", q->output_tokens, row->max_output_tokens);
    else if (q->cached_tokens > q->prompt_tokens)
        recorder_refuse(out, "invalid", "%u cached of %u prompt tokens", q->cached_tokens, q->prompt_tokens);
    else if (q->start_time_ms > INT64_MAX || apart > START_TOLERANCE_MS || apart < -START_TOLERANCE_MS)
        recorder_refuse(out, "clock_skew", "the answer began more than 60 s from its reservation by the chain's clock");
    return !out->code;
}

static void fill(struct recorder *r, const struct record_request *q, const struct outbox_reservation *row,
                 const struct payer *p, wei_t fee_wei, struct proof *out)
{
    *out = (struct proof){
        .epoch = r->epoch,
        .sequence = r->next_sequence,
        .kind = q->kind,
        .status = q->status,
        .start_time_ms = q->start_time_ms,
        .queue_ms = q->queue_ms,
        .prefill_ms = q->prefill_ms,
        .decode_ms = q->decode_ms,
        .prompt_tokens = q->prompt_tokens,
        .cached_tokens = q->cached_tokens,
        .output_tokens = q->output_tokens,
        .mean_logprob_micro = q->mean_logprob_micro,
        .fee_wei = fee_wei,
        .payer_previous = p->row.last_sequence,
        .payer_cumulative_wei = p->row.cumulative_wei + fee_wei,
    };
    memcpy(out->receipt_id, q->receipt_id, 32);
    memcpy(out->node, r->node, ADDRESS_BYTES);
    memcpy(out->request_hash, row->request_hash, 32);
    memcpy(out->response_hash, q->response_hash, 32);
    memcpy(out->model_version, row->model_version, 32);
    memcpy(out->adapter_version, row->adapter_version, 32);
    memcpy(out->numerics, q->numerics, 32);
    memcpy(out->price_id, row->price_id, 32);
    memcpy(out->split_id, row->split_id, 32);
    memcpy(out->payer, row->payer, ADDRESS_BYTES);
    memcpy(out->caller, row->caller, 32);
    if (q->has_attribution)
        memcpy(out->attribution_policy, q->attribution.policy, 32);
    voucher_digest(&p->row.highest.voucher, &r->domains, out->voucher_digest);
}

/* No reservation: recorded before (the same proof again), or never promised. */
static void find_old(struct recorder *r, const struct record_request *q, struct record_result *out)
{
    struct outbox_receipt receipt;
    struct err e = {0};
    int rc = outbox_receipt_find(r->outbox, q->receipt_id, &receipt, &e);
    if (rc == OL_ENOTFOUND) {
        recorder_refuse(out, "no_reservation", "nothing is reserved under this receipt id: it was ended, or never made");
    } else if (rc != 0) {
        recorder_refuse(out, "disk_full", "the outbox cannot be read: %.150s", e.message);
    } else {
        out->proof = receipt.proof;
        memcpy(out->signature, receipt.signature, SIGNATURE_BYTES);
    }
}

static int sequence(struct recorder *r, const struct record_request *q, struct draft *d, struct outbox_write *w,
                    bool *made, struct err *e)
{
    wei_t fee_wei;
    struct open_reservation *o = idmap_find(&r->reservations, q->receipt_id);
    if (!o || o->recording) { /* recording: twice in this very request */
        *d->result = (struct record_result){0};
        if (o)
            recorder_refuse(d->result, "duplicate", "this receipt id stands twice in one request");
        else
            find_old(r, q, d->result);
        return 0;
    }
    const struct outbox_reservation *row = &o->row;
    uint8_t span_root[32] = {0};
    if (d->result->code || !plausible(q, row, d->result) || !fee(r, q, row, d->result, &fee_wei))
        return 0;
    if (q->has_attribution) {
        int rc = recorder_attribution(r, q, row, d->result, span_root, e);
        if (rc != 0 || d->result->code)
            return rc;
    }
    struct payer *p = recorder_take_payer(r, row->payer, NULL, e);
    struct spender *s =
        p && row->own_voucher ? recorder_take_spender(r, row->tenant, row->time_ms / DAY_MS, e) : NULL;
    if (!p || (row->own_voucher && !s))
        return OL_ENOMEM;
    fill(r, q, row, p, fee_wei, &d->receipt.proof);
    memcpy(d->receipt.proof.span_root, span_root, sizeof span_root);
    CHECK(p->row.highest.voucher.ceiling_wei >= d->receipt.proof.payer_cumulative_wei);
    d->receipt.voucher = p->row.highest;
    memcpy(d->receipt.tenant, row->tenant, sizeof d->receipt.tenant);
    d->receipt.recorded_ms = (uint64_t)clock_unix_ms();
    r->next_sequence++;
    p->row.cumulative_wei += fee_wei;
    p->row.last_sequence = d->receipt.proof.sequence;
    recorder_release(r, row);
    if (s) {
        s->spent_wei += fee_wei;
        recorder_put_spender(w, s);
    }
    o->recording = true;
    outbox_put_payer(w, &p->row);
    outbox_drop_reservation(w, q->receipt_id);
    *made = true;
    return 0;
}

struct signing {
    const struct recorder *recorder;
    struct draft *drafts;
};

static void sign(void *user, size_t i)
{
    const struct signing *s = user;
    struct draft *d = &s->drafts[i];
    uint8_t digest[HASH_BYTES];
    proof_digest(&d->receipt.proof, &s->recorder->domains, digest);
    d->signed_rc = keystore_sign(s->recorder->keys, s->recorder->node, digest, d->receipt.signature, NULL);
}

static int put_signed(struct draft *d, struct outbox_write *w, struct err *e)
{
    if (d->signed_rc != 0)
        return err_set(e, d->signed_rc, MODULE, "a proof could not be signed with the node's key");
    outbox_put_receipt(w, &d->receipt);
    if (d->request->has_attribution) {
        const struct record_attribution *a = &d->request->attribution;
        const struct outbox_attribution row = {.answer_tokens = a->answer_tokens, .open_tokens = a->open_tokens,
                                               .spans = a->spans};
        outbox_put_attribution(w, d->receipt.proof.epoch, d->receipt.proof.sequence, &row);
    }
    d->result->proof = d->receipt.proof;
    memcpy(d->result->signature, d->receipt.signature, SIGNATURE_BYTES);
    return 0;
}

/* Somebody else is turning one of these into a receipt: his answer is ours. */
static void wait_for_others(struct recorder *r, const struct record_request *requests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct open_reservation *o = idmap_find(&r->reservations, requests[i].receipt_id);
        if (!o || !o->recording)
            continue;
        pthread_cond_wait(&r->changed, &r->lock);
        i = (size_t)-1; /* from the beginning: the lock was away */
    }
}

static int record_locked(struct recorder *r, const struct record_request *requests, struct record_result *results,
                         size_t n, uint64_t epoch, struct draft *drafts, struct err *e)
{
    struct recorder_write w;
    size_t made = 0;
    wait_for_others(r, requests, n);
    int rc = recorder_begin(r, &w, e);
    if (rc != 0)
        return rc;
    rc = recorder_enter_epoch(r, w.out, epoch, e);
    if (rc != 0) {
        recorder_cancel(r, &w);
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        bool one = false;
        drafts[made] = (struct draft){.request = &requests[i], .result = &results[i]};
        rc = sequence(r, &requests[i], &drafts[made], w.out, &one, e);
        made += one;
    }
    pthread_mutex_unlock(&r->lock);
    crash_point(recorder_sequenced);
    if (rc == 0)
        signers_run(r->signers, made, sign, &(struct signing){r, drafts});
    for (size_t i = 0; rc == 0 && i < made; i++)
        rc = put_signed(&drafts[i], w.out, e);
    crash_point(recorder_signed);
    if (rc != 0) /* sequences are given that nobody signed: the write must fail, and what follows it */
        outbox_fail(w.out, rc, e);
    rc = recorder_commit(r, &w, e);
    for (size_t i = 0; rc == 0 && r->generation == w.generation && i < made; i++)
        idmap_remove(&r->reservations, drafts[i].receipt.proof.receipt_id);
    pthread_cond_broadcast(&r->changed);
    if (rc == 0)
        crash_point(recorder_receipt_durable);
    return rc;
}

int recorder_record(struct recorder *r, const struct record_request *requests, struct record_result *results, size_t n,
                    struct err *e)
{
    uint64_t epoch;
    CHECK(n <= RECORDER_MAX_ITEMS);
    memset(results, 0, n * sizeof *results);
    int rc = recorder_view_epoch(r, &epoch, e);
    if (rc != 0)
        return rc;
    rc = recorder_check_policies(r, requests, results, n, e);
    if (rc != 0)
        return rc;
    struct draft *drafts = calloc(n, sizeof *drafts);
    if (!drafts)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for receipts");
    pthread_mutex_lock(&r->lock);
    rc = record_locked(r, requests, results, n, epoch, drafts, e);
    pthread_mutex_unlock(&r->lock);
    free(drafts);
    return rc;
}
