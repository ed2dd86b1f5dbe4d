/* Dispute games as proven words; see dispute.h. Solidity packs fields from a word's low end, that is its last byte. */
#include "chainlite/core/dispute.h"
#include "chainlite/core/mpt.h"

#include <string.h>

enum { REGISTRY_V1_ANCHORS = 1, ORACLE_OUTPUTS = 3 };

static const struct dispute_layout layouts[] = {
    {"fault-1", 103, 2, 3, 5, 6, 10, 0, false},      {"super-fault", 103, 2, 3, 5, 6, 9, 0, true},
    {"succinct-lite", 103, 2, 3, 5, 6, 9, 0, false}, {"permissioned-2", 103, 2, 3, 5, 6, 10, 0, true},
    {"aggregate", 103, 2, 3, 5, 6, 0, 18, false},
};

const struct dispute_layout *dispute_layout(const char *name)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (strcmp(layouts[i].name, name) == 0)
            return &layouts[i];
    return NULL;
}

/* `bytes` bytes of the word, `offset` bytes above its low end. */
static uint64_t field(const uint8_t word[32], size_t offset, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 32 - offset - bytes; i < 32 - offset; i++)
        value = value << 8 | word[i];
    return value;
}

void dispute_uuid(uint32_t game_type, const uint8_t root[HASH_BYTES], const uint8_t *extra, size_t extra_len,
                  uint8_t out[HASH_BYTES])
{
    static const uint8_t zeros[32];
    uint8_t word[32];
    struct keccak k;
    keccak_init(&k);
    mpt_slot(game_type, word);
    keccak_add(&k, word, 32);
    keccak_add(&k, root, HASH_BYTES);
    mpt_slot(3 * 32, word); /* where the bytes begin */
    keccak_add(&k, word, 32);
    mpt_slot(extra_len, word);
    keccak_add(&k, word, 32);
    keccak_add(&k, extra, extra_len);
    keccak_add(&k, zeros, -extra_len % 32);
    keccak_end(&k, out);
}

void dispute_game_slot(const struct dispute_layout *layout, const uint8_t uuid[HASH_BYTES], uint8_t out[32])
{
    uint8_t slot[32];
    mpt_slot(layout->factory_games, slot);
    mpt_mapping_slot(uuid, slot, out);
}

int dispute_entry(const uint8_t word[32], struct dispute_entry *out, struct err *e)
{
    static const uint8_t none[32];
    if (memcmp(word, none, 32) == 0)
        return err_set(e, OL_ENOTFOUND, "dispute", "the factory has no game of this type for this root and number");
    out->game_type = (uint32_t)field(word, 28, 4);
    out->created_at = field(word, 20, 8);
    memcpy(out->game, word + 12, ADDRESS_BYTES);
    return 0;
}

void dispute_blacklist_slot(const struct dispute_layout *layout, const uint8_t game[ADDRESS_BYTES], uint8_t out[32])
{
    uint8_t key[32], slot[32];
    mpt_word_address(game, key);
    mpt_slot(layout->registry_blacklist, slot);
    mpt_mapping_slot(key, slot, out);
}

void dispute_respected(const uint8_t word[32], uint32_t *game_type, uint64_t *retirement_timestamp)
{
    *game_type = (uint32_t)field(word, 0, 4);
    *retirement_timestamp = field(word, 4, 8);
}

void dispute_anchor_slot_v1(uint32_t game_type, uint8_t out[32])
{
    uint8_t key[32], slot[32];
    mpt_slot(game_type, key);
    mpt_slot(REGISTRY_V1_ANCHORS, slot);
    mpt_mapping_slot(key, slot, out);
}

int dispute_game(const uint8_t word[32], struct dispute_game *out, struct err *e)
{
    uint64_t status = field(word, 16, 1);
    if (status > GAME_DEFENDER_WINS)
        return err_set(e, OL_EFORMAT, "dispute", "a game of status %llu; check the layout of this chain's games",
                       (unsigned long long)status);
    *out = (struct dispute_game){field(word, 0, 8), field(word, 8, 8), (enum game_status)status};
    return 0;
}

bool dispute_game_respected(const struct dispute_layout *layout, const uint8_t word[32])
{
    return field(word, layout->game_respected_offset, 1) != 0;
}

/* The clone's code before its arguments, without the two variable parts: length of what follows, implementation. */
static const uint8_t clone_head[] = {0x36, 0x60, 0x2c, 0x57, 0x34, 0x3d, 0x52, 0x7f, 0x9e, 0x4a, 0xc3, 0x4f, 0x21, 0xc6,
                                     0x19, 0xce, 0xfc, 0x92, 0x6c, 0x8b, 0xd9, 0x3b, 0x54, 0xbf, 0x5a, 0x39, 0xc7, 0xab,
                                     0x21, 0x27, 0xa8, 0x95, 0xaf, 0x1c, 0xc0, 0x69, 0x1d, 0x7e, 0x3d, 0xff, 0x59, 0x3d,
                                     0xa1, 0x00, 0x5b, 0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x3d, 0x61};
static const uint8_t clone_middle[] = {0x80, 0x60, 0x62, 0x36, 0x39, 0x36, 0x01, 0x3d, 0x73};
static const uint8_t clone_tail[] = {0x5a, 0xf4, 0x3d, 0x3d, 0x93, 0x80, 0x3e, 0x60, 0x60, 0x57, 0xfd, 0x5b, 0xf3};

enum {
    LENGTH_BYTES = 2,
    LENGTH_AT = sizeof clone_head,
    MIDDLE_AT = LENGTH_AT + LENGTH_BYTES,
    IMPLEMENTATION_AT = MIDDLE_AT + sizeof clone_middle,
    TAIL_AT = IMPLEMENTATION_AT + ADDRESS_BYTES,
    ARGUMENTS_AT = TAIL_AT + sizeof clone_tail,
    FIXED_ARGUMENT_BYTES = ADDRESS_BYTES + 2 * HASH_BYTES, /* creator, root, L1 head */
    TYPE_BYTES = 4,
};

int dispute_code(const struct dispute_layout *layout, const uint8_t *code, size_t n,
                 const uint8_t code_hash[HASH_BYTES], struct dispute_code *out, struct err *e)
{
    uint8_t hash[HASH_BYTES];
    size_t fixed = FIXED_ARGUMENT_BYTES + (layout->typed_code ? TYPE_BYTES : 0);
    keccak256(code, n, hash);
    if (memcmp(hash, code_hash, HASH_BYTES) != 0)
        return err_set(e, OL_EFORMAT, "dispute", "the code is not the one whose hash the game's account holds");
    if (n < ARGUMENTS_AT + fixed + LENGTH_BYTES || n > ARGUMENTS_AT + UINT16_MAX)
        return err_set(e, OL_EFORMAT, "dispute", "%zu bytes of code are no game's", n);
    size_t arguments = n - ARGUMENTS_AT; /* their own length at the end included */
    const uint8_t length[LENGTH_BYTES] = {(uint8_t)(arguments >> 8), (uint8_t)arguments};
    if (memcmp(code, clone_head, sizeof clone_head) != 0 || memcmp(code + LENGTH_AT, length, LENGTH_BYTES) != 0 ||
        memcmp(code + MIDDLE_AT, clone_middle, sizeof clone_middle) != 0 ||
        memcmp(code + TAIL_AT, clone_tail, sizeof clone_tail) != 0 ||
        memcmp(code + n - LENGTH_BYTES, length, LENGTH_BYTES) != 0)
        return err_set(e, OL_EUNSUPPORTED, "dispute", "the game is not a clone of the form known here");
    const uint8_t *at = code + ARGUMENTS_AT;
    *out = (struct dispute_code){.extra = at + fixed, .extra_len = arguments - LENGTH_BYTES - fixed};
    memcpy(out->implementation, code + IMPLEMENTATION_AT, ADDRESS_BYTES);
    memcpy(out->creator, at, ADDRESS_BYTES);
    memcpy(out->root, at + ADDRESS_BYTES, HASH_BYTES);
    memcpy(out->l1_head, at + ADDRESS_BYTES + HASH_BYTES, HASH_BYTES);
    for (size_t i = FIXED_ARGUMENT_BYTES; i < fixed; i++)
        out->game_type = out->game_type << 8 | at[i];
    return 0;
}

/* In the order of the registry's own checks: what can never become valid is refused, what only has to wait is T2. */
enum dispute_verdict dispute_judge(const struct dispute_facts *f, const char **why)
{
    const char *refused = !f->registered                                  ? "the factory does not know the game"
                          : !f->respected_at_creation                     ? "the game's type was not respected"
                          : f->blacklisted                                ? "the game is blacklisted"
                          : f->game.created_at <= f->retirement_timestamp ? "the game is retired"
                          : f->game.status == GAME_CHALLENGER_WINS        ? "the challenger won the game"
                                                                          : NULL;
    if (refused) {
        *why = refused;
        return DISPUTE_REFUSED;
    }
    bool resolved = f->game.status == GAME_DEFENDER_WINS && f->game.resolved_at != 0;
    /* now > resolved_at + delay, without overflow */
    bool waited = resolved && f->now > f->game.resolved_at && f->now - f->game.resolved_at > f->finality_delay_s;
    *why = !resolved   ? "the game is not resolved"
           : !waited   ? "the finality delay has not passed"
           : f->paused ? "the chain's contracts are paused"
                       : "";
    return waited && !f->paused ? DISPUTE_ANCHORED : DISPUTE_PROPOSED;
}

void oracle_output_slots(uint64_t index, uint8_t root_slot[32], uint8_t pair_slot[32])
{
    uint8_t slot[32];
    mpt_slot(ORACLE_OUTPUTS, slot);
    keccak256(slot, 32, root_slot); /* the array's first element; two slots each */
    wei_t carry = (wei_t)index * 2;
    for (int i = 31; i >= 0; i--, carry >>= 8)
        root_slot[i] = (uint8_t)(carry += root_slot[i]);
    memcpy(pair_slot, root_slot, 32);
    for (int i = 31; i >= 0 && ++pair_slot[i] == 0; i--)
        continue;
}

void oracle_pair(const uint8_t word[32], wei_t *timestamp, wei_t *block_number)
{
    *block_number = wei_from_be16(word);
    *timestamp = wei_from_be16(word + 16);
}
