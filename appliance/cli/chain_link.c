#include "cli/chain_link.h"

#include "base/clock.h"
#include "chainlite/calls/calls.h"
#include "chainlite/core/tx.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODULE "chain"

enum { GAS_CEILING = 16777216, GAS_MARGIN_PERCENT = 20, MINED_TIMEOUT_S = 120, POLL_MS = 100, MAX_HEAD_LAG = 16, READ_TRIES = 6 };

static const wei_t GWEI = 1000000000;

static const char *const LOCAL_ENDPOINT[] = {"http://127.0.0.1:8545"};

int chain_link_open(const struct chain_link_options *o, struct chain_link *out, struct err *e)
{
    const char *name = o->chain ? o->chain : "devnet";
    memset(out, 0, sizeof *out);
    int rc = chain_file_load(name, &out->chain, e);
    if (rc != 0)
        return rc;
    size_t n = o->rpc.n ? (size_t)o->rpc.n : 1;
    struct rpc_config config = {.urls = o->rpc.n ? o->rpc.items : LOCAL_ENDPOINT, .n_urls = n,
                                .quorum = o->quorum ? (unsigned)o->quorum : (unsigned)(n / 2 + 1),
                                .chain_id = out->chain.chain_id, .max_head_lag = MAX_HEAD_LAG};
    chain_file_rules(&out->chain, &config.rules);
    rc = rpc_open(&config, &out->rpc, e);
    if (rc == 0)
        rc = rpc_check(out->rpc, e);
    if (rc == 0)
        rc = light_open(out->rpc, &out->light, e);
    if (rc != 0)
        chain_link_close(out);
    return rc;
}

void chain_link_close(struct chain_link *l)
{
    if (l->light)
        light_close(l->light);
    if (l->rpc)
        rpc_close(l->rpc);
    schema_free(&chain_file_schema, &l->chain);
    memset(l, 0, sizeof *l);
}

int chain_link_contract(const struct chain_link *l, const char *name, uint8_t out[ADDRESS_BYTES], struct err *e)
{
    const uint8_t *address = chain_file_contract(&l->chain, name);
    if (!address)
        return err_set(e, OL_EINVAL, MODULE, "no %s is known on %s; give a --chain file that names the contracts", name,
                       l->chain.name);
    memcpy(out, address, ADDRESS_BYTES);
    return 0;
}

int chain_link_word(struct chain_link *l, const char *contract, const uint8_t slot[32], uint8_t word[32],
                    struct light_head *head, struct err *e)
{
    uint8_t at[ADDRESS_BYTES], slots[1][32], words[1][32];
    memcpy(slots[0], slot, 32);
    int rc = chain_link_contract(l, contract, at, e);
    for (int i = 0; rc == 0 && i < READ_TRIES; i++) {
        int read = light_head(l->light, LIGHT_LATEST, head, e);
        if (read == 0)
            read = light_storage(l->light, head, at, (const uint8_t(*)[32])slots, 1, words, NULL, e);
        if (read == 0) {
            memcpy(word, words[0], 32);
            return 0;
        }
        if (i + 1 == READ_TRIES)
            rc = read;
        nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
    }
    return rc;
}

/* Fills nonce, fees and gas by what the endpoints say. */
static int prepare(struct chain_link *l, const uint8_t from[ADDRESS_BYTES], const struct sending *s, struct tx *tx,
                   struct err *e)
{
    const struct fee_caps caps = {.max_tip_wei = 100 * GWEI, .max_fee_wei = 10000 * GWEI, .min_tip_wei = 1};
    struct sender_call call = {.create = s->create, .value_wei = s->value_wei, .data = s->data, .data_len = s->data_len};
    struct light_head head;
    struct sender_nonce nonce;
    struct fee_suggestion fees;
    struct gas_estimate gas;
    memcpy(call.from, from, ADDRESS_BYTES);
    memcpy(call.to, s->to, ADDRESS_BYTES);
    int rc = light_head(l->light, LIGHT_LATEST, &head, e);
    if (rc == 0)
        rc = sender_nonce(l->rpc, from, &nonce, e);
    if (rc == 0)
        rc = sender_fees(l->rpc, &head, &caps, &fees, e);
    if (rc == 0)
        rc = sender_estimate_gas(l->rpc, &call, GAS_MARGIN_PERCENT, GAS_CEILING, &gas, e);
    if (rc != 0)
        return rc;
    if (gas.reverts) {
        char reason[CALL_ERROR_BYTES];
        call_error_text(gas.revert_data, reason);
        return err_set(e, OL_EINVAL, MODULE, "the contract refuses: %s", *gas.revert_data ? reason : gas.why);
    }
    *tx = (struct tx){.chain_id = l->chain.chain_id, .nonce = nonce.pending, .gas_limit = gas.gas,
                      .tip_wei = fees.tip_wei, .fee_cap_wei = fees.fee_cap_wei, .create = s->create,
                      .value_wei = s->value_wei, .data = s->data, .data_len = s->data_len};
    memcpy(tx->to, s->to, ADDRESS_BYTES);
    return 0;
}

static int await_mined(struct chain_link *l, const uint8_t hash[HASH_BYTES], struct tx_receipt *out, struct err *e)
{
    double end_s = clock_mono_s() + MINED_TIMEOUT_S;
    do {
        int rc = sender_receipt(l->rpc, hash, out, e);
        if (rc != 0)
            return rc;
        if (out->where == TX_MINED)
            return out->succeeded ? 0 : err_set(e, OL_EINVAL, MODULE, "the transaction was mined but reverted");
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    } while (clock_mono_s() < end_s);
    return err_set(e, OL_EIO, MODULE, "the transaction was not mined in %d s; it may still be", MINED_TIMEOUT_S);
}

int chain_link_send(struct chain_link *l, const struct signing_key *key, const struct sending *s, struct tx_receipt *out,
                    struct err *e)
{
    uint8_t from[ADDRESS_BYTES], hash[HASH_BYTES];
    struct tx tx;
    struct send_result result;
    size_t len, cap = tx_max_bytes(s->data_len);
    uint8_t *raw = malloc(cap);
    if (!raw)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the transaction");
    int rc = secp_address(key->secp, key->secret, from, e);
    if (rc == 0)
        rc = prepare(l, from, s, &tx, e);
    if (rc == 0)
        rc = tx_sign(&tx, key->secp, key->secret, raw, cap, &len, hash, e);
    if (rc == 0)
        rc = sender_send(l->rpc, raw, len, &result, e);
    if (rc == 0 && result.outcome != SEND_ACCEPTED && result.outcome != SEND_KNOWN)
        rc = err_set(e, result.outcome == SEND_NO_FUNDS ? OL_EINVAL : OL_EIO, MODULE, "the transaction was not taken (%s): %s",
                     send_class_name(result.outcome), result.of[0].message);
    if (rc == 0)
        rc = await_mined(l, hash, out, e);
    free(raw);
    return rc;
}
