/* Submitting a batch once its claims are decided or on their way, and finalising; see lane.h. */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"
#include "chainlite/settle/batch_body.h"
#include "chainlite/settle/crash_points.h"

#include <stdlib.h>
#include <string.h>

enum { SUBMIT_GAS = 250000, FINALISE_GAS = 120000 };

/* The chain would refuse it: a letter, and another try later, since bonds and deposits may come. */
static int refused(struct lane *l, uint64_t number, const char *code, struct err *e)
{
    lane_dead(l, 0, number, code, e->message);
    l->refused_until_ms = clock_unix_ms() + LANE_BACKOFF_MS;
    return err_set(e, OL_EBUSY, "lane", "batch %llu waits (%s); see `openlora chain pending`",
                   (unsigned long long)number, code);
}

struct submission {
    struct lane *lane;
    struct outbox_batch *batch;
    struct outbox_batch before; /* the node's batch before; zero before its first */
    struct batch_trees trees;
    size_t old_pieces;
    const struct claimed *claimed;
};

/* Trees of a batch from the outbox; before: out, the node's batch before (zero before its first). */
int lane_trees(struct lane *l, const struct outbox_batch *batch, struct outbox_batch *before, struct batch_trees *out,
               struct err *e)
{
    uint64_t number = batch->batch.number;
    struct credits credits = {0};
    *before = (struct outbox_batch){0};
    int rc = number > 1 ? outbox_batch(l->outbox, number - 1, before, e) : 0;
    bool follows = number > 1 && before->batch.epoch == batch->batch.epoch;
    if (!rc && follows)
        rc = store_credits(l->outbox, number - 1, before->batch.credits_count, &credits, e);
    if (!rc)
        rc = batch_trees_build(l->outbox, &l->config.rows, batch, follows ? before : NULL, &credits, out, e);
    free(credits.at);
    return rc;
}

static int build(struct submission *s, struct err *e)
{
    struct lane *l = s->lane;
    struct batch *b = &s->batch->batch;
    uint64_t number = b->number;
    int rc = lane_trees(l, s->batch, &s->before, &s->trees, e);
    if (rc)
        return rc;
    batch_trees_header(&s->trees, b);
    memset(b->previous, 0, sizeof b->previous);
    if (number > 1)
        batch_hash(&s->before.batch, b->previous);
    memcpy(b->node, l->config.node, ADDRESS_BYTES);
    memcpy(b->claims_hash, s->claimed->claims_hash, 32);
    b->settled_cumulative_wei = s->before.batch.settled_cumulative_wei + b->settled_total_wei;
    b->submitted_at = 0;
    return 0;
}

static int write_body(struct submission *s, struct err *e)
{
    struct lane *l = s->lane;
    bool follows = s->batch->batch.number > 1 && s->before.batch.epoch == s->batch->batch.epoch;
    return batch_body_write(l->bodies, l->outbox, &l->config.rows, s->batch, follows ? &s->before : NULL, &s->trees,
                            s->batch->batch.body_hash, e);
}

struct letters {
    struct outbox_write *w;
    const struct outbox_batch *batch;
};

/* Takes back what was said of a receipt before its payer's money arrived. */
static int drop_paid(void *user, const struct outbox_dead *d)
{
    struct letters *l = user;
    const struct batch *b = &l->batch->batch;
    if (d->epoch == b->epoch && d->sequence >= b->first_sequence && d->sequence - b->first_sequence < b->count &&
        batch_settles(l->batch, d->sequence))
        outbox_drop_dead(l->w, d->epoch, d->sequence);
    return 0;
}

static void put_submitted(struct outbox_write *w, void *user)
{
    const struct submission *s = user;
    outbox_put_batch(w, s->batch);
    store_put_credits(w, s->batch->batch.number, s->trees.credit, s->trees.n_credits, s->old_pieces);
    struct letters letters = {w, s->batch};
    /* A letter too many misleads; it does not lose anything. */
    if (outbox_deads(s->lane->outbox, drop_paid, &letters, NULL))
        return;
}

static int send_submission(struct submission *s, struct err *e)
{
    struct lane *l = s->lane;
    uint8_t data[CALL_SUBMIT_BYTES];
    struct abi_writer w;
    abi_writer_init(&w, data, sizeof data);
    call_settlement_submit(&w, &s->before.batch, &s->batch->batch);
    CHECK(!w.failed);
    s->batch->state = BATCH_SUBMITTED;
    s->batch->submitted_ms = (uint64_t)clock_unix_ms();
    s->batch->nonce = l->next_nonce;
    s->old_pieces = store_credit_pieces(l->outbox, s->batch->batch.number);
    struct lane_request r = {.purpose = TX_SUBMIT,
                             .batch_number = s->batch->batch.number,
                             .to = l->config.settlement,
                             .data = data,
                             .len = w.len,
                             .gas_bound = SUBMIT_GAS,
                             .after_others = s->claimed->expected,
                             .also = put_submitted,
                             .user = s};
    return lane_send(l, &r, e);
}

/* Whether Settlement can be told now what it accepts only after the claims in flight. What it would refuse for another
 * reason waits until it can be asked by an estimate, which has the reason by name. */
static bool foreseen(const struct lane *l, const struct batch *b)
{
    return l->chain.bond_wei >= b->settled_cumulative_wei - l->chain.finalised_cumulative_wei;
}

int submit_step(struct lane *l, struct outbox_batch *batch, const struct claimed *claimed, struct err *e)
{
    struct submission s = {.lane = l, .batch = batch, .claimed = claimed};
    const struct batch *b = &batch->batch;
    int rc = build(&s, e);
    if (!rc &&
        (b->settled_total_wei != claimed->accepted_wei || b->settled_cumulative_wei != claimed->collected_wei)) {
        err_set(e, OL_EINVAL, "lane",
                "the Escrow has collected other than this outbox claimed: the node's key was used elsewhere; open a "
                "new epoch with `openlora chain new-epoch`");
        rc = refused(l, b->number, "escrow_mismatch", e);
    }
    if (!rc && (!claimed->expected || foreseen(l, b))) {
        rc = write_body(&s, e);
        if (!rc) {
            crash_point(lane_body);
            rc = send_submission(&s, e);
        }
        if (rc == OL_EINVAL)
            rc = refused(l, b->number, "submit_refused", e);
    }
    batch_trees_deinit(&s.trees);
    return rc;
}

int submit_recover(struct lane *l, struct outbox_batch *batch, const uint8_t slot[32], struct err *e)
{
    struct claimed claimed;
    struct outbox_batch found = *batch;
    struct submission s = {.lane = l, .batch = &found, .claimed = &claimed};
    struct outbox_write *w;
    if (batch->batch.number != l->chain.last || !batch->submitted_ms)
        return OL_ENOTFOUND; /* later claims moved the accounts on; or nothing was submitted from here */
    int rc = claims_paid(l, &found, &claimed, e);
    if (!rc)
        rc = build(&s, e);
    if (!rc)
        rc = write_body(&s, e);
    if (!rc && !watch_find_time(l, &found.batch, s.before.batch.submitted_at, slot))
        rc = OL_ENOTFOUND;
    if (!rc)
        rc = outbox_begin(l->outbox, &w, e);
    if (!rc) {
        *batch = found;
        s.old_pieces = store_credit_pieces(l->outbox, found.batch.number);
        put_submitted(w, &s);
        rc = outbox_commit(w, e);
        lane_warn(l, "batch %llu: an earlier submission of it is on the chain after a reorg",
                  (unsigned long long)found.batch.number);
    }
    batch_trees_deinit(&s.trees);
    return rc == OL_EBUSY ? OL_ENOTFOUND : rc;
}

struct mature {
    const struct lane *lane;
    struct outbox_batch newest;
    bool found;
};

static int take_mature(void *user, const struct outbox_batch *b)
{
    struct mature *m = user;
    /* The contract's clock is at most the head's time; where it is behind (a pause), the estimate says "not final". */
    if (b->state < BATCH_UNSAFE || b->state > BATCH_ANCHORED ||
        b->batch.submitted_at + m->lane->config.window_s > m->lane->chain.head.timestamp)
        return 1;
    m->newest = *b;
    m->found = true;
    return 0;
}

int finalise_step(struct lane *l, struct err *e)
{
    struct mature m = {.lane = l};
    if (!l->config.finalise)
        return 0;
    int rc = outbox_batches(l->outbox, l->chain.finalised + 1, UINT64_MAX, take_mature, &m, e);
    if (rc < 0 || !m.found)
        return rc < 0 ? rc : 0;
    uint8_t data[CALL_SUBMIT_BYTES];
    struct abi_writer w;
    abi_writer_init(&w, data, sizeof data);
    call_settlement_finalise(&w, &m.newest.batch);
    struct lane_request r = {.purpose = TX_OTHER,
                             .batch_number = m.newest.batch.number,
                             .to = l->config.settlement,
                             .data = data,
                             .len = w.len,
                             .gas_bound = FINALISE_GAS};
    rc = lane_send(l, &r, e);
    if (rc == OL_EINVAL) {
        l->refused_until_ms = clock_unix_ms() + LANE_BACKOFF_MS;
        lane_warn(l, "finalise() of batch %llu would revert: %s", (unsigned long long)m.newest.batch.number,
                  e->message);
        rc = 0;
    }
    return rc;
}
