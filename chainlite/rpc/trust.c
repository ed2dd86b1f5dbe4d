#include "chainlite/rpc/trust.h"
#include "base/clock.h"
#include "chainlite/core/payload.h"
#include "chainlite/rpc/light_internal.h"

#include <string.h>

/* keccak256("systemconfig.unsafeblocksigner"): SystemConfig keeps the signer outside Solidity's layout. */
static const char signer_slot_name[] = "systemconfig.unsafeblocksigner";

enum { GAME_CODE_MAX_BYTES = 24576 + 1, GAME_STATE_SLOT = 0 };

static bool all_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

/* One word of an L1 contract. */
static int read_word(struct light *l1, const struct light_head *head, const uint8_t contract[ADDRESS_BYTES],
                     const uint8_t slot[32], uint8_t word[32], const char *of, struct err *e)
{
    int rc = light_storage(l1, head, contract, (const uint8_t(*)[32])slot, 1, (uint8_t(*)[32])word, NULL, e);
    return rc ? err_prefix(e, "%s on L1", of) : OL_OK;
}

static int word_address(const uint8_t word[32], uint8_t address[ADDRESS_BYTES], const char *of, struct err *e)
{
    if (!all_zero(word, 12))
        return err_set(e, OL_EFORMAT, "trust", "%s is no address; check the layout of this chain's contracts", of);
    if (all_zero(word + 12, ADDRESS_BYTES))
        return err_set(e, OL_ENOTFOUND, "trust", "%s is not set", of);
    memcpy(address, word + 12, ADDRESS_BYTES);
    return OL_OK;
}

int trust_signer(struct light *l1, const struct light_head *l1_head, const struct trust_anchors *anchors,
                 uint8_t signer[ADDRESS_BYTES], struct err *e)
{
    uint8_t slot[32], word[32];
    keccak256(signer_slot_name, sizeof signer_slot_name - 1, slot);
    int rc = read_word(l1, l1_head, anchors->system_config, slot, word, "SystemConfig", e);
    return rc ? rc : word_address(word, signer, "the unsafe block signer", e);
}

int trust_signed(const struct trust_anchors *anchors, const struct secp *secp, const uint8_t signer[ADDRESS_BYTES],
                 const uint8_t *message, size_t n, uint64_t now_s, struct light_head *out, struct err *e)
{
    uint8_t actual[ADDRESS_BYTES], rlp[PAYLOAD_HEADER_BYTES];
    const uint8_t *bytes;
    size_t len, rlp_len;
    struct payload payload;
    struct header header;
    _Static_assert((int)PAYLOAD_HEADER_BYTES <= (int)LIGHT_HEADER_BYTES, "a head holds every header");
    int rc = payload_signer(message, n, anchors->l2_chain_id, secp, actual, &bytes, &len, e);
    if (!rc && memcmp(actual, signer, ADDRESS_BYTES))
        rc = err_set(e, OL_EFORMAT, "trust", "the block is not signed by the sequencer that L1 names");
    enum payload_version version = payload_version_of(header_fork_at(&anchors->l2_rules, now_s));
    if (!rc)
        rc = payload_parse(bytes, len, version, &payload, e);
    if (!rc)
        rc = payload_check_time(payload.timestamp, now_s, e);
    if (!rc)
        rc = payload_header(&payload, &anchors->l2_rules, rlp, &rlp_len, &header, e);
    if (rc)
        return rc;
    memset(out, 0, sizeof *out);
    memcpy(out->rlp, rlp, rlp_len);
    out->rlp_len = rlp_len;
    light_head_fill(out, &header);
    out->trust = TRUST_SIGNED;
    return OL_OK;
}

int trust_find_game(struct light *l1, const struct light_head *l1_head, const struct trust_anchors *anchors,
                    uint32_t game_type, const uint8_t root[HASH_BYTES], uint64_t number, uint8_t game[ADDRESS_BYTES],
                    struct err *e)
{
    uint8_t extra[32], uuid[HASH_BYTES], slot[32], word[32];
    struct dispute_entry entry;
    mpt_slot(number, extra);
    dispute_uuid(game_type, root, extra, sizeof extra, uuid);
    dispute_game_slot(anchors->layout, uuid, slot);
    int rc = read_word(l1, l1_head, anchors->dispute_game_factory, slot, word, "DisputeGameFactory", e);
    if (!rc)
        rc = dispute_entry(word, &entry, e);
    if (!rc)
        memcpy(game, entry.game, ADDRESS_BYTES);
    return rc;
}

int trust_anchor_game(struct light *l1, const struct light_head *l1_head, const struct trust_anchors *anchors,
                      uint8_t game[ADDRESS_BYTES], struct err *e)
{
    uint8_t slot[32], word[32];
    mpt_slot(anchors->layout->registry_anchor_game, slot);
    int rc = read_word(l1, l1_head, anchors->anchor_state_registry, slot, word, "AnchorStateRegistry", e);
    return rc ? rc : word_address(word, game, "the anchor game", e);
}

/* The game's arguments, out of its proven code. */
static int read_claim(struct light *l1, const struct light_head *head, const struct trust_anchors *anchors,
                      struct trust_game *game, struct dispute_entry *entry, struct err *e)
{
    struct buf code;
    struct dispute_code claim;
    uint8_t code_hash[HASH_BYTES], uuid[HASH_BYTES], slot[32], word[32];
    buf_init(&code, GAME_CODE_MAX_BYTES);
    int rc = light_code(l1, head, game->address, &code, e);
    if (!rc) { /* light_code has checked it against the account's hash, which is therefore its own */
        keccak256(code.data, code.len, code_hash);
        rc = dispute_code(anchors->layout, (const uint8_t *)code.data, code.len, code_hash, &claim, e);
    }
    if (!rc && (claim.extra_len < 32 || !all_zero(claim.extra, 24)))
        rc = err_set(e, OL_EUNSUPPORTED, "trust", "the game's extra data does not begin with a sequence number");
    if (!rc) {
        memcpy(game->root, claim.root, HASH_BYTES);
        game->sequence = 0;
        for (int i = 24; i < 32; i++)
            game->sequence = game->sequence << 8 | claim.extra[i];
        /* The factory keys a game by its type, which untyped code does not tell: the entry must name this very game. */
        bool typed = anchors->layout->typed_code; /* game arguments follow the extra data, which is the number alone */
        dispute_uuid(typed ? claim.game_type : game->type, claim.root, claim.extra, typed ? 32 : claim.extra_len, uuid);
        dispute_game_slot(anchors->layout, uuid, slot);
        rc = read_word(l1, head, anchors->dispute_game_factory, slot, word, "DisputeGameFactory", e);
    }
    if (!rc && dispute_entry(word, entry, NULL) != OL_OK)
        memset(entry, 0, sizeof *entry); /* the factory does not know it: the judge refuses */
    buf_deinit(&code);
    return rc;
}

int trust_game_read(struct light *l1, const struct light_head *l1_head, const struct trust_anchors *anchors,
                    const uint8_t game[ADDRESS_BYTES], struct trust_game *out, struct err *e)
{
    const struct dispute_layout *layout = anchors->layout;
    uint8_t slots[2][32], words[2][32], registry[2][32], found[2][32], pause[32];
    struct dispute_facts facts = {.finality_delay_s = anchors->finality_delay_s, .now = l1_head->timestamp};
    struct dispute_entry entry;
    memset(out, 0, sizeof *out);
    memcpy(out->address, game, ADDRESS_BYTES);
    mpt_slot(layout->registry_respected, registry[0]);
    dispute_blacklist_slot(layout, game, registry[1]);
    int rc = light_storage(l1, l1_head, anchors->anchor_state_registry, (const uint8_t(*)[32])registry, 2, found, NULL,
                           e);
    if (rc)
        return err_prefix(e, "AnchorStateRegistry on L1");
    dispute_respected(found[0], &out->type, &facts.retirement_timestamp);
    facts.blacklisted = !all_zero(found[1], 32);
    mpt_slot(GAME_STATE_SLOT, slots[0]);
    mpt_slot(layout->game_respected, slots[1]);
    size_t n = layout->game_respected == GAME_STATE_SLOT ? 1 : 2;
    rc = light_storage(l1, l1_head, game, (const uint8_t(*)[32])slots, n, words, NULL, e);
    if (!rc)
        rc = dispute_game(words[0], &facts.game, e);
    if (!rc)
        rc = read_claim(l1, l1_head, anchors, out, &entry, e);
    if (rc)
        return err_prefix(e, "the game on L1");
    facts.respected_at_creation = dispute_game_respected(layout, words[n - 1]);
    facts.registered = !memcmp(entry.game, game, ADDRESS_BYTES);
    out->type = entry.game_type;
    if (anchors->has_pause) {
        rc = read_word(l1, l1_head, anchors->pause_contract, anchors->pause_slot, pause, "the pause", e);
        facts.paused = !rc && !all_zero(pause, 32);
    }
    out->verdict = dispute_judge(&facts, &out->why);
    return rc;
}

/* The game's root is a super root that has our chain's output root in it. */
static int in_super_root(const struct trust_anchors *anchors, const struct trust_game *game,
                         const struct super_chain *chains, size_t n, const uint8_t output_root[HASH_BYTES],
                         const struct light_head *head, struct err *e)
{
    uint8_t root[HASH_BYTES];
    bool ours = false;
    int rc = super_root_v1(game->sequence, chains, n, root, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        ours = ours || (chains[i].chain_id == anchors->l2_chain_id &&
                        !memcmp(chains[i].output_root, output_root, HASH_BYTES));
    if (!ours || memcmp(root, game->root, HASH_BYTES) || head->timestamp > game->sequence)
        return err_set(e, OL_EFORMAT, "trust", "the game's super root does not hold block %llu",
                       (unsigned long long)head->number);
    return OL_OK;
}

int trust_raise(const struct trust_anchors *anchors, const struct trust_game *game, const struct super_chain *chains,
                size_t n_chains, struct light_head *head, struct err *e)
{
    struct header header;
    uint8_t root[HASH_BYTES];
    if (game->verdict == DISPUTE_REFUSED)
        return err_set(e, OL_EFORMAT, "trust", "%s", game->why);
    int rc = header_parse(head->rlp, head->rlp_len, &anchors->l2_rules, &header, e);
    if (!rc)
        rc = output_root_of_header(&header, &anchors->l2_rules, root, e);
    if (rc)
        return rc;
    if (chains)
        rc = in_super_root(anchors, game, chains, n_chains, root, head, e);
    else if (game->sequence != head->number || memcmp(game->root, root, HASH_BYTES))
        rc = err_set(e, OL_EFORMAT, "trust", "the game claims another block than this %llu",
                     (unsigned long long)head->number);
    enum trust_level level = game->verdict == DISPUTE_ANCHORED ? TRUST_ANCHORED : TRUST_PROPOSED;
    if (!rc && level > head->trust)
        head->trust = level;
    return rc;
}
