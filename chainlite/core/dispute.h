/* Whether L1 stands behind an OP-stack output root: DisputeGameFactory, AnchorStateRegistry and the game itself, read
 * as proven storage words; and the older L2OutputOracle. The contracts' layouts differ by version, so they are data: a
 * chain names its own. Nothing here reads L1: words and code come from proofs (mpt.h). Pure. */
#ifndef OPENLORA_CORE_DISPUTE_H
#define OPENLORA_CORE_DISPUTE_H

#include "base/err.h"
#include "chainlite/core/keccak.h"
#include "chainlite/core/wei.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dispute_layout { /* slots, and offsets in bytes from a slot's low end */
    const char *name;
    uint64_t factory_games;                                /* DisputeGameFactory._disputeGames: a mapping */
    uint64_t registry_anchor_game, registry_starting_root; /* AnchorStateRegistry; root, then its number behind it */
    uint64_t registry_blacklist;                           /* mapping of games */
    uint64_t registry_respected;                           /* u32 game type; u64 retirement timestamp above it */
    uint64_t game_respected;                               /* the game's wasRespectedGameTypeWhenCreated… */
    unsigned game_respected_offset;
    bool typed_code; /* the game's code holds its type before the extra data (factories that clone with game arguments)
                      */
};

/* Starting points; a chain may run any version, so check its contracts before use. NULL when not known.
 * "fault-1": FaultDisputeGame 1.x. "super-fault": SuperFaultDisputeGame. "succinct-lite": OP Succinct's.
 * "permissioned-2": PermissionedDisputeGame 2.x. "aggregate": Base's AggregateVerifier. All with registry 3.x. */
const struct dispute_layout *dispute_layout(const char *name);

/* Factory: the key of a game whose type, root and extra data are known, the slot of its entry, the entry. */
void dispute_uuid(uint32_t game_type, const uint8_t root[HASH_BYTES], const uint8_t *extra, size_t extra_len,
                  uint8_t out[HASH_BYTES]);
void dispute_game_slot(const struct dispute_layout *, const uint8_t uuid[HASH_BYTES], uint8_t out[32]);

struct dispute_entry {
    uint32_t game_type;
    uint64_t created_at; /* Unix seconds */
    uint8_t game[ADDRESS_BYTES];
};
int dispute_entry(const uint8_t word[32], struct dispute_entry *out, struct err *); /* OL_ENOTFOUND: no such game */

/* Registry. */
void dispute_blacklist_slot(const struct dispute_layout *, const uint8_t game[ADDRESS_BYTES], uint8_t out[32]);
void dispute_respected(const uint8_t word[32], uint32_t *game_type, uint64_t *retirement_timestamp);
/* Registry 1.x: the slot of anchors[game_type]; the root is there, its block number in the slot behind it. */
void dispute_anchor_slot_v1(uint32_t game_type, uint8_t out[32]);

/* The game: its slot 0. */
enum game_status { GAME_IN_PROGRESS = 0, GAME_CHALLENGER_WINS = 1, GAME_DEFENDER_WINS = 2 };
struct dispute_game {
    uint64_t created_at, resolved_at; /* Unix seconds; 0: not */
    enum game_status status;
};
int dispute_game(const uint8_t word[32], struct dispute_game *out, struct err *);
bool dispute_game_respected(const struct dispute_layout *, const uint8_t word[32]);

/* A game's code is a clone that delegates to its implementation and carries its arguments; root and number of a game
 * are nowhere else on chain. code_hash: from the game's proven account. */
struct dispute_code { /* borrows the code */
    uint8_t implementation[ADDRESS_BYTES], creator[ADDRESS_BYTES], root[HASH_BYTES], l1_head[HASH_BYTES];
    uint32_t game_type;   /* with typed_code */
    const uint8_t *extra; /* its first word is the sequence number of most games; game arguments may follow */
    size_t extra_len;
};
int dispute_code(const struct dispute_layout *, const uint8_t *code, size_t n, const uint8_t code_hash[HASH_BYTES],
                 struct dispute_code *out, struct err *);

/* Everything proven about one game at one L1 block. */
struct dispute_facts {
    bool registered;            /* the factory's entry for the root names this game */
    bool respected_at_creation; /* dispute_game_respected */
    bool blacklisted, paused;
    struct dispute_game game;
    uint64_t retirement_timestamp, finality_delay_s, now; /* now: the L1 block's timestamp */
};

enum dispute_verdict { DISPUTE_REFUSED, DISPUTE_PROPOSED /* T2 */, DISPUTE_ANCHORED /* T3 */ };
/* *why: a static text that says what is missing for T3. */
enum dispute_verdict dispute_judge(const struct dispute_facts *, const char **why);

/* L2OutputOracle: slots of output `index` (root; packed pair behind it), and the pair. */
void oracle_output_slots(uint64_t index, uint8_t root_slot[32], uint8_t pair_slot[32]);
void oracle_pair(const uint8_t word[32], wei_t *timestamp, wei_t *block_number);

#endif
