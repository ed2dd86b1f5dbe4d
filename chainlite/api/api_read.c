/* The routes that only read: status, catalog, payers, batches, what is pending. */
#include "chainlite/api/api.h"

#include "chainlite/core/hex.h"
#include "chainlite/settle/batch_body.h"
#include "chainlite/settle/batch_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX_BYTES = 16 << 20, MAX_BODY_BYTES = 256 << 20, MAX_DEAD = 1000, MAX_BATCHES = 1000 };

/* ---- status */

struct figures { /* receipts by state */
    struct recorder_status recorder; /* with what is reserved */
    uint64_t recorded;               /* in no batch of this epoch yet */
    uint64_t batched, unsafe, safe, anchored, dead;
};

static int count_batch(void *user, const struct outbox_batch *b)
{
    struct figures *f = user;
    uint64_t *to = b->state <= BATCH_SUBMITTED  ? &f->batched
                   : b->state == BATCH_UNSAFE   ? &f->unsafe
                   : b->state == BATCH_SAFE     ? &f->safe
                   : b->state == BATCH_ANCHORED ? &f->anchored
                                                : &f->dead;
    *to += b->batch.count;
    return 0;
}

static int read_figures(struct api *a, struct figures *f, struct err *e)
{
    struct outbox_batch last;
    uint64_t number, covered = 0;
    *f = (struct figures){0};
    recorder_status(a->recorder, &f->recorder);
    int rc = outbox_batches(a->outbox, 1, UINT64_MAX, count_batch, f, e);
    if (rc == 0)
        rc = outbox_batch_last(a->outbox, &number, e);
    if (rc == 0 && number > 0)
        rc = outbox_batch(a->outbox, number, &last, e);
    if (rc == 0 && number > 0 && last.batch.epoch == f->recorder.epoch)
        covered = last.batch.first_sequence + last.batch.count - 1;
    f->recorded = f->recorder.next_sequence - 1 - covered;
    return rc;
}

/* What the lane adds, as the object's last member; takes the tree (NULL: there is no lane). */
static void put_lane(struct buf *b, json_t *lane)
{
    char *text = lane ? json_dumps(lane, JSON_COMPACT) : NULL;
    json_decref(lane);
    buf_printf(b, ",\"lane\":%s}", text ? text : "null");
    free(text);
}

void api_get_status(void *app, struct http_request *r)
{
    struct api *a = app;
    struct figures f;
    struct err e = {0};
    struct buf b;
    if (read_figures(a, &f, &e) != 0) {
        api_failed(r, &e);
        return;
    }
    buf_init(&b, ANSWER_MAX_BYTES);
    buf_add_str(&b, "{\"node\":");
    put_hex(&b, keystore_node(a->keys), ADDRESS_BYTES);
    buf_add_str(&b, ",\"operator\":");
    put_hex(&b, keystore_operator(a->keys), ADDRESS_BYTES);
    buf_printf(&b, ",\"version\":\"%s\",\"chain_id\":%" PRIu64 ",\"no_chain\":%s,\"contracts\":", OPENLORA_VERSION,
               a->chain->chain_id, a->no_chain ? "true" : "false");
    buf_add_char(&b, '[');
    for (size_t i = 0; i < a->chain->contracts.n; i++) {
        buf_add_str(&b, i ? "," : "");
        notation_write(&chain_contract_schema, (const struct chain_contract *)a->chain->contracts.at + i, &b);
    }
    buf_printf(&b, "],\"epoch\":%" PRIu64 ",\"next_sequence\":%" PRIu64 ",\"receipts\":{\"reserved\":%zu,\"recorded\":%" PRIu64
               ",\"batched\":%" PRIu64 ",\"unsafe\":%" PRIu64 ",\"safe\":%" PRIu64 ",\"anchored\":%" PRIu64 ",\"dead\":%" PRIu64
               "},\"disk_full\":",
               f.recorder.epoch, f.recorder.next_sequence, f.recorder.open_reservations, f.recorded, f.batched, f.unsafe,
               f.safe, f.anchored, f.dead);
    if (outbox_room(a->outbox, &e) != 0)
        put_text(&b, e.message);
    else
        buf_add_str(&b, "null");
    put_lane(&b, a->lane.status ? a->lane.status(a->lane.user) : NULL);
    api_answer(r, 200, &b);
}

/* Whether anything would be promised now, and what the lane says: cheap enough to be asked every few seconds. */
void api_get_readiness(void *app, struct http_request *r)
{
    struct api *a = app;
    struct err why = {0};
    struct buf b;
    int64_t now_ms;
    uint64_t epoch;
    const char *code = recorder_refusal(a->recorder, &now_ms, &epoch, &why);
    buf_init(&b, ANSWER_MAX_BYTES);
    buf_add_str(&b, "{\"refusal\":");
    if (code) {
        buf_add_str(&b, "{\"code\":");
        put_text(&b, code);
        buf_add_str(&b, ",\"message\":");
        put_text(&b, why.message);
        buf_add_char(&b, '}');
    } else {
        buf_add_str(&b, "null");
    }
    put_lane(&b, a->lane.status ? a->lane.status(a->lane.user) : NULL);
    api_answer(r, 200, &b);
}

/* ---- catalog */

void api_get_catalog(void *app, struct http_request *r)
{
    struct api *a = app;
    struct buf b;
    buf_init(&b, ANSWER_MAX_BYTES);
    struct served_catalog c = {.chain_id = a->chain->chain_id, .contracts = a->chain->contracts,
                               .rows = *recorder_catalog_lock(a->recorder)}; /* lists are borrowed */
    memcpy(c.node, keystore_node(a->keys), ADDRESS_BYTES);
    notation_write(&served_catalog_schema, &c, &b);
    recorder_catalog_unlock(a->recorder);
    api_answer(r, 200, &b);
}

/* ---- payers */

void api_get_payer(void *app, struct http_request *r)
{
    struct api *a = app;
    struct payer_status s;
    struct err e = {0};
    struct buf b;
    uint8_t payer[ADDRESS_BYTES];
    if (strcmp(http_request_rest(r), "operator") == 0) {
        memcpy(payer, keystore_operator(a->keys), ADDRESS_BYTES);
    } else if (!hex_decode(http_request_rest(r), payer, ADDRESS_BYTES)) {
        api_error(r, 400, "invalid", "an address has 40 hexadecimal digits");
        return;
    }
    if (recorder_payer(a->recorder, payer, &s, &e) != 0) {
        api_failed(r, &e);
        return;
    }
    wei_t cumulative = s.row.cumulative_wei, claimed = s.account.claimed_wei;
    wei_t owed = (cumulative > claimed ? cumulative - claimed : 0) + s.reserved_wei;
    buf_init(&b, 4096);
    buf_add_str(&b, "{\"payer\":");
    put_hex(&b, payer, ADDRESS_BYTES);
    const struct { const char *name; wei_t wei; } sums[] = {
        {"balance_wei", s.account.balance_wei},
        {"claimed_wei", claimed},
        {"cumulative_wei", cumulative},
        {"reserved_wei", s.reserved_wei},
        {"available_wei", s.account.balance_wei > owed ? s.account.balance_wei - owed : 0},
        {"ceiling_wei", s.row.has_voucher ? s.row.highest.voucher.ceiling_wei : 0}};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        buf_printf(&b, ",\"%s\":", sums[i].name);
        put_wei(&b, sums[i].wei);
    }
    buf_printf(&b, ",\"thawing\":%s,\"age_s\":", s.account.thaw_wei > 0 ? "true" : "false");
    if (s.has_account)
        buf_printf(&b, "%" PRId64 "}", s.account.age_ms / 1000);
    else
        buf_add_str(&b, "null}");
    api_answer(r, 200, &b);
}

/* ---- pending and batches */

struct array {
    struct buf *out;
    uint64_t n, max;
};

static int put_dead(void *user, const struct outbox_dead *d)
{
    struct array *x = user;
    buf_printf(x->out, "%s{\"%s\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"at_ms\":%" PRIu64 ",\"code\":", x->n++ ? "," : "",
               d->epoch ? "sequence" : "batch", d->sequence, d->epoch, d->at_ms);
    put_text(x->out, d->code);
    buf_add_str(x->out, ",\"reason\":");
    put_text(x->out, d->reason);
    buf_add_char(x->out, '}');
    return x->n >= x->max;
}

void api_get_pending(void *app, struct http_request *r)
{
    struct api *a = app;
    struct figures f;
    struct err e = {0};
    struct buf b;
    struct array dead = {&b, 0, MAX_DEAD};
    buf_init(&b, ANSWER_MAX_BYTES);
    int rc = read_figures(a, &f, &e);
    buf_printf(&b, "{\"reserved\":%zu,\"recorded\":%" PRIu64 ",\"batched\":%" PRIu64 ",\"unsafe\":%" PRIu64 ",\"dead\":[",
               f.recorder.open_reservations, f.recorded, f.batched, f.unsafe);
    if (rc == 0)
        rc = outbox_deads(a->outbox, put_dead, &dead, &e);
    if (rc < 0) {
        buf_deinit(&b);
        api_failed(r, &e);
        return;
    }
    buf_add_char(&b, ']');
    put_lane(&b, a->lane.pending ? a->lane.pending(a->lane.user) : NULL);
    api_answer(r, 200, &b);
}

void api_post_retry(void *app, struct http_request *r)
{
    struct api *a = app;
    struct err e = {0};
    if (!a->lane.retry)
        api_error(r, 409, "no_chain", "this node runs without a chain: there is nothing to try again");
    else if (a->lane.retry(a->lane.user, &e) != 0)
        api_failed(r, &e);
    else
        http_respond(r, 200, "application/json", "{\"retrying\":true}", 17);
}

void api_post_epochs(void *app, struct http_request *r)
{
    struct api *a = app;
    if (!a->lane.new_epoch) {
        api_error(r, 409, "no_chain", "this node runs without a chain: it has no epochs to open");
        return;
    }
    a->lane.new_epoch(a->lane.user);
    http_respond(r, 202, "application/json", "{\"opening\":true}", 16);
}

/* STATE_DIR/bodies; false: the name does not fit. */
static bool bodies_folder(const struct api *a, char out[BODY_PATH_BYTES])
{
    return snprintf(out, BODY_PATH_BYTES, "%s/bodies", a->state_dir) < BODY_PATH_BYTES - 128;
}

static uint64_t query_number(const struct http_request *r, const char *name, uint64_t otherwise)
{
    const char *text = http_request_query(r, name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

void api_get_batches(void *app, struct http_request *r)
{
    struct api *a = app;
    char folder[BODY_PATH_BYTES];
    uint64_t limit = query_number(r, "limit", MAX_BATCHES), after = query_number(r, "after", 0);
    bool fits = bodies_folder(a, folder);
    api_answer_json(r, 200, fits ? batch_list_json(a->outbox, folder, after + 1, limit < MAX_BATCHES ? limit : MAX_BATCHES)
                                 : NULL);
}

/* {number}/body[?from=&bytes=]: all of it, or so many bytes from there on. */
void api_get_batch_body(void *app, struct http_request *r)
{
    const struct api *a = app;
    char folder[BODY_PATH_BYTES], path[BODY_PATH_BYTES], *end, chunk[65536];
    struct outbox_batch batch;
    struct err e = {0};
    struct buf b;
    uint64_t number = strtoull(http_request_rest(r), &end, 10);
    if (end == http_request_rest(r) || strcmp(end, "/body") != 0) {
        api_error(r, 404, "not_found", "no such path: /v1/batches/NUMBER/body");
        return;
    }
    if (outbox_batch(a->outbox, number, &batch, &e) != 0) {
        api_failed(r, &e);
        return;
    }
    FILE *f = bodies_folder(a, folder) ? fopen(batch_body_path(folder, batch.batch.body_hash, path), "re") : NULL;
    if (!f || fseeko(f, (off_t)query_number(r, "from", 0), SEEK_SET) != 0) {
        api_error(r, 404, "not_found", "this batch has no body yet");
        if (f)
            fclose(f);
        return;
    }
    uint64_t left = query_number(r, "bytes", MAX_BODY_BYTES);
    buf_init(&b, MAX_BODY_BYTES);
    for (size_t got; left && (got = fread(chunk, 1, left < sizeof chunk ? left : sizeof chunk, f)) > 0; left -= got)
        buf_add(&b, chunk, got);
    fclose(f);
    api_answer(r, 200, &b);
}
