/* Closing batches: by count, age or value, and never over a receipt whose rows the registry does not have: a batch that
 * names one could be challenged. Sequences have no gaps, so receipts behind such a one wait with it. */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"
#include "chainlite/settle/crash_points.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 4 * LIGHT_MAX_SLOTS, SUM_PER_STEP = 65536 };

struct named_rows { /* ids in the order of their first mention, and the receipt that mentioned each first */
    uint8_t (*id)[32];
    uint64_t *sequence;
    size_t n;
    uint64_t next; /* the first receipt that was not looked at */
};

static int note_row(struct named_rows *r, const uint8_t id[32], uint64_t sequence)
{
    static const uint8_t none[32];
    if (memcmp(id, none, 32) == 0)
        return 0;
    for (size_t i = r->n; i-- > 0;)
        if (memcmp(r->id[i], id, 32) == 0)
            return 0;
    if (r->n == MAX_ROWS)
        return 1; /* the batch ends before this receipt */
    memcpy(r->id[r->n], id, 32);
    r->sequence[r->n++] = sequence;
    return 0;
}

static int note_receipt(void *user, const struct outbox_receipt *receipt)
{
    struct named_rows *r = user;
    const struct proof *p = &receipt->proof;
    if (note_row(r, p->model_version, p->sequence) || note_row(r, p->adapter_version, p->sequence) ||
        note_row(r, p->price_id, p->sequence) || note_row(r, p->split_id, p->sequence) ||
        note_row(r, p->attribution_policy, p->sequence))
        return 1;
    r->next = p->sequence + 1;
    return 0;
}

int registered_receipts(struct lane *l, uint64_t first, uint64_t count, uint64_t *out, struct err *e)
{
    struct named_rows r = {.id = calloc(MAX_ROWS, sizeof *r.id), .sequence = calloc(MAX_ROWS, sizeof *r.sequence),
                           .next = first};
    bool *registered = calloc(MAX_ROWS, sizeof *registered);
    int rc = r.id && r.sequence && registered ? 0 : err_set(e, OL_ENOMEM, "lane", "no memory for rows");
    if (!rc)
        rc = outbox_receipts(l->outbox, l->chain.epoch, first, count, note_receipt, &r, e);
    rc = rc > 0 ? 0 : rc;
    if (!rc && r.n)
        rc = chain_registered(l, (const uint8_t(*)[32])r.id, r.n, registered, e);
    uint64_t end = r.next;
    for (size_t i = 0; i < r.n && !rc; i++)
        if (!registered[i] && r.sequence[i] < end)
            end = r.sequence[i];
    *out = end - first;
    free(r.id);
    free(r.sequence);
    free(registered);
    return rc;
}

/* ---- when */

static int add_receipt(void *user, const struct outbox_receipt *r)
{
    struct lane *l = user;
    if (r->proof.sequence == l->sum_first)
        l->sum_oldest_ms = (int64_t)r->recorded_ms;
    if (!wei_add(l->sum_wei, r->proof.fee_wei, &l->sum_wei))
        l->sum_wei = ~(wei_t)0;
    l->sum_next = r->proof.sequence + 1;
    return 0;
}

/* Brings count, value and age of the receipts that wait up to date, reading each once. */
static int sum_up(struct lane *l, uint64_t first, struct err *e)
{
    if (l->sum_epoch != l->chain.epoch || l->sum_first != first) {
        l->sum_epoch = l->chain.epoch;
        l->sum_first = l->sum_next = first;
        l->sum_wei = 0;
    }
    return outbox_receipts(l->outbox, l->chain.epoch, l->sum_next, SUM_PER_STEP, add_receipt, l, e);
}

static bool is_time(const struct lane *l)
{
    const struct lane_config *c = &l->config;
    uint64_t n = l->sum_next - l->sum_first;
    return n >= c->batch_receipts || (c->batch_value_wei && l->sum_wei >= c->batch_value_wei) ||
           (n && clock_unix_ms() - l->sum_oldest_ms >= (int64_t)c->batch_age_s * 1000);
}

/* ---- closing */

/* Number and first sequence of the next batch: after those on the chain and those that wait for it. Numbers of batches
 * that never came to the chain, or were voided, are used again. */
static int next_place(struct lane *l, uint64_t *number, uint64_t *first, struct err *e)
{
    struct outbox_batch b;
    *number = l->chain.last + 1;
    *first = 1;
    int rc = l->chain.last ? outbox_batch(l->outbox, l->chain.last, &b, e) : OL_ENOTFOUND;
    if (rc && rc != OL_ENOTFOUND)
        return rc;
    if (!rc && b.batch.epoch == l->chain.epoch)
        *first = b.batch.first_sequence + b.batch.count;
    while ((rc = outbox_batch(l->outbox, *number, &b, e)) == 0 && b.state <= BATCH_SUBMITTED &&
           b.batch.epoch == l->chain.epoch) {
        *first = b.batch.first_sequence + b.batch.count;
        ++*number;
    }
    return rc == OL_ENOTFOUND ? 0 : rc;
}

/* The statements of the receipts whose data parts the batch posts: those of the batch before it in the epoch. */
static int begin_statements(struct lane *l, uint64_t number, struct statement_set **out, struct err *e)
{
    struct outbox_batch before;
    *out = NULL;
    int rc = number > 1 ? outbox_batch(l->outbox, number - 1, &before, e) : 0;
    if (rc || number == 1 || before.batch.epoch != l->chain.epoch)
        return rc;
    const struct batch *b = &before.batch;
    return statements_begin(l->config.statements, b->epoch, b->first_sequence, b->count, out, e);
}

static int close_batch(struct lane *l, uint64_t number, uint64_t first, uint64_t count, struct err *e)
{
    struct outbox_batch b = {.state = BATCH_CLOSED, .closed_ms = (uint64_t)clock_unix_ms()};
    struct claim_rows stale; /* of a void batch with this number */
    struct statement_set *statements = NULL;
    struct outbox_write *w;
    uint64_t planned = 0;
    memcpy(b.batch.node, l->config.node, ADDRESS_BYTES);
    b.batch.number = number;
    b.batch.epoch = l->chain.epoch;
    b.batch.first_sequence = first;
    b.batch.count = (uint32_t)count;
    int rc = outbox_meta_u64(l->outbox, "lane.planned", &planned, e);
    if (rc && rc != OL_ENOTFOUND)
        return rc;
    rc = store_claims(l->outbox, number, &stale, e);
    if (!rc)
        rc = begin_statements(l, number, &statements, e);
    if (!rc)
        rc = outbox_begin(l->outbox, &w, e);
    if (!rc) {
        store_drop_claims(w, number, &stale);
        if (planned >= number)
            outbox_put_meta_u64(w, "lane.planned", number - 1);
        outbox_drop_dead(w, 0, number);
        outbox_put_batch(w, &b);
        if (statements)
            statements_put(statements, w);
        rc = outbox_commit(w, e);
        crash_point(lane_closed);
    }
    statements_end(statements);
    free(stale.at);
    return rc;
}

int closing_step(struct lane *l, struct err *e)
{
    uint64_t number, first, registered;
    int rc = next_place(l, &number, &first, e);
    if (!rc)
        rc = sum_up(l, first, e);
    if (rc || !is_time(l))
        return rc;
    uint64_t count = l->sum_next - first;
    if (count > l->config.batch_receipts)
        count = l->config.batch_receipts;
    rc = registered_receipts(l, first, count, &registered, e);
    if (rc)
        return rc;
    if (registered < count)
        lane_warn(l, "receipt %llu and those behind it wait: a version, policy, price or split it names is not registered",
                  (unsigned long long)(first + registered));
    return registered ? close_batch(l, number, first, registered, e) : 0;
}
