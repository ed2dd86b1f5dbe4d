/* Merkle-Patricia proofs as eth_getProof gives them (EIP-1186): inclusion and exclusion of an account, a storage slot,
 * a receipt. Nodes are checked by hash from the caller's root down; what the JSON says beside them is never used.
 * Refused: wrong or leftover nodes, non-canonical RLP, empty extension paths. The walk has at most one level per nibble
 * of the key and one more. Pure. */
#ifndef OPENLORA_CORE_MPT_H
#define OPENLORA_CORE_MPT_H

#include "base/err.h"
#include "chainlite/core/keccak.h"
#include "chainlite/core/wei.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const uint8_t mpt_empty_root[HASH_BYTES]; /* keccak(0x80): the trie without entries */

struct mpt_node { /* one RLP node; borrowed */
    const uint8_t *data;
    size_t len;
};

/* *found = false is a proof of absence. value borrows the last node. key: as it is in the trie (already hashed), at
 * most 32 bytes. */
int mpt_verify(const uint8_t root[HASH_BYTES], const uint8_t *key, size_t key_len, const struct mpt_node *nodes,
               size_t n_nodes, bool *found, const uint8_t **value, size_t *value_len, struct err *);

struct mpt_account {
    bool exists; /* false: all else is the empty account */
    uint64_t nonce;
    uint8_t balance_wei[32]; /* big-endian: balances may exceed 128 bits on test chains */
    uint8_t storage_root[HASH_BYTES], code_hash[HASH_BYTES];
};

int mpt_account(const uint8_t state_root[HASH_BYTES], const uint8_t address[ADDRESS_BYTES], const struct mpt_node *,
                size_t n_nodes, struct mpt_account *out, struct err *);
/* value: the slot's word; zero when absent. A leaf that holds zero is accepted: it says the same. */
int mpt_storage(const uint8_t storage_root[HASH_BYTES], const uint8_t slot[32], const struct mpt_node *,
                size_t n_nodes, uint8_t value[32], struct err *);
/* Raw receipt bytes (typed envelope included) of transaction `index`. */
int mpt_receipt(const uint8_t receipts_root[HASH_BYTES], uint64_t index, const struct mpt_node *, size_t n_nodes,
                const uint8_t **receipt, size_t *len, struct err *);

/* Where Solidity keeps mapping[key] of a mapping at `slot`: keccak(key || slot). Nest for mappings of mappings. */
void mpt_mapping_slot(const uint8_t key[32], const uint8_t slot[32], uint8_t out[32]);
void mpt_slot(uint64_t n, uint8_t out[32]);
void mpt_word_address(const uint8_t address[ADDRESS_BYTES], uint8_t out[32]);

#endif
