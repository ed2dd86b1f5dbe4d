/* Ending a bill: what has to be on disk first, the receipt, and what the client is told of it. */
#include "billing/bill_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "chainlite/core/hex.h"
#include "chainlite/json/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- what was delivered, as JSON */

static int32_t mean_micro(double sum, uint32_t n)
{
    double mean = n ? sum / n * 1e6 : 0;
    return mean < INT32_MIN || isnan(mean) ? INT32_MIN : mean > 0 ? 0 : (int32_t)lrint(mean);
}

static void response_hash(const struct bill *b, const struct bill_answer *a, uint8_t out[32])
{
    uint8_t all[32];
    keccak256(a->text_hashes, (size_t)a->n_texts * 32, all);
    salted_hash(b->salt, all, out);
}

static json_t *record_json(const struct bill *b, const struct bill_answer *a)
{
    uint8_t response[32], numerics[32];
    response_hash(b, a, response);
    const char *id = b->billing->numerics;
    keccak256(id, strlen(id), numerics);
    return json_pack("{so si si so so sI sI sI sI sI sI sI si so}", "receipt_id", hex_to_json(b->receipt_id, 32),
                     "status", (int)a->status, "kind", (int)b->kind, "numerics", hex_to_json(numerics, 32),
                     "response_hash", hex_to_json(response, 32), "start_time_ms", (json_int_t)b->start_ms, "queue_ms",
                     (json_int_t)a->queue_ms, "prefill_ms", (json_int_t)a->prefill_ms, "decode_ms",
                     (json_int_t)a->decode_ms, "prompt_tokens", (json_int_t)a->prompt_tokens, "cached_tokens",
                     (json_int_t)a->cached_tokens, "output_tokens", (json_int_t)a->output_tokens, "mean_logprob_micro",
                     mean_micro(a->sum_logprob, a->output_tokens), "attribution", bill_attribution_json(a->attribution));
}

static json_t *extras_json(const struct bill *b, const struct bill_answer *a)
{
    json_t *hashes = json_array();
    for (int i = 0; i < a->n_texts; i++)
        json_array_append_new(hashes, hex_to_json(a->text_hashes + (size_t)i * 32, 32));
    json_t *j = json_pack("{ss so so so so}", "tenant", b->caller.tenant, "payer", hex_to_json(b->payer, ADDRESS_BYTES),
                          "salt", hex_to_json(b->salt, 32), "request_body_hash", hex_to_json(b->body_hash, 32),
                          "response_text_hashes", hashes);
    if (j && b->before)
        json_object_set_new(j, "kept", json_true());
    return j;
}

/* ---- on disk before the receipt */

static void put_json(struct ledger_write *w, enum ledger_table table, const uint8_t key[32], const json_t *j)
{
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    if (text)
        ledger_put(w, table, key, text, strlen(text));
    free(text);
}

static void put_kept(const struct bill *b, struct ledger_write *w, int64_t now_s)
{
    const uint8_t *scope = b->ticket->scope;
    json_t *j = json_pack("{so so sb sO}", "request", hex_to_json(b->ticket->request, 32), "receipt_id",
                          hex_to_json(b->receipt_id, 32), "stream", json_is_true(json_object_get(b->extras, "stream")),
                          "record", b->record);
    put_json(w, LEDGER_ANSWER, scope, j);
    ledger_put(w, LEDGER_BEFORE, scope, buf_str(b->before), b->before->len);
    ledger_put(w, LEDGER_AFTER, scope, buf_str(b->after), b->after->len);
    ledger_expire(w, LEDGER_ANSWER, scope, now_s + b->billing->config.idempotency_s);
    json_decref(j);
}

static void put_arrear(const struct bill *b, struct ledger_write *w)
{
    struct arrear x = {.record = b->record, .fee_wei = b->fee_wei};
    memcpy(x.receipt_id, b->receipt_id, sizeof x.receipt_id);
    if (b->caller.kind == CALLER_KEY)
        memcpy(x.key_id, b->caller.key.id, sizeof x.key_id);
    arrears_put(w, &x);
}

int bill_before_record(void *ctx, void *const *bills, int n, struct err *e)
{
    struct billing *billing = ctx;
    struct ledger_write *w = ledger_begin(billing->ledger);
    const int64_t now_s = (int64_t)time(NULL);
    for (int i = 0; i < n; i++) {
        struct bill *b = bills[i];
        if (b->resumed)
            continue;
        put_json(w, LEDGER_RECEIPT, b->receipt_id, b->extras);
        ledger_expire(w, LEDGER_RECEIPT, b->receipt_id, now_s + billing->config.receipts_s);
        if (b->evidence) {
            ledger_put(w, LEDGER_EVIDENCE, b->receipt_id, b->evidence, strlen(b->evidence));
            ledger_expire(w, LEDGER_EVIDENCE, b->receipt_id, now_s + billing->config.evidence_s);
            if (b->awaits_gradients)
                ledger_put(w, LEDGER_OPEN, b->receipt_id, NULL, 0);
        }
        if (b->before)
            put_kept(b, w, now_s);
        if (b->owed)
            put_arrear(b, w);
        if (b->limited)
            spend_record(billing->spend, b->caller.key.id, b->max_fee_wei, b->fee_wei, now_s, w);
        b->limited = false;
    }
    int rc = ledger_commit(w, true, e);
    for (int i = 0; i < n; i++)
        ((struct bill *)bills[i])->on_disk = rc == 0;
    return rc;
}

/* ---- the receipt */

static void add_to(_Atomic double *sum, double x)
{
    double old = atomic_load(sum);
    while (!atomic_compare_exchange_weak(sum, &old, old + x))
        ;
}

static void count(struct billing *b, const struct proof *p)
{
    if (p->status <= STATUS_FAILED)
        atomic_fetch_add(&b->counters.receipts[p->status], 1);
    add_to(&b->counters.billed_wei, (double)p->fee_wei);
    add_to(&b->counters.prompt_tokens, p->prompt_tokens);
    add_to(&b->counters.output_tokens, p->output_tokens);
}

static json_t *outcome_json(const struct billing *b, const struct catalog *c, const struct proof *p,
                            const json_t *signature)
{
    char fee[WEI_TEXT_BYTES + 2];
    uint8_t digest[HASH_BYTES];
    proof_digest(p, &c->domains, digest);
    wei_format_coin(p->fee_wei, fee);
    json_t *proof = json_pack("{so sI sI sO}", "digest", hex_to_json(digest, 32), "epoch", (json_int_t)p->epoch,
                              "sequence", (json_int_t)p->sequence, "signature", signature);
    return json_pack("{so so ss ss so so so}", "receipt_id", hex_to_json(p->receipt_id, 32), "fee_wei",
                     wei_to_json(p->fee_wei), "fee", fee, "currency", b->config.currency, "price_id",
                     hex_to_json(p->price_id, 32), "cumulative_wei", wei_to_json(p->payer_cumulative_wei), "proof",
                     proof);
}

/* What usage.openlora says of an answer that nothing was billed for. */
static json_t *free_outcome_json(const struct billing *b, const json_t *receipt_id)
{
    return json_pack("{sO ss ss ss sn}", "receipt_id", receipt_id, "fee_wei", "0", "fee", "0", "currency",
                     b->config.currency, "proof");
}

static char *dump(json_t *j)
{
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text;
}

static int take_proof(struct bill *b, const json_t *result, struct err *e)
{
    struct proof p = {0};
    int rc = notation_read(&proof_schema, json_object_get(result, "proof"), &p, e);
    if (rc != 0)
        return rc;
    if (memcmp(p.receipt_id, b->receipt_id, 32) != 0)
        return err_set(e, OL_EFORMAT, "billing", "chainlited signed another receipt than was asked for");
    if (!b->resumed && p.fee_wei != b->fee_wei)
        log_line(LOG_WARN, "billing", "chainlited counts another fee than this process");
    b->fee_wei = p.fee_wei;
    count(b->billing, &p);
    (void)!hex_from_json(json_object_get(result, "signature"), b->signature, sizeof b->signature);
    json_t *outcome = outcome_json(b->billing, b->catalog, &p, json_object_get(result, "signature"));
    if (outcome && b->shows_attribution)
        json_object_set_new(outcome, "attribution", json_deep_copy(json_object_get(b->record, "attribution")));
    b->outcome = dump(outcome);
    return b->outcome ? 0 : err_set(e, OL_ENOMEM, "billing", "no memory for the receipt");
}

/* The outcome of a kept answer, so that it is complete. Not fsynced: without it the receipt is asked for again. */
static void keep_outcome(struct bill *b)
{
    struct ledger_write *w = ledger_begin(b->billing->ledger);
    const uint8_t *scope = b->kept ? b->kept->scope : b->ticket->scope;
    struct err e;
    ledger_put(w, LEDGER_OUTCOME, scope, b->outcome, strlen(b->outcome));
    if (ledger_commit(w, false, &e) != 0)
        log_line(LOG_WARN, "billing", "%s", e.message);
}

/* chainlited cannot be asked now: whose receipt is not lost by that? */
static void put_off(struct bill *b, struct refusal *r)
{
    char id[67] = "0x";
    if (b->before && b->on_disk)
        b->reserved = false; /* who comes back for the kept answer settles it */
    if (!b->owed || !b->on_disk)
        return;
    b->reserved = false;
    arrears_wait(b->billing->arrears, b->receipt_id);
    hex_encode(b->receipt_id, 32, id + 2);
    refuse(r, 503, "receipt_late", NULL, "the answer is complete but its receipt cannot be signed now: it is kept, and what "
           "you were given is billed under %s once chainlited is back", id);
}

static bool is_final(const char *code)
{
    static const char *const final[] = {"no_reservation", "invalid", "clock_skew"};
    for (size_t i = 0; code && i < sizeof final / sizeof *final; i++)
        if (strcmp(code, final[i]) == 0)
            return true;
    return false;
}

/* chainlited says no. What may pass, such as a full disk or a price that its catalog lost, is waited for. */
static void take_no(struct bill *b, const json_t *result, struct refusal *r)
{
    const char *code = json_string_value(json_object_get(result, "code"));
    if (b->owed && !is_final(code)) {
        refuse_as_told(b, result, r);
        put_off(b, r);
        return;
    }
    if (b->kept && code && strcmp(code, "no_reservation") == 0)
        b->outcome = dump(free_outcome_json(b->billing, json_object_get(b->kept->answer, "receipt_id")));
    else
        refuse_as_told(b, result, r);
    if (b->owed)
        arrears_settle(b->billing->arrears, b->receipt_id);
    if (!b->kept && b->caller.kind == CALLER_KEY)
        spend_refund(b->billing->spend, b->caller.key.id, b->fee_wei, (int64_t)time(NULL));
}

/* A policy that the registry does not have (any more) must not cost the answer: it is billed without. */
static bool retry_unattributed(struct bill *b, const json_t *result)
{
    const char *code = json_string_value(json_object_get(result, "code"));
    struct err e;
    if (!code || strcmp(code, "not_registered") != 0 || !json_is_object(json_object_get(b->record, "attribution")))
        return false;
    log_line(LOG_WARN, "billing", "an answer stays unattributed: its policy is not registered");
    json_object_set_new(b->record, "attribution", json_null());
    return chain_record(b->billing->chain, json_deep_copy(b->record), bill_on_recorded, b, &e) == 0;
}

void bill_on_recorded(void *user, int rc, int status, const json_t *result, const struct err *why)
{
    struct bill *b = user;
    struct refusal r = {0};
    struct err e = {0};
    (void)status;
    if (rc != 0) {
        refuse_unavailable(b->billing, &r, why);
        put_off(b, &r);
    } else if (json_is_true(json_object_get(result, "ok"))) {
        b->reserved = false;
        if (b->owed || b->kept)
            arrears_settle(b->billing->arrears, b->receipt_id);
        if (take_proof(b, result, &e) != 0)
            refuse(&r, 503, "billing_unavailable", NULL, "%s", e.message);
    } else if (retry_unattributed(b, result)) {
        return;
    } else {
        take_no(b, result, &r);
    }
    if (b->outcome && (b->before || b->kept)) {
        keep_outcome(b);
        idempotency_end(b->ticket); /* before the client has its last chunk and may ask again */
        b->ticket = NULL;
    }
    b->done(b->user, r.status ? &r : NULL);
}

int bill_record(struct bill *b, const struct bill_answer *a, bill_done done, void *user, struct refusal *r)
{
    struct fee fee = {0};
    struct err e;
    b->done = done;
    b->user = user;
    b->before = b->ticket ? a->before : NULL;
    b->after = a->after;
    b->shows_attribution = a->shows_attribution;
    b->awaits_gradients = a->awaits_gradients;
    b->owed = a->stream;
    if (fee_of(&b->price.row, a->prompt_tokens, a->cached_tokens, a->output_tokens, a->status, &fee, &e) != 0)
        return refuse(r, 503, "billing_unavailable", NULL, "%s", e.message);
    b->fee_wei = fee.royalty_wei + fee.compute_wei;
    b->record = record_json(b, a);
    b->extras = extras_json(b, a);
    b->evidence = a->evidence ? strdup(buf_str(a->evidence)) : NULL;
    if (!b->record || !b->extras || (a->evidence && !b->evidence))
        return refuse(r, 503, "no_memory", NULL, "no memory for the receipt");
    if (b->before)
        json_object_set_new(b->extras, "stream", json_boolean(a->stream));
    /* A copy: trees are not shared between threads. */
    if (chain_record(b->billing->chain, json_deep_copy(b->record), bill_on_recorded, b, &e) == 0)
        return 0;
    refuse_unavailable(b->billing, r, &e);
    return -1;
}
