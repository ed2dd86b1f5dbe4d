/* The parts of the light client and the sender that need no endpoint, on what a real node has said
 * (tests/unit/data/light.json): headers put together from fields, proofs read from JSON and wrong in every byte, the
 * envelope of answers, the wordings of refused transactions. */
#include "chainlite/core/hex.h"
#include "chainlite/rpc/answer.h"
#include "chainlite/rpc/block.h"
#include "chainlite/rpc/fields.h"
#include "chainlite/rpc/proof_json.h"
#include "chainlite/rpc/sender_internal.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static json_t *recorded(void)
{
    json_t *root = json_load_file("tests/unit/data/light.json", 0, NULL);
    ck_assert_ptr_nonnull(root);
    return root;
}

START_TEST(header_from_fields)
{
    json_t *root = recorded(), *block = json_object_get(root, "block");
    uint8_t rlp[LIGHT_HEADER_BYTES], raw[LIGHT_HEADER_BYTES], hash[HASH_BYTES];
    size_t len, raw_len;
    struct block_claim claim;
    ck_assert(block_claim(block, &claim));
    ck_assert(block_header(block, rlp, sizeof rlp, &len));
    ck_assert(field_length(json_object_get(root, "header"), &raw_len) && raw_len == len);
    ck_assert(field_bytes(json_object_get(root, "header"), raw, len));
    ck_assert_mem_eq(rlp, raw, len);
    keccak256(rlp, len, hash);
    ck_assert_mem_eq(hash, claim.hash, HASH_BYTES);

    ck_assert(!block_header(block, rlp, len - 1, &len)); /* does not fit */
    json_object_set_new(block, "withdrawalsRoot", json_null()); /* a gap between optional fields */
    ck_assert(!block_header(block, rlp, sizeof rlp, &len));
    json_object_del(block, "mixHash"); /* a required one */
    ck_assert(!block_header(block, rlp, sizeof rlp, &len));
    json_decref(root);
}
END_TEST

/* Proves the contract's slots the way proof.c does: 0 or the first error. */
static int prove(const uint8_t state_root[32], const json_t *slots, const struct light_proof *proof,
                 uint8_t (*values)[32])
{
    uint8_t address[ADDRESS_BYTES] = {[19] = 0xaa}, slot[32];
    struct mpt_account account;
    struct err e;
    int rc = mpt_account(state_root, address, proof->account.node, proof->account.n, &account, &e);
    for (size_t i = 0; !rc && i < proof->n_storage; i++) {
        ck_assert(field_bytes(json_array_get(slots, i), slot, 32));
        rc = mpt_storage(account.storage_root, slot, proof->storage[i].node, proof->storage[i].n, values[i], &e);
    }
    return rc;
}

static size_t flip_all(const uint8_t state_root[32], const json_t *slots, const struct light_proof *proof,
                       const struct light_nodes *nodes)
{
    uint8_t values[3][32];
    size_t flipped = 0;
    for (size_t n = 0; n < nodes->n; n++) {
        uint8_t *bytes = (uint8_t *)nodes->node[n].data; /* the test's own memory, const for readers */
        for (size_t i = 0; i < nodes->node[n].len; i++, flipped++) {
            bytes[i] ^= (uint8_t)(1u << i % 8);
            ck_assert_int_eq(prove(state_root, slots, proof, values), OL_EFORMAT);
            bytes[i] ^= (uint8_t)(1u << i % 8);
        }
    }
    return flipped;
}

START_TEST(every_byte_of_a_proof_counts)
{
    json_t *root = recorded(), *slots = json_object_get(root, "slots"), *said = json_object_get(root, "values");
    struct light_proof proof;
    uint8_t values[3][32], expected[32], state_root[32];
    struct err e;
    ck_assert(field_bytes(json_object_get(json_object_get(root, "block"), "stateRoot"), state_root, 32));
    ck_assert_int_eq(proof_from_json(json_object_get(root, "contract"), 3, &proof, &e), OL_OK);
    ck_assert_int_eq(prove(state_root, slots, &proof, values), OL_OK);
    for (size_t i = 0; i < 3; i++) {
        ck_assert(field_bytes(json_array_get(said, i), expected, 32));
        ck_assert_mem_eq(values[i], expected, 32);
    }
    size_t flipped = flip_all(state_root, slots, &proof, &proof.account);
    for (size_t i = 0; i < 3; i++)
        flipped += flip_all(state_root, slots, &proof, &proof.storage[i]);
    ck_assert_uint_gt(flipped, 1000);
    ck_assert_int_eq(prove(state_root, slots, &proof, values), OL_OK); /* and it is whole again */
    light_proof_deinit(&proof);
    json_decref(root);
}
END_TEST

START_TEST(proofs_of_another_shape)
{
    json_t *root = recorded(), *contract = json_object_get(root, "contract");
    struct light_proof proof;
    struct err e;
    ck_assert_int_eq(proof_from_json(contract, 2, &proof, &e), OL_EFORMAT);
    ck_assert_int_eq(proof_from_json(NULL, 0, &proof, &e), OL_EFORMAT);
    json_t *nodes = json_object_get(contract, "accountProof");
    json_array_append_new(nodes, json_string("0x1"));
    ck_assert_int_eq(proof_from_json(contract, 3, &proof, &e), OL_EFORMAT);
    json_array_set_new(nodes, json_array_size(nodes) - 1, json_string("0xzz"));
    ck_assert_int_eq(proof_from_json(contract, 3, &proof, &e), OL_EFORMAT);
    for (int i = 0; i < 64; i++)
        json_array_append_new(nodes, json_string("0x"));
    ck_assert_int_eq(proof_from_json(contract, 3, &proof, &e), OL_EFORMAT);
    json_decref(root);
}
END_TEST

START_TEST(numbers_and_bytes)
{
    static const char *const good[] = {"0x0", "0x1f", "0xFF", "0x00ff", "0xffffffffffffffff"};
    static const uint64_t values[] = {0, 31, 255, 255, UINT64_MAX};
    static const char *const bad[] = {"", "0x", "1f", "0x1g", "-0x1", "0x 1", "0x10000000000000000", "X1"};
    uint64_t n;
    wei_t wei;
    for (size_t i = 0; i < 5; i++) {
        json_t *j = json_string(good[i]);
        ck_assert(field_u64(j, &n) && n == values[i]);
        json_decref(j);
    }
    for (size_t i = 0; i < 8; i++) {
        json_t *j = json_string(bad[i]);
        ck_assert_msg(!field_u64(j, &n), "%s", bad[i]);
        json_decref(j);
    }
    ck_assert(!field_u64(NULL, &n) && !field_u64(json_true(), &n));
    json_t *most = json_quantity_wei(~(wei_t)0), *more = json_string("0x100000000000000000000000000000000");
    ck_assert(field_wei(most, &wei) && wei == ~(wei_t)0 && !field_wei(more, &wei));
    json_decref(most);
    json_decref(more);
}
END_TEST

START_TEST(envelopes)
{
    static const struct {
        const char *body;
        enum rpc_fault fault;
    } cases[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x1\"}", RPC_FINE},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":null}", RPC_FINE},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":null,\"error\":null}", RPC_FINE},
        {"{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":\"0x1\"}", RPC_WRONG_ID},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"7\",\"result\":\"0x1\"}", RPC_WRONG_ID},
        {"{\"jsonrpc\":\"2.0\",\"result\":\"0x1\"}", RPC_WRONG_ID},
        {"{\"jsonrpc\":\"1.0\",\"id\":7,\"result\":\"0x1\"}", RPC_MALFORMED},
        {"{\"jsonrpc\":\"2.0\",\"id\":7}", RPC_MALFORMED},
        {"[]", RPC_MALFORMED},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x1\",\"result\":\"0x2\"}", RPC_NOT_JSON},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x", RPC_TRUNCATED},
        {"", RPC_TRUNCATED},
        {"<html>", RPC_NOT_JSON},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32000,\"message\":\"no\"}}", RPC_REFUSED},
        /* anvil, where a revert's bytes happen to be UTF-8 */
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":3,\"message\":\"custom error: \\u0000k:n\"}}", RPC_REFUSED},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"no\"}}", RPC_REFUSED},
        {"{\"jsonrpc\":\"2.0\",\"id\":8,\"error\":{\"code\":-32000,\"message\":\"no\"}}", RPC_WRONG_ID},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"message\":\"no\"}}", RPC_MALFORMED},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32005,\"message\":\"Rate limit reached\"}}",
         RPC_RATE_LIMITED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rpc_answer a;
        answer_parse(cases[i].body, strlen(cases[i].body), 7, &a);
        ck_assert_msg(a.fault == cases[i].fault, "%s: %s", cases[i].body, rpc_fault_name(a.fault));
        ck_assert((a.fault == RPC_FINE) == (a.result != NULL));
        answer_deinit(&a);
    }
}
END_TEST

/* As the nodes' sources word them. */
START_TEST(wordings_of_refusals)
{
    static const struct {
        const char *message;
        enum send_class outcome;
    } cases[] = {
        {"already known", SEND_KNOWN},
        {"Known transaction", SEND_KNOWN},
        {"Transaction with the same hash was already imported.", SEND_KNOWN},
        {"transaction already imported", SEND_KNOWN},
        {"AlreadyKnown", SEND_KNOWN},
        {"existing tx with same hash", SEND_KNOWN},
        {"unknown transaction type: 9", SEND_INVALID},
        {"unknown transaction", SEND_OTHER},
        {"unknown account", SEND_OTHER},
        {"replacement transaction underpriced: new tx gas fee cap 1 <= 1 queued", SEND_REPLACEMENT_UNDERPRICED},
        {"Replacement transaction underpriced", SEND_REPLACEMENT_UNDERPRICED},
        {"ReplacementNotAllowed", SEND_REPLACEMENT_UNDERPRICED},
        {"could not replace existing tx", SEND_REPLACEMENT_UNDERPRICED},
        {"transaction underpriced: tip needed 1, tip permitted 0", SEND_UNDERPRICED},
        {"underpriced", SEND_UNDERPRICED},
        {"FeeTooLow, MaxFeePerGas too low", SEND_UNDERPRICED},
        {"fee too low", SEND_UNDERPRICED},
        {"Gas price below configured minimum gas price", SEND_UNDERPRICED},
        {"max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1, baseFee: 7", SEND_UNDERPRICED},
        {"nonce too low: next nonce 5, tx nonce 3", SEND_NONCE_LOW},
        {"Nonce too low", SEND_NONCE_LOW},
        {"OldNonce, Current nonce: 4, nonce of rejected tx: 3", SEND_NONCE_LOW},
        {"nonce too high: address 0x1, tx: 9 state: 3", SEND_NONCE_HIGH},
        {"Transaction nonce too distant from current sender nonce", SEND_NONCE_HIGH},
        {"NonceGap, Future nonce", SEND_NONCE_HIGH},
        {"insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1", SEND_NO_FUNDS},
        {"Insufficient funds for gas * price + value", SEND_NO_FUNDS},
        {"Upfront cost exceeds account balance (2 > 1)", SEND_NO_FUNDS},
        {"InsufficientFunds, Balance is 1", SEND_NO_FUNDS},
        {"intrinsic gas too low: gas 20000, minimum needed 21000", SEND_GAS_LIMIT},
        {"intrinsic gas too high -- tx.gas_limit > env.block.gas_limit", SEND_GAS_LIMIT},
        {"Intrinsic gas exceeds gas limit", SEND_GAS_LIMIT},
        {"insufficient gas for floor data gas cost: gas 1, minimum needed 2", SEND_GAS_LIMIT},
        {"exceeds block gas limit", SEND_GAS_LIMIT},
        {"transaction gas limit too high (cap: 16777216, tx: 20000000)", SEND_GAS_LIMIT},
        {"tx fee (1.20 ether) exceeds the configured cap (1.00 ether)", SEND_FEE_LIMIT},
        {"max priority fee per gas higher than max fee per gas", SEND_FEE_LIMIT},
        {"txpool is full", SEND_POOL_FULL},
        {"pending sub-pool is full", SEND_POOL_FULL},
        {"invalid chain id for signer: have 1 want 10", SEND_INVALID},
        {"invalid sender", SEND_INVALID},
        {"Failed to decode transaction", SEND_INVALID},
        {"something new", SEND_OTHER},
        {"", SEND_OTHER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(send_classify(-32000, cases[i].message) == cases[i].outcome, "%s: %s", cases[i].message,
                      send_class_name(send_classify(-32000, cases[i].message)));
    ck_assert_int_eq(send_classify(-32602, "Empty transaction data"), SEND_INVALID);
}
END_TEST

START_TEST(receipts)
{
    json_t *root = recorded(), *receipt = json_object_get(root, "receipt");
    struct tx_receipt r;
    uint8_t hash[HASH_BYTES], other[HASH_BYTES] = {0};
    ck_assert(field_bytes(json_object_get(receipt, "transactionHash"), hash, HASH_BYTES));
    ck_assert(receipt_from_json(receipt, hash, &r));
    ck_assert(r.where == TX_MINED && r.succeeded && r.gas_used == 21000 && !r.has_l1_fee && !r.has_contract);
    ck_assert(!receipt_from_json(receipt, other, &r));
    json_object_set_new(receipt, "l1Fee", json_string("0x2a"));
    ck_assert(receipt_from_json(receipt, hash, &r) && r.has_l1_fee && r.l1_fee_wei == 42);
    json_object_set_new(receipt, "status", json_string("0x2"));
    ck_assert(!receipt_from_json(receipt, hash, &r));
    json_decref(root);
}
END_TEST

START_TEST(floors_and_medians)
{
    static const uint8_t data[4] = {0, 0, 1, 2};
    wei_t odd[] = {9, 1, 5}, even[] = {4, 8, 2, 6}, one[] = {3};
    ck_assert_uint_eq(gas_floor(NULL, 0, false), 21000);
    ck_assert_uint_eq(gas_floor(data, 4, false), 21000 + 2 * 10 + 2 * 40);
    ck_assert_uint_eq(gas_floor(data, 4, true), 21000 + 32000 + 2 * 4 + 2 * 16 + 2);
    ck_assert(median_wei(odd, 3) == 5 && median_wei(even, 4) == 4 && median_wei(one, 1) == 3);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("light");
    TCase *t = tcase_create("light");
    tcase_add_test(t, header_from_fields);
    tcase_add_test(t, every_byte_of_a_proof_counts);
    tcase_add_test(t, proofs_of_another_shape);
    tcase_add_test(t, numbers_and_bytes);
    tcase_add_test(t, envelopes);
    tcase_add_test(t, wordings_of_refusals);
    tcase_add_test(t, receipts);
    tcase_add_test(t, floors_and_medians);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
