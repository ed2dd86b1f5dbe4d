/* Headers: real ones of public chains must give their hash, under their fork's rules only. */
#include "unit/chain_json.h"

static const struct {
    const char *name;
    enum header_fork fork;
} recorded[] = {{"Base 29139628 (Holocene)", FORK_HOLOCENE},
                {"MegaETH 11603812 (Isthmus)", FORK_ISTHMUS},
                {"Base 50543793 (Jovian)", FORK_JOVIAN}};
enum { RECORDED = sizeof recorded / sizeof *recorded };

static json_t *root;

START_TEST(test_recorded)
{
    for (int i = 0; i < RECORDED; i++) {
        const json_t *block = json_object_get(root, recorded[i].name);
        uint8_t rlp[1024];
        struct header h;
        struct err e = {0};
        size_t len = header_of_json(block, rlp, sizeof rlp);
        for (int fork = 0; fork < FORK_COUNT; fork++) {
            struct header_rules rules = rules_at((enum header_fork)fork);
            int rc = header_parse(rlp, len, &rules, &h, &e);
            bool right = fork == (int)recorded[i].fork || /* what the fork table cannot tell apart */
                         (fork == FORK_KARST && recorded[i].fork == FORK_JOVIAN) ||
                         (fork == FORK_ECOTONE && recorded[i].fork == FORK_HOLOCENE);
            ck_assert_msg(rc == (right ? 0 : OL_EFORMAT), "%s as %s: %d %s", recorded[i].name,
                          header_fork_name((enum header_fork)fork), rc, e.message);
        }
        struct header_rules plain = {0}, rules = rules_at(recorded[i].fork);
        ck_assert_int_eq(header_parse(rlp, len, &plain, &h, NULL), 0);
        ck_assert_int_eq(header_parse(rlp, len, &rules, &h, NULL), 0);
        ck_assert_hex(h.hash, 32, text_at(block, "hash"));
        ck_assert_hex(h.state_root, 32, text_at(block, "stateRoot"));
        ck_assert_hex(h.parent_hash, 32, text_at(block, "parentHash"));
        ck_assert_hex(h.transactions_root, 32, text_at(block, "transactionsRoot"));
        ck_assert_hex(h.receipts_root, 32, text_at(block, "receiptsRoot"));
        ck_assert_hex(h.withdrawals_root, 32, text_at(block, "withdrawalsRoot"));
        ck_assert_hex(h.extra, h.extra_len, text_at(block, "extraData"));
        ck_assert(h.number == quantity_at(block, "number") && h.timestamp == quantity_at(block, "timestamp"));
        ck_assert(h.gas_limit == quantity_at(block, "gasLimit") && h.gas_used == quantity_at(block, "gasUsed"));
        ck_assert(h.base_fee_wei == quantity_at(block, "baseFeePerGas") && h.has_withdrawals_root);
        ck_assert(h.blob_gas_used == quantity_at(block, "blobGasUsed"));
    }
}
END_TEST

/* A byte changed, or the end missing: refused, or another hash. */
START_TEST(test_changed)
{
    for (int i = 0; i < RECORDED; i++) {
        uint8_t rlp[1024], hash[32];
        struct header h;
        struct header_rules rules = rules_at(recorded[i].fork);
        size_t len = header_of_json(json_object_get(root, recorded[i].name), rlp, sizeof rlp);
        ck_assert_int_eq(header_parse(rlp, len, &rules, &h, NULL), 0);
        memcpy(hash, h.hash, 32);
        for (size_t at = 0; at < len; at++) {
            rlp[at] ^= 0x01;
            ck_assert(header_parse(rlp, len, &rules, &h, NULL) != 0 || memcmp(h.hash, hash, 32) != 0);
            rlp[at] ^= 0x01;
            ck_assert_int_eq(header_parse(rlp, at, &rules, &h, NULL), OL_EFORMAT);
        }
    }
}
END_TEST

static int parse_with(const char *name, enum header_fork fork, const char *key, const char *value, struct err *e)
{
    json_t *block = json_deep_copy(json_object_get(root, name));
    uint8_t rlp[1024];
    struct header h;
    struct header_rules rules = rules_at(fork);
    if (value)
        json_object_set_new(block, key, json_string(value));
    else
        json_object_del(block, key);
    size_t len = header_of_json(block, rlp, sizeof rlp);
    json_decref(block);
    return header_parse(rlp, len, &rules, &h, e);
}

START_TEST(test_fork_contents)
{
    static const char hash[] = "0x1111111111111111111111111111111111111111111111111111111111111111";
    static const struct {
        int recorded;
        const char *key, *value; /* NULL: the field is missing */
    } wrong[] = {{0, "sha3Uncles", hash},
                 {0, "difficulty", "0x1"},
                 {0, "nonce", "0x0000000000000001"},
                 {0, "withdrawalsRoot", hash},
                 {0, "blobGasUsed", "0x1"},
                 {0, "excessBlobGas", "0x1"},
                 {0, "extraData", "0x00000000fa000000"},
                 {0, "extraData", "0x00000000fa0000000201"},
                 {0, "extraData", "0x01000000fa00000002"},
                 {0, "extraData", "0x000000000000000002"},
                 {0, "extraData", "0x00000000fa00000000"},
                 {0, "requestsHash", hash},
                 {0, "parentBeaconBlockRoot", NULL},
                 {0, "stateRoot", "0x11"},
                 {1, "requestsHash", hash},
                 {1, "requestsHash", NULL},
                 {1, "blobGasUsed", "0x1"},
                 {2, "extraData", "0x000000006400000005"},
                 {2, "extraData", "0x00000000640000000500000000004c4b40"},
                 {2, "extraData", "0x01000000000000000500000000004c4b40"},
                 {2, "excessBlobGas", "0x1"}};
    struct err e;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int r = wrong[i].recorded;
        ck_assert_msg(parse_with(recorded[r].name, recorded[r].fork, wrong[i].key, wrong[i].value, &e) == OL_EFORMAT,
                      "%s of %s may be %s", wrong[i].key, recorded[r].name, wrong[i].value);
        ck_assert_msg(!wrong[i].value || strstr(e.message, wrong[i].key) || strstr(e.message, "fields"), "%s",
                      e.message);
    }
    ck_assert_int_eq(parse_with(recorded[1].name, FORK_ISTHMUS, "withdrawalsRoot", hash, &e), 0);
    ck_assert_int_eq(parse_with(recorded[2].name, FORK_JOVIAN, "blobGasUsed", "0x7", &e), 0);
}
END_TEST

START_TEST(test_fork_times)
{
    struct header_rules rules = {true, {0, 10, 20, 30, 40, UINT64_MAX, UINT64_MAX}};
    ck_assert_int_eq(header_fork_at(&rules, 0), FORK_BEDROCK);
    ck_assert_int_eq(header_fork_at(&rules, 9), FORK_BEDROCK);
    ck_assert_int_eq(header_fork_at(&rules, 10), FORK_CANYON);
    ck_assert_int_eq(header_fork_at(&rules, 39), FORK_HOLOCENE);
    ck_assert_int_eq(header_fork_at(&rules, 40), FORK_ISTHMUS);
    ck_assert_int_eq(header_fork_at(&rules, UINT64_MAX), FORK_ISTHMUS);
    ck_assert_str_eq(header_fork_name(FORK_KARST), "Karst");
}
END_TEST

int main(void)
{
    root = json_load_file("tests/unit/data/headers.json", 0, NULL);
    int rc = RUN_SUITE("header", test_recorded, test_changed, test_fork_contents, test_fork_times);
    json_decref(root);
    return rc;
}
