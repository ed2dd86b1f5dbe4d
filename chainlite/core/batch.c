/* Batch headers and the claims' running hash; see batch.h. */
#include "chainlite/core/batch.h"

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

/* What a body says of its batch: all but submitted_at (the contract's) and body_hash (the body's own). */
enum { HEAD_FIELDS = 5, REST_FIELDS = 12 };
static const struct schema head_schema = {"batch", batch_fields, HEAD_FIELDS, sizeof(struct batch), NOTATION_OBJECT};
static const struct schema rest_schema = {"batch", batch_fields + HEAD_FIELDS + 1, REST_FIELDS, sizeof(struct batch),
                                          NOTATION_OBJECT};
static const struct field body_fields[] = {
    {.type = FIELD_INLINE, .of = &head_schema},
    {.type = FIELD_INLINE, .of = &rest_schema},
};
const struct schema batch_body_schema = SCHEMA("batch", batch, body_fields);

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
