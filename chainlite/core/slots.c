/* Storage slots; see batch.h. */
#include "chainlite/core/batch.h"

#include "chainlite/core/mpt.h"

/* Slots of chainlite/contracts/layout.json. */
enum { SETTLEMENT_BATCHES = 2, ESCROW_ACCOUNTS = 2, ESCROW_SIGNERS = 5, REGISTRY_REGISTERED_AT = 0 };

static void nested(uint64_t mapping, const uint8_t first[32], const uint8_t second[32], uint8_t out[32])
{
    mpt_slot(mapping, out);
    mpt_mapping_slot(first, out, out);
    mpt_mapping_slot(second, out, out);
}

void slot_batch(const uint8_t node[ADDRESS_BYTES], uint64_t number, uint8_t out[32])
{
    uint8_t first[32], second[32];
    mpt_word_address(node, first);
    mpt_slot(number, second);
    nested(SETTLEMENT_BATCHES, first, second, out);
}

static void slot_of_two(uint64_t mapping, const uint8_t a[ADDRESS_BYTES], const uint8_t b[ADDRESS_BYTES],
                        uint8_t out[32])
{
    uint8_t first[32], second[32];
    mpt_word_address(a, first);
    mpt_word_address(b, second);
    nested(mapping, first, second, out);
}

void slot_escrow_account(const uint8_t payer[ADDRESS_BYTES], const uint8_t node[ADDRESS_BYTES], uint8_t out[32])
{
    slot_of_two(ESCROW_ACCOUNTS, payer, node, out);
}

void slot_escrow_signer(const uint8_t payer[ADDRESS_BYTES], const uint8_t signer[ADDRESS_BYTES], uint8_t out[32])
{
    slot_of_two(ESCROW_SIGNERS, payer, signer, out);
}

void slot_registered(const uint8_t id[32], uint8_t out[32])
{
    mpt_slot(REGISTRY_REGISTERED_AT, out);
    mpt_mapping_slot(id, out, out);
}
