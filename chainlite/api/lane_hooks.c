/* What joins the lane to the recorder's catalog and to the API. Rows are copied out under the catalog's lock, because a
 * reload may replace it at any moment. */
#include "chainlite/api/lane_hooks.h"

#include <string.h>

/* ---- rows, from the catalog: copied while it is held */

static int lost(const char *what, struct err *e)
{
    return err_set(e, OL_ENOTFOUND, "lane", "the catalog file has lost a %s that receipts refer to: put it back, reload", what);
}

static int version_row(void *user, const uint8_t id[32], struct row_version *out, struct err *e)
{
    const struct catalogued_version *v = chain_catalog_version(recorder_catalog_lock(user), id);
    if (v)
        *out = v->row;
    recorder_catalog_unlock(user);
    return v ? 0 : lost("version", e);
}

static int price_row(void *user, const uint8_t id[32], struct row_price *out, struct err *e)
{
    const struct catalogued_price *p = chain_catalog_price(recorder_catalog_lock(user), id);
    if (p)
        *out = p->row;
    recorder_catalog_unlock(user);
    return p ? 0 : lost("price", e);
}

static int split_row(void *user, const uint8_t id[32], struct row_split *out, struct err *e)
{
    const struct catalogued_split *s = chain_catalog_split(recorder_catalog_lock(user), id);
    if (s)
        *out = s->row;
    recorder_catalog_unlock(user);
    return s ? 0 : lost("split", e);
}

static bool nth_price(void *user, size_t index, struct row_price *out)
{
    const struct chain_catalog *c = recorder_catalog_lock(user);
    bool there = index < c->prices.n;
    if (there)
        *out = ((const struct catalogued_price *)c->prices.at)[index].row;
    recorder_catalog_unlock(user);
    return there;
}

static int sign(void *user, const struct tx *tx, uint8_t *out, size_t cap, size_t *len, uint8_t hash[HASH_BYTES],
                struct err *e)
{
    const struct keystore *keys = user;
    return tx_sign(tx, keystore_secp(keys), keystore_node_secret(keys), out, cap, len, hash, e);
}

void lane_configure(const struct options *o, const struct rpc_config *rpc, const struct chain_file *chain,
                    const struct keystore *keys, struct recorder *recorder, struct lane_config *out)
{
    *out = (struct lane_config){
        .rpc = *rpc,
        .window_s = chain->window_s.known ? chain->window_s.value : 0,
        .folder = o->state_dir,
        .secp = keystore_secp(keys),
        .sign = sign,
        .sign_user = (void *)(uintptr_t)keys, /* only read */
        .rows = {recorder, version_row, price_row, split_row, nth_price},
        .batch_receipts = (uint32_t)o->batch_receipts,
        .batch_age_s = (uint64_t)o->batch_age_s,
        .batch_value_wei = o->batch_value_wei,
        .fees = {.max_tip_wei = o->max_tip_wei, .max_fee_wei = o->max_gas_price_wei, .min_tip_wei = 1},
        .daily_limit_wei = o->daily_gas_wei,
        .open_epochs = o->open_epochs,
        .finalise = o->finalise,
    };
    memcpy(out->node, keystore_node(keys), ADDRESS_BYTES);
    memcpy(out->settlement, chain_file_contract(chain, "Settlement"), ADDRESS_BYTES);
    memcpy(out->escrow, chain_file_contract(chain, "Escrow"), ADDRESS_BYTES);
    memcpy(out->registry, chain_file_contract(chain, "Registry"), ADDRESS_BYTES);
    const uint8_t *rewards = chain_file_contract(chain, "Rewards");
    if (rewards)
        memcpy(out->rewards, rewards, ADDRESS_BYTES);
}

/* ---- the API's hooks */

static json_t *status(void *user) { return lane_status_json(user); }
static json_t *pending(void *user) { return lane_pending_json(user); }
static int retry(void *user, struct err *e) { return lane_retry(user, e); }

static int set_payout(void *user, const uint8_t to[ADDRESS_BYTES], struct err *e) { return lane_set_payout(user, to, e); }

static void new_epoch(void *user) { lane_open_epoch(user); }

static int settlement(void *user, const struct outbox_receipt *r, const struct outbox_batch *b, struct buf *out,
                      struct err *e)
{
    return lane_settlement(user, r, b, out, e);
}

void lane_hook(struct lane *lane, struct api *api)
{
    api->lane = (struct api_lane){lane, status, pending, retry, new_epoch, set_payout, settlement};
}

int lane_epoch(void *user, uint64_t *out, struct err *e) { return lane_may_record(user, out, e); }
