/* The node's nonces: transactions from being stored to being used up; see lane.h, invariant 2.
 *
 *   account's nonce n, as proven     rows at n, n + 1, …            what is done
 *   ──────────────────────────────   ────────────────────────────   ──────────────────────────────────────────────
 *   n                                none, none above               idle: something new may be signed from n on
 *   n                                none, some above               a gap (a stranger's transaction left the chain):
 *                                                                   an empty transaction fills it
 *   n                                wanted                         sent (again); raised when it is not mined
 *   n                                no longer wanted, given up     replaced by an empty transaction
 *   > concluded                      below n: ours or a stranger's  concluded: gas and spending are booked
 *   < concluded                                                     a reorg: conclusions are taken back
 *
 * The same is done for each nonce above n, up to the highest that is stored: what was signed together is tended
 * together. Nothing new is signed before all of them are used up, but a batch behind what is of no batch (prices,
 * finalise): no money is claimed by those. */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "chainlite/core/hex.h"
#include "chainlite/settle/crash_points.h"
#include "chainlite/settle/fee_bump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_VARIANTS = 64,   /* of one nonce that are looked up */
    MISSING_LOOKS = 4,   /* steps to wait for a receipt before a nonce counts as used by a stranger */
    CONCLUDE_PER_STEP = 32,
    PLAIN_GAS = 21000
};

struct flight { /* what is stored for one nonce */
    struct outbox_tx newest; /* raw: owned */
    uint8_t *raw;
    bool found;
    bool no_memory;
    uint64_t nonce;
};

static int take_row(void *user, const struct outbox_tx *tx)
{
    struct flight *f = user;
    if (tx->nonce > f->nonce)
        return 1;
    uint8_t *raw = realloc(f->raw, tx->raw_len);
    if (!raw) {
        f->no_memory = true;
        return OL_ENOMEM;
    }
    memcpy(raw, tx->raw, tx->raw_len);
    f->newest = *tx; /* rows come by variant: the last one stays */
    f->newest.raw = f->raw = raw;
    f->found = true;
    return 0;
}

static int load_flight(struct lane *l, uint64_t nonce, struct flight *f, struct err *e)
{
    *f = (struct flight){.nonce = nonce};
    int rc = outbox_txs(l->outbox, nonce, take_row, f, e);
    return f->no_memory ? err_set(e, OL_ENOMEM, "lane", "no memory for a transaction") : rc > 0 ? 0 : rc;
}

static wei_t worst_case(const struct outbox_tx *tx) { return tx->fee_cap_wei * tx->gas_limit; }

struct flights { /* all that is stored from the account's nonce on */
    uint64_t highest;
    wei_t newest_wei, others_wei; /* worst cases: of the highest nonce's newest variant, of those below */
    bool any, of_batches;
};

static int sum_row(void *user, const struct outbox_tx *tx)
{
    struct flights *f = user;
    if (f->any && tx->nonce != f->highest)
        f->others_wei += f->newest_wei;
    f->newest_wei = worst_case(tx);
    f->highest = tx->nonce;
    f->any = true;
    f->of_batches = f->of_batches || tx->purpose != TX_OTHER;
    return 0;
}

/* ---- what is in flight */

/* Whether the stored transaction should still happen. One that would only revert is wanted, too: it harms nobody, and
 * the nonce is used up all the same. A claim, however, would take money that no batch could cover. */
static bool wanted(struct lane *l, const struct outbox_tx *tx)
{
    if (tx->state == OUTBOX_TX_REPLACED)
        return false; /* its work was given to a later nonce */
    struct outbox_batch b;
    if (tx->purpose == TX_SUBMIT) /* not when a later submission of this batch holds other figures */
        return outbox_batch(l->outbox, tx->batch_number, &b, NULL) == 0 && b.nonce == tx->nonce;
    if (tx->purpose != TX_CLAIM)
        return true;
    return outbox_batch(l->outbox, tx->batch_number, &b, NULL) == 0 && b.state <= BATCH_SUBMITTED &&
           b.batch.epoch == l->chain.epoch && !l->chain.frozen && b.batch.number == l->chain.last + 1;
}

/* A variant that replaces the newest: the same call, or an empty one to ourselves. */
static int replace(struct lane *l, const struct flight *f, bool empty, struct err *e)
{
    struct fees suggested, fees, old = {f->newest.tip_wei, f->newest.fee_cap_wei};
    struct tx tx;
    uint8_t sender[ADDRESS_BYTES], hash[HASH_BYTES];
    int rc = lane_fees(l, &suggested, e);
    if (rc == OL_EBUSY) { /* dearer than we may pay: the old one waits, published again in case it was dropped */
        lane_warn(l, "%s", e->message);
        return lane_publish(l, f->raw, f->newest.raw_len, f->nonce, e);
    }
    if (rc)
        return rc;
    if (fee_bump(&old, &suggested, l->config.fees.max_fee_wei, &fees) == BUMP_CAPPED) {
        lane_warn(l, "nonce %llu waits at the highest fee allowed", (unsigned long long)f->nonce);
        return lane_publish(l, f->raw, f->newest.raw_len, f->nonce, e);
    }
    rc = tx_parse(f->raw, f->newest.raw_len, l->config.secp, &tx, sender, hash, e);
    if (rc)
        return rc;
    if (empty) {
        memcpy(tx.to, l->config.node, ADDRESS_BYTES);
        tx.gas_limit = PLAIN_GAS;
        tx.data_len = 0;
        tx.create = false;
    }
    tx.tip_wei = fees.tip_wei;
    tx.fee_cap_wei = fees.cap_wei;
    rc = lane_afford(l, tx.fee_cap_wei * tx.gas_limit, worst_case(&f->newest), e);
    if (rc == OL_EBUSY) {
        lane_warn(l, "%s", e->message);
        return lane_publish(l, f->raw, f->newest.raw_len, f->nonce, e);
    }
    if (rc)
        return rc;
    l->pledged_wei += tx.fee_cap_wei * tx.gas_limit - worst_case(&f->newest);
    struct outbox_tx row = f->newest;
    row.variant++;
    row.purpose = empty ? TX_FILL_NONCE : f->newest.purpose;
    row.block_number = row.gas_used = 0;
    row.gas_paid_wei = 0;
    log_line(LOG_INFO, "lane", "replacing nonce %llu%s", (unsigned long long)f->nonce, empty ? " by nothing" : "");
    return lane_put_and_publish(l, &tx, &row, NULL, NULL, e);
}

static int fill_gap(struct lane *l, uint64_t nonce, struct err *e)
{
    struct lane_request nothing = {
        .purpose = TX_FILL_NONCE, .to = l->config.node, .gas_bound = PLAIN_GAS, .data = (const uint8_t *)""};
    lane_warn(l, "nonce %llu is free below one that was signed: filled", (unsigned long long)nonce);
    l->next_nonce = nonce;
    return lane_send(l, &nothing, e);
}

static int tend(struct lane *l, const struct flight *f, struct err *e)
{
    bool is_wanted = wanted(l, &f->newest);
    uint64_t sent_head;
    bool sent = lane_was_sent(l, f->nonce, &sent_head);
    if (!is_wanted && f->newest.purpose != TX_FILL_NONCE)
        return replace(l, f, true, e);
    if (!sent) /* stored before a crash, or fallen out of the chain */
        return lane_publish(l, f->raw, f->newest.raw_len, f->nonce, e);
    if (l->chain.head.number >= sent_head + l->config.bump_blocks)
        return replace(l, f, false, e);
    return 0;
}

/* ---- concluding */

struct variants { /* of the lowest stored nonce from `from` on, below `below` */
    uint64_t from, below, nonce;
    size_t n;
    struct outbox_tx row[MAX_VARIANTS]; /* raw: not kept */
};

static int take_variant(void *user, const struct outbox_tx *tx)
{
    struct variants *v = user;
    if (tx->nonce >= v->below || (v->n && tx->nonce != v->nonce))
        return 1; /* enough */
    v->nonce = tx->nonce;
    struct outbox_tx *row = &v->row[v->n < MAX_VARIANTS ? v->n++ : MAX_VARIANTS - 1];
    *row = *tx;
    return 0;
}

struct rewrite { /* a stored row with another state: its raw bytes come from the outbox again */
    struct outbox_write *w;
    struct outbox_tx row;
};

static int rewrite_row(void *user, const struct outbox_tx *tx)
{
    struct rewrite *r = user;
    if (tx->nonce != r->row.nonce || tx->variant > r->row.variant)
        return 1;
    if (tx->variant == r->row.variant) {
        r->row.raw = tx->raw;
        r->row.raw_len = tx->raw_len;
        outbox_put_tx(r->w, &r->row);
    }
    return 0;
}

/* Books a nonce that is used up: by `mined`, or by a stranger (NULL). */
static int book(struct lane *l, const struct variants *v, const struct outbox_tx *mined, struct err *e)
{
    struct lane_spending s;
    struct outbox_batch batch;
    struct rewrite r = {.row = mined ? *mined : v->row[v->n - 1]};
    bool again = r.row.state == OUTBOX_TX_MINED && mined; /* booked before a reorg */
    r.row.state = mined ? OUTBOX_TX_MINED : OUTBOX_TX_REPLACED;
    bool of_batch = mined && !again && r.row.batch_number &&
                    outbox_batch(l->outbox, r.row.batch_number, &batch, NULL) == 0;
    int rc = lane_spending(l, &s, e);
    if (!rc)
        rc = outbox_begin(l->outbox, &r.w, e);
    if (rc)
        return rc;
    rc = outbox_txs(l->outbox, v->nonce, rewrite_row, &r, e);
    if (rc < 0) {
        outbox_cancel(r.w);
        return rc;
    }
    if (of_batch) {
        batch.gas_used += r.row.gas_used;
        batch.gas_paid_wei += r.row.gas_paid_wei;
        outbox_put_batch(r.w, &batch);
    }
    if (mined && !again) {
        s.wei += r.row.gas_paid_wei;
        lane_put_spending(r.w, &s);
    }
    outbox_put_meta_u64(r.w, "lane.concluded", v->nonce + 1);
    return outbox_commit(r.w, e);
}

/* *wait: whose it was is not known yet. */
static int conclude(struct lane *l, struct variants *v, bool *wait, struct err *e)
{
    struct outbox_tx *mined = NULL;
    *wait = false;
    for (size_t i = v->n; i-- > 0 && !mined;) {
        struct tx_receipt receipt;
        int rc = sender_receipt(l->rpc, v->row[i].hash, &receipt, e);
        if (rc)
            return rc;
        if (receipt.where != TX_MINED)
            continue;
        mined = &v->row[i];
        mined->block_number = receipt.block_number;
        mined->gas_used = receipt.gas_used;
        mined->gas_paid_wei = receipt.effective_gas_price_wei * receipt.gas_used + receipt.l1_fee_wei;
        if (!receipt.succeeded && mined->purpose != TX_FILL_NONCE)
            log_line(LOG_WARN, "lane", "nonce %llu was mined and reverted", (unsigned long long)v->nonce);
    }
    if (!mined) {
        bool same = l->missing_nonce == v->nonce;
        l->missing_looks = same ? l->missing_looks + 1 : 1;
        l->missing_nonce = v->nonce;
        if (l->missing_looks < MISSING_LOOKS) {
            *wait = true;
            return 0;
        }
        lane_warn(l, "nonce %llu was used by a transaction that this node did not sign: its key is used elsewhere",
                  (unsigned long long)v->nonce);
    }
    crash_point(lane_mined);
    return book(l, v, mined, e);
}

static int put_concluded(struct lane *l, uint64_t nonce, struct err *e)
{
    struct outbox_write *w;
    int rc = outbox_begin(l->outbox, &w, e);
    if (rc)
        return rc;
    outbox_put_meta_u64(w, "lane.concluded", nonce);
    return outbox_commit(w, e);
}

static int conclude_all(struct lane *l, bool *wait, struct err *e)
{
    uint64_t concluded;
    int rc = outbox_meta_u64(l->outbox, "lane.concluded", &concluded, e);
    *wait = false;
    if (rc == OL_ENOTFOUND) { /* new here: what was before is not ours to book */
        concluded = l->chain.nonce;
        rc = put_concluded(l, concluded, e);
    }
    if (rc)
        return rc;
    if (concluded > l->chain.nonce)
        concluded = l->chain.nonce; /* a reorg took transactions back */
    struct variants *v = malloc(sizeof *v);
    if (!v)
        return err_set(e, OL_ENOMEM, "lane", "no memory for transactions");
    rc = 0;
    for (int i = 0; i < CONCLUDE_PER_STEP && concluded < l->chain.nonce && !rc && !*wait; i++) {
        *v = (struct variants){.from = concluded, .below = l->chain.nonce};
        rc = outbox_txs(l->outbox, concluded, take_variant, v, e);
        rc = rc > 0 ? 0 : rc;
        if (rc || !v->n)
            break;
        rc = conclude(l, v, wait, e);
        concluded = *wait ? concluded : v->nonce + 1;
    }
    free(v);
    return rc;
}

static int tend_nonce(struct lane *l, uint64_t nonce, struct err *e)
{
    struct flight f;
    int rc = load_flight(l, nonce, &f, e);
    if (!rc)
        rc = f.found ? tend(l, &f, e) : fill_gap(l, nonce, e);
    free(f.raw);
    return rc;
}

int nonce_step(struct lane *l, bool *idle, struct err *e)
{
    struct flights f = {0};
    bool wait;
    *idle = false;
    int rc = conclude_all(l, &wait, e);
    if (rc || wait)
        return rc;
    rc = outbox_txs(l->outbox, l->chain.nonce, sum_row, &f, e);
    if (rc)
        return rc;
    l->pledged_wei = f.others_wei + f.newest_wei;
    l->quiet = !f.any;
    *idle = !f.of_batches && (!f.any || f.highest - l->chain.nonce < LANE_MAX_BURST);
    for (uint64_t nonce = l->chain.nonce; f.any && !rc && nonce <= f.highest && nonce - l->chain.nonce < LANE_MAX_FLIGHT;
         nonce++)
        rc = tend_nonce(l, nonce, e);
    l->next_nonce = f.any ? f.highest + 1 : l->chain.nonce; /* a filled gap lies below */
    return rc;
}
