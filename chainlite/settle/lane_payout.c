/* Where the node's own share is paid: its operator wants it elsewhere than at the key that runs the machine. The wish is a
 * row of the outbox, "lane.payout"; what holds is Rewards' storage, and while both differ the lane sends setPayout. */
#include "chainlite/settle/lane_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "chainlite/core/hex.h"

#include <string.h>

enum { PAYOUT_GAS = 80000, PAYOUT_LOOK_MS = 60000 };

static const char name[] = "lane.payout";
static const uint8_t none[ADDRESS_BYTES];

int payout_load(struct lane *l, struct err *e)
{
    int rc = outbox_meta(l->outbox, name, l->payout_to, ADDRESS_BYTES, e);
    l->payout_known = !rc;
    return rc == OL_ENOTFOUND ? 0 : rc;
}

int lane_set_payout(struct lane *l, const uint8_t to[ADDRESS_BYTES], struct err *e)
{
    struct outbox_write *w;
    if (memcmp(l->config.rewards, none, ADDRESS_BYTES) == 0)
        return err_set(e, OL_EINVAL, "lane", "the chain's file names no Rewards contract");
    int rc = outbox_begin(l->outbox, &w, e);
    if (rc)
        return rc;
    outbox_put_meta(w, name, to, ADDRESS_BYTES);
    rc = outbox_commit(w, e);
    if (rc)
        return rc;
    pthread_mutex_lock(&l->mutex);
    memcpy(l->payout_to, to, ADDRESS_BYTES);
    l->payout_known = true;
    l->payout_done = false;
    l->payout_again_ms = 0;
    pthread_mutex_unlock(&l->mutex);
    lane_wake(l);
    return 0;
}

/* `to` is still what is wanted: notes what came of it. */
static void note(struct lane *l, const uint8_t to[ADDRESS_BYTES], bool done, int64_t again_ms)
{
    pthread_mutex_lock(&l->mutex);
    if (memcmp(l->payout_to, to, ADDRESS_BYTES) == 0) {
        l->payout_done = done;
        l->payout_again_ms = clock_unix_ms() + again_ms;
    }
    pthread_mutex_unlock(&l->mutex);
}

static int send_payout(struct lane *l, const uint8_t to[ADDRESS_BYTES], struct err *e)
{
    uint8_t data[4 + ABI_WORD_BYTES];
    struct abi_writer w;
    abi_writer_init(&w, data, sizeof data);
    call_rewards_set_payout(&w, to);
    CHECK(!w.failed);
    struct lane_request r = {.purpose = TX_OTHER, .to = l->config.rewards, .data = data, .len = w.len,
                             .gas_bound = PAYOUT_GAS};
    return lane_send(l, &r, e);
}

int payout_step(struct lane *l, bool *sent, struct err *e)
{
    uint8_t to[ADDRESS_BYTES], slot[1][32], word[1][32];
    *sent = false;
    pthread_mutex_lock(&l->mutex);
    bool look = l->payout_known && clock_unix_ms() >= l->payout_again_ms;
    memcpy(to, l->payout_to, ADDRESS_BYTES);
    pthread_mutex_unlock(&l->mutex);
    if (!look)
        return 0;
    slot_payout(l->config.node, slot[0]);
    int rc = light_storage(l->light, &l->chain.head, l->config.rewards, (const uint8_t(*)[32])slot, 1, word, NULL, e);
    if (rc)
        return rc;
    if (memcmp(word[0] + 12, to, ADDRESS_BYTES) == 0) {
        note(l, to, true, PAYOUT_LOOK_MS);
        return 0;
    }
    rc = send_payout(l, to, e);
    *sent = !rc;
    if (rc == OL_EINVAL) {
        lane_warn(l, "payouts cannot be redirected: %s", e->message);
        note(l, to, false, LANE_BACKOFF_MS);
        return 0;
    }
    return rc;
}
