/* One key, one nonce: transactions from being signed to being used up; see lane.h, invariant 2.
 *
 *   account's nonce n, as proven     rows at n                      what is done
 *   ──────────────────────────────   ────────────────────────────   ──────────────────────────────────────────────
 *   n                                none, none above               idle: something new may be signed with n
 *   n                                none, some above               a gap (a stranger's transaction left the chain):
 *                                                                   an empty transaction fills it
 *   n                                wanted                         sent (again); raised when it is not mined
 *   n                                no longer wanted, given up     replaced by an empty transaction
 *   > concluded                      below n: ours or a stranger's  concluded: gas and spending are booked
 *   < concluded                                                     a reorg: conclusions are taken back
 */
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
    PLAIN_GAS = 21000,
    ESTIMATE_MARGIN_PERCENT = 25,
    DAY_S = 86400
};

struct flight { /* what is stored for the account's nonce */
    struct outbox_tx newest; /* raw: owned */
    uint8_t *raw;
    bool found, higher;
    bool no_memory;
    uint64_t nonce;
};

static int take_row(void *user, const struct outbox_tx *tx)
{
    struct flight *f = user;
    if (tx->nonce > f->nonce) {
        f->higher = f->higher || tx->state < OUTBOX_TX_MINED;
        return 0;
    }
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

static int load_flight(struct lane *l, struct flight *f, struct err *e)
{
    *f = (struct flight){.nonce = l->chain.nonce};
    int rc = outbox_txs(l->outbox, f->nonce, take_row, f, e);
    return f->no_memory ? err_set(e, OL_ENOMEM, "lane", "no memory for a transaction") : rc;
}

/* ---- spending */

struct spending {
    uint64_t day;
    wei_t wei;
};

static int load_spending(struct lane *l, struct spending *out, struct err *e)
{
    uint8_t bytes[24];
    uint64_t today = (uint64_t)clock_unix_ms() / 1000 / DAY_S;
    *out = (struct spending){today, 0};
    int rc = outbox_meta(l->outbox, "lane.spent", bytes, sizeof bytes, e);
    if (rc == OL_ENOTFOUND)
        return 0;
    uint64_t day = 0;
    for (int i = 0; i < 8; i++)
        day = day << 8 | bytes[i];
    if (!rc && day == today)
        out->wei = wei_from_be16(bytes + 8);
    return rc;
}

static void put_spending(struct outbox_write *w, const struct spending *s)
{
    uint8_t bytes[24];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(s->day >> (56 - 8 * i));
    wei_to_be16(s->wei, bytes + 8);
    outbox_put_meta(w, "lane.spent", bytes, sizeof bytes);
}

/* OL_EBUSY when the worst case of this transaction is over the day's limit or more than the key holds. */
static int afford(struct lane *l, uint64_t gas, wei_t cap_wei, struct err *e)
{
    struct spending s;
    char need[WEI_TEXT_BYTES + 2], have[WEI_TEXT_BYTES + 2];
    int rc = load_spending(l, &s, e);
    if (rc)
        return rc;
    pthread_mutex_lock(&l->mutex);
    l->spent_today_wei = s.wei;
    pthread_mutex_unlock(&l->mutex);
    wei_t worst = cap_wei * gas;
    wei_format_coin(worst, need);
    if (l->config.daily_limit_wei && s.wei + worst > l->config.daily_limit_wei) {
        wei_format_coin(s.wei, have);
        return err_set(e, OL_EBUSY, "lane", "the day's spending limit: %s spent, up to %s more needed; raise it",
                       have, need);
    }
    if (worst > l->chain.balance_wei) {
        wei_format_coin(l->chain.balance_wei, have);
        return err_set(e, OL_EBUSY, "lane", "the node's key holds %s and may need %s for gas; send it more", have,
                       need);
    }
    return 0;
}

/* ---- signing and sending */

static int publish(struct lane *l, const uint8_t *raw, size_t len, uint64_t nonce, struct err *e)
{
    struct send_result result;
    int rc = sender_send(l->rpc, raw, len, &result, e);
    l->sent = true;
    l->sent_nonce = nonce;
    l->sent_head = l->chain.head.number;
    crash_point(lane_sent);
    if (rc)
        return rc; /* it may have arrived all the same: it is stored, and sent again */
    switch (result.outcome) {
    case SEND_REPLACEMENT_UNDERPRICED:
    case SEND_UNDERPRICED:
        l->sent_head = 0; /* raise it in the next step */
        break;
    case SEND_NO_FUNDS:
        lane_warn(l, "the node's key cannot pay for its transactions; send it some of the chain's coin");
        break;
    case SEND_ACCEPTED:
    case SEND_KNOWN:
    case SEND_NONCE_LOW: /* mined, by this or another variant: the next step sees it */
        break;
    default:
        for (size_t i = 0; i < result.n; i++)
            if (result.of[i].outcome == result.outcome) {
                lane_warn(l, "a transaction is refused (%s): %s", send_class_name(result.outcome),
                          result.of[i].message);
                break;
            }
    }
    return 0;
}

/* Signs, stores and sends one variant. */
static int put_and_publish(struct lane *l, const struct tx *tx, struct outbox_tx *row,
                           void (*also)(struct outbox_write *, void *), void *user, struct err *e)
{
    size_t cap = tx_max_bytes(tx->data_len), len = 0;
    if (cap > OUTBOX_MAX_TX_BYTES)
        return err_set(e, OL_ELIMIT, "lane", "a transaction of %zu bytes", cap);
    uint8_t *raw = malloc(cap);
    struct outbox_write *w = NULL;
    if (!raw)
        return err_set(e, OL_ENOMEM, "lane", "no memory for a transaction");
    int rc = l->config.sign(l->config.sign_user, tx, raw, cap, &len, row->hash, e);
    if (!rc)
        rc = outbox_begin(l->outbox, &w, e);
    if (!rc) {
        row->nonce = tx->nonce;
        row->state = OUTBOX_TX_SIGNED;
        row->gas_limit = tx->gas_limit;
        row->tip_wei = tx->tip_wei;
        row->fee_cap_wei = tx->fee_cap_wei;
        row->signed_ms = (uint64_t)clock_unix_ms();
        row->raw = raw;
        row->raw_len = len;
        outbox_put_tx(w, row);
        if (also)
            also(w, user);
        rc = outbox_commit(w, e);
    }
    if (!rc) {
        crash_point(lane_stored);
        rc = publish(l, raw, len, tx->nonce, e);
    }
    free(raw);
    return rc;
}

static int suggested_fees(struct lane *l, struct fees *out, struct err *e)
{
    struct fee_suggestion s;
    int rc = sender_fees(l->rpc, &l->chain.head, &l->config.fees, &s, e);
    *out = (struct fees){s.tip_wei, s.fee_cap_wei};
    return rc == OL_ELIMIT ? err_set(e, OL_EBUSY, "lane", "gas is dearer than fees.max_fee allows; waiting") : rc;
}

/* An estimate, or the caller's bound when nobody answers. OL_EINVAL: it would revert. */
static int estimate(struct lane *l, const struct lane_request *r, uint64_t *gas, struct err *e)
{
    struct sender_call call = {.data = r->data, .data_len = r->len};
    struct gas_estimate g;
    char why[CALL_ERROR_BYTES];
    memcpy(call.from, l->config.node, ADDRESS_BYTES);
    memcpy(call.to, r->to, ADDRESS_BYTES);
    int rc = sender_estimate_gas(l->rpc, &call, ESTIMATE_MARGIN_PERCENT, LANE_MAX_GAS, &g, e);
    if (rc == OL_EIO) {
        *gas = r->gas_bound;
        return 0;
    }
    if (rc)
        return rc;
    if (g.reverts) {
        call_error_text(g.revert_data[0] ? g.revert_data : g.why, why);
        return err_set(e, OL_EINVAL, "lane", "%s", why);
    }
    *gas = g.gas;
    return 0;
}

int lane_send(struct lane *l, const struct lane_request *r, struct err *e)
{
    struct fees fees;
    struct tx tx = {.chain_id = l->config.rpc.chain_id, .nonce = l->chain.nonce, .data = r->data, .data_len = r->len};
    struct outbox_tx row = {.purpose = (uint8_t)r->purpose, .batch_number = r->batch_number, .chunk = r->chunk};
    memcpy(tx.to, r->to, ADDRESS_BYTES);
    int rc = estimate(l, r, &tx.gas_limit, e);
    if (!rc)
        rc = suggested_fees(l, &fees, e);
    if (!rc)
        rc = afford(l, tx.gas_limit, fees.cap_wei, e);
    if (rc)
        return rc;
    tx.tip_wei = fees.tip_wei;
    tx.fee_cap_wei = fees.cap_wei;
    log_line(LOG_INFO, "lane", "sending nonce %llu: purpose %d, batch %llu, gas %llu", (unsigned long long)tx.nonce,
             (int)r->purpose, (unsigned long long)r->batch_number, (unsigned long long)tx.gas_limit);
    return put_and_publish(l, &tx, &row, r->also, r->user, e);
}

/* ---- what is in flight */

/* Whether the stored transaction should still happen. One that would only revert is wanted, too: it harms nobody, and
 * the nonce is used up all the same. A claim, however, would take money that no batch could cover. */
static bool wanted(struct lane *l, const struct outbox_tx *tx)
{
    if (tx->state == OUTBOX_TX_REPLACED)
        return false; /* its work was given to a later nonce */
    if (tx->purpose != TX_CLAIM)
        return true;
    struct outbox_batch b;
    return outbox_batch(l->outbox, tx->batch_number, &b, NULL) == 0 && b.state <= BATCH_SUBMITTED &&
           b.batch.epoch == l->chain.epoch && !l->chain.frozen && b.batch.number == l->chain.last + 1;
}

/* A variant that replaces the newest: the same call, or an empty one to ourselves. */
static int replace(struct lane *l, const struct flight *f, bool empty, struct err *e)
{
    struct fees suggested, fees, old = {f->newest.tip_wei, f->newest.fee_cap_wei};
    struct tx tx;
    uint8_t sender[ADDRESS_BYTES], hash[HASH_BYTES];
    int rc = suggested_fees(l, &suggested, e);
    if (rc == OL_EBUSY) { /* dearer than we may pay: the old one waits, published again in case it was dropped */
        lane_warn(l, "%s", e->message);
        return publish(l, f->raw, f->newest.raw_len, f->nonce, e);
    }
    if (rc)
        return rc;
    if (fee_bump(&old, &suggested, l->config.fees.max_fee_wei, &fees) == BUMP_CAPPED) {
        lane_warn(l, "nonce %llu waits at the highest fee allowed", (unsigned long long)f->nonce);
        return publish(l, f->raw, f->newest.raw_len, f->nonce, e);
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
    rc = afford(l, tx.gas_limit, tx.fee_cap_wei, e);
    if (rc == OL_EBUSY) {
        lane_warn(l, "%s", e->message);
        return publish(l, f->raw, f->newest.raw_len, f->nonce, e);
    }
    if (rc)
        return rc;
    struct outbox_tx row = f->newest;
    row.variant++;
    row.purpose = empty ? TX_FILL_NONCE : f->newest.purpose;
    row.block_number = row.gas_used = 0;
    row.gas_paid_wei = 0;
    log_line(LOG_INFO, "lane", "replacing nonce %llu%s", (unsigned long long)f->nonce, empty ? " by nothing" : "");
    return put_and_publish(l, &tx, &row, NULL, NULL, e);
}

static int fill_gap(struct lane *l, struct err *e)
{
    struct lane_request nothing = {
        .purpose = TX_FILL_NONCE, .to = l->config.node, .gas_bound = PLAIN_GAS, .data = (const uint8_t *)""};
    lane_warn(l, "nonce %llu is free below one that was signed: filled", (unsigned long long)l->chain.nonce);
    return lane_send(l, &nothing, e);
}

static int tend(struct lane *l, const struct flight *f, struct err *e)
{
    bool is_wanted = wanted(l, &f->newest);
    bool sent = l->sent && l->sent_nonce == f->nonce;
    if (!is_wanted && f->newest.purpose != TX_FILL_NONCE)
        return replace(l, f, true, e);
    if (!sent) /* stored before a crash, or fallen out of the chain */
        return publish(l, f->raw, f->newest.raw_len, f->nonce, e);
    if (l->chain.head.number >= l->sent_head + l->config.bump_blocks)
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
    struct spending s;
    struct outbox_batch batch;
    struct rewrite r = {.row = mined ? *mined : v->row[v->n - 1]};
    bool again = r.row.state == OUTBOX_TX_MINED && mined; /* booked before a reorg */
    r.row.state = mined ? OUTBOX_TX_MINED : OUTBOX_TX_REPLACED;
    bool of_batch = mined && !again && r.row.batch_number &&
                    outbox_batch(l->outbox, r.row.batch_number, &batch, NULL) == 0;
    int rc = load_spending(l, &s, e);
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
        put_spending(r.w, &s);
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

int nonce_step(struct lane *l, bool *idle, struct err *e)
{
    struct flight f;
    bool wait;
    *idle = false;
    int rc = conclude_all(l, &wait, e);
    if (rc || wait)
        return rc;
    rc = load_flight(l, &f, e);
    if (!rc && f.found)
        rc = tend(l, &f, e);
    else if (!rc && f.higher)
        rc = fill_gap(l, e);
    else
        *idle = !rc;
    free(f.raw);
    return rc;
}
