/* The routes that make promises and receipts. */
#include "chainlite/api/api.h"

#include "chainlite/core/hex.h"

#include <string.h>

/* ---- what comes in, as tables */

static const struct field address_fields[] = {{.name = "at", .type = FIELD_ADDRESS}};
static const struct schema address_schema = {"address", address_fields, 1, ADDRESS_BYTES, NOTATION_BARE};

static const struct field reserve_fields[] = {
    FIELD(reserve_request, HASH, "receipt_id", receipt_id),
    FIELD_BOUNDED(reserve_request, TEXT, "tenant", tenant, OUTBOX_TENANT_BYTES),
    FIELD(reserve_request, HASH, "caller", caller),
    FIELD_NULLABLE(reserve_request, "voucher", voucher, has_voucher, &signed_voucher_schema),
    FIELD_NULLABLE(reserve_request, "payer", payer, has_payer, &address_schema),
    FIELD(reserve_request, HASH, "model_version", model_version),
    FIELD(reserve_request, HASH, "adapter_version", adapter_version),
    FIELD(reserve_request, U8, "tier", tier),
    FIELD(reserve_request, U32, "prompt_tokens", prompt_tokens),
    FIELD(reserve_request, U32, "max_output_tokens", max_output_tokens),
    FIELD(reserve_request, HASH, "request_hash", request_hash),
};
static const struct schema reserve_schema = SCHEMA("reservation", reserve_request, reserve_fields);

static const struct field attribution_fields[] = {
    FIELD(record_attribution, HASH, "policy", policy),
    FIELD(record_attribution, U32, "answer_tokens", answer_tokens),
    FIELD(record_attribution, U32, "open_tokens", open_tokens),
    FIELD_MANY(record_attribution, "spans", spans, &span_schema, RECEIPT_MAX_SPANS),
};
static const struct schema attribution_schema = SCHEMA("attribution", record_attribution, attribution_fields);

static const struct field record_fields[] = {
    FIELD(record_request, HASH, "receipt_id", receipt_id),
    FIELD(record_request, U8, "status", status),
    FIELD(record_request, U8, "kind", kind),
    FIELD(record_request, HASH, "numerics", numerics),
    FIELD(record_request, HASH, "response_hash", response_hash),
    FIELD(record_request, U64, "start_time_ms", start_time_ms),
    FIELD(record_request, U32, "queue_ms", queue_ms),
    FIELD(record_request, U32, "prefill_ms", prefill_ms),
    FIELD(record_request, U32, "decode_ms", decode_ms),
    FIELD(record_request, U32, "prompt_tokens", prompt_tokens),
    FIELD(record_request, U32, "cached_tokens", cached_tokens),
    FIELD(record_request, U32, "output_tokens", output_tokens),
    FIELD(record_request, I32, "mean_logprob_micro", mean_logprob_micro),
    FIELD_NULLABLE(record_request, "attribution", attribution, has_attribution, &attribution_schema),
};
static const struct schema record_schema = SCHEMA("receipt", record_request, record_fields);

struct items {
    struct list list;
};
static const struct field reservations_fields[] = {
    FIELD_MANY(items, "reservations", list, &reserve_schema, RECORDER_MAX_ITEMS)};
static const struct schema reservations_schema = SCHEMA("request", items, reservations_fields);
static const struct field receipts_fields[] = {FIELD_MANY(items, "receipts", list, &record_schema, RECORDER_MAX_ITEMS)};
static const struct schema receipts_schema = SCHEMA("request", items, receipts_fields);

enum { ANSWER_MAX_BYTES = 4 << 20 };

/* ---- reservations */

static void put_promise(struct buf *b, const struct reserve_result *x)
{
    buf_add_str(b, ",\"price_id\":");
    put_hex(b, x->price_id, 32);
    buf_add_str(b, ",\"split_id\":");
    put_hex(b, x->split_id, 32);
    buf_add_str(b, ",\"max_fee_wei\":");
    put_wei(b, x->max_fee_wei);
    buf_add_str(b, ",\"payer\":");
    put_hex(b, x->payer, ADDRESS_BYTES);
    buf_add_str(b, ",\"cumulative_wei\":");
    put_wei(b, x->cumulative_wei);
    buf_add_char(b, '}');
}

/* What would have been enough. */
static void put_shortfall(struct buf *b, const struct reserve_result *x)
{
    const struct { const char *name; wei_t wei; } sums[] = {{"needed_wei", x->needed_wei},
                                                            {"available_wei", x->available_wei},
                                                            {"cumulative_wei", x->cumulative_wei},
                                                            {"ceiling_needed_wei", x->ceiling_needed_wei}};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        buf_printf(b, ",\"%s\":", sums[i].name);
        put_wei(b, sums[i].wei);
    }
    buf_add_char(b, '}');
}

void api_post_reservations(void *app, struct http_request *r)
{
    struct api *a = app;
    struct items items;
    struct reserve_result results[RECORDER_MAX_ITEMS];
    struct err e = {0};
    struct buf b;
    if (!api_read_body(r, &reservations_schema, &items))
        return;
    const struct reserve_request *q = items.list.at;
    int rc = recorder_reserve(a->recorder, q, results, items.list.n, &e);
    buf_init(&b, ANSWER_MAX_BYTES);
    buf_add_str(&b, "{\"results\":[");
    for (size_t i = 0; rc == 0 && i < items.list.n; i++) {
        api_put_result(&b, i, q[i].receipt_id, results[i].code, results[i].message);
        if (results[i].code)
            put_shortfall(&b, &results[i]);
        else
            put_promise(&b, &results[i]);
    }
    api_answer_results(r, &reservations_schema, &items, &b, rc, &e);
}

void api_delete_reservation(void *app, struct http_request *r)
{
    struct api *a = app;
    struct err e = {0};
    uint8_t id[32];
    if (!hex_decode(http_request_rest(r), id, sizeof id)) {
        api_error(r, 400, "invalid", "a receipt id has 64 hexadecimal digits");
        return;
    }
    if (recorder_end(a->recorder, id, &e) != 0)
        api_failed(r, &e);
    else
        http_respond(r, 200, "application/json", "{\"ended\":true}", 14);
}

/* ---- receipts */

void api_post_receipts(void *app, struct http_request *r)
{
    struct api *a = app;
    struct items items;
    struct err e = {0};
    struct buf b;
    if (!api_read_body(r, &receipts_schema, &items))
        return;
    const struct record_request *q = items.list.at;
    struct record_result *results = calloc(items.list.n + 1, sizeof *results);
    int rc = results ? recorder_record(a->recorder, q, results, items.list.n, &e)
                     : err_set(&e, OL_ENOMEM, "api", "no memory for receipts");
    buf_init(&b, ANSWER_MAX_BYTES);
    buf_add_str(&b, "{\"results\":[");
    for (size_t i = 0; rc == 0 && i < items.list.n; i++) {
        api_put_result(&b, i, q[i].receipt_id, results[i].code, results[i].message);
        if (!results[i].code) {
            buf_add_str(&b, ",\"proof\":");
            notation_write(&proof_schema, &results[i].proof, &b);
            buf_add_str(&b, ",\"signature\":");
            put_hex(&b, results[i].signature, SIGNATURE_BYTES);
        }
        buf_add_char(&b, '}');
    }
    free(results);
    api_answer_results(r, &receipts_schema, &items, &b, rc, &e);
}

void api_post_reload(void *app, struct http_request *r)
{
    struct err e = {0};
    if (api_reload(app, &e) != 0)
        api_failed(r, &e);
    else
        http_respond(r, 200, "application/json", "{\"reloaded\":true}", 17);
}

/* ---- payout */

struct payout_request {
    uint8_t to[ADDRESS_BYTES];
};
static const struct field payout_fields[] = {FIELD(payout_request, ADDRESS, "to", to)};
static const struct schema payout_schema = SCHEMA("request", payout_request, payout_fields);

void api_post_payout(void *app, struct http_request *r)
{
    struct api *a = app;
    struct payout_request request;
    struct err e = {0};
    size_t n;
    const char *body = http_request_body(r, &n);
    int rc = notation_parse(&payout_schema, body, n, &request, &e);
    if (rc == 0 && !a->lane.set_payout) {
        api_error(r, 409, "no_chain", "this node runs without a chain: nothing is paid out");
        return;
    }
    if (rc == 0)
        rc = a->lane.set_payout(a->lane.user, request.to, &e);
    if (rc != 0)
        api_failed(r, &e);
    else
        http_respond(r, 202, "application/json", "{\"redirecting\":true}", 20);
}
