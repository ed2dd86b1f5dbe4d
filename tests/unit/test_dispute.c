/* Dispute games: a game of a public devnet (code, arguments, slot 0), slots as cast computes them, and every condition
 * of the registry turned off in turn. */
#include "unit/vectors.h"
#include "chainlite/core/dispute.h"
#include "chainlite/core/mpt.h"

/* A game on a devnet, from a state dump in the tests of Conflux (conflux-rust). */
static const char game_code[] =
    "36602c57343d527f9e4ac34f21c619cefc926c8bd93b54bf5a39c7ab2127a895af1cc0691d7e3dff593da1005b363d3d373d3d3d3d610076"
    "806062363936013d732efa42b7d7591cbf436cce4973f900d8314c86dd5af43d3d93803e606057fd5bf34ad30ecfb92b9311a853d296c515"
    "fb0d6505d89c68db32372fd77e57b0879f97224bb89dac59e267486b38ee20309c8cc1acfb854eb9303a31c50a42f48a8fcc63b84d60abf8"
    "c5408ea569569af66c0cc3a76f6e00000000000000000000000000000000000000000000000000000000000af9ac0076";
static const char game_code_hash[] = "be6e2f7cdf118a0b2092927e0a0cf4a54316165ac5172bcda327939e04c9818f";

START_TEST(test_code)
{
    struct bytes code = bytes_of_hex(game_code), hash = bytes_of_hex(game_code_hash);
    const struct dispute_layout *layout = dispute_layout("fault-1"), *typed = dispute_layout("permissioned-2");
    struct dispute_code c;
    uint8_t changed[32];
    ck_assert_int_eq(dispute_code(layout, code.data, code.len, hash.data, &c, NULL), 0);
    ck_assert_hex(c.implementation, 20, "2efa42b7d7591cbf436cce4973f900d8314c86dd");
    ck_assert_hex(c.creator, 20, "4ad30ecfb92b9311a853d296c515fb0d6505d89c");
    ck_assert_hex(c.root, 32, "68db32372fd77e57b0879f97224bb89dac59e267486b38ee20309c8cc1acfb85");
    ck_assert_hex(c.l1_head, 32, "4eb9303a31c50a42f48a8fcc63b84d60abf8c5408ea569569af66c0cc3a76f6e");
    ck_assert_hex(c.extra, c.extra_len, "00000000000000000000000000000000000000000000000000000000000af9ac");
    ck_assert_int_eq(dispute_code(typed, code.data, code.len, hash.data, &c, NULL), 0);
    ck_assert(c.game_type == 0 && c.extra_len == 28);
    for (size_t at = 0; at < code.len; at++) {
        code.data[at] ^= 1;
        ck_assert_int_eq(dispute_code(layout, code.data, code.len, hash.data, &c, NULL), OL_EFORMAT);
        keccak256(code.data, code.len, changed); /* its own hash: other code is no clone, other arguments are other */
        int rc = dispute_code(layout, code.data, code.len, changed, &c, NULL);
        bool variable = (at >= 65 && at < 85) || (at >= 98 && at < code.len - 2);
        ck_assert_int_eq(rc, variable ? 0 : OL_EUNSUPPORTED);
        code.data[at] ^= 1;
    }
    for (size_t n = 0; n < code.len; n++) {
        keccak256(code.data, n, changed);
        ck_assert_int_ne(dispute_code(layout, code.data, n, changed, &c, NULL), 0);
    }
    free(code.data);
    free(hash.data);
}
END_TEST

START_TEST(test_words)
{
    uint8_t word[32], out[32], pair[32], root[32], extra[32] = {[29] = 0x0a, 0xf9, 0xac};
    struct dispute_game game;
    struct dispute_entry entry;
    uint32_t type;
    uint64_t retired;
    wei_t timestamp, number;
    const struct dispute_layout *layout = dispute_layout("fault-1"), *aggregate = dispute_layout("aggregate");
    ck_assert(layout && aggregate && !dispute_layout("none"));
    /* slot 0 of the same game: made, not resolved, initialised */
    struct bytes slot0 = bytes_of_hex("0100"
                                      "0000000000000000"
                                      "00000000686f559c");
    memset(word, 0, 32);
    memcpy(word + 32 - slot0.len, slot0.data, slot0.len);
    ck_assert_int_eq(dispute_game(word, &game, NULL), 0);
    ck_assert(game.created_at == 0x686f559c && game.resolved_at == 0 && game.status == GAME_IN_PROGRESS);
    word[15] = 2;
    word[23] = 7;
    ck_assert(dispute_game(word, &game, NULL) == 0 && game.status == GAME_DEFENDER_WINS && game.resolved_at == 7);
    word[15] = 3;
    ck_assert_int_eq(dispute_game(word, &game, NULL), OL_EFORMAT);
    ck_assert(!dispute_game_respected(aggregate, word));
    word[13] = 1;
    ck_assert(dispute_game_respected(aggregate, word));
    word[31] = 0;
    ck_assert(!dispute_game_respected(layout, word));
    word[31] = 1;
    ck_assert(dispute_game_respected(layout, word));
    free(slot0.data);

    memset(root, 0x68, 32);
    dispute_uuid(1, root, extra, 32, out);
    ck_assert_hex(out, 32, "0x48575e13c4bb3ab37ddc8d71d3636b0b0fa2945f83cc00b302ebf6d8e1c087f8");
    dispute_uuid(1, root, extra + 29, 3, out);
    ck_assert_hex(out, 32, "0xf8ba2d5dc1c0d5da90fab7245325e37ddf1ea0ab3868415f6b3223697ef084a0");
    dispute_game_slot(layout, out, word);
    ck_assert_hex(word, 32, "0xeec8285ca1fdc48ed0291c45b9c5b13826e331389e856d2d91ff269d28df9881");
    struct bytes packed = bytes_of_hex("00000001000000006a90d6454ad30ecfb92b9311a853d296c515fb0d6505d89c");
    ck_assert_int_eq(dispute_entry(packed.data, &entry, NULL), 0);
    ck_assert(entry.game_type == 1 && entry.created_at == 0x6a90d645);
    ck_assert_hex(entry.game, 20, "4ad30ecfb92b9311a853d296c515fb0d6505d89c");
    dispute_blacklist_slot(layout, entry.game, word);
    ck_assert_hex(word, 32, "0x37a312b3fb337a25b7e067ac8c9c98fd0fb4049518b88a8086219afb13217dea");
    memset(packed.data, 0, 32);
    ck_assert_int_eq(dispute_entry(packed.data, &entry, NULL), OL_ENOTFOUND);
    free(packed.data);
    dispute_anchor_slot_v1(8, word);
    ck_assert_hex(word, 32, "0x4db623e5c4870b62d3fc9b4e8f893a1a77627d75ab45d9ff7e56ba19564af99b");
    memset(word, 0, 32);
    word[31] = 9;
    word[27] = 5;
    word[20] = 1;
    dispute_respected(word, &type, &retired);
    ck_assert(type == 9 && retired == ((uint64_t)1 << 56 | 5));

    oracle_output_slots(0, out, pair);
    ck_assert_hex(out, 32, "c2575a0e9e593c00f959f8c92f12db2869c3395a3b0502d05e2516446f71f85b");
    ck_assert_hex(pair, 32, "c2575a0e9e593c00f959f8c92f12db2869c3395a3b0502d05e2516446f71f85c");
    oracle_output_slots((uint64_t)1 << 63 | 0x52, out, pair);
    ck_assert_hex(out, 32, "c2575a0e9e593c00f959f8c92f12db2869c3395a3b0502d15e2516446f71f8ff");
    ck_assert_hex(pair, 32, "c2575a0e9e593c00f959f8c92f12db2869c3395a3b0502d15e2516446f71f900");
    memset(word, 0, 32);
    word[15] = 1;
    word[31] = 2;
    oracle_pair(word, &timestamp, &number);
    ck_assert(number == 1 && timestamp == 2);
}
END_TEST

static void judged(const struct dispute_facts *f, enum dispute_verdict expected, const char *part)
{
    const char *why = NULL;
    ck_assert_int_eq(dispute_judge(f, &why), expected);
    ck_assert_msg(why && strstr(why, part), "\"%s\" does not say \"%s\"", why ? why : "", part);
}

START_TEST(test_judge)
{
    const struct dispute_facts good = {.registered = true,
                                       .respected_at_creation = true,
                                       .game = {1000, 2000, GAME_DEFENDER_WINS},
                                       .retirement_timestamp = 999,
                                       .finality_delay_s = 500,
                                       .now = 2501};
    struct dispute_facts f = good;
    judged(&f, DISPUTE_ANCHORED, "");
    f.registered = false;
    judged(&f, DISPUTE_REFUSED, "factory");
    f = good;
    f.respected_at_creation = false;
    judged(&f, DISPUTE_REFUSED, "respected");
    f = good;
    f.blacklisted = true;
    judged(&f, DISPUTE_REFUSED, "blacklisted");
    f = good;
    f.retirement_timestamp = 1000;
    judged(&f, DISPUTE_REFUSED, "retired");
    f = good;
    f.game.status = GAME_CHALLENGER_WINS;
    judged(&f, DISPUTE_REFUSED, "challenger");
    f = good;
    f.game.status = GAME_IN_PROGRESS;
    judged(&f, DISPUTE_PROPOSED, "not resolved");
    f = good;
    f.game.resolved_at = 0;
    judged(&f, DISPUTE_PROPOSED, "not resolved");
    f = good;
    f.now = 2500;
    judged(&f, DISPUTE_PROPOSED, "delay");
    f.now = 1;
    judged(&f, DISPUTE_PROPOSED, "delay");
    f = good;
    f.finality_delay_s = UINT64_MAX;
    judged(&f, DISPUTE_PROPOSED, "delay");
    f = good;
    f.paused = true;
    judged(&f, DISPUTE_PROPOSED, "paused");
}
END_TEST

int main(void) { return RUN_SUITE("dispute", test_code, test_words, test_judge); }
