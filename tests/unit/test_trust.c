/* Trust above a quorum without an L1: gossiped blocks signed by the sequencer or by somebody else, games that claim a
 * block alone or among other chains. tests/fault/test_trust.py has the parts that read an L1. */
#include "unit/chain_json.h"
#include "chainlite/core/payload.h"
#include "chainlite/rpc/trust.h"

enum { SIGNED_AT = 65 };

static const uint8_t secret[SECRET_BYTES] = {[31] = 7};
static json_t *root;
static struct secp *secp;
static uint8_t message[1 << 16];
static struct trust_anchors anchors;
static uint8_t sequencer[ADDRESS_BYTES];

/* The recorded block as its sequencer would gossip it: r || s || parity || payload. */
static size_t gossip(const json_t *block, uint64_t chain_id)
{
    uint8_t digest[HASH_BYTES], signature[SIGNATURE_BYTES];
    size_t len = payload_of_json(block, message + SIGNED_AT, sizeof message - SIGNED_AT);
    payload_signing_hash(chain_id, message + SIGNED_AT, len, digest);
    ck_assert_int_eq(secp_sign(secp, secret, digest, signature, NULL), OL_OK);
    memcpy(message, signature, SIGNED_AT);
    message[SIGNED_AT - 1] = (uint8_t)(signature[SIGNED_AT - 1] - 27);
    return SIGNED_AT + len;
}

static const json_t *recorded_block(void)
{
    return json_object_get(json_object_get(root, "blocks"), "Unichain Sepolia 35535698");
}

static void open_all(void)
{
    static const uint8_t random[32] = {1};
    root = json_load_file("tests/unit/data/payloads.json", 0, NULL);
    ck_assert_ptr_nonnull(root);
    secp = secp_open(random);
    ck_assert_int_eq(secp_address(secp, secret, sequencer, NULL), OL_OK);
    memset(&anchors, 0, sizeof anchors);
    anchors.l2_chain_id = 1301;
    anchors.l2_rules = (struct header_rules){.op_stack = true};
    for (int f = FORK_ISTHMUS + 1; f < FORK_COUNT; f++)
        anchors.l2_rules.fork_time[f] = UINT64_MAX;
}

static void close_all(void)
{
    secp_close(secp);
    json_decref(root);
}

START_TEST(signed_by_the_sequencer)
{
    const json_t *block = recorded_block();
    struct light_head head;
    struct err e = {0};
    uint64_t time = quantity_at(block, "timestamp");
    size_t n = gossip(block, 1301);
    ck_assert_msg(!trust_signed(&anchors, secp, sequencer, message, n, time + 2, &head, &e), "%s", e.message);
    ck_assert_hex(head.hash, 32, text_at(block, "hash"));
    ck_assert_hex(head.state_root, 32, text_at(block, "stateRoot"));
    ck_assert(head.trust == TRUST_SIGNED && head.number == quantity_at(block, "number") && head.timestamp == time);
    uint8_t hash[HASH_BYTES];
    keccak256(head.rlp, head.rlp_len, hash);
    ck_assert_mem_eq(hash, head.hash, HASH_BYTES);

    ck_assert_int_eq(trust_signed(&anchors, secp, sequencer, message, n, time + 61, &head, &e), OL_EFORMAT);
    ck_assert_int_eq(trust_signed(&anchors, secp, sequencer, message, n, time - 6, &head, &e), OL_EFORMAT);
    uint8_t other[ADDRESS_BYTES] = {9};
    ck_assert_int_eq(trust_signed(&anchors, secp, other, message, n, time + 2, &head, &e), OL_EFORMAT);
    ck_assert_ptr_nonnull(strstr(e.message, "sequencer"));
    gossip(block, 1302); /* a signature for another chain is somebody else's here */
    ck_assert_int_eq(trust_signed(&anchors, secp, sequencer, message, n, time + 2, &head, &e), OL_EFORMAT);
}
END_TEST

START_TEST(every_byte_of_a_message_counts)
{
    const json_t *block = recorded_block();
    struct light_head head;
    uint64_t time = quantity_at(block, "timestamp");
    size_t n = gossip(block, 1301);
    for (size_t i = 0; i < n; i += i < 700 ? 1 : 13) { /* a recovery costs a tenth of a millisecond */
        message[i] ^= 1;
        ck_assert_msg(trust_signed(&anchors, secp, sequencer, message, n, time + 2, &head, NULL) < 0, "byte %zu", i);
        message[i] ^= 1;
    }
}
END_TEST

static struct light_head head_of_block(void)
{
    const json_t *block = recorded_block();
    struct light_head head;
    size_t n = gossip(block, 1301);
    ck_assert_int_eq(trust_signed(&anchors, secp, sequencer, message, n, quantity_at(block, "timestamp"), &head, NULL), 0);
    head.trust = TRUST_QUORUM;
    return head;
}

START_TEST(a_game_raises_its_own_block_only)
{
    struct light_head head = head_of_block();
    struct trust_game game = {.sequence = head.number, .verdict = DISPUTE_PROPOSED, .why = ""};
    output_root_v0(head.state_root, head.withdrawals_root, head.hash, game.root);
    ck_assert_int_eq(trust_raise(&anchors, &game, NULL, 0, &head, NULL), OL_OK);
    ck_assert_int_eq(head.trust, TRUST_PROPOSED);
    game.verdict = DISPUTE_ANCHORED;
    ck_assert_int_eq(trust_raise(&anchors, &game, NULL, 0, &head, NULL), OL_OK);
    ck_assert_int_eq(head.trust, TRUST_ANCHORED);
    game.verdict = DISPUTE_PROPOSED; /* never lowers */
    ck_assert_int_eq(trust_raise(&anchors, &game, NULL, 0, &head, NULL), OL_OK);
    ck_assert_int_eq(head.trust, TRUST_ANCHORED);

    head.trust = TRUST_QUORUM;
    game.verdict = DISPUTE_REFUSED;
    ck_assert_int_eq(trust_raise(&anchors, &game, NULL, 0, &head, NULL), OL_EFORMAT);
    game.verdict = DISPUTE_ANCHORED;
    game.sequence++;
    ck_assert_int_eq(trust_raise(&anchors, &game, NULL, 0, &head, NULL), OL_EFORMAT);
    game.sequence--;
    game.root[5] ^= 1;
    ck_assert_int_eq(trust_raise(&anchors, &game, NULL, 0, &head, NULL), OL_EFORMAT);
    ck_assert_int_eq(head.trust, TRUST_QUORUM);
}
END_TEST

START_TEST(a_super_root_raises_one_of_its_blocks)
{
    struct light_head head = head_of_block();
    struct super_chain chains[2] = {{.chain_id = 10}, {.chain_id = 1301}};
    struct trust_game game = {.sequence = head.timestamp + 1, .verdict = DISPUTE_ANCHORED, .why = ""};
    output_root_v0(head.state_root, head.withdrawals_root, head.hash, chains[1].output_root);
    ck_assert_int_eq(super_root_v1(game.sequence, chains, 2, game.root, NULL), OL_OK);
    ck_assert_int_eq(trust_raise(&anchors, &game, NULL, 0, &head, NULL), OL_EFORMAT); /* not an output root */
    ck_assert_int_eq(trust_raise(&anchors, &game, chains, 1, &head, NULL), OL_EFORMAT);
    chains[0].output_root[0] ^= 1; /* another chain's root is wrong */
    ck_assert_int_eq(trust_raise(&anchors, &game, chains, 2, &head, NULL), OL_EFORMAT);
    chains[0].output_root[0] ^= 1;
    anchors.l2_chain_id = 10; /* our root is there, under another chain's id */
    ck_assert_int_eq(trust_raise(&anchors, &game, chains, 2, &head, NULL), OL_EFORMAT);
    anchors.l2_chain_id = 1301;
    ck_assert_int_eq(head.trust, TRUST_QUORUM);
    ck_assert_int_eq(trust_raise(&anchors, &game, chains, 2, &head, NULL), OL_OK);
    ck_assert_int_eq(head.trust, TRUST_ANCHORED);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("trust");
    TCase *t = tcase_create("trust");
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, signed_by_the_sequencer);
    tcase_add_test(t, every_byte_of_a_message_counts);
    tcase_add_test(t, a_game_raises_its_own_block_only);
    tcase_add_test(t, a_super_root_raises_one_of_its_blocks);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
