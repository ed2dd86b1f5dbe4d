/* What this software knows of a chain beforehand (chainlite/chains/NAME.json): id, contracts, window, forks, anchors on
 * L1. Verifiers take these from here and never from what they verify. What is not known is null in the file, and
 * `unknown` says in words what is missing. */
#ifndef OPENLORA_JSON_CHAIN_FILE_H
#define OPENLORA_JSON_CHAIN_FILE_H

#include "chainlite/core/header.h"
#include "chainlite/json/notation_file.h"

enum { CHAIN_FILE_VERSION = 1, CHAIN_NAME_BYTES = 33, CHAIN_NOTE_BYTES = 161, CHAIN_MAX_NOTES = 32, CHAIN_MAX_CONTRACTS = 32 };

struct chain_address { /* one that may be unknown */
    bool known;
    uint8_t at[ADDRESS_BYTES];
};

struct chain_number {
    bool known;
    uint64_t value;
};

struct chain_contract { /* of one deployment of chainlite/contracts, in the order of their creation */
    char name[CHAIN_NAME_BYTES]; /* the contract's in Solidity */
    uint8_t address[ADDRESS_BYTES];
};

struct chain_forks {
    struct chain_number time[FORK_COUNT]; /* Unix seconds; null: not known, and treated as not scheduled */
};

struct chain_anchors { /* contracts on L1 by which L2 blocks are trusted */
    uint64_t l1_chain_id;
    struct chain_address system_config, dispute_game_factory, anchor_state_registry;
    char layout[CHAIN_NAME_BYTES]; /* of games and registry: a name of core/dispute.h; "" not known */
};

struct chain_note {
    char text[CHAIN_NOTE_BYTES];
};

struct chain_file {
    uint8_t version;
    char name[CHAIN_NAME_BYTES];
    uint64_t chain_id;
    char coin[CHAIN_NAME_BYTES];      /* symbol of the native coin */
    struct chain_number block_time_s; /* not known also where blocks come on demand */
    bool op_stack;
    struct chain_forks forks;
    struct chain_address wrapped_token; /* ERC-20 of the native coin that the escrow holds */
    struct list contracts;              /* struct chain_contract; none: not deployed there */
    struct chain_number window_s; /* dispute window of the deployment */
    bool has_l1;
    struct chain_anchors l1;
    struct list unknown; /* struct chain_note */
};
extern const struct schema chain_file_schema, chain_contract_schema;

/* `which` with a '/' is a path; else the file is WHICH.json in $OPENLORA_CHAINS or, without that, in the chains of the
 * source tree this was built from. Release with schema_free(&chain_file_schema, …). */
int chain_file_load(const char *which, struct chain_file *out, struct err *) __attribute__((warn_unused_result));
int chain_file_parse(const char *text, size_t n, struct chain_file *out, struct err *)
    __attribute__((warn_unused_result));

/* Address of a contract by its name in Solidity; NULL: not deployed there. Borrowed. */
const uint8_t *chain_file_contract(const struct chain_file *, const char *name);
const uint8_t *chain_contract(const struct list *contracts, const char *name); /* the same of a list of them */
/* Without any fork time known the forks' contents are not checked, only the number of fields. */
void chain_file_rules(const struct chain_file *, struct header_rules *out);

#endif
