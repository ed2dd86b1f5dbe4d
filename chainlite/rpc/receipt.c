/* Receipts as endpoints tell them: hints. */
#include "chainlite/rpc/fields.h"
#include "chainlite/rpc/sender_internal.h"

#include <string.h>

bool receipt_from_json(const json_t *receipt, const uint8_t hash[HASH_BYTES], struct tx_receipt *out)
{
    uint8_t said[HASH_BYTES];
    uint64_t status;
    memset(out, 0, sizeof *out);
    if (!field_bytes(json_object_get(receipt, "transactionHash"), said, HASH_BYTES) || memcmp(said, hash, HASH_BYTES) ||
        !field_bytes(json_object_get(receipt, "blockHash"), out->block_hash, HASH_BYTES) ||
        !field_u64(json_object_get(receipt, "blockNumber"), &out->block_number) ||
        !field_u64(json_object_get(receipt, "status"), &status) || status > 1 ||
        !field_u64(json_object_get(receipt, "gasUsed"), &out->gas_used) ||
        !field_wei(json_object_get(receipt, "effectiveGasPrice"), &out->effective_gas_price_wei))
        return false;
    out->where = TX_MINED;
    out->succeeded = status == 1;
    out->has_l1_fee = field_wei(json_object_get(receipt, "l1Fee"), &out->l1_fee_wei);
    out->has_contract = field_bytes(json_object_get(receipt, "contractAddress"), out->contract, ADDRESS_BYTES);
    out->endpoints = 1;
    return true;
}

static bool same_place(const struct tx_receipt *a, const struct tx_receipt *b)
{
    return !memcmp(a->block_hash, b->block_hash, HASH_BYTES) && a->succeeded == b->succeeded &&
           a->gas_used == b->gas_used;
}

/* The receipt that most of the n name; of equals the one in the higher block. */
static void choose(const struct tx_receipt *receipts, size_t n, struct tx_receipt *out)
{
    for (size_t i = 0; i < n; i++) {
        unsigned votes = 0;
        for (size_t j = 0; j < n; j++)
            votes += same_place(&receipts[i], &receipts[j]);
        if (votes < out->endpoints || (votes == out->endpoints && receipts[i].block_number <= out->block_number))
            continue;
        *out = receipts[i];
        out->endpoints = votes;
    }
}

static int ask_about(struct rpc *rpc, const char *method, const uint8_t hash[HASH_BYTES], struct rpc_answers *answers,
                     struct err *e)
{
    json_t *params = json_pack("[o]", json_hex(hash, HASH_BYTES));
    if (!params)
        return err_set(e, OL_ENOMEM, "sender", "no memory for a question");
    answers->n = 0;
    int rc = rpc_ask(rpc, method, params, answers, e);
    json_decref(params);
    return rc;
}

int sender_receipt(struct rpc *rpc, const uint8_t hash[HASH_BYTES], struct tx_receipt *out, struct err *e)
{
    struct rpc_answers answers = {.n = 0};
    struct tx_receipt receipts[RPC_MAX_ENDPOINTS];
    size_t n = 0, unknown = 0;
    memset(out, 0, sizeof *out);
    int rc = ask_about(rpc, "eth_getTransactionReceipt", hash, &answers, e);
    for (size_t i = 0; i < answers.n; i++) {
        struct rpc_answer *a = &answers.of[i];
        if (a->fault != RPC_FINE || json_is_null(a->result))
            continue;
        if (receipt_from_json(a->result, hash, &receipts[n]))
            n++;
        else
            rpc_blame(rpc, i, a, RPC_MALFORMED, "its receipt is not one of this transaction");
    }
    rpc_answers_deinit(&answers);
    choose(receipts, n, out);
    if (rc || n)
        return rc;
    rc = ask_about(rpc, "eth_getTransactionByHash", hash, &answers, e);
    for (size_t i = 0; i < answers.n; i++) {
        const struct rpc_answer *a = &answers.of[i];
        out->endpoints += a->fault == RPC_FINE && json_is_object(a->result);
        unknown += a->fault == RPC_FINE && json_is_null(a->result);
    }
    out->where = out->endpoints ? TX_PENDING : TX_UNKNOWN;
    if (!rc && !out->endpoints) /* that nobody knows it takes as many to say as anything else */
        out->endpoints = (unsigned)unknown;
    if (!rc && out->endpoints == 0)
        rc = rpc_explain(rpc, &answers, OL_EIO, e, "no_answer: nobody says where the transaction is");
    rpc_answers_deinit(&answers);
    return rc;
}
