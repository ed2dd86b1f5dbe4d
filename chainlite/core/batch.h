/* The batch header of docs/protocol.md §5 and where a deployment keeps what the light client reads. Pure. */
#ifndef OPENLORA_CORE_BATCH_H
#define OPENLORA_CORE_BATCH_H

#include "chainlite/core/sumtree.h"

struct batch {
    uint8_t node[ADDRESS_BYTES];
    uint64_t number, epoch, first_sequence;
    uint32_t count;
    uint64_t submitted_at; /* clock of the contract; set by it */
    uint8_t previous[32];
    uint8_t receipts_root[32];
    wei_t settled_total_wei;
    uint8_t postings_root[32];
    uint32_t postings_count;
    wei_t postings_total_wei;
    uint8_t credits_root[32];
    uint32_t credits_count;
    wei_t credits_total_wei, pending_total_wei, settled_cumulative_wei;
    uint8_t claims_hash[32], body_hash[32];
};

extern const struct schema batch_schema;
extern const struct schema batch_body_schema; /* without submitted_at and body_hash, as a body has it */

void batch_hash(const struct batch *, uint8_t out[HASH_BYTES]);
/* The Escrow's running hash over accepted claims: one chunk more. */
void claims_hash_next(const uint8_t before[32], const struct credit *accepted, size_t n, uint8_t out[32]);

/* The contracts' time at a block, from its timestamp and the word of Clock's pauses (elapsed, start, end in 64 bits each,
 * from the lowest): without the time spent paused. A word that no Clock holds gives a time of at most the timestamp. */
uint64_t clock_time(const uint8_t pauses[32], uint64_t timestamp);

/* Storage slots (chainlite/contracts/layout.json; a test compares both). */
/* Settlement: the batch's hash, 0 if there is none or it is void. */
void slot_batch(const uint8_t node[ADDRESS_BYTES], uint64_t number, uint8_t out[32]);
/* Clock: the pauses. */
void slot_clock_pauses(uint8_t out[32]);
/* Escrow: balance in the lower 128 bits, claimed in the upper. */
void slot_escrow_account(const uint8_t payer[ADDRESS_BYTES], const uint8_t node[ADDRESS_BYTES], uint8_t out[32]);
/* Escrow: announced withdrawal (lower 128 bits) and the clock when it may be made. */
void slot_escrow_thaw(const uint8_t payer[ADDRESS_BYTES], const uint8_t node[ADDRESS_BYTES], uint8_t out[32]);
/* Escrow: the clock until which a signer may sign for a payer. */
void slot_escrow_signer(const uint8_t payer[ADDRESS_BYTES], const uint8_t signer[ADDRESS_BYTES], uint8_t out[32]);
/* Settlement: word 0 is epoch, last, finalised (64 bits each, from the lowest) and frozen; word 1 bond (lower 128 bits)
 * and finalisedCumulative. */
void slot_settlement_node(const uint8_t node[ADDRESS_BYTES], unsigned word, uint8_t out[32]);
/* Escrow: word 0 is collected (lower 128 bits) and unbatchedSince, word 1 claimsHash. */
void slot_escrow_node(const uint8_t node[ADDRESS_BYTES], unsigned word, uint8_t out[32]);
/* Escrow: how many refunds of a node's claims were opened; of one the word 0, its cursor, and 1, its target: equal when all
 * is given back. */
void slot_escrow_refunds(const uint8_t node[ADDRESS_BYTES], uint8_t out[32]);
void slot_escrow_refund(const uint8_t node[ADDRESS_BYTES], uint64_t index, unsigned word, uint8_t out[32]);
/* Registry: when the row with this id was published, 0 if never. */
void slot_registered(const uint8_t id[32], uint8_t out[32]);
/* Rewards: what a beneficiary was paid in an epoch of a node (lower 128 bits). */
void slot_claimed(const uint8_t node[ADDRESS_BYTES], uint64_t epoch, const uint8_t beneficiary[ADDRESS_BYTES],
                  uint8_t out[32]);
/* Rewards: where a beneficiary's payouts go, 0: to itself. */
void slot_payout(const uint8_t beneficiary[ADDRESS_BYTES], uint8_t out[32]);

#endif
