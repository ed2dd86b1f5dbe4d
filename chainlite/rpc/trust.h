/* Trust above a quorum: L2 heads that L1 vouches for. Facts of L1 are storage and code proven at one L1 head, whose own
 * trust (a quorum) bounds all that follows from it.
 *
 *   T1 signed     a gossiped block whose signer is SystemConfig's unsafe block signer; its hash is recomputed
 *   T2 proposed   a game of the factory claims the block's output root; not resolved, or not for long enough
 *   T3 anchored   the game is valid as the anchor registry sees it: respected, not blacklisted, not retired, resolved
 *                 for the defender, finality delay over, not paused
 *
 * A game being the registry's anchor is no proof of that: a retired or blacklisted one may stay there, so it is judged
 * like any other. Addresses and layout come from the chain's file, never from what is checked.
 * Known limit: where pause_contract is not given, a pause of the L1 contracts is not seen.
 * Threads: as struct light. */
#ifndef OPENLORA_RPC_TRUST_H
#define OPENLORA_RPC_TRUST_H

#include "chainlite/core/dispute.h"
#include "chainlite/core/output_root.h"
#include "chainlite/core/secp.h"
#include "chainlite/rpc/light.h"

struct trust_anchors { /* of one L2 on its L1 */
    uint64_t l2_chain_id;
    struct header_rules l2_rules;
    uint8_t system_config[ADDRESS_BYTES], dispute_game_factory[ADDRESS_BYTES], anchor_state_registry[ADDRESS_BYTES];
    const struct dispute_layout *layout; /* borrowed */
    uint64_t finality_delay_s;           /* immutable of the registry, hence not in its storage */
    bool has_pause;                      /* a slot that is not zero while the contracts are paused */
    uint8_t pause_contract[ADDRESS_BYTES], pause_slot[32];
};

/* T1. The signer that SystemConfig names; it changes, so it is read again for every L1 head. OL_ENOTFOUND: none. */
int trust_signer(struct light *l1, const struct light_head *l1_head, const struct trust_anchors *,
                 uint8_t signer[ADDRESS_BYTES], struct err *) __attribute__((warn_unused_result));
/* A gossiped message (uncompressed) to a head of trust T1. now_s: Unix seconds; the block's time must be near it. The
 * caller counts blocks of one height (PAYLOAD_MAX_PER_HEIGHT). */
int trust_signed(const struct trust_anchors *, const struct secp *, const uint8_t signer[ADDRESS_BYTES],
                 const uint8_t *message, size_t n, uint64_t now_s, struct light_head *out, struct err *)
    __attribute__((warn_unused_result));

struct trust_game {
    uint8_t address[ADDRESS_BYTES];
    uint32_t type;
    uint8_t root[HASH_BYTES]; /* an output root, or a super root of several chains */
    uint64_t sequence;        /* L2 block number; of a super root its timestamp */
    enum dispute_verdict verdict;
    const char *why; /* static: what is missing for T3, or "" */
};

/* The game of this type that claims `root` for block `number`: one proven slot. OL_ENOTFOUND: nobody proposed it. */
int trust_find_game(struct light *l1, const struct light_head *l1_head, const struct trust_anchors *,
                    uint32_t game_type, const uint8_t root[HASH_BYTES], uint64_t number, uint8_t game[ADDRESS_BYTES],
                    struct err *)
    __attribute__((warn_unused_result));
/* The registry's anchor game. OL_ENOTFOUND: still the starting root. */
int trust_anchor_game(struct light *l1, const struct light_head *l1_head, const struct trust_anchors *,
                      uint8_t game[ADDRESS_BYTES], struct err *) __attribute__((warn_unused_result));
/* What a game claims and how far L1 stands behind it. 0 with every verdict, DISPUTE_REFUSED too. Where a game's code does
 * not tell its type it is taken to be the type that is respected now; another one then counts as not registered. */
int trust_game_read(struct light *l1, const struct light_head *l1_head, const struct trust_anchors *,
                    const uint8_t game[ADDRESS_BYTES], struct trust_game *out, struct err *)
    __attribute__((warn_unused_result));

/* Raises head->trust to T2 or T3 if the game claims this very block; never lowers it. OL_EFORMAT: it claims another one
 * or is refused. chains: NULL, or the super root's chains in ascending order as anybody tells them (they are checked
 * against the root). OL_EUNSUPPORTED: a block before Isthmus, whose header does not hold the message passer's root. */
int trust_raise(const struct trust_anchors *, const struct trust_game *, const struct super_chain *chains,
                size_t n_chains, struct light_head *head, struct err *) __attribute__((warn_unused_result));

#endif
