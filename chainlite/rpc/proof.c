/* Accounts, storage and code, proven against a head's state root. One honest endpoint is enough: they are asked one
 * after another until a proof holds. */
#include "chainlite/rpc/fields.h"
#include "chainlite/rpc/light_internal.h"
#include "chainlite/rpc/proof_json.h"

#include <stdlib.h>
#include <string.h>

struct read { /* what is asked and where it goes */
    const struct light_head *head;
    const uint8_t *address;
    const uint8_t (*slots)[32];
    size_t n_slots;
    struct mpt_account account;
    uint8_t (*values)[32];
    struct light_proof proof;
};

/* Checks the proofs of one answer; on success they are kept in r->proof. */
static enum rpc_fault take_proof(struct read *r, const json_t *result, char *message)
{
    struct light_proof proof;
    struct err why = {0};
    int rc = proof_from_json(result, r->n_slots, &proof, &why);
    if (rc) {
        clean_text(why.message, message, RPC_MESSAGE_BYTES);
        return RPC_MALFORMED;
    }
    rc = mpt_account(r->head->state_root, r->address, proof.account.node, proof.account.n, &r->account, &why);
    for (size_t i = 0; !rc && i < r->n_slots && r->account.exists; i++)
        rc = mpt_storage(r->account.storage_root, r->slots[i], proof.storage[i].node, proof.storage[i].n, r->values[i],
                         &why);
    if (rc) {
        light_proof_deinit(&proof);
        clean_text(why.message, message, RPC_MESSAGE_BYTES);
        return RPC_BAD_PROOF;
    }
    r->proof = proof;
    return RPC_FINE;
}

static json_t *proof_params(const struct read *r, bool by_hash)
{
    json_t *slots = json_array();
    for (size_t i = 0; i < r->n_slots; i++)
        if (json_array_append_new(slots, json_hex(r->slots[i], 32))) {
            json_decref(slots);
            return NULL;
        }
    json_t *block = by_hash ? json_pack("{s:o}", "blockHash", json_hex(r->head->hash, HASH_BYTES))
                            : json_quantity(r->head->number);
    return json_pack("[o,o,o]", json_hex(r->address, ADDRESS_BYTES), slots, block);
}

/* One endpoint: pinned by the block's hash (EIP-1898); by its number where the endpoint does not take a hash. Found by
 * number, a proof of another block is a reorganisation as likely as a lie. */
static int ask_for_proof(struct rpc *rpc, size_t endpoint, struct read *r, struct rpc_answer *out, struct err *e)
{
    struct endpoint *ep = &rpc->of[endpoint];
    for (int by_hash = !ep->refuses_hash; by_hash >= 0; by_hash--) {
        json_t *params = proof_params(r, by_hash);
        if (!params)
            return err_set(e, OL_ENOMEM, "light", "no memory for a question");
        answer_deinit(out);
        int rc = rpc_ask_one(rpc, endpoint, "eth_getProof", params, out, e);
        json_decref(params);
        if (rc)
            return rc;
        if (out->fault == RPC_FINE) {
            char message[RPC_MESSAGE_BYTES] = "";
            enum rpc_fault fault = take_proof(r, out->result, message);
            if (fault == RPC_BAD_PROOF && !by_hash) {
                answer_deinit(out);
                answer_fault(out, fault, "by number: %.140s", message);
            } else if (fault != RPC_FINE) {
                rpc_blame(rpc, endpoint, out, fault, "%s", message);
            }
            ep->refuses_hash = fault == RPC_FINE ? !by_hash : ep->refuses_hash;
            return OL_OK;
        }
        if (out->fault != RPC_REFUSED)
            return OL_OK;
        if (!by_hash)
            ep->refuses_hash = false; /* it refuses either: the block may be gone; the hash is tried first again */
    }
    return OL_OK;
}

static int read_proven(struct light *light, struct read *r, struct err *e)
{
    struct rpc *rpc = light->rpc;
    struct rpc_answers told = {.n = rpc->n};
    size_t order[RPC_MAX_ENDPOINTS], n = rpc_order(rpc, order);
    bool lied = false;
    for (size_t i = 0; i < rpc->n; i++)
        answer_fault(&told.of[i], RPC_NOT_ASKED, "%s", rpc->of[i].last_message);
    for (size_t at = 0; at < n; at++) {
        size_t i = order[at];
        int rc = ask_for_proof(rpc, i, r, &told.of[i], e);
        bool proven = !rc && told.of[i].fault == RPC_FINE;
        answer_deinit(&told.of[i]);
        if (rc || proven)
            return rc;
        lied = lied || told.of[i].fault == RPC_BAD_PROOF;
    }
    return rpc_explain(rpc, &told, lied ? OL_EFORMAT : OL_EIO, e, "%s: nobody proves the state of block %llu",
                       lied ? "bad_proof" : "no_proof", (unsigned long long)r->head->number);
}

static void hand_over(struct read *r, struct light_proof *proof)
{
    if (proof)
        *proof = r->proof;
    else
        light_proof_deinit(&r->proof);
}

int light_account(struct light *light, const struct light_head *head, const uint8_t address[ADDRESS_BYTES],
                  struct mpt_account *out, struct light_proof *proof, struct err *e)
{
    struct read r = {.head = head, .address = address};
    int rc = read_proven(light, &r, e);
    if (rc)
        return rc;
    *out = r.account;
    hand_over(&r, proof);
    return OL_OK;
}

static bool has_code(const struct mpt_account *account)
{
    uint8_t empty[HASH_BYTES];
    keccak256(NULL, 0, empty);
    return account->exists && memcmp(account->code_hash, empty, HASH_BYTES) != 0;
}

static int no_contract(const struct light_head *head, const uint8_t address[ADDRESS_BYTES], struct err *e)
{
    return err_set(e, OL_ENOTFOUND, "light", "no_contract: no code at %02x%02x%02x%02x… in block %llu; is it this chain?",
                   address[0], address[1], address[2], address[3], (unsigned long long)head->number);
}

int light_storage(struct light *light, const struct light_head *head, const uint8_t address[ADDRESS_BYTES],
                  const uint8_t (*slots)[32], size_t n_slots, uint8_t (*values)[32], struct light_proof *proof,
                  struct err *e)
{
    if (!n_slots || n_slots > LIGHT_MAX_SLOTS)
        return err_set(e, OL_EINVAL, "light", "%zu slots in one read; 1 to %d", n_slots, LIGHT_MAX_SLOTS);
    struct read r = {.head = head, .address = address, .slots = slots, .n_slots = n_slots, .values = values};
    int rc = read_proven(light, &r, e);
    if (rc)
        return rc;
    if (!has_code(&r.account)) {
        light_proof_deinit(&r.proof);
        return no_contract(head, address, e);
    }
    hand_over(&r, proof);
    return OL_OK;
}

struct code_taker {
    const uint8_t *code_hash;
    struct buf *code;
};

static enum rpc_fault take_code(void *user, size_t endpoint, const json_t *result, char *message)
{
    struct code_taker *t = user;
    size_t n;
    uint8_t hash[HASH_BYTES];
    (void)endpoint;
    uint8_t *bytes = field_length(result, &n) ? malloc(n + 1) : NULL;
    bool right = bytes && field_bytes(result, bytes, n);
    if (right) {
        keccak256(bytes, n, hash);
        right = !memcmp(hash, t->code_hash, HASH_BYTES);
    }
    if (right)
        buf_add(t->code, bytes, n);
    else /* asked by number, it may come from a block that is gone */
        snprintf(message, RPC_MESSAGE_BYTES, "its code is not what the account's hash says");
    free(bytes);
    return right ? RPC_FINE : RPC_REFUSED;
}

int light_code(struct light *light, const struct light_head *head, const uint8_t address[ADDRESS_BYTES],
               struct buf *code, struct err *e)
{
    struct mpt_account account;
    int rc = light_account(light, head, address, &account, NULL, e);
    if (rc)
        return rc;
    if (!has_code(&account))
        return no_contract(head, address, e);
    struct code_taker t = {account.code_hash, code};
    json_t *params = json_pack("[o,o]", json_hex(address, ADDRESS_BYTES), json_quantity(head->number));
    if (!params)
        return err_set(e, OL_ENOMEM, "light", "no memory for a question");
    rc = rpc_ask_until(light->rpc, "eth_getCode", params, take_code, &t, e);
    json_decref(params);
    if (!rc && buf_failed(code))
        rc = err_set(e, OL_ELIMIT, "light", "the contract's code does not fit");
    return rc;
}
