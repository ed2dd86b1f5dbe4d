/* Batch headers, the claims' running hash, storage slots; see batch.h. */
#include "chainlite/core/batch.h"

#include "chainlite/core/mpt.h"

static const struct field batch_fields[] = {
    FIELD(batch, ADDRESS, "node", node),
    FIELD(batch, U64, "number", number),
    FIELD(batch, U64, "epoch", epoch),
    FIELD(batch, U64, "first_sequence", first_sequence),
    FIELD(batch, U32, "count", count),
    FIELD(batch, U64, "submitted_at", submitted_at),
    FIELD(batch, HASH, "previous", previous),
    FIELD(batch, HASH, "receipts_root", receipts_root),
    FIELD(batch, WEI, "settled_total", settled_total_wei),
    FIELD(batch, HASH, "postings_root", postings_root),
    FIELD(batch, U32, "postings_count", postings_count),
    FIELD(batch, WEI, "postings_total", postings_total_wei),
    FIELD(batch, HASH, "credits_root", credits_root),
    FIELD(batch, U32, "credits_count", credits_count),
    FIELD(batch, WEI, "credits_total", credits_total_wei),
    FIELD(batch, WEI, "pending_total", pending_total_wei),
    FIELD(batch, WEI, "settled_cumulative", settled_cumulative_wei),
    FIELD(batch, HASH, "claims_hash", claims_hash),
    FIELD(batch, HASH, "body_hash", body_hash),
};
const struct schema batch_schema = SCHEMA("batch", batch, batch_fields);

void batch_hash(const struct batch *b, uint8_t out[HASH_BYTES]) { schema_hash(&batch_schema, b, NULL, out); }

void claims_hash_next(const uint8_t before[32], const struct credit *accepted, size_t n, uint8_t out[32])
{
    struct keccak k;
    uint8_t chunk[HASH_BYTES], amount[16];
    keccak_init(&k);
    for (size_t i = 0; i < n; i++) {
        keccak_add(&k, accepted[i].beneficiary, ADDRESS_BYTES);
        wei_to_be16(accepted[i].cumulative_wei, amount);
        keccak_add(&k, amount, sizeof amount);
    }
    keccak_end(&k, chunk);
    keccak_init(&k);
    keccak_add(&k, before, 32);
    keccak_add(&k, chunk, sizeof chunk);
    keccak_end(&k, out);
}

/* Slots of chainlite/contracts/layout.json. */
enum { SETTLEMENT_BATCHES = 2, ESCROW_ACCOUNTS = 2, REGISTRY_REGISTERED_AT = 0 };

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

void slot_escrow_account(const uint8_t payer[ADDRESS_BYTES], const uint8_t node[ADDRESS_BYTES], uint8_t out[32])
{
    uint8_t first[32], second[32];
    mpt_word_address(payer, first);
    mpt_word_address(node, second);
    nested(ESCROW_ACCOUNTS, first, second, out);
}

void slot_registered(const uint8_t id[32], uint8_t out[32])
{
    mpt_slot(REGISTRY_REGISTERED_AT, out);
    mpt_mapping_slot(id, out, out);
}
