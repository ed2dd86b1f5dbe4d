/* What the lane tells others, as JSON (docs/protocol.md §9). */
#include "chainlite/settle/batch_list.h"
#include "chainlite/settle/lane_internal.h"

#include "chainlite/core/hex.h"

#include <stdlib.h>
#include <string.h>

static json_t *wei_json(wei_t wei)
{
    char text[WEI_TEXT_BYTES];
    wei_format(wei, text);
    return json_string(text);
}

static json_t *hex_json(const void *bytes, size_t n)
{
    char text[2 + 2 * 32 + 1] = "0x";
    CHECK(n <= 32);
    hex_encode(bytes, n, text + 2);
    return json_string(text);
}

static json_t *number_json(uint64_t n) { return json_integer((json_int_t)n); }

struct counts {
    uint64_t receipts[BATCH_DEAD + 1]; /* by state of their batch */
};

static int count_batch(void *user, const struct outbox_batch *b)
{
    struct counts *c = user;
    if (b->state <= BATCH_DEAD)
        c->receipts[b->state] += b->batch.count;
    return 0;
}

static json_t *head_json(const struct light_head *h)
{
    return json_pack("{s:o,s:o,s:s,s:o}", "number", number_json(h->number), "hash", hex_json(h->hash, HASH_BYTES),
                     "trust_level", trust_level_name(h->trust), "age_s", number_json((uint64_t)light_age_s(h)));
}

/* The lane's own figures, guarded by its mutex. */
static json_t *own_json(struct lane *l)
{
    json_t *warnings = json_array();
    for (int i = 0; i < l->warnings; i++)
        json_array_append_new(warnings, json_string(l->warning[i]));
    const struct chain_state *c = &l->shown;
    json_t *head = l->has_shown ? head_json(&c->head) : json_null();
    json_t *payout = l->payout_known ? json_pack("{s:o,s:b}", "to", hex_json(l->payout_to, ADDRESS_BYTES), "done",
                                                 l->payout_done)
                                     : json_null();
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:o,s:o,s:o,s:I,s:o,s:s,s:o}", "head", head, "epoch",
                     number_json(c->epoch), "last_batch", number_json(c->last), "finalised_batch",
                     number_json(c->finalised), "nonce", number_json(c->nonce), "frozen", c->frozen, "bond_wei",
                     wei_json(c->bond_wei), "unfinalised_wei", wei_json(c->collected_wei - c->finalised_cumulative_wei),
                     "collected_wei", wei_json(c->collected_wei), "gas_balance_wei", wei_json(c->balance_wei),
                     "spent_today_wei", wei_json(l->spent_today_wei), "missing_prices",
                     (json_int_t)l->missing_prices, "payout", payout, "refusal", l->refusal, "warnings", warnings);
}

/* How many batches like the last ones the gas balance pays for; 0 when none tells. */
struct costs {
    wei_t sum_wei;
    uint64_t n;
};

static int add_cost(void *user, const struct outbox_batch *b)
{
    struct costs *c = user;
    if (b->gas_paid_wei) {
        c->sum_wei += b->gas_paid_wei;
        c->n++;
    }
    return 0;
}

/* Batches up to *settled are anchored and final. */
static int first_watched(struct lane *l, uint64_t *settled)
{
    *settled = 0;
    int rc = outbox_meta_u64(l->outbox, "lane.settled", settled, NULL);
    return rc == OL_ENOTFOUND ? 0 : rc;
}

json_t *lane_status_json(struct lane *l)
{
    enum { RECENT = 16 };
    struct counts counts = {0};
    struct costs costs = {0};
    uint64_t settled = 0;
    int rc = first_watched(l, &settled);
    if (!rc)
        rc = outbox_batches(l->outbox, settled + 1, UINT64_MAX, count_batch, &counts, NULL);
    if (rc)
        return NULL;
    pthread_mutex_lock(&l->mutex);
    json_t *out = own_json(l);
    uint64_t last = l->shown.last;
    wei_t balance_wei = l->shown.balance_wei;
    pthread_mutex_unlock(&l->mutex);
    rc = outbox_batches(l->outbox, last > RECENT ? last - RECENT : 1, RECENT, add_cost, &costs, NULL);
    wei_t mean = !rc && costs.n ? costs.sum_wei / costs.n : 0;
    json_object_set_new(out, "gas_pays_batches", mean ? number_json((uint64_t)(balance_wei / mean)) : json_null());
    json_t *states = json_object();
    for (int s = BATCH_CLOSED; s <= BATCH_DEAD; s++)
        json_object_set_new(states, outbox_batch_state_name((enum outbox_batch_state)s),
                            number_json(counts.receipts[s]));
    json_object_set_new(out, "receipts_by_batch_state", states);
    return out;
}

static int append_dead(void *user, const struct outbox_dead *d)
{
    json_t *row = json_pack("{s:s,s:o,s:o,s:s,s:s,s:o}", "kind", d->epoch ? "receipt" : "batch", "epoch",
                            number_json(d->epoch), d->epoch ? "sequence" : "number", number_json(d->sequence), "code",
                            d->code, "reason", d->reason, "at_ms", number_json(d->at_ms));
    return json_array_append_new(user, row) ? OL_ENOMEM : 0;
}

struct waiting {
    const struct lane *lane;
    json_t *list;
};

static int append_waiting(void *user, const struct outbox_batch *b)
{
    struct waiting *w = user;
    if (b->state == BATCH_ANCHORED)
        return 0;
    return json_array_append_new(w->list, batch_row_json(b, w->lane->bodies)) ? OL_ENOMEM : 0;
}

json_t *lane_pending_json(struct lane *l)
{
    uint64_t settled = 0;
    json_t *dead = json_array();
    struct waiting waiting = {l, json_array()};
    int rc = first_watched(l, &settled);
    if (!rc)
        rc = outbox_deads(l->outbox, append_dead, dead, NULL);
    if (!rc)
        rc = outbox_batches(l->outbox, settled + 1, UINT64_MAX, append_waiting, &waiting, NULL);
    pthread_mutex_lock(&l->mutex);
    json_t *own = json_pack("{s:s}", "refusal", l->refusal);
    json_t *warnings = json_array();
    for (int i = 0; i < l->warnings; i++)
        json_array_append_new(warnings, json_string(l->warning[i]));
    pthread_mutex_unlock(&l->mutex);
    json_object_set_new(own, "warnings", warnings);
    json_object_set_new(own, "dead", dead);
    json_object_set_new(own, "batches", waiting.list);
    if (rc) {
        json_decref(own);
        return NULL;
    }
    return own;
}

struct deads {
    struct outbox_write *w;
};

static int drop_dead(void *user, const struct outbox_dead *d)
{
    struct deads *all = user;
    outbox_drop_dead(all->w, d->epoch, d->sequence);
    return 0;
}

int lane_retry(struct lane *l, struct err *e)
{
    struct deads all;
    int rc = outbox_begin(l->outbox, &all.w, e);
    if (rc)
        return rc;
    rc = outbox_deads(l->outbox, drop_dead, &all, e);
    if (rc) {
        outbox_cancel(all.w);
        return rc;
    }
    rc = outbox_commit(all.w, e);
    pthread_mutex_lock(&l->mutex);
    l->retry = true; /* the lane's thread forgets its waiting times */
    pthread_mutex_unlock(&l->mutex);
    lane_wake(l);
    return rc;
}
