/* Receipts as they are read: one with all that proves it, or many, newest first. */
#include "chainlite/api/api.h"

#include "chainlite/core/hex.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX_BYTES = 8 << 20, MAX_SCANNED = 20000 };

static bool is_zero(const uint8_t bytes[32])
{
    static const uint8_t none[32];
    return memcmp(bytes, none, 32) == 0;
}

/* ---- one receipt */

static void put_parts(struct buf *b, const struct proof *p, const struct row_price *price, const struct row_split *split,
                      const struct row_version *model, const struct row_version *adapter)
{
    struct part parts[MAX_PARTS_PER_RECEIPT];
    struct fee fee;
    int n = 0;
    if (fee_of(price, p->prompt_tokens, p->cached_tokens, p->output_tokens, (enum proof_status)p->status, &fee, NULL) == 0)
        (void)!parts_of(&fee, split, adapter ? adapter : model, adapter ? model : NULL, p->node, parts, &n, NULL);
    buf_add_char(b, '[');
    for (int i = 0; i < n; i++) {
        buf_printf(b, "%s{\"role\":%u,\"beneficiary\":", i ? "," : "", parts[i].role);
        put_hex(b, parts[i].beneficiary, ADDRESS_BYTES);
        buf_add_str(b, ",\"amount\":");
        put_wei(b, parts[i].amount_wei);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

/* "rows" and "parts"; false: the catalog has lost one of them. */
static bool put_rows(struct api *a, struct buf *b, const struct proof *p)
{
    const struct chain_catalog *c = recorder_catalog_lock(a->recorder);
    const struct catalogued_version *model = chain_catalog_version(c, p->model_version);
    const struct catalogued_version *adapter =
        is_zero(p->adapter_version) ? NULL : chain_catalog_version(c, p->adapter_version);
    const struct catalogued_price *price = chain_catalog_price(c, p->price_id);
    const struct catalogued_split *split = chain_catalog_split(c, p->split_id);
    bool whole = model && price && split && (adapter || is_zero(p->adapter_version));
    if (whole) {
        buf_add_str(b, ",\"rows\":{\"model_version\":");
        notation_write(&version_schema, &model->row, b);
        buf_add_str(b, ",\"adapter_version\":");
        if (adapter)
            notation_write(&version_schema, &adapter->row, b);
        else
            buf_add_str(b, "null");
        buf_add_str(b, ",\"price\":");
        notation_write(&price_schema, &price->row, b);
        buf_add_str(b, ",\"split\":");
        notation_write(&split_schema, &split->row, b);
        buf_add_str(b, "},\"parts\":");
        put_parts(b, p, &price->row, &split->row, &model->row, adapter ? &adapter->row : NULL);
    }
    recorder_catalog_unlock(a->recorder);
    return whole;
}

/* "attribution": null without a policy. false: a row of it is lost. Lists are moved into the bundle's struct, one free. */
static bool put_attribution(struct api *a, struct buf *b, const struct proof *p)
{
    struct bundle_attribution out = {0};
    struct outbox_attribution said;
    struct signed_statement s;
    buf_add_str(b, ",\"attribution\":");
    if (is_zero(p->attribution_policy)) {
        buf_add_str(b, "null");
        return true;
    }
    const struct catalogued_version *policy =
        chain_catalog_version(recorder_catalog_lock(a->recorder), p->attribution_policy);
    bool whole = policy && outbox_attribution(a->outbox, p->epoch, p->sequence, &said, NULL) == 0;
    if (whole) {
        out.policy = policy->row;
        out.spans = said.spans;
        said.spans = (struct list){0};
        schema_free(&outbox_attribution_schema, &said);
    }
    recorder_catalog_unlock(a->recorder);
    if (whole && outbox_statement(a->outbox, p->epoch, p->sequence, &s, NULL) == 0) {
        out.has_statement = out.has_signature = true;
        out.statement = s.statement;
        out.shares = s.shares;
        memcpy(out.signature.at, s.signature, SIGNATURE_BYTES);
    }
    if (whole)
        notation_write(&bundle_attribution_schema, &out, b);
    else
        buf_add_str(b, "null");
    schema_free(&bundle_attribution_schema, &out);
    return whole;
}

/* The bundle of docs/protocol.md §10 without what only openlorad knows: salt, hashes of body and texts. */
static void put_bundle(struct api *a, struct buf *b, const struct outbox_receipt *r)
{
    struct outbox_batch batch;
    bool has_batch;
    const char *state = receipt_state(a, &r->proof, &batch, &has_batch);
    buf_printf(b, "{\"version\":1,\"chain_id\":%" PRIu64 ",\"proof\":", a->chain->chain_id);
    notation_write(&proof_schema, &r->proof, b);
    buf_add_str(b, ",\"signature\":");
    put_hex(b, r->signature, SIGNATURE_BYTES);
    buf_add_str(b, ",\"voucher\":");
    notation_write(&signed_voucher_schema, &r->voucher, b);
    bool whole = put_rows(a, b, &r->proof);
    whole = put_attribution(a, b, &r->proof) && whole;
    buf_add_str(b, ",\"settlement\":");
    size_t before = b->len;
    if (!has_batch || batch.state < BATCH_UNSAFE || batch.state > BATCH_ANCHORED || !a->lane.settlement ||
        a->lane.settlement(a->lane.user, r, &batch, b, NULL) != 0) {
        b->len = before;
        buf_add_str(b, "null");
    }
    buf_add_str(b, ",\"informative\":{\"state\":");
    put_text(b, state);
    buf_add_str(b, ",\"tenant\":");
    put_text(b, r->tenant);
    buf_printf(b, ",\"recorded_ms\":%" PRIu64, r->recorded_ms);
    if (has_batch)
        buf_printf(b, ",\"batch\":%" PRIu64 ",\"block_number\":%" PRIu64 ",\"gas_used\":%" PRIu64
                   ",\"gas_per_receipt\":%" PRIu64, batch.batch.number, batch.block_number, batch.gas_used,
                   batch.batch.count ? batch.gas_used / batch.batch.count : 0);
    struct outbox_dead dead;
    if (outbox_dead(a->outbox, r->proof.epoch, r->proof.sequence, &dead, NULL) == 0) {
        buf_add_str(b, ",\"dead\":");
        put_text(b, dead.reason);
    }
    buf_add_str(b, whole ? "}}" : ",\"missing\":\"rows: the catalog file lost some of them\"}}");
}

static void put_reservation(struct buf *b, const struct outbox_reservation *row)
{
    buf_add_str(b, "{\"receipt_id\":");
    put_hex(b, row->receipt_id, 32);
    buf_add_str(b, ",\"tenant\":");
    put_text(b, row->tenant);
    buf_add_str(b, ",\"state\":\"reserved\",\"payer\":");
    put_hex(b, row->payer, ADDRESS_BYTES);
    buf_add_str(b, ",\"max_fee_wei\":");
    put_wei(b, row->max_fee_wei);
    buf_add_char(b, '}');
}

void api_get_receipt(void *app, struct http_request *r)
{
    struct api *a = app;
    struct outbox_receipt receipt;
    struct outbox_reservation reservation;
    struct err e = {0};
    struct buf b;
    uint8_t id[32];
    if (!hex_decode(http_request_rest(r), id, sizeof id)) {
        api_error(r, 400, "invalid", "a receipt id has 64 hexadecimal digits");
        return;
    }
    buf_init(&b, ANSWER_MAX_BYTES);
    if (outbox_receipt_find(a->outbox, id, &receipt, &e) == 0) {
        put_bundle(a, &b, &receipt);
    } else if (e.code != OL_ENOTFOUND || outbox_reservation(a->outbox, id, &reservation, &e) != 0) {
        api_failed(r, &e);
        return;
    } else {
        put_reservation(&b, &reservation);
    }
    api_answer(r, 200, &b);
}

/* ---- many */

struct listing {
    struct api *api;
    struct buf *out;
    const uint8_t *payer; /* NULL: any */
    bool reserved;        /* reservations: pages go by receipt id */
    uint8_t after[32], last[32];
    const char *state, *tenant;
    uint64_t limit, n, scanned, epoch, sequence; /* the last one that was looked at */
};

static int list_receipt(void *user, const struct outbox_receipt *r)
{
    struct listing *l = user;
    l->scanned++;
    l->epoch = r->proof.epoch;
    l->sequence = r->proof.sequence;
    if (l->payer && memcmp(l->payer, r->proof.payer, ADDRESS_BYTES) != 0)
        return 0;
    const char *state = receipt_state(l->api, &r->proof, NULL, NULL);
    if (l->state && strcmp(l->state, state) != 0)
        return 0;
    buf_add_str(l->out, l->n++ ? ",{\"receipt_id\":" : "{\"receipt_id\":");
    put_hex(l->out, r->proof.receipt_id, 32);
    buf_add_str(l->out, ",\"tenant\":");
    put_text(l->out, r->tenant);
    buf_add_str(l->out, ",\"state\":");
    put_text(l->out, state);
    buf_add_str(l->out, ",\"proof\":");
    notation_write(&proof_schema, &r->proof, l->out);
    buf_add_char(l->out, '}');
    return l->n >= l->limit;
}

static int list_reservation(void *user, const struct outbox_reservation *row)
{
    struct listing *l = user;
    if (memcmp(row->receipt_id, l->after, 32) <= 0 || (l->payer && memcmp(l->payer, row->payer, ADDRESS_BYTES) != 0) ||
        (l->tenant && strcmp(l->tenant, row->tenant) != 0))
        return 0;
    buf_add_str(l->out, l->n++ ? "," : "");
    put_reservation(l->out, row);
    memcpy(l->last, row->receipt_id, 32);
    return l->n >= l->limit;
}

static bool read_query(struct http_request *r, struct listing *l, uint8_t payer[ADDRESS_BYTES])
{
    const char *after = http_request_query(r, "after"), *who = http_request_query(r, "payer");
    l->epoch = l->sequence = UINT64_MAX;
    l->tenant = http_request_query(r, "tenant");
    l->state = http_request_query(r, "state");
    l->reserved = l->state && strcmp(l->state, "reserved") == 0;
    if (!api_read_limit(r, &l->limit))
        return false;
    if (after && !(l->reserved ? hex_decode(after, l->after, 32) : api_read_place(after, &l->epoch, &l->sequence))) {
        api_error(r, 400, "invalid", "after is the `next` of a page");
        return false;
    }
    if (who && !hex_decode(who, payer, ADDRESS_BYTES)) {
        api_error(r, 400, "invalid", "payer is an address");
        return false;
    }
    l->payer = who ? payer : NULL;
    return true;
}

void api_get_receipts(void *app, struct http_request *r)
{
    struct api *a = app;
    uint8_t payer[ADDRESS_BYTES];
    struct buf b;
    struct listing l = {.api = a, .out = &b};
    struct err e = {0};
    if (!read_query(r, &l, payer))
        return;
    buf_init(&b, ANSWER_MAX_BYTES);
    buf_add_str(&b, "{\"receipts\":[");
    int rc = l.reserved ? outbox_reservations(a->outbox, list_reservation, &l, &e)
                      : outbox_receipts_before(a->outbox, l.tenant, l.epoch, l.sequence, MAX_SCANNED, list_receipt, &l, &e);
    if (rc < 0) {
        buf_deinit(&b);
        api_failed(r, &e);
        return;
    }
    buf_add_str(&b, "],\"next\":");
    if (l.reserved && l.n >= l.limit)
        put_hex(&b, l.last, 32);
    else if (l.n >= l.limit || l.scanned == MAX_SCANNED)
        buf_printf(&b, "\"%" PRIu64 ".%" PRIu64 "\"", l.epoch, l.sequence);
    else
        buf_add_str(&b, "null");
    buf_add_char(&b, '}');
    api_answer(r, 200, &b);
}
