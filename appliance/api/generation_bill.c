/* The bill of a generation: opening it, and following what is delivered. generation_settle.c ends it.
 *
 *   handler: Idempotency-Key ──► (adapter never read: its hash, on the file thread) ──► bill_open, bill_reserve
 *   chain thread: on_reserved ──► parts are submitted, the head of a stream goes out
 *   engine: all parts ended ──► a stream waits until the socket has taken it ──► settle: bill_record
 *   chain thread: on_recorded ──► finish events, usage.openlora, [DONE]; or the whole answer
 *
 * What is billed is what was delivered: of a stream the events that the socket has taken; of a whole answer all or
 * nothing. A failure bills nothing. Nothing of the last chunk goes out before the receipt is signed and on disk. */
#include "api/generation_internal.h"

#include "api/replay.h"
#include "chainlite/core/hex.h"
#include "model/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void generation_bill_close(struct generation *g)
{
    bill_close(g->bill);
    idempotency_end(g->ticket);
    free(g->application);
    if (!g->app->billing)
        return;
    if (g->covered)
        evidence_deinit(&g->evidence);
    delivery_deinit(&g->delivery);
    buf_deinit(&g->kept);
    buf_deinit(&g->before);
    buf_deinit(&g->after);
}

/* ---- opening */

/* Nothing will be submitted any more. Lock held. */
static void give_up(struct generation *g, const struct refusal *refused)
{
    g->refusal = *refused;
    g->n_running = 0;
    generation_fail(g);
}

/* The parts run, or the client hears why not. */
static void on_reserved(void *user, const struct refusal *refused)
{
    struct generation *g = user;
    struct api_error e = {0};
    struct refusal cancelled;
    pthread_mutex_lock(&g->lock);
    if (!refused && (g->gone || g->hung_up)) {
        refuse(&cancelled, 503, "cancelled", NULL, "the request was cancelled");
        bill_abandon(g->bill);
        refused = &cancelled;
    }
    if (refused)
        give_up(g, refused);
    pthread_mutex_unlock(&g->lock);
    if (!refused && generation_submit(g, &e) == 0 && !g->wait_for_token)
        http_stream_wake(g->stream);
    generation_release(g);
}

static enum proof_kind kind_of(const struct generation *g)
{
    return g->route == ROUTE_CHAT ? KIND_CHAT : KIND_COMPLETION;
}

static int open_bill(struct generation *g, struct refusal *r)
{
    char adapter[65] = "";
    uint64_t prompt = 0;
    for (int i = 0; i < g->prompts.n; i++)
        prompt += g->prompts.list[i].n;
    if (g->adapter)
        adapter_hash(g->adapter, adapter);
    struct bill_order order = {.caller = g->caller, .resource = g->path,
                               .model_content = engine_version(g->app->engine),
                               .adapter_content = g->adapter ? adapter : NULL, .application = g->application,
                               .kind = kind_of(g),
                               .tier = generation_tier(g),
                               .prompt_tokens = (uint32_t)prompt,
                               .max_output_tokens = (uint32_t)g->n_parts * (uint32_t)g->params.max_tokens};
    memcpy(order.body_hash, g->body_hash, 32);
    struct bill *bill;
    if (bill_open(g->app->billing, &order, &bill, r) != 0)
        return -1;
    pthread_mutex_lock(&g->lock);
    g->bill = bill;
    g->references++;
    bill_take_ticket(bill, g->ticket);
    g->ticket = NULL;
    pthread_mutex_unlock(&g->lock);
    if (bill_reserve(bill, on_reserved, g, r) == 0)
        return 0;
    pthread_mutex_lock(&g->lock);
    g->references--;
    pthread_mutex_unlock(&g->lock);
    return -1;
}

/* On the file thread: an adapter's price goes by its content, which is known once it was read. */
static void identify(void *user)
{
    struct generation *g = user;
    struct err why = {0};
    struct refusal refused = {0};
    int rc = adapter_identify(g->adapter, &why);
    if (rc == 0)
        rc = open_bill(g, &refused);
    else
        api_fail_err(&g->failure, &why, "model");
    pthread_mutex_lock(&g->lock);
    if (rc != 0 && refused.status)
        give_up(g, &refused);
    else if (rc != 0)
        generation_fail(g);
    pthread_mutex_unlock(&g->lock);
    generation_release(g);
}

static int identify_later(struct generation *g, struct refusal *r)
{
    g->references++;
    if (worker_do(g->app->worker, identify, g))
        return 0;
    g->references--;
    return refuse(r, 429, "overloaded", NULL, "too many adapters are being read; try again");
}

static bool key_plain(const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (key[i] < 0x20 || key[i] > 0x7e)
            return false;
    return n > 0 && n < IDEMPOTENCY_KEY_BYTES;
}

/* 0: this request is to be answered; 1: a kept answer is on its way; −1 refused. */
static int take_key(struct generation *g, struct http_request *r, const char *key, struct refusal *refused)
{
    struct kept_answer kept;
    struct err e = {0};
    uint8_t request[32];
    struct keccak k;
    if (!key_plain(key))
        return refuse(refused, 400, "unsupported_value", "Idempotency-Key", "an Idempotency-Key is 1 to %d printable "
                      "ASCII characters", IDEMPOTENCY_KEY_BYTES - 1);
    keccak_init(&k);
    keccak_add(&k, g->path, strlen(g->path) + 1);
    keccak_add(&k, g->body_hash, 32);
    keccak_end(&k, request);
    switch (idempotency_begin(g->app->billing->idempotency, g->caller->tenant, key, request, &g->ticket, &kept, &e)) {
    case IDEMPOTENCY_NEW:
        g->keeps = true;
        return 0;
    case IDEMPOTENCY_FINISHED:
        replay_answer(g->app, r, &kept);
        return 1;
    case IDEMPOTENCY_IN_FLIGHT:
        return refuse(refused, 409, "idempotency_in_flight", NULL, "a request with this Idempotency-Key is being "
                      "answered; come back for its answer");
    case IDEMPOTENCY_CONFLICT:
        return refuse(refused, 409, "idempotency_conflict", NULL, "this Idempotency-Key belongs to another request");
    case IDEMPOTENCY_FULL:
        return refuse(refused, 503, "idempotency_full", NULL, "no more answers can be kept now ([billing] kept_mb); "
                      "send the request without an Idempotency-Key, or later");
    case IDEMPOTENCY_FAILED:
        break;
    }
    return refuse(refused, 503, "billing_unavailable", NULL, "%s", e.message);
}

int generation_bill_start(struct generation *g, struct http_request *r, bool *responded, struct api_error *e)
{
    const char *key = http_request_header(r, "Idempotency-Key");
    const char *application = http_request_header(r, "OpenLoRA-Caller");
    struct refusal refused = {0};
    char hash[65] = "";
    size_t len;
    const char *body = http_request_body(r, &len);
    keccak256(body, len, g->body_hash);
    g->path = g->route == ROUTE_CHAT ? "/v1/chat/completions" : "/v1/completions";
    buf_init(&g->kept, LEDGER_MAX_VALUE_BYTES);
    buf_init(&g->before, MAX_EVENT_BYTES);
    buf_init(&g->after, 4096);
    g->application = application ? strdup(application) : NULL;
    if (!delivery_init(&g->delivery, g->n_parts, g->app->attributor != NULL) || (application && !g->application))
        return api_fail(e, 503, NULL, "no_memory", "no memory for the bill; try again");
    /* Who has yet to say who pays has no answers to come back for. */
    int rc = key && g->caller->kind != CALLER_UNPAID ? take_key(g, r, key, &refused) : 0;
    *responded = rc == 1;
    if (rc == 0 && g->adapter)
        adapter_hash(g->adapter, hash);
    if (rc == 0)
        rc = g->adapter && !hash[0] ? identify_later(g, &refused) : open_bill(g, &refused);
    if (rc >= 0)
        return 0;
    *responded = true;
    refusal_respond(g->app, &refused, r);
    return 0;
}

void generation_bill_headers(struct generation *g, struct http_request *r)
{
    char id[67] = "0x";
    struct buf payment;
    if (!g->bill)
        return;
    hex_encode(bill_receipt_id(g->bill), 32, id + 2);
    http_respond_header(r, "OpenLoRA-Receipt", id);
    buf_init(&payment, PAYMENT_HEADER_BYTES);
    if (bill_payment_response(g->bill, &payment))
        http_respond_header(r, "PAYMENT-RESPONSE", buf_str(&payment));
    buf_deinit(&payment);
}

/* ---- while it runs */

void generation_bill_token(struct generation_part *p, const struct step_result *token)
{
    struct generation *g = p->generation;
    if (g->bill)
        delivery_token(&g->delivery, p->choice->index, (uint32_t)token->token, token->logprob);
}

/* As the client sees it: what is not UTF-8 is replaced, as json_text does. */
void generation_bill_text(struct generation_part *p)
{
    struct generation *g = p->generation;
    const struct choice *c = p->choice;
    struct buf repaired;
    if (!g->bill)
        return;
    const char *text = buf_str(&c->text);
    if (utf8_valid_prefix(text, c->text.len) == c->text.len) {
        delivery_text(&g->delivery, c->index, text, c->text.len);
        return;
    }
    buf_init(&repaired, 3 * c->text.len + 1);
    utf8_append_replaced(&repaired, text, c->text.len);
    delivery_text(&g->delivery, c->index, buf_str(&repaired), repaired.len);
    buf_deinit(&repaired);
}

void generation_bill_event(struct generation_part *p)
{
    struct generation *g = p->generation;
    if (!g->bill)
        return;
    delivery_event(&g->delivery, p->choice->index, g->stream_bytes + g->event.len);
    delivery_accept(&g->delivery, http_stream_accepted(g->stream));
}

void generation_bill_sending(struct generation *g)
{
    if (g->keeps && !g->settled)
        buf_add(&g->kept, buf_str(&g->event), g->event.len);
}
