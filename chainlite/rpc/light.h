/* Verified reads: accounts and storage of a chain, proven against the state root of a block whose hash k of n endpoints
 * agree on, or that L1 vouches for (trust.h).
 *
 *   tag -> number and hash by agreement -> header RLP, hashed here -> state root -> eth_getProof, checked node by node
 *
 * Nothing an endpoint says beside the proof is used, so one honest endpoint is enough for every step after the hash.
 * Fails closed: a stale, contradicted or unprovable answer is an error whose message begins with the fault's name
 * ("stale: …", "disagrees: …", "bad_proof: …", names as in rpc.h, or "no_quorum: …") and names the endpoints.
 * Threads: as struct rpc. */
#ifndef OPENLORA_RPC_LIGHT_H
#define OPENLORA_RPC_LIGHT_H

#include "base/buf.h"
#include "chainlite/core/mpt.h"
#include "chainlite/rpc/rpc.h"

struct light;

int light_open(struct rpc * /* borrowed for the light client's life */, struct light **out, struct err *)
    __attribute__((warn_unused_result));
void light_close(struct light *);

enum light_tag { LIGHT_LATEST, LIGHT_SAFE, LIGHT_FINALIZED };

/* How far a head is to be trusted; a fact carries its level and levels are never merged. */
enum trust_level {
    TRUST_QUORUM = 0,   /* T0: k of n endpoints agree */
    TRUST_SIGNED = 1,   /* T1: signed by the sequencer that L1's SystemConfig names */
    TRUST_PROPOSED = 2, /* T2: proposed in a dispute game on L1, not resolved (anyone may propose) */
    TRUST_ANCHORED = 3  /* T3: resolved and past the finality delay, as L1's anchor registry sees it */
};
const char *trust_level_name(enum trust_level); /* "quorum", "signed", "proposed", "anchored" */

enum { LIGHT_HEADER_BYTES = 1024, LIGHT_MAX_SLOTS = 256 };

struct light_head {
    enum trust_level trust;
    uint8_t hash[HASH_BYTES], parent_hash[HASH_BYTES], state_root[HASH_BYTES], receipts_root[HASH_BYTES];
    uint8_t withdrawals_root[HASH_BYTES];
    bool has_withdrawals_root;
    uint64_t number, timestamp; /* timestamp: Unix seconds */
    uint64_t gas_limit, gas_used;
    wei_t base_fee_wei;
    unsigned endpoints; /* that agreed on the hash */
    int64_t read_at_ms; /* wall clock when it was agreed */
    uint8_t rlp[LIGHT_HEADER_BYTES]; /* the header itself; keccak(rlp) = hash */
    size_t rlp_len;
};

/* Seconds between the block's timestamp and now, by this machine's clock; never negative. */
int64_t light_age_s(const struct light_head *);

/* The newest block of this tag that k endpoints agree on; checked for age (max_head_age_s, latest only) and against the
 * newest head of this tag seen before (never more than max_head_lag blocks back: "stale"). */
int light_head(struct light *, enum light_tag, struct light_head *out, struct err *)
    __attribute__((warn_unused_result));
/* The block of this height on the chain that k endpoints agree on. OL_ENOTFOUND: not there yet. No age check. */
int light_head_at(struct light *, uint64_t number, struct light_head *out, struct err *)
    __attribute__((warn_unused_result));
/* The block with this hash, whoever serves it: the hash is the caller's, so is the trust in it. */
int light_head_of(struct light *, const uint8_t hash[HASH_BYTES], struct light_head *out, struct err *)
    __attribute__((warn_unused_result));

struct light_nodes { /* one Merkle-Patricia proof, root first; borrows its light_proof */
    const struct mpt_node *node;
    size_t n;
};

struct light_proof { /* the raw proofs behind a read, for bundles */
    struct light_nodes account;
    struct light_nodes *storage; /* n_storage, in the order of the slots asked */
    size_t n_storage;
    void *memory; /* owns all of it */
};
void light_proof_deinit(struct light_proof *); /* also right after = {0} */

/* proof may be NULL. The account may be absent (out->exists). */
int light_account(struct light *, const struct light_head *, const uint8_t address[ADDRESS_BYTES],
                  struct mpt_account *out, struct light_proof *proof, struct err *) __attribute__((warn_unused_result));
/* Words of a contract's storage; 1…LIGHT_MAX_SLOTS different slots; zero when absent. OL_ENOTFOUND: no contract there
 * (proven). proof may be NULL. */
int light_storage(struct light *, const struct light_head *, const uint8_t address[ADDRESS_BYTES],
                  const uint8_t (*slots)[32], size_t n_slots, uint8_t (*values)[32], struct light_proof *proof,
                  struct err *) __attribute__((warn_unused_result));
/* The contract's code, checked against the account's code hash; appended to *code. OL_ENOTFOUND: no contract. */
int light_code(struct light *, const struct light_head *, const uint8_t address[ADDRESS_BYTES], struct buf *code,
               struct err *) __attribute__((warn_unused_result));

#endif
