/* Each step of a settlement's checks (verify_settlement.c) by itself, with what it looks at changed and all before it as it
 * was: exactly its own reason is given. test_verify.c changes every field of the text and looks at the whole report, where
 * a change of one field fails several checks; here nothing but the step stands between the change and success. */
#include "chainlite/verify/verify_internal.h"
#include "unit/vectors.h"

static struct chain_file chain;
static struct secp *secp;
static struct bundle bundle, whole; /* whole: as it was read, and owner of all lists */
static struct verify_report report;
static struct verification v;

/* The recorded bundle of an adapter's answer, with what the checks before the settlement found. */
static void setup(void)
{
    struct err e = {0};
    ck_assert_int_eq(chain_file_load("./tests/unit/data/verify/submitted_chain.json", &chain, &e), 0);
    secp = secp_open((uint8_t[32]){1});
    json_t *root = vectors_load("tests/unit/data/verify/submitted_adapter.json");
    char *text = json_dumps(root, JSON_COMPACT);
    verify_bundle(text, strlen(text), &chain, secp, &bundle, &report);
    ck_assert_int_eq(verify_verdict(&report, &bundle), VERDICT_VALID);
    v = (struct verification){.bundle = &bundle, .chain = &chain, .secp = secp, .report = &report,
                              .settlement = chain_file_contract(&chain, "Settlement"),
                              .escrow = chain_file_contract(&chain, "Escrow")};
    ck_assert(check_header(&v, &e) == 0 && check_account(&v, &e) == 0 && check_storage(&v, &e) == 0);
    whole = bundle;
    free(text);
    json_decref(root);
}

static void teardown(void)
{
    schema_free(&bundle_schema, &whole);
    schema_free(&chain_file_schema, &chain);
    secp_close(secp);
}

/* ---- one datum each */

#define SETTLEMENT (&bundle.settlement)
#define POSTING(i) (((struct bundle_posting *)bundle.settlement.postings.at)[i].posting)

static void nothing(void) {}
static void other_node(void) { SETTLEMENT->batch.node[0] ^= 1; }
static void other_epoch(void) { SETTLEMENT->batch.epoch++; }
static void index_beyond(void) { SETTLEMENT->batch.count = SETTLEMENT->index; }
static void before_first(void) { SETTLEMENT->batch.first_sequence = bundle.proof.sequence + 1; }
static void other_place(void) { SETTLEMENT->index++; }
static void settled_less(void) { SETTLEMENT->settled_wei--; }
static void settled_nothing(void) { SETTLEMENT->settled_wei = 0; }
static void other_receipt(void) { bundle.proof.decode_ms++; }
static void receipts_root(void) { SETTLEMENT->batch.receipts_root[31] ^= 1; }
static void settled_total(void) { SETTLEMENT->batch.settled_total_wei++; }
static void receipt_sibling(void) { ((struct sumnode *)SETTLEMENT->receipt_path.at)->hash[0] ^= 1; }
static void receipt_sibling_sum(void) { ((struct sumnode *)SETTLEMENT->receipt_path.at)->sum_wei++; }
static void receipt_path_short(void) { SETTLEMENT->receipt_path.n--; }
static void posting_role(void) { POSTING(0).role = ROLE_NODE; }
static void posting_amount(void) { POSTING(1).amount_wei++; }
static void posting_sequence(void) { POSTING(2).sequence++; }
static void posting_beneficiary(void) { POSTING(3).beneficiary[0] ^= 1; }
static void posting_missing(void) { SETTLEMENT->postings.n--; }
static void posting_index(void) { ((struct bundle_posting *)SETTLEMENT->postings.at)->index ^= 1; }
static void postings_root(void) { SETTLEMENT->batch.postings_root[0] ^= 1; }
static void postings_total(void) { SETTLEMENT->batch.postings_total_wei--; }
static void header_byte(void) { SETTLEMENT->block_header.at[40] ^= 1; }
static void block_hash(void) { SETTLEMENT->block_hash[31] ^= 1; }
static void header_short(void) { SETTLEMENT->block_header.n--; }
static void state_root(void) { v.header.state_root[0] ^= 1; }
static void other_contract(void) { v.settlement = v.escrow; }
static void account_node(void) { SETTLEMENT->account_proof.n--; }
static void storage_root(void) { v.contract.storage_root[5] ^= 1; }
static void storage_node(void) { SETTLEMENT->storage_proof.n--; }
static void storage_of_other_number(void) { SETTLEMENT->batch.number += 7; }
static void slot_empty(void) { memset(v.slot_value, 0, sizeof v.slot_value); }
static void slot_other(void) { v.slot_value[31] ^= 1; }
static void claims_hash(void) { SETTLEMENT->batch.claims_hash[0] ^= 1; }
static void submitted_at(void) { SETTLEMENT->batch.submitted_at++; }

static const struct step {
    int (*check)(struct verification *, struct err *);
    void (*change)(void);
    const char *reason; /* part of it; NULL: it holds */
} steps[] = {
    {check_position, nothing, NULL},
    {check_position, other_node, "the batch is another node's"},
    {check_position, other_epoch, "the batch is of another epoch"},
    {check_position, index_beyond, "not the receipt's place"},
    {check_position, before_first, "not the receipt's place"},
    {check_position, other_place, "not the receipt's place"},
    {check_position, settled_less, "whole or not at all"},
    {check_position, settled_nothing, NULL}, /* it may; the tree says whether it did */
    {check_receipt_path, nothing, NULL},
    {check_receipt_path, settled_nothing, "root and its total"},
    {check_receipt_path, other_receipt, "root"},
    {check_receipt_path, receipts_root, "root"},
    {check_receipt_path, settled_total, "root and its total"},
    {check_receipt_path, receipt_sibling, "root"},
    {check_receipt_path, receipt_sibling_sum, "root and its total"},
    {check_receipt_path, receipt_path_short, "ends after"},
    {check_receipt_path, other_place, ""},
    {check_postings, nothing, NULL},
    {check_postings, posting_role, "posting 1: is not the part"},
    {check_postings, posting_amount, "posting 2: is not the part"},
    {check_postings, posting_sequence, "posting 3: is not the part"},
    {check_postings, posting_beneficiary, "posting 4: is not the part"},
    {check_postings, posting_missing, "is missing"},
    {check_postings, settled_nothing, "the receipt has 0 in its batch"},
    {check_postings, posting_index, "posting 1: "},
    {check_postings, postings_root, "posting 1: "},
    {check_postings, postings_total, "posting 1: "},
    {check_header, nothing, NULL},
    {check_header, header_byte, "not the hash of block_header"},
    {check_header, block_hash, "not the hash of block_header"},
    {check_header, header_short, ""},
    {check_account, nothing, NULL},
    {check_account, state_root, ""},
    {check_account, other_contract, ""},
    {check_account, account_node, ""},
    {check_storage, nothing, NULL},
    {check_storage, storage_root, ""},
    {check_storage, storage_node, ""},
    {check_storage, storage_of_other_number, ""},
    {check_batch, nothing, NULL},
    {check_batch, slot_empty, "never submitted, or it is void"},
    {check_batch, slot_other, "another batch under this number"},
    {check_batch, claims_hash, "another batch under this number"},
    {check_batch, submitted_at, "another batch under this number"},
};

START_TEST(test_steps)
{
    const struct step *s = &steps[_i];
    struct err e = {0};
    s->change();
    int rc = s->check(&v, &e);
    ck_assert_msg((rc == 0) == (s->reason == NULL), "step %d: %d %s", _i, rc, e.message);
    ck_assert_msg(!s->reason || strstr(e.message, s->reason), "step %d: \"%s\" is not \"%s\"", _i, e.message, s->reason);
}
END_TEST

/* A block in which the contract is not there yet, and a proof that it is not. */
START_TEST(test_absent_contract)
{
    json_t *light = vectors_load("tests/unit/data/light.json"), *absent = json_object_get(light, "absent"), *node;
    struct err e = {0};
    struct list proof = bundle.settlement.account_proof;
    struct bytes header = bytes_of_hex(text_at(light, "header") + 2), nodes[BUNDLE_MAX_NODES], address;
    struct node_element elements[BUNDLE_MAX_NODES];
    size_t i;
    address = bytes_of_hex(text_at(absent, "address") + 2);
    json_array_foreach(json_object_get(absent, "accountProof"), i, node) {
        nodes[i] = bytes_of_hex(json_string_value(node) + 2);
        elements[i].rlp = (struct byte_string){nodes[i].data, nodes[i].len};
    }
    ck_assert_int_eq(header_parse(header.data, header.len, &(struct header_rules){0}, &v.header, &e), 0);
    bundle.settlement.account_proof = (struct list){elements, i};
    v.settlement = address.data;
    ck_assert_int_ne(check_account(&v, &e), 0);
    ck_assert_msg(strstr(e.message, "is not there in this block"), "%s", e.message);
    bundle.settlement.account_proof = proof;
    while (i-- > 0)
        free(nodes[i].data);
    free(header.data);
    free(address.data);
    json_decref(light);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verify_steps");
    TCase *t = tcase_create("verify_steps");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_steps, 0, sizeof steps / sizeof *steps);
    tcase_add_test(t, test_absent_contract);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
