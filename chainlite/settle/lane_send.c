/* Signing and sending: what may be spent, every variant on disk before it goes out; see lane.h, invariant 2, and
 * lane_nonce.c for what becomes of it. */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "chainlite/settle/crash_points.h"

#include <stdlib.h>
#include <string.h>

enum { ESTIMATE_MARGIN_PERCENT = 25, DAY_S = 86400 };

/* ---- spending */

int lane_spending(struct lane *l, struct lane_spending *out, struct err *e)
{
    uint8_t bytes[24];
    uint64_t today = (uint64_t)clock_unix_ms() / 1000 / DAY_S;
    *out = (struct lane_spending){today, 0};
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

void lane_put_spending(struct outbox_write *w, const struct lane_spending *s)
{
    uint8_t bytes[24];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(s->day >> (56 - 8 * i));
    wei_to_be16(s->wei, bytes + 8);
    outbox_put_meta(w, "lane.spent", bytes, sizeof bytes);
}

int lane_afford(struct lane *l, wei_t worst, wei_t instead_wei, struct err *e)
{
    struct lane_spending s;
    char need[WEI_TEXT_BYTES + 2], have[WEI_TEXT_BYTES + 2];
    int rc = lane_spending(l, &s, e);
    if (rc)
        return rc;
    pthread_mutex_lock(&l->mutex);
    l->spent_today_wei = s.wei;
    pthread_mutex_unlock(&l->mutex);
    wei_t pledged = l->pledged_wei - instead_wei; /* by the others in flight */
    wei_format_coin(worst, need);
    if (l->config.daily_limit_wei && s.wei + pledged + worst > l->config.daily_limit_wei) {
        wei_format_coin(s.wei + pledged, have);
        return err_set(e, OL_EBUSY, "lane", "the day's spending limit: %s spent, up to %s more needed; raise it",
                       have, need);
    }
    if (pledged + worst > l->chain.balance_wei) {
        wei_format_coin(l->chain.balance_wei - (pledged < l->chain.balance_wei ? pledged : l->chain.balance_wei), have);
        return err_set(e, OL_EBUSY, "lane", "the node's key has %s left and may need %s for gas; send it more", have,
                       need);
    }
    return 0;
}

/* ---- signing and sending */

static struct lane_sent *slot_of(struct lane *l, uint64_t nonce) { return &l->sent[nonce % LANE_MAX_FLIGHT]; }

bool lane_was_sent(struct lane *l, uint64_t nonce, uint64_t *head)
{
    const struct lane_sent *s = slot_of(l, nonce);
    *head = s->head;
    return s->sent && s->nonce == nonce;
}

int lane_publish(struct lane *l, const uint8_t *raw, size_t len, uint64_t nonce, struct err *e)
{
    struct send_result result;
    struct lane_sent *sent = slot_of(l, nonce);
    int rc = sender_send(l->rpc, raw, len, &result, e);
    *sent = (struct lane_sent){nonce, l->chain.head.number, true};
    crash_point(lane_sent);
    if (rc)
        return rc; /* it may have arrived all the same: it is stored, and sent again */
    switch (result.outcome) {
    case SEND_REPLACEMENT_UNDERPRICED:
    case SEND_UNDERPRICED:
        sent->head = 0; /* raise it in the next step */
        break;
    case SEND_NONCE_HIGH: /* one below it did not arrive: after that one, again */
        sent->sent = false;
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

int lane_put_and_publish(struct lane *l, const struct tx *tx, struct outbox_tx *row,
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
        rc = lane_publish(l, raw, len, tx->nonce, e);
    }
    free(raw);
    return rc;
}

int lane_fees(struct lane *l, struct fees *out, struct err *e)
{
    struct fee_suggestion s;
    *out = l->step_fees;
    if (out->cap_wei)
        return 0;
    int rc = sender_fees(l->rpc, &l->chain.head, &l->config.fees, &s, e);
    if (!rc)
        l->step_fees = *out = (struct fees){s.tip_wei, s.fee_cap_wei};
    return rc == OL_ELIMIT ? err_set(e, OL_EBUSY, "lane", "gas is dearer than fees.max_fee allows; waiting") : rc;
}

/* An estimate, or the caller's bound when nobody answers. OL_EINVAL: it would revert. */
static int estimate(struct lane *l, const struct lane_request *r, uint64_t *gas, struct err *e)
{
    struct sender_call call = {.data = r->data, .data_len = r->len};
    struct gas_estimate g;
    char why[CALL_ERROR_BYTES];
    *gas = r->gas_bound;
    if (r->after_others)
        return 0;
    memcpy(call.from, l->config.node, ADDRESS_BYTES);
    memcpy(call.to, r->to, ADDRESS_BYTES);
    int rc = sender_estimate_gas(l->rpc, &call, ESTIMATE_MARGIN_PERCENT, LANE_MAX_GAS, &g, e);
    if (rc)
        return rc == OL_EIO ? 0 : rc;
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
    struct tx tx = {.chain_id = l->config.rpc.chain_id, .nonce = l->next_nonce, .data = r->data, .data_len = r->len};
    struct outbox_tx row = {.purpose = (uint8_t)r->purpose, .batch_number = r->batch_number, .chunk = r->chunk};
    memcpy(tx.to, r->to, ADDRESS_BYTES);
    int rc = estimate(l, r, &tx.gas_limit, e);
    if (!rc)
        rc = lane_fees(l, &fees, e);
    if (!rc)
        rc = lane_afford(l, fees.cap_wei * tx.gas_limit, 0, e);
    if (rc)
        return rc;
    l->pledged_wei += fees.cap_wei * tx.gas_limit;
    l->next_nonce++;
    tx.tip_wei = fees.tip_wei;
    tx.fee_cap_wei = fees.cap_wei;
    log_line(LOG_INFO, "lane", "sending nonce %llu: purpose %d, batch %llu, gas %llu", (unsigned long long)tx.nonce,
             (int)r->purpose, (unsigned long long)r->batch_number, (unsigned long long)tx.gas_limit);
    return lane_put_and_publish(l, &tx, &row, r->also, r->user, e);
}
