/* Fan-out of transactions; nonces and fees. */
#include "chainlite/rpc/sender_internal.h"
#include "chainlite/rpc/fields.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int sender_send(struct rpc *rpc, const uint8_t *raw, size_t len, struct send_result *out, struct err *e)
{
    struct rpc_answers answers;
    uint8_t own[HASH_BYTES], said[HASH_BYTES];
    memset(out, 0, sizeof *out);
    out->outcome = SEND_UNANSWERED;
    out->n = rpc->n;
    for (size_t i = 0; i < rpc->n; i++)
        out->of[i].outcome = SEND_UNANSWERED;
    keccak256(raw, len, own);
    json_t *params = json_pack("[o]", json_hex(raw, len));
    if (!params)
        return err_set(e, OL_ENOMEM, "sender", "no memory for a transaction of %zu bytes", len);
    int rc = rpc_ask_set(rpc, rpc_available(rpc), "eth_sendRawTransaction", params, &answers, e);
    json_decref(params);
    for (size_t i = 0; i < rpc->n; i++) {
        struct rpc_answer *a = &answers.of[i];
        if (a->fault == RPC_FINE && (!field_bytes(a->result, said, HASH_BYTES) || memcmp(said, own, HASH_BYTES)))
            rpc_blame(rpc, i, a, RPC_MALFORMED, "it took the transaction under another hash");
        if (a->fault == RPC_FINE)
            out->of[i].outcome = SEND_ACCEPTED;
        else if (a->fault == RPC_REFUSED)
            out->of[i].outcome = send_classify(a->code, a->message);
        else
            out->uncertain = out->uncertain || a->fault != RPC_NOT_ASKED;
        memcpy(out->of[i].message, a->message, sizeof a->message);
        out->accepted += out->of[i].outcome <= SEND_KNOWN;
        if (out->of[i].outcome < out->outcome)
            out->outcome = out->of[i].outcome;
    }
    if (rc) /* cancelled in the middle: it may be anywhere */
        out->uncertain = true;
    else if (out->outcome == SEND_UNANSWERED)
        rc = rpc_explain(rpc, &answers, OL_EIO, e, "unanswered: it may or may not have arrived; send it again");
    rpc_answers_deinit(&answers);
    return rc;
}

/* eth_getTransactionCount at the tag: what each endpoint says, in values; their number in *n. */
static int counts(struct rpc *rpc, const uint8_t address[ADDRESS_BYTES], const char *tag,
                  uint64_t values[RPC_MAX_ENDPOINTS], size_t *n, struct err *e)
{
    struct rpc_answers answers;
    json_t *params = json_pack("[o,s]", json_hex(address, ADDRESS_BYTES), tag);
    if (!params)
        return err_set(e, OL_ENOMEM, "sender", "no memory for a question");
    int rc = rpc_ask(rpc, "eth_getTransactionCount", params, &answers, e);
    json_decref(params);
    *n = 0;
    for (size_t i = 0; !rc && i < rpc->n; i++) {
        if (answers.of[i].fault != RPC_FINE)
            continue;
        if (field_u64(answers.of[i].result, &values[*n]))
            ++*n;
        else
            rpc_blame(rpc, i, &answers.of[i], RPC_MALFORMED, "its transaction count is not a number");
    }
    if (!rc && *n < rpc->config.quorum)
        rc = rpc_explain(rpc, &answers, OL_EIO, e, "no_quorum: the nonce by %zu of %u", *n, rpc->config.quorum);
    rpc_answers_deinit(&answers);
    return rc;
}

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

int sender_nonce(struct rpc *rpc, const uint8_t address[ADDRESS_BYTES], struct sender_nonce *out, struct err *e)
{
    uint64_t latest[RPC_MAX_ENDPOINTS], pending[RPC_MAX_ENDPOINTS];
    size_t n_latest, n_pending;
    int rc = counts(rpc, address, "latest", latest, &n_latest, e);
    if (!rc)
        rc = counts(rpc, address, "pending", pending, &n_pending, e);
    if (rc)
        return rc;
    qsort(latest, n_latest, sizeof *latest, descending);
    qsort(pending, n_pending, sizeof *pending, descending);
    out->latest = latest[0];
    out->pending = pending[0];
    out->pending_agreed = pending[rpc->config.quorum - 1];
    return OL_OK;
}

static int ascending_wei(const void *a, const void *b)
{
    wei_t x = *(const wei_t *)a, y = *(const wei_t *)b;
    return (x > y) - (x < y);
}

wei_t median_wei(wei_t *values, size_t n)
{
    qsort(values, n, sizeof *values, ascending_wei);
    return values[(n - 1) / 2];
}

static wei_t clamp(wei_t value, wei_t low, wei_t high)
{
    return value < low ? low : value > high ? high : value;
}

int sender_fees(struct rpc *rpc, const struct light_head *head, const struct fee_caps *caps, struct fee_suggestion *out,
                struct err *e)
{
    struct rpc_answers answers;
    wei_t tips[RPC_MAX_ENDPOINTS];
    size_t n = 0;
    json_t *params = json_array();
    int rc = params ? rpc_ask_set(rpc, rpc_available(rpc), "eth_maxPriorityFeePerGas", params, &answers, e)
                    : err_set(e, OL_ENOMEM, "sender", "no memory for a question");
    json_decref(params);
    if (!params)
        return rc;
    for (size_t i = 0; i < rpc->n; i++)
        if (answers.of[i].fault == RPC_FINE && field_wei(answers.of[i].result, &tips[n]))
            n++;
    rpc_answers_deinit(&answers);
    if (rc)
        return rc;
    out->base_fee_wei = head->base_fee_wei;
    out->tip_wei = n ? clamp(median_wei(tips, n), caps->min_tip_wei, caps->max_tip_wei) : caps->min_tip_wei;
    wei_t needed;
    if (!wei_add(head->base_fee_wei, out->tip_wei, &needed) || needed > caps->max_fee_wei) {
        char base[WEI_TEXT_BYTES], most[WEI_TEXT_BYTES];
        wei_format(head->base_fee_wei, base);
        wei_format(caps->max_fee_wei, most);
        return err_set(e, OL_ELIMIT, "sender", "fee_limit: base fee %s wei now, with the tip %s at most; wait",
                       base, most);
    }
    if (!wei_add(needed, head->base_fee_wei, &out->fee_cap_wei) || out->fee_cap_wei > caps->max_fee_wei)
        out->fee_cap_wei = caps->max_fee_wei;
    return OL_OK;
}
