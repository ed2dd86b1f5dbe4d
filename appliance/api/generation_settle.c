/* The end of a generation that is billed: when all parts have ended, what was delivered is recorded, and only behind the
 * receipt goes the end of the answer.
 *
 *   generation_bill_finish ──► a stream: when the socket has taken all there is ──► settle
 *   settle ──► (file thread: which spans are whose) ──► record ──► on_recorded: the end goes out, or an error
 *
 * A stream without its receipt has no [DONE], a whole answer is not given at all. Each step that waits holds a reference
 * on the generation; whoever gets it back gives it up. */
#include "api/generation_internal.h"

#include "chainlite/settle/crash_points.h"

#include <stdlib.h>
#include <string.h>

/* Lock held. */
static void send_end(struct generation *g)
{
    g->settled = true;
    generation_attribution_recorded(g);
    if (!g->params.stream) {
        http_stream_wake(g->stream);
        return;
    }
    buf_add(&g->event, buf_str(&g->before), g->before.len);
    buf_add_str(&g->event, bill_outcome(g->bill));
    buf_add(&g->event, buf_str(&g->after), g->after.len);
    generation_send(g);
    http_stream_end(g->stream, true);
    crash_point(billing_delivered);
}

static void on_recorded(void *user, const struct refusal *refused)
{
    struct generation *g = user;
    pthread_mutex_lock(&g->lock);
    if (!refused) {
        send_end(g);
    } else {
        g->refusal = *refused;
        generation_fail(g);
    }
    pthread_mutex_unlock(&g->lock);
    generation_release(g);
}

/* The answer's end, with a place for the receipt. A whole answer gives its text here. */
static void make_end(struct generation *g)
{
    if (g->params.stream) {
        format_stream_end(&g->format, g->choices, g->n_parts, &g->usage, &g->before, &g->after);
        if (g->keeps)
            buf_add(&g->kept, buf_str(&g->before), g->before.len);
        return;
    }
    for (int i = 0; i < g->n_parts; i++)
        generation_bill_text(&g->parts[i]);
    format_whole_end(&g->format, g->choices, g->n_parts, &g->usage, &g->before, &g->after);
}

static enum proof_status status_of(const struct generation *g, bool complete)
{
    if (!complete)
        return STATUS_CANCELLED;
    for (int i = 0; i < g->n_parts; i++)
        if (strcmp(g->choices[i].finish_reason, "length") == 0)
            return STATUS_LENGTH;
    return STATUS_STOP;
}

/* Did every choice come to its end, and the client get it? One that is gone may have ended them itself. */
static bool is_complete(const struct generation *g)
{
    if (g->hung_up || g->gone)
        return false;
    for (int i = 0; i < g->n_parts; i++)
        if (!g->choices[i].finish_reason)
            return false;
    return !g->params.stream || http_stream_accepted(g->stream) >= g->stream_bytes;
}

static uint32_t to_ms(double ms) { return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)(ms + 0.5); }

static int record(struct generation *g, bool complete, struct refusal *refused)
{
    const struct usage *u = &g->usage;
    const struct buf *before = g->params.stream ? &g->kept : &g->before;
    static const struct buf nothing; /* kept of a cancelled answer: only that it was */
    uint8_t *hashes = malloc((size_t)g->n_parts * HASH_BYTES);
    if (!hashes || g->delivery.failed || buf_failed(&g->before)) {
        free(hashes);
        return refuse(refused, 503, "no_memory", NULL, "no memory for the receipt");
    }
    delivery_hashes(&g->delivery, hashes);
    const struct bill_attribution attribution = generation_bill_attribution(g);
    struct buf evidence;
    buf_init(&evidence, EVIDENCE_MAX_BYTES);
    if (g->covered)
        evidence_write(&g->evidence, &evidence);
    bool attributed = g->covered && !buf_failed(&evidence);
    bool keepable = !buf_failed(before) && before->len <= LEDGER_MAX_VALUE_BYTES;
    struct bill_answer a = {
        .status = status_of(g, complete),
        .prompt_tokens = (uint32_t)u->prompt_tokens, .cached_tokens = (uint32_t)u->cached_tokens,
        .output_tokens = g->delivery.tokens, .queue_ms = to_ms(u->queue_ms), .prefill_ms = to_ms(u->prefill_ms),
        .decode_ms = to_ms(u->decode_ms), .sum_logprob = g->delivery.sum_logprob, .text_hashes = hashes,
        .n_texts = g->n_parts, .before = !complete ? &nothing : keepable ? before : NULL,
        .after = complete ? &g->after : &nothing, .stream = g->params.stream,
        .awaits_gradients = g->covered && attributor_awaits(g->app->attributor, &g->evidence),
        .shows_attribution = g->params.attribution != ATTRIBUTION_OFF,
        .attribution = attributed ? &attribution : NULL, .evidence = attributed ? &evidence : NULL};
    g->references++;
    int rc = bill_record(g->bill, &a, on_recorded, g, refused);
    if (rc != 0)
        g->references--;
    buf_deinit(&evidence);
    free(hashes);
    return rc;
}

/* Lock held. */
static void record_or_fail(struct generation *g)
{
    struct refusal refused = {0};
    if (record(g, g->complete, &refused) == 0)
        return;
    g->refusal = refused;
    generation_fail(g);
}

/* On the file thread: spans take milliseconds, which the engine's thread does not have. */
static void attribute_and_record(void *user)
{
    struct generation *g = user;
    pthread_mutex_lock(&g->lock);
    generation_attribute(g);
    record_or_fail(g);
    pthread_mutex_unlock(&g->lock);
    generation_release(g);
}

/* Lock held. */
static void settle(struct generation *g)
{
    bool complete = g->complete = is_complete(g);
    if (complete)
        make_end(g);
    for (int i = 0; i < g->n_parts && complete; i++) /* tokens without text of their own: end of generation */
        delivery_event(&g->delivery, g->choices[i].index, g->stream_bytes);
    if (complete || g->params.stream)
        delivery_accept(&g->delivery, http_stream_accepted(g->stream));
    if (g->delivery.tokens == 0) { /* nobody got anything */
        bill_abandon(g->bill);
        refuse(&g->refusal, 503, "cancelled", NULL, "the request was cancelled");
        generation_fail(g);
        return;
    }
    g->references++;
    if (g->app->attributor && worker_do(g->app->worker, attribute_and_record, g))
        return;
    g->references--;
    generation_attribute(g); /* too much waits for the file thread */
    record_or_fail(g);
}

static void on_drained(void *user)
{
    struct generation *g = user;
    pthread_mutex_lock(&g->lock);
    settle(g);
    pthread_mutex_unlock(&g->lock);
    generation_release(g);
}

void generation_bill_finish(struct generation *g)
{
    if (g->failure.status) {
        bill_abandon(g->bill);
        generation_fail(g);
        return;
    }
    g->references++; /* on_drained's */
    if (g->params.stream && http_stream_when_drained(g->stream, on_drained, g))
        return;
    g->references--; /* the caller has one */
    settle(g);
}
