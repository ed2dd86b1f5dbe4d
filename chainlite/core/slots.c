/* Storage slots; see batch.h. */
#include "chainlite/core/batch.h"

#include "chainlite/core/mpt.h"

/* Slots of chainlite/contracts/layout.json. */
enum {
    CLOCK_PAUSES = 2,
    SETTLEMENT_BATCHES = 2,
    SETTLEMENT_NODES = 3,
    ESCROW_ACCOUNTS = 2,
    ESCROW_NODES = 3,
    ESCROW_THAWS = 4,
    ESCROW_SIGNERS = 5,
    ESCROW_REFUNDS = 6,
    REGISTRY_REGISTERED_AT = 0,
    REWARDS_CLAIMED = 0,
    REWARDS_PAYOUTS = 3
};

static uint64_t u64_at(const uint8_t *bytes)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n = n << 8 | bytes[i];
    return n;
}

uint64_t clock_time(const uint8_t pauses[32], uint64_t timestamp)
{
    const uint64_t elapsed = u64_at(pauses + 24), start = u64_at(pauses + 16), end = u64_at(pauses + 8);
    const uint64_t until = timestamp < end ? timestamp : end;
    const uint64_t latest = until > start ? until - start : 0;
    if (elapsed > timestamp || latest > timestamp - elapsed)
        return 0;
    return timestamp - elapsed - latest;
}

void slot_clock_pauses(uint8_t out[32]) { mpt_slot(CLOCK_PAUSES, out); }

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

void slot_escrow_thaw(const uint8_t payer[ADDRESS_BYTES], const uint8_t node[ADDRESS_BYTES], uint8_t out[32])
{
    slot_of_two(ESCROW_THAWS, payer, node, out);
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

/* Word `word` of mapping[address], a struct of several words. */
static void slot_of_struct(uint64_t mapping, const uint8_t address[ADDRESS_BYTES], unsigned word, uint8_t out[32])
{
    uint8_t key[32];
    mpt_word_address(address, key);
    mpt_slot(mapping, out);
    mpt_mapping_slot(key, out, out);
    for (int i = 31; i >= 0 && word; i--) { /* out += word */
        word += out[i];
        out[i] = (uint8_t)word;
        word >>= 8;
    }
}

void slot_settlement_node(const uint8_t node[ADDRESS_BYTES], unsigned word, uint8_t out[32])
{
    slot_of_struct(SETTLEMENT_NODES, node, word, out);
}

void slot_escrow_node(const uint8_t node[ADDRESS_BYTES], unsigned word, uint8_t out[32])
{
    slot_of_struct(ESCROW_NODES, node, word, out);
}

void slot_claimed(const uint8_t node[ADDRESS_BYTES], uint64_t epoch, const uint8_t beneficiary[ADDRESS_BYTES],
                  uint8_t out[32])
{
    uint8_t keys[3][32] = {{0}};
    mpt_word_address(node, keys[0]);
    for (int i = 0; i < 8; i++)
        keys[1][24 + i] = (uint8_t)(epoch >> (56 - 8 * i));
    mpt_word_address(beneficiary, keys[2]);
    mpt_slot(REWARDS_CLAIMED, out);
    for (int i = 0; i < 3; i++)
        mpt_mapping_slot(keys[i], out, out);
}

void slot_payout(const uint8_t beneficiary[ADDRESS_BYTES], uint8_t out[32])
{
    uint8_t key[32];
    mpt_word_address(beneficiary, key);
    mpt_slot(REWARDS_PAYOUTS, out);
    mpt_mapping_slot(key, out, out);
}

void slot_escrow_refunds(const uint8_t node[ADDRESS_BYTES], uint8_t out[32])
{
    uint8_t key[32];
    mpt_word_address(node, key);
    mpt_slot(ESCROW_REFUNDS, out);
    mpt_mapping_slot(key, out, out);
}

void slot_escrow_refund(const uint8_t node[ADDRESS_BYTES], uint64_t index, unsigned word, uint8_t out[32])
{
    uint8_t length[32];
    slot_escrow_refunds(node, length);
    keccak256(length, sizeof length, out);
    uint64_t add = 2 * index + word;
    for (int i = 31; add && i >= 0; i--) { /* carries go up */
        add += out[i];
        out[i] = (uint8_t)add;
        add >>= 8;
    }
}
