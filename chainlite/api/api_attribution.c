/* Gradients in, and what contributors earned: docs/attribution.md §6. */
#include "chainlite/api/api.h"

#include "chainlite/core/hex.h"
#include "chainlite/settle/batch_trees.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX_BYTES = 4 << 20, MAX_SCANNED = 20000 };

/* ---- POST /v1/statements */

static const struct field gradient_fields[] = {
    FIELD(gradient_request, HASH, "receipt_id", receipt_id),
    FIELD(gradient_request, HASH, "query_hash", query_hash),
    FIELD_MANY(gradient_request, "gradient", gradient, &gradient_schema, RECEIPT_MAX_SHARES),
};
static const struct schema request_schema = SCHEMA("statement", gradient_request, gradient_fields);

struct items {
    struct list list;
};
static const struct field items_fields[] = {
    FIELD_MANY(items, "statements", list, &request_schema, STATEMENTS_MAX_ITEMS)};
static const struct schema items_schema = SCHEMA("request", items, items_fields);

void api_post_statements(void *app, struct http_request *r)
{
    struct api *a = app;
    struct items items;
    struct err e = {0};
    struct buf b;
    if (!api_read_body(r, &items_schema, &items))
        return;
    const struct gradient_request *q = items.list.at;
    struct gradient_result *results = calloc(items.list.n + 1, sizeof *results);
    int rc = results ? statements_gradients(a->statements, q, results, items.list.n, &e)
                     : err_set(&e, OL_ENOMEM, "api", "no memory for statements");
    buf_init(&b, ANSWER_MAX_BYTES);
    buf_add_str(&b, "{\"results\":[");
    for (size_t i = 0; rc == 0 && i < items.list.n; i++) {
        api_put_result(&b, i, q[i].receipt_id, results[i].code, results[i].message);
        buf_add_char(&b, '}');
    }
    free(results);
    api_answer_results(r, &items_schema, &items, &b, rc, &e);
}

/* ---- GET /v1/contributors/{address} */

struct uses {
    struct api *api;
    struct buf *out;
    const uint8_t *who;
    uint64_t limit, epoch, sequence;  /* of the page: strictly before this place */
    uint64_t listed, last[2];         /* on the page, and the last one's place */
    uint64_t n, units;                /* in all */
    bool more;                        /* behind the page */
    wei_t wei, settled_wei;           /* of what is not void, and of what is proven on the chain */
    struct outbox_batch own, posting; /* of the receipt, and the one that posts its data part; kept from use to use */
};

/* The batches of a receipt's settlement and of its data part; numbers follow each other. */
static int find_batches(struct uses *u, uint64_t epoch, uint64_t sequence)
{
    const struct batch *b = &u->own.batch;
    if (b->epoch == epoch && sequence >= b->first_sequence && sequence - b->first_sequence < b->count)
        return 0;
    int rc = outbox_batch_of(u->api->outbox, epoch, sequence, &u->own, NULL);
    if (!rc)
        rc = outbox_batch(u->api->outbox, u->own.batch.number + 1, &u->posting, NULL);
    if (rc)
        u->own = (struct outbox_batch){0};
    return rc;
}

/* The data part of what the receipt settled or, before that is decided, of its fee. */
static wei_t data_of(struct uses *u, const struct proof *p)
{
    const struct chain_catalog *c = recorder_catalog_lock(u->api->recorder);
    const struct catalogued_price *price = chain_catalog_price(c, p->price_id);
    const struct catalogued_split *split = chain_catalog_split(c, p->split_id);
    struct fee fee = {0};
    wei_t data = 0;
    if (price && split && fee_of(&price->row, p->prompt_tokens, p->cached_tokens, p->output_tokens,
                                 (enum proof_status)p->status, &fee, NULL) == 0)
        data = wei_part(fee.royalty_wei, split->row.model_ppb + split->row.data_ppb) -
               wei_part(fee.royalty_wei, split->row.model_ppb);
    recorder_catalog_unlock(u->api->recorder);
    return batch_settles(&u->own, p->sequence) ? data : 0;
}

/* The beneficiary's share and the units before it; NULL: it has none. */
static const struct share *share_of(const struct signed_statement *s, const uint8_t who[ADDRESS_BYTES], uint32_t *before)
{
    const struct share *share = s->shares.at;
    *before = 0;
    for (size_t i = 0; i < s->shares.n; i++, share++) {
        if (memcmp(share->beneficiary, who, ADDRESS_BYTES) == 0)
            return share;
        *before += share->span_units + share->gradient_units;
    }
    return NULL;
}

static void list_use(struct uses *u, const struct attribution_statement *s, const struct share *share, wei_t fee, wei_t amount)
{
    struct buf *b = u->out;
    buf_add_str(b, u->listed++ ? ",{\"receipt_id\":" : "{\"receipt_id\":");
    put_hex(b, s->receipt_id, 32);
    buf_add_str(b, ",\"policy\":");
    put_hex(b, s->policy, 32);
    buf_add_str(b, ",\"node\":");
    put_hex(b, s->node, sizeof s->node);
    buf_printf(b, ",\"epoch\":%" PRIu64 ",\"kind\":%u,\"answer_tokens\":%u,\"span_units\":%u,\"gradient_units\":%u", s->epoch,
               s->kind, s->answer_tokens, share->span_units, share->gradient_units);
    buf_add_str(b, ",\"fee_wei\":");
    put_wei(b, fee);
    buf_add_str(b, ",\"wei\":");
    put_wei(b, amount);
    buf_add_str(b, ",\"state\":");
    put_text(b, outbox_batch_state_name((enum outbox_batch_state)u->posting.state));
    buf_add_char(b, '}');
    u->last[0] = s->epoch;
    u->last[1] = s->sequence;
}

static int take_use(void *user, const struct signed_statement *s)
{
    struct uses *u = user;
    const struct attribution_statement *a = &s->statement;
    struct outbox_receipt receipt;
    uint32_t from;
    const struct share *share = share_of(s, u->who, &from);
    if (!share || find_batches(u, a->epoch, a->sequence) || outbox_receipt(u->api->outbox, a->epoch, a->sequence, &receipt, NULL))
        return 0; /* an epoch whose last batch is gone */
    wei_t data_wei = data_of(u, &receipt.proof);
    wei_t amount = wei_part(data_wei, from + share->span_units + share->gradient_units) - wei_part(data_wei, from);
    u->n++;
    u->units += share->span_units + (uint64_t)share->gradient_units;
    if (u->posting.state < BATCH_VOIDED)
        u->wei += amount;
    if (u->posting.state >= BATCH_UNSAFE && u->posting.state < BATCH_VOIDED)
        u->settled_wei += amount;
    bool before = a->epoch < u->epoch || (a->epoch == u->epoch && a->sequence < u->sequence);
    if (before && u->listed < u->limit)
        list_use(u, a, share, receipt.proof.fee_wei, amount);
    else
        u->more = u->more || before;
    return 0;
}

void api_get_contributor(void *app, struct http_request *r)
{
    struct api *a = app;
    uint8_t who[ADDRESS_BYTES];
    struct err e = {0};
    struct buf b;
    struct uses u = {.api = a, .out = &b, .who = who, .epoch = UINT64_MAX, .sequence = UINT64_MAX};
    if (!hex_decode(http_request_rest(r), who, sizeof who)) {
        api_error(r, 400, "invalid", "an address has 40 hexadecimal digits");
        return;
    }
    const char *after = http_request_query(r, "after");
    if (!api_read_limit(r, &u.limit))
        return;
    if (after && !api_read_place(after, &u.epoch, &u.sequence)) {
        api_error(r, 400, "invalid", "after is the `next` of a page");
        return;
    }
    buf_init(&b, ANSWER_MAX_BYTES);
    buf_add_str(&b, "{\"contributor\":");
    put_hex(&b, who, sizeof who);
    buf_add_str(&b, ",\"uses\":[");
    int rc = outbox_statements_of(a->outbox, who, UINT64_MAX, UINT64_MAX, MAX_SCANNED, take_use, &u, &e);
    if (rc) {
        buf_deinit(&b);
        api_failed(r, &e);
        return;
    }
    if (u.more)
        buf_printf(&b, "],\"next\":\"%" PRIu64 ".%" PRIu64 "\"", u.last[0], u.last[1]);
    else
        buf_add_str(&b, "],\"next\":null");
    buf_printf(&b, ",\"totals\":{\"uses\":%" PRIu64 ",\"units\":%" PRIu64 ",\"wei\":", u.n, u.units);
    put_wei(&b, u.wei);
    buf_add_str(&b, ",\"settled_wei\":");
    put_wei(&b, u.settled_wei);
    buf_printf(&b, ",\"complete\":%s}}", u.n < MAX_SCANNED ? "true" : "false");
    api_answer(r, 200, &b);
}
