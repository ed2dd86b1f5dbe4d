/* Gas: what the endpoints estimate, held between what the calldata costs and what the caller allows. An estimate alone
 * is not trusted: nodes have returned the block's whole gas after a fork. */
#include "chainlite/rpc/fields.h"
#include "chainlite/rpc/sender_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { /* gas */
    TX_GAS = 21000,
    CREATE_GAS = 32000,
    ZERO_GAS = 4,
    NONZERO_GAS = 16,
    INITCODE_WORD_GAS = 2,
    FLOOR_ZERO_GAS = 10, /* EIP-7623 */
    FLOOR_NONZERO_GAS = 40
};

uint64_t gas_floor(const uint8_t *data, size_t len, bool create)
{
    uint64_t zeros = 0;
    for (size_t i = 0; i < len; i++)
        zeros += data[i] == 0;
    uint64_t others = len - zeros;
    uint64_t intrinsic = TX_GAS + ZERO_GAS * zeros + NONZERO_GAS * others;
    if (create)
        intrinsic += CREATE_GAS + INITCODE_WORD_GAS * ((len + 31) / 32);
    uint64_t floor = TX_GAS + FLOOR_ZERO_GAS * zeros + FLOOR_NONZERO_GAS * others;
    return intrinsic > floor ? intrinsic : floor;
}

static json_t *call_params(const struct sender_call *call)
{
    json_t *object = json_pack("{s:o,s:o,s:o}", "from", json_hex(call->from, ADDRESS_BYTES), "value",
                               json_quantity_wei(call->value_wei), "data", json_hex(call->data, call->data_len));
    if (object && !call->create && json_object_set_new(object, "to", json_hex(call->to, ADDRESS_BYTES))) {
        json_decref(object);
        return NULL;
    }
    return json_pack("[o]", object);
}

struct votes {
    wei_t estimates[RPC_MAX_ENDPOINTS]; /* usable ones */
    size_t usable, too_much, reverts;
};

static void count_votes(struct rpc *rpc, struct rpc_answers *answers, uint64_t ceiling, struct votes *v,
                        struct gas_estimate *out)
{
    memset(v, 0, sizeof *v);
    for (size_t i = 0; i < rpc->n; i++) {
        struct rpc_answer *a = &answers->of[i];
        uint64_t gas;
        if (a->fault == RPC_FINE && !field_u64(a->result, &gas)) {
            rpc_blame(rpc, i, a, RPC_MALFORMED, "its gas estimate is not a number");
        } else if (a->fault == RPC_FINE && gas > ceiling) {
            v->too_much++;
        } else if (a->fault == RPC_FINE) {
            v->estimates[v->usable++] = gas;
        } else if (a->fault == RPC_REFUSED && (a->code == 3 || strcasestr(a->message, "revert"))) {
            v->reverts++;
            if (!*out->why || (*a->data && !*out->revert_data)) { /* with the revert's bytes where one has them */
                memcpy(out->why, a->message, sizeof out->why);
                memcpy(out->revert_data, a->data, sizeof out->revert_data);
            }
        }
    }
}

int sender_estimate_gas(struct rpc *rpc, const struct sender_call *call, unsigned margin_percent, uint64_t ceiling,
                        struct gas_estimate *out, struct err *e)
{
    struct rpc_answers answers;
    struct votes votes;
    memset(out, 0, sizeof *out);
    out->floor = gas_floor(call->data, call->data_len, call->create);
    if (out->floor > ceiling)
        return err_set(e, OL_ELIMIT, "sender", "gas_limit: the data alone costs %" PRIu64 " gas, %" PRIu64 " at most",
                       out->floor, ceiling);
    json_t *params = call_params(call);
    if (!params)
        return err_set(e, OL_ENOMEM, "sender", "no memory for a question");
    int rc = rpc_ask(rpc, "eth_estimateGas", params, &answers, e);
    json_decref(params);
    if (!rc)
        count_votes(rpc, &answers, ceiling, &votes, out);
    if (!rc && votes.reverts > votes.usable)
        out->reverts = true;
    else if (!rc && votes.usable) {
        wei_t gas = median_wei(votes.estimates, votes.usable);
        gas += gas * margin_percent / 100;
        out->gas = gas > ceiling ? ceiling : gas < out->floor ? out->floor : (uint64_t)gas;
    } else if (!rc && votes.too_much)
        rc = err_set(e, OL_ELIMIT, "sender", "gas_limit: every estimate is above %" PRIu64 " gas", ceiling);
    else if (!rc)
        rc = rpc_explain(rpc, &answers, OL_EIO, e, "no_answer: nobody estimates the gas");
    if (!out->reverts)
        out->why[0] = out->revert_data[0] = '\0';
    rpc_answers_deinit(&answers);
    return rc;
}
