/* Answers of endpoints: the JSON-RPC envelope, then its result read as a block, a proof and a receipt. Input: the body.
 * What is accepted must fit its bounds. */
#include "base/err.h"
#include "chainlite/rpc/answer.h"
#include "chainlite/rpc/block.h"
#include "chainlite/rpc/fields.h"
#include "chainlite/rpc/proof_json.h"
#include "chainlite/rpc/sender_internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_block(const json_t *result)
{
    struct block_claim claim;
    struct header header;
    struct err e;
    uint8_t rlp[LIGHT_HEADER_BYTES];
    size_t len;
    struct header_rules rules = {.op_stack = false};
    block_claim(result, &claim);
    if (!block_header(result, rlp, sizeof rlp, &len))
        return;
    CHECK(len <= sizeof rlp);
    if (header_parse(rlp, len, &rules, &header, &e) == OL_OK) /* what was put together is what is read */
        CHECK(!block_claim(result, &claim) || claim.number == header.number);
}

static void read_proof(const json_t *result)
{
    size_t n = json_array_size(json_object_get(result, "storageProof"));
    struct light_proof proof;
    struct mpt_account account;
    struct err e;
    uint8_t root[HASH_BYTES], value[32], address[ADDRESS_BYTES] = {0}, slot[32] = {0};
    if (proof_from_json(result, n, &proof, &e) != OL_OK)
        return;
    CHECK(proof.n_storage == n && proof.account.n <= 64);
    if (proof.account.n) /* its own first node as the root: the walk goes as deep as it can */
        keccak256(proof.account.node[0].data, proof.account.node[0].len, root);
    if (proof.account.n)
        (void)!mpt_account(root, address, proof.account.node, proof.account.n, &account, &e);
    for (size_t i = 0; i < n; i++) {
        if (!proof.storage[i].n)
            continue;
        keccak256(proof.storage[i].node[0].data, proof.storage[i].node[0].len, root);
        (void)!mpt_storage(root, slot, proof.storage[i].node, proof.storage[i].n, value, &e);
    }
    light_proof_deinit(&proof);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rpc_answer answer;
    struct tx_receipt receipt;
    uint8_t hash[HASH_BYTES] = {0};
    wei_t wei;
    answer_parse((const char *)data, size, 1, &answer);
    CHECK((answer.fault == RPC_FINE) == (answer.result != NULL));
    CHECK(memchr(answer.message, 0, sizeof answer.message) && memchr(answer.data, 0, sizeof answer.data));
    if (answer.fault == RPC_REFUSED)
        CHECK(send_classify(answer.code, answer.message) < SEND_UNANSWERED);
    if (answer.fault == RPC_FINE) {
        read_block(answer.result);
        read_proof(answer.result);
        field_bytes(json_object_get(answer.result, "transactionHash"), hash, sizeof hash);
        if (receipt_from_json(answer.result, hash, &receipt))
            CHECK(receipt.where == TX_MINED);
        field_wei(answer.result, &wei);
    }
    answer_deinit(&answer);
    return 0;
}
