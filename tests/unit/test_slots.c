/* Storage slots against chainlite/contracts/layout.json, which is the compiler's own account of the contracts. */
#include "chainlite/core/batch.h"
#include "unit/vectors.h"

static const uint8_t a[ADDRESS_BYTES] = {1, 2, 3}, b[ADDRESS_BYTES] = {4, 5, 6}, id[32] = {7, 8, 9};

static const json_t *variable(const json_t *layout, const char *contract, const char *name, const char *type)
{
    const json_t *v = json_object_get(json_object_get(layout, contract), name);
    ck_assert_msg(v != NULL, "%s.%s is not in the layout", contract, name);
    ck_assert_str_eq(text_at(v, "type"), type);
    return v;
}

/* keccak(key || slot), key by key. */
static void expect(const json_t *v, const uint8_t (*keys)[32], size_t n, unsigned word, const uint8_t ours[32])
{
    uint8_t text[64], slot[32];
    wei_to_be32((wei_t)json_integer_value(json_object_get(v, "slot")), slot);
    for (size_t i = 0; i < n; i++) {
        memcpy(text, keys[i], 32);
        memcpy(text + 32, slot, 32);
        keccak256(text, sizeof text, slot);
    }
    ck_assert_uint_lt(slot[31] + word, 256); /* no carry with these keys */
    slot[31] = (uint8_t)(slot[31] + word);
    ck_assert_mem_eq(slot, ours, 32);
}

static void member_at(const json_t *v, const char *name, int slot, int offset, int bytes)
{
    json_t *member;
    size_t i;
    json_array_foreach(json_object_get(v, "members"), i, member)
        if (strcmp(text_at(member, "name"), name) == 0) {
            ck_assert_int_eq(json_integer_value(json_object_get(member, "slot")), slot);
            ck_assert_int_eq(json_integer_value(json_object_get(member, "offset")), offset);
            ck_assert_int_eq(json_integer_value(json_object_get(member, "bytes")), bytes);
            return;
        }
    ck_abort_msg("no member %s", name);
}

START_TEST(test_layout)
{
    json_t *layout = vectors_load("chainlite/contracts/layout.json");
    uint8_t keys[2][32] = {{0}}, slot[32];
    memcpy(keys[0] + 12, a, sizeof a);
    keys[1][24] = 0x12;
    keys[1][31] = 0x34;
    slot_clock_pauses(slot);
    const json_t *pauses = variable(layout, "Clock", "_pauses", "struct Clock.Pauses");
    expect(pauses, NULL, 0, 0, slot);
    member_at(pauses, "elapsed", 0, 0, 8);
    member_at(pauses, "start", 0, 8, 8);
    member_at(pauses, "end", 0, 16, 8);

    slot_batch(a, 0x1200000000000034, slot);
    expect(variable(layout, "Settlement", "_batches", "mapping(address => mapping(uint64 => bytes32))"),
           (const uint8_t(*)[32])keys, 2, 0, slot);

    memset(keys[1], 0, 32);
    memcpy(keys[1] + 12, b, sizeof b);
    slot_escrow_account(a, b, slot);
    const json_t *accounts = variable(layout, "Escrow", "_accounts",
                                      "mapping(address => mapping(address => struct Escrow.Account))");
    expect(accounts, (const uint8_t(*)[32])keys, 2, 0, slot);
    member_at(accounts, "balance", 0, 0, 16);
    member_at(accounts, "claimed", 0, 16, 16);
    slot_escrow_signer(a, b, slot);
    expect(variable(layout, "Escrow", "_signers", "mapping(address => mapping(address => uint64))"),
           (const uint8_t(*)[32])keys, 2, 0, slot);

    slot_registered(id, slot);
    expect(variable(layout, "Registry", "_registeredAt", "mapping(bytes32 => uint64)"), &id, 1, 0, slot);

    slot_escrow_refunds(b, slot);
    expect(variable(layout, "Escrow", "_refunds", "mapping(address => struct Escrow.Refund[])"),
           (const uint8_t(*)[32])&keys[1], 1, 0, slot);
    uint8_t first[32], third[32];
    keccak256(slot, sizeof slot, first); /* elements of two words stand from there on */
    slot_escrow_refund(b, 0, 0, slot);
    ck_assert_mem_eq(slot, first, 32);
    slot_escrow_refund(b, 2, 1, third);
    wei_t low = wei_from_be16(first + 16) + 5; /* no carry out of the lower half with this key */
    ck_assert(wei_from_be16(third + 16) == low && low > 5);
    ck_assert_mem_eq(third, first, 16);

    slot_payout(b, slot);
    expect(variable(layout, "Rewards", "_payouts", "mapping(address => address)"), (const uint8_t(*)[32])&keys[1], 1, 0,
           slot);
    uint8_t paid[3][32] = {{0}};
    memcpy(paid[0] + 12, a, sizeof a);
    paid[1][30] = 0x12, paid[1][31] = 0x34;
    memcpy(paid[2] + 12, b, sizeof b);
    slot_claimed(a, 0x1234, b, slot);
    expect(variable(layout, "Rewards", "_claimed", "mapping(address => mapping(uint64 => mapping(address => uint128)))"),
           (const uint8_t(*)[32])paid, 3, 0, slot);
    json_decref(layout);
}
END_TEST

/* Structs of several words; members as batch.h says. */
START_TEST(test_nodes)
{
    json_t *layout = vectors_load("chainlite/contracts/layout.json");
    uint8_t key[1][32] = {{0}}, slot[32];
    memcpy(key[0] + 12, a, sizeof a);
    const json_t *nodes = variable(layout, "Settlement", "_nodes", "mapping(address => struct Settlement.Node)");
    const json_t *collections = variable(layout, "Escrow", "_nodes", "mapping(address => struct Escrow.Collection)");
    for (unsigned word = 0; word < 2; word++) {
        slot_settlement_node(a, word, slot);
        expect(nodes, (const uint8_t(*)[32])key, 1, word, slot);
        slot_escrow_node(a, word, slot);
        expect(collections, (const uint8_t(*)[32])key, 1, word, slot);
    }
    member_at(nodes, "epoch", 0, 0, 8);
    member_at(nodes, "last", 0, 8, 8);
    member_at(nodes, "finalised", 0, 16, 8);
    member_at(nodes, "bond", 1, 0, 16);
    member_at(nodes, "finalisedCumulative", 1, 16, 16);
    member_at(collections, "collected", 0, 0, 16);
    member_at(collections, "unbatchedSince", 0, 16, 8);
    member_at(collections, "claimsHash", 1, 0, 32);
    json_decref(layout);
}
END_TEST

int main(void) { return RUN_SUITE("slots", test_layout, test_nodes); }
