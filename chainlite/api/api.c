/* The table of routes, and how answers are written. */
#include "chainlite/api/api.h"

#include "chainlite/settle/crash_points.h"

#include <stdlib.h>
#include <string.h>

const struct http_route api_routes[] = {
    {"GET", "/v1/status", api_get_status},
    {"GET", "/v1/readiness", api_get_readiness},
    {"GET", "/v1/catalog", api_get_catalog},
    {"POST", "/v1/reservations", api_post_reservations},
    {"DELETE", "/v1/reservations/{}", api_delete_reservation},
    {"POST", "/v1/receipts", api_post_receipts},
    {"GET", "/v1/receipts", api_get_receipts},
    {"GET", "/v1/receipts/{}", api_get_receipt},
    {"POST", "/v1/statements", api_post_statements},
    {"GET", "/v1/contributors/{}", api_get_contributor},
    {"GET", "/v1/payers/{}", api_get_payer},
    {"GET", "/v1/pending", api_get_pending},
    {"POST", "/v1/retry", api_post_retry},
    {"POST", "/v1/epochs", api_post_epochs},
    {"POST", "/v1/payout", api_post_payout},
    {"GET", "/v1/batches", api_get_batches},
    {"GET", "/v1/batches/{}", api_get_batch_body},
    {"POST", "/v1/reload", api_post_reload},
};
const int n_api_routes = sizeof api_routes / sizeof *api_routes;

int api_reload(struct api *a, struct err *e)
{
    struct chain_catalog catalog;
    int rc = chain_catalog_load(a->catalog_path, &catalog, e);
    if (rc == OL_ENOTFOUND) {
        chain_catalog_init(&catalog);
        rc = 0;
    }
    if (rc == 0)
        recorder_set_catalog(a->recorder, &catalog);
    return rc;
}

void api_answer(struct http_request *r, int status, struct buf *json)
{
    if (buf_failed(json)) {
        buf_deinit(json);
        api_error(r, 500, "no_memory", "no memory for the answer");
        return;
    }
    crash_point(api_answer);
    http_respond(r, status, "application/json", buf_str(json), json->len);
    buf_deinit(json);
}

void api_answer_json(struct http_request *r, int status, json_t *owned)
{
    char *text = owned ? json_dumps(owned, JSON_COMPACT) : NULL;
    json_decref(owned);
    if (!text) {
        api_error(r, 500, "no_memory", "no memory for the answer");
        return;
    }
    http_respond(r, status, "application/json", text, strlen(text));
    free(text);
}

void api_error(struct http_request *r, int status, const char *code, const char *message)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_add_str(&b, "{\"error\":{\"code\":");
    put_text(&b, code);
    buf_add_str(&b, ",\"message\":");
    put_text(&b, message);
    buf_add_str(&b, "}}");
    http_respond(r, status, "application/json", buf_str(&b), b.len);
    buf_deinit(&b);
}

void api_failed(struct http_request *r, const struct err *e)
{
    static const char full[] = "disk_full: ";
    if (e->code == OL_ELIMIT && strncmp(e->message, full, sizeof full - 1) == 0)
        api_error(r, 503, "disk_full", e->message + sizeof full - 1);
    else if (e->code == OL_ENOTFOUND)
        api_error(r, 404, "not_found", e->message);
    else if (e->code == OL_EEXIST)
        api_error(r, 409, "exists", e->message);
    else if (e->code == OL_EBUSY)
        api_error(r, 503, "chain_stale", e->message);
    else if (e->code == OL_EFORMAT || e->code == OL_EINVAL)
        api_error(r, 400, "invalid", e->message);
    else
        api_error(r, 500, err_name(e->code), e->message);
}

bool api_read_place(const char *text, uint64_t *epoch, uint64_t *sequence)
{
    char *end;
    *epoch = strtoull(text, &end, 10);
    if (end == text || *end != '.')
        return false;
    text = end + 1;
    *sequence = strtoull(text, &end, 10);
    return end != text && !*end;
}

bool api_read_limit(struct http_request *r, uint64_t *limit)
{
    enum { DEFAULT_LIMIT = 50, MAX_LIMIT = 500 };
    const char *most = http_request_query(r, "limit");
    char *end;
    *limit = DEFAULT_LIMIT;
    if (most)
        *limit = strtoull(most, &end, 10);
    if ((most && (end == most || *end)) || *limit < 1 || *limit > MAX_LIMIT) {
        api_error(r, 400, "invalid", "limit is a number from 1 to 500");
        return false;
    }
    return true;
}

bool api_read_body(struct http_request *r, const struct schema *schema, void *out)
{
    struct err e = {0};
    size_t n;
    const char *body = http_request_body(r, &n);
    if (notation_parse(schema, body, n, out, &e) == 0)
        return true;
    api_failed(r, &e);
    return false;
}

void api_answer_results(struct http_request *r, const struct schema *schema, void *items, struct buf *b, int rc,
                        const struct err *e)
{
    schema_free(schema, items);
    if (rc == 0) {
        buf_add_str(b, "]}");
        api_answer(r, 200, b);
        return;
    }
    buf_deinit(b);
    api_failed(r, e);
}

void api_put_result(struct buf *b, size_t i, const uint8_t receipt_id[32], const char *code, const char *message)
{
    buf_add_str(b, i ? ",{\"receipt_id\":" : "{\"receipt_id\":");
    put_hex(b, receipt_id, 32);
    if (!code) {
        buf_add_str(b, ",\"ok\":true");
        return;
    }
    buf_add_str(b, ",\"ok\":false,\"code\":");
    put_text(b, code);
    buf_add_str(b, ",\"message\":");
    put_text(b, message);
}

const char *receipt_state(struct api *a, const struct proof *p, struct outbox_batch *batch, bool *has_batch)
{
    struct outbox_batch own;
    struct outbox_dead dead;
    bool there = outbox_batch_of(a->outbox, p->epoch, p->sequence, batch ? batch : &own, NULL) == 0;
    const struct outbox_batch *b = batch ? batch : &own;
    if (has_batch)
        *has_batch = there;
    if (outbox_dead(a->outbox, p->epoch, p->sequence, &dead, NULL) == 0)
        return "dead";
    if (!there)
        return "recorded";
    switch ((enum outbox_batch_state)b->state) {
    case BATCH_CLOSED:
    case BATCH_SUBMITTED: return "batched";
    case BATCH_UNSAFE: return "unsafe";
    case BATCH_SAFE: return "safe";
    case BATCH_ANCHORED: return "anchored";
    case BATCH_VOIDED:
    case BATCH_DEAD: break;
    }
    return "dead";
}
