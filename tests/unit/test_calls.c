/* Call data of every contract call against viem's encodings (tests/unit/data/calls/make.cjs), and revert reasons. */
#include "unit/vectors.h"
#include "chainlite/calls/calls.h"

static uint8_t room[8192];
static json_t *vectors;

static const uint8_t *word(int i)
{
    static uint8_t bytes[64][32];
    static int next;
    uint8_t *w = bytes[next++ % 64];
    memset(w, i, 32);
    return w;
}

static wei_t amount(int i) { return ((wei_t)1 << 100) + (wei_t)i; }

/* Every field of a struct of words, counting upwards from `start`, as make.cjs does. */
static void fill(const struct schema *schema, void *object, int start)
{
    memset(object, 0, schema->bytes);
    for (size_t i = 0; i < schema->n; i++, start++) {
        const struct field *f = &schema->field[i];
        uint8_t *at = (uint8_t *)object + f->offset;
        uint32_t u32 = (uint32_t)start;
        uint64_t u64 = (uint64_t)start;
        wei_t wei = amount(start);
        switch (f->type) {
        case FIELD_HASH: memcpy(at, word(start), 32); break;
        case FIELD_ADDRESS: memcpy(at, word(start), ADDRESS_BYTES); break;
        case FIELD_U8: *at = (uint8_t)start; break;
        case FIELD_U32: memcpy(at, &u32, sizeof u32); break;
        case FIELD_U64: memcpy(at, &u64, sizeof u64); break;
        case FIELD_WEI: memcpy(at, &wei, sizeof wei); break;
        default: ck_abort_msg("a field of another type");
        }
    }
}

static struct abi_writer start(void)
{
    struct abi_writer w;
    abi_writer_init(&w, room, sizeof room);
    return w;
}

static void same(const char *name, const struct abi_writer *w)
{
    ck_assert_msg(!w->failed, "%s does not fit", name);
    ck_assert_hex(room, w->len, text_at(json_object_get(vectors, "calls"), name));
}

#define SAME(name, call, ...)                                                                                          \
    do {                                                                                                               \
        struct abi_writer w_ = start();                                                                                \
        call(&w_, ##__VA_ARGS__);                                                                                      \
        same(name, &w_);                                                                                               \
    } while (0)

static void make_claims(struct claim *claims, int n)
{
    for (int i = 0; i < n; i++) {
        memcpy(claims[i].payer, word(1 + i), ADDRESS_BYTES);
        claims[i].amount_wei = amount(2 + i);
        claims[i].ceiling_wei = amount(3 + i);
        memcpy(claims[i].request_hash, word(4 + i), 32);
        memset(claims[i].signature, 5 + i, SIGNATURE_BYTES);
    }
}

START_TEST(test_escrow)
{
    struct claim claims[3];
    uint8_t pairs[72];
    make_claims(claims, 3);
    memset(pairs, 4, sizeof pairs);
    SAME("claim_0", call_escrow_claim, claims, 0);
    SAME("claim_1", call_escrow_claim, claims, 1);
    SAME("claim_3", call_escrow_claim, claims, 3);
    SAME("deposit", call_escrow_deposit, word(1), word(2), amount(3));
    SAME("deposit_native", call_escrow_deposit_native, word(1), word(2));
    SAME("thaw", call_escrow_thaw, word(1), amount(2));
    SAME("withdraw", call_escrow_withdraw, word(1));
    SAME("authorise", call_escrow_authorise, word(1));
    SAME("revoke", call_escrow_revoke, word(1));
    SAME("refund", call_escrow_refund, word(1), 2, word(3), pairs, sizeof pairs);
}
END_TEST

START_TEST(test_settlement_and_rewards)
{
    struct batch batch, other;
    struct row_split split;
    fill(&batch_schema, &batch, 10);
    fill(&batch_schema, &other, 40);
    fill(&split_schema, &split, 70);
    SAME("submit", call_settlement_submit, &batch, &other);
    SAME("finalise", call_settlement_finalise, &batch);
    SAME("open_epoch", call_settlement_open_epoch, word(1), &batch);
    SAME("refund_overdue", call_settlement_refund_overdue, word(1), &batch);
    SAME("bond", call_settlement_bond, word(1), amount(2));
    SAME("unbond", call_settlement_unbond, word(1), amount(2));
    SAME("withdraw_bond", call_settlement_withdraw_bond, word(1));
    SAME("offer_node", call_settlement_offer_node, word(1), word(2));
    SAME("accept_node", call_settlement_accept_node, word(1));

    struct credit credit = {.cumulative_wei = amount(2)};
    struct sumpath path = {.depth = 3};
    memcpy(credit.beneficiary, word(1), ADDRESS_BYTES);
    for (int i = 0; i < 3; i++) {
        memcpy(path.node[i].hash, word(1 + i), 32);
        path.node[i].sum_wei = amount(1 + i);
    }
    SAME("rewards_claim", call_rewards_claim, &batch, &credit, 7, &path);
    SAME("set_payout", call_rewards_set_payout, word(1));
    SAME("sweep", call_rewards_sweep, &batch, &other, &split);
    SAME("asset_deposit", call_asset_deposit);
    SAME("approve", call_asset_approve, word(1), amount(2));
    SAME("transfer", call_asset_transfer, word(1), amount(2));
}
END_TEST

START_TEST(test_registry)
{
    struct row_version version;
    struct row_price price;
    struct row_split split;
    uint8_t parents[2][32], roots[1][32];
    fill(&version_schema, &version, 20);
    fill(&price_schema, &price, 20);
    fill(&split_schema, &split, 70);
    memset(parents[0], 1, 32);
    memset(parents[1], 2, 32);
    memset(roots[0], 3, 32);
    SAME("create_item", call_registry_create_item, ITEM_ADAPTER, "a name of more than thirty-two bytes");
    SAME("publish_version", call_registry_publish_version, &version, (const uint8_t(*)[32])parents, 2,
         (const uint8_t(*)[32])roots, 1, word(4), "ipfs://x");
    SAME("publish_price", call_registry_publish_price, &price);
    SAME("publish_split", call_registry_publish_split, &split);
    SAME("set_current", call_registry_set_current, word(1), 2);
    SAME("freeze", call_registry_freeze, word(1));
    SAME("activate", call_registry_activate, word(1));
    SAME("redirect", call_registry_redirect, word(1), word(2));
    SAME("offer_item", call_registry_offer_item, word(1), word(2));
    SAME("accept_item", call_registry_accept_item, word(1));
}
END_TEST

/* The stated room is enough, a byte less is noticed and nothing is written beyond it. */
START_TEST(test_room)
{
    struct claim claims[3];
    make_claims(claims, 3);
    for (size_t n = 0; n <= 3; n++) {
        size_t need = call_claims_bytes(n);
        struct abi_writer w;
        abi_writer_init(&w, room, need);
        call_escrow_claim(&w, claims, n);
        ck_assert(!w.failed);
        for (size_t cap = 0; cap < need; cap += 1 + cap / 7) {
            memset(room, 0xee, sizeof room);
            abi_writer_init(&w, room, cap);
            call_escrow_claim(&w, claims, n);
            ck_assert(w.failed || w.len <= cap);
            ck_assert_uint_eq(room[cap], 0xee);
        }
    }
}
END_TEST

START_TEST(test_errors)
{
    const char *expected;
    json_t *data;
    char text[CALL_ERROR_BYTES];
    json_object_foreach (json_object_get(vectors, "errors"), expected, data) {
        call_error_text(json_string_value(data), text);
        ck_assert_str_eq(text, expected);
    }
    call_error_text("0x12345678", text); /* nobody's */
    ck_assert_str_eq(text, "0x12345678");
    call_error_text("", text);
    ck_assert_str_eq(text, "no reason given");
    call_error_text("0xzz345678", text);
    ck_assert_str_eq(text, "0xzz345678");
    uint8_t selector[4];
    char cut[16] = "0x";
    abi_selector("WrongNumber(uint64)", selector); /* cut before its argument */
    hex_encode(selector, 4, cut + 2);
    call_error_text(cut, text);
    ck_assert_str_eq(text, "WrongNumber(?)");
}
END_TEST

/* Every error of every contract's ABI is known by its name. */
START_TEST(test_all_errors_are_known)
{
    json_t *abi = json_load_file("chainlite/contracts/generated/abi.json", 0, NULL), *entries, *entry;
    const char *contract;
    size_t i, n = 0;
    ck_assert(abi != NULL);
    json_object_foreach (abi, contract, entries) {
        json_array_foreach (entries, i, entry) {
            if (strcmp(json_string_value(json_object_get(entry, "type")), "error") != 0)
                continue;
            const char *name = json_string_value(json_object_get(entry, "name"));
            char signature[256], data[16] = "0x", text[CALL_ERROR_BYTES];
            uint8_t selector[4];
            size_t at = (size_t)snprintf(signature, sizeof signature, "%s(", name), k;
            json_t *input;
            json_array_foreach (json_object_get(entry, "inputs"), k, input)
                at += (size_t)snprintf(signature + at, sizeof signature - at, "%s%s", k ? "," : "",
                                       json_string_value(json_object_get(input, "type")));
            snprintf(signature + at, sizeof signature - at, ")");
            abi_selector(signature, selector);
            hex_encode(selector, 4, data + 2);
            call_error_text(data, text);
            ck_assert_msg(strncmp(text, name, strlen(name)) == 0 && text[strlen(name)] == '(', "%s: %s is \"%s\"",
                          contract, signature, text);
            n++;
        }
    }
    ck_assert_uint_gt(n, 100);
    char text[CALL_ERROR_BYTES];
    call_error_text("0x9568563d", text); /* of Challenges' constructor */
    ck_assert_str_eq(text, "WindowTooShort()");
    json_decref(abi);
}
END_TEST

int main(void)
{
    vectors = json_load_file("tests/unit/data/calls/calls.json", 0, NULL);
    int rc = RUN_SUITE("calls", test_escrow, test_settlement_and_rewards, test_registry, test_room, test_errors,
                       test_all_errors_are_known);
    json_decref(vectors);
    return rc;
}
