/* Opening a bill and its reservation; bill_record.c ends it, bill_refuse.c says no. */
#include "billing/bill_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "chainlite/json/values.h"
#include "chainlite/core/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* ---- the quote */

static int find_versions(struct bill *b, const struct bill_order *o, struct refusal *r)
{
    const struct catalogued_version *model = catalog_find(b->catalog, o->model_content, NULL);
    if (!model)
        return refuse(r, 503, "not_registered", "model", "this node's base model has no registered version "
                      "(content hash %.64s), so it cannot be billed", o->model_content);
    memcpy(b->model_version, model->id, 32);
    if (!o->adapter_content)
        return 0;
    const struct catalogued_version *adapter = catalog_find(b->catalog, o->adapter_content, model->id);
    if (!adapter)
        return refuse(r, 503, "not_registered", "model", "this adapter has no registered version on this base model "
                      "(content hash %.64s), so it cannot be billed", o->adapter_content);
    memcpy(b->adapter_version, adapter->id, 32);
    return 0;
}

static const uint8_t *top_version(const struct bill *b)
{
    static const uint8_t none[32];
    return memcmp(b->adapter_version, none, 32) == 0 ? b->model_version : b->adapter_version;
}

static int find_price(struct bill *b, struct refusal *r)
{
    const struct catalogued_price *p = catalog_price_now(b->catalog, top_version(b), b->tier, (uint64_t)time(NULL));
    if (!p && b->tier != TIER_DEFAULT)
        return refuse(r, 400, "unsupported_value", "service_tier", "'service_tier' '%s' has no price for this model; "
                      "see /v1/prices", tier_name(b->tier));
    if (!p)
        return refuse(r, 503, "not_priced", "model", "this model has no price in force on this node; see /v1/prices");
    b->price = *p;
    return 0;
}

/* The most it can cost: whichever of nothing and everything cached is dearer, and every output token. */
static int quote(struct bill *b, struct refusal *r)
{
    struct fee fee[2];
    struct err e;
    for (int i = 0; i < 2; i++) {
        wei_t sum;
        if (fee_of(&b->price.row, b->prompt_tokens, i ? b->prompt_tokens : 0, b->max_output_tokens, STATUS_STOP,
                   &fee[i], &e) != 0 ||
            !wei_add(fee[i].royalty_wei, fee[i].compute_wei, &sum))
            return refuse(r, 400, "unsupported_value", "max_tokens", "the most this request can cost is beyond every "
                          "amount; ask for fewer tokens");
        b->max_fee_wei = i == 0 || sum > b->max_fee_wei ? sum : b->max_fee_wei;
    }
    return 0;
}

/* Who does not say who pays is told what it costs. */
static int require_payer(struct bill *b, struct refusal *r)
{
    if (b->caller.kind != CALLER_UNPAID)
        return 0;
    refuse(r, 402, "voucher_required", NULL, "this node serves nobody unpaid: send an API key (Authorization: Bearer) "
           "or a voucher for the amount in PAYMENT-REQUIRED (PAYMENT-SIGNATURE)");
    atomic_fetch_add(&b->billing->counters.payment_required, 1);
    r->payment = true;
    r->terms.max_fee_wei = b->max_fee_wei;
    r->terms.resource = b->resource;
    memcpy(r->terms.price_id, b->price.id, 32);
    return -1;
}

static int reserve_limit(struct bill *b, struct refusal *r)
{
    struct err e;
    wei_t left;
    char most[WEI_TEXT_BYTES], have[WEI_TEXT_BYTES];
    if (b->caller.kind != CALLER_KEY)
        return 0;
    int rc = spend_reserve(b->billing->spend, &b->caller.key, b->max_fee_wei, (int64_t)time(NULL), &left, &e);
    b->limited = rc == 0;
    if (rc == 0)
        return 0;
    if (rc != OL_ELIMIT)
        return refuse(r, 503, "no_memory", NULL, "%s", e.message);
    wei_format(b->max_fee_wei, most);
    wei_format(left, have);
    refuse(r, 402, "spend_limit", NULL, "the API key's spending limit leaves %s wei, and this request may cost %s; ask "
           "for fewer tokens, or the operator for a higher limit", have, most);
    atomic_fetch_add(&b->billing->counters.payment_required, 1);
    r->payment = true;
    r->terms.max_fee_wei = b->max_fee_wei;
    r->terms.has_available = true;
    r->terms.available_wei = left;
    r->terms.resource = b->resource;
    memcpy(r->terms.price_id, b->price.id, 32);
    return -1;
}

static int draw(struct bill *b, struct refusal *r)
{
    bool own_salt = b->caller.kind == CALLER_WALLET;
    if (getrandom(b->receipt_id, 32, 0) != 32 || getrandom(b->salt, 32, 0) != 32)
        return refuse(r, 503, "no_memory", NULL, "the system gives no random bytes");
    if (own_salt)
        memcpy(b->salt, b->caller.payment.salt, 32);
    salted_hash(b->salt, b->body_hash, b->request_hash);
    return 0;
}

int bill_open(struct billing *billing, const struct bill_order *o, struct bill **out, struct refusal *r)
{
    struct err why;
    *out = NULL;
    if (!billing_reachable(billing, &why)) {
        refuse_unavailable(billing, r, &why);
        return -1;
    }
    if (arrears_count(billing->arrears) >= (size_t)billing->config.max_arrears)
        return refuse(r, 503, "receipts_waiting", NULL, "too many receipts of delivered answers wait for chainlited; nothing "
                      "new is served until it has signed some");
    struct bill *b = calloc(1, sizeof *b);
    if (!b)
        return refuse(r, 503, "no_memory", NULL, "no memory for the bill; try again");
    b->billing = billing;
    b->catalog = billing_catalog(billing);
    b->caller = *o->caller;
    b->kind = o->kind;
    b->tier = o->tier;
    b->resource = o->resource;
    b->prompt_tokens = o->prompt_tokens;
    b->max_output_tokens = o->max_output_tokens;
    b->start_ms = clock_unix_ms();
    memcpy(b->body_hash, o->body_hash, 32);
    if (o->application)
        keccak256(o->application, strlen(o->application), b->application);
    if (find_versions(b, o, r) != 0 || find_price(b, r) != 0 || quote(b, r) != 0 || require_payer(b, r) != 0 ||
        reserve_limit(b, r) != 0 || draw(b, r) != 0) {
        bill_close(b);
        return -1;
    }
    *out = b;
    return 0;
}

void bill_close(struct bill *b)
{
    if (!b)
        return;
    bill_abandon(b);
    idempotency_end(b->ticket);
    catalog_release(b->catalog);
    json_decref(b->record);
    json_decref(b->extras);
    free(b->evidence);
    free(b->outcome);
    free(b);
}

void bill_take_ticket(struct bill *b, struct idempotency_ticket *t) { b->ticket = t; }

/* ---- the reservation */

static json_t *voucher_json(const struct bill *b)
{
    const struct payment *p = &b->caller.payment;
    if (b->caller.kind != CALLER_WALLET)
        return json_null();
    return json_pack("{so so so so so}", "payer", hex_to_json(p->voucher.payer, ADDRESS_BYTES), "node",
                     hex_to_json(p->voucher.node, ADDRESS_BYTES), "ceiling", wei_to_json(p->voucher.ceiling_wei),
                     "request_hash", hex_to_json(p->voucher.request_hash, 32), "signature",
                     hex_to_json(p->signature, SIGNATURE_BYTES));
}

static json_t *reservation_json(const struct bill *b)
{
    bool own_wallet = b->caller.kind == CALLER_KEY && b->caller.key.has_wallet;
    return json_pack("{so ss so so so so so si sI sI so}", "receipt_id", hex_to_json(b->receipt_id, 32), "tenant",
                     b->caller.tenant, "caller", hex_to_json(b->application, 32), "voucher", voucher_json(b), "payer",
                     own_wallet ? hex_to_json(b->caller.key.wallet, ADDRESS_BYTES) : json_null(), "model_version",
                     hex_to_json(b->model_version, 32), "adapter_version", hex_to_json(b->adapter_version, 32), "tier",
                     (int)b->tier, "prompt_tokens", (json_int_t)b->prompt_tokens, "max_output_tokens",
                     (json_int_t)b->max_output_tokens, "request_hash", hex_to_json(b->request_hash, 32));
}

/* chainlited prices by the rows it has; ours may be some seconds older. */
static void adopt_price(struct bill *b, const json_t *result)
{
    uint8_t id[32];
    const struct catalogued_price *p = NULL;
    if (hex_from_json(json_object_get(result, "price_id"), id, 32) && memcmp(id, b->price.id, 32) != 0)
        p = chain_catalog_price(&b->catalog->served.rows, id);
    if (p)
        b->price = *p;
}

static void on_reserved(void *user, int rc, int status, const json_t *result, const struct err *why)
{
    struct bill *b = user;
    struct refusal r = {0};
    (void)status;
    if (rc != 0) {
        refuse_unavailable(b->billing, &r, why);
        b->reserved = true; /* perhaps: closing the bill ends it */
    } else if (!json_is_true(json_object_get(result, "ok"))) {
        refuse_as_told(b, result, &r);
    } else {
        b->reserved = true;
        adopt_price(b, result);
        if (!hex_from_json(json_object_get(result, "payer"), b->payer, ADDRESS_BYTES))
            log_line(LOG_WARN, "billing", "chainlited named no payer of a reservation");
    }
    b->done(b->user, r.status ? &r : NULL);
}

int bill_reserve(struct bill *b, bill_done done, void *user, struct refusal *r)
{
    struct err e;
    b->done = done;
    b->user = user;
    if (chain_reserve(b->billing->chain, reservation_json(b), on_reserved, b, &e) == 0)
        return 0;
    refuse_unavailable(b->billing, r, &e);
    return -1;
}

void bill_end_reservation(struct billing *billing, const uint8_t receipt_id[32])
{
    char path[96] = "/v1/reservations/0x";
    struct err e;
    hex_encode(receipt_id, 32, path + strlen(path));
    if (chain_query(billing->chain, "DELETE", path, NULL, NULL, &e) != 0)
        log_line(LOG_DEBUG, "billing", "a reservation is left to chainlited: %s", e.message);
}

void bill_abandon(struct bill *b)
{
    if (b->reserved) {
        bill_end_reservation(b->billing, b->receipt_id);
        atomic_fetch_add(&b->billing->counters.receipts[0], 1);
    }
    if (b->limited)
        spend_release(b->billing->spend, b->caller.key.id, b->max_fee_wei);
    b->reserved = b->limited = false;
}

/* ---- what others ask */

const uint8_t *bill_receipt_id(const struct bill *b) { return b->receipt_id; }
const uint8_t *bill_signature(const struct bill *b) { return b->signature; }
const uint8_t *bill_payer(const struct bill *b) { return b->payer; }
const uint8_t *bill_model_version(const struct bill *b) { return b->model_version; }
const uint8_t *bill_adapter_version(const struct bill *b) { return b->adapter_version; }
wei_t bill_max_fee(const struct bill *b) { return b->max_fee_wei; }
const char *bill_outcome(const struct bill *b) { return b->outcome; }

bool bill_payment_response(const struct bill *b, struct buf *out)
{
    if (b->caller.kind != CALLER_WALLET)
        return false;
    payment_header(payment_response_json(b->catalog, b->caller.payment.voucher.payer,
                                         b->outcome ? b->fee_wei : b->max_fee_wei, b->receipt_id), out);
    return !buf_failed(out);
}
