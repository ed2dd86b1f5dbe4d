#include "chainlite/rpc/block.h"
#include "chainlite/core/rlp.h"
#include "chainlite/rpc/fields.h"

enum { EXTRA_MAX_BYTES = 256 };

enum kind { QUANTITY, BYTES }; /* a number without leading zeros; a byte string */

/* The header's fields in RLP order. Forks appended to it, so the optional ones are present up to some point and absent
 * after it. */
static const struct {
    const char *name;
    enum kind kind;
    size_t bytes; /* BYTES: exact length; 0: up to EXTRA_MAX_BYTES */
    bool optional;
} header_fields[] = {
    {"parentHash", BYTES, 32, false},      {"sha3Uncles", BYTES, 32, false},
    {"miner", BYTES, 20, false},           {"stateRoot", BYTES, 32, false},
    {"transactionsRoot", BYTES, 32, false}, {"receiptsRoot", BYTES, 32, false},
    {"logsBloom", BYTES, 256, false},      {"difficulty", QUANTITY, 0, false},
    {"number", QUANTITY, 0, false},        {"gasLimit", QUANTITY, 0, false},
    {"gasUsed", QUANTITY, 0, false},       {"timestamp", QUANTITY, 0, false},
    {"extraData", BYTES, 0, false},        {"mixHash", BYTES, 32, false},
    {"nonce", BYTES, 8, false},            {"baseFeePerGas", QUANTITY, 0, true},
    {"withdrawalsRoot", BYTES, 32, true},  {"blobGasUsed", QUANTITY, 0, true},
    {"excessBlobGas", QUANTITY, 0, true},  {"parentBeaconBlockRoot", BYTES, 32, true},
    {"requestsHash", BYTES, 32, true},
};
enum { HEADER_FIELDS = sizeof header_fields / sizeof *header_fields };

bool block_claim(const json_t *block, struct block_claim *out)
{
    return field_u64(json_object_get(block, "number"), &out->number) &&
           field_u64(json_object_get(block, "timestamp"), &out->timestamp) &&
           field_bytes(json_object_get(block, "hash"), out->hash, HASH_BYTES);
}

static bool put_field(struct rlp_writer *w, const json_t *value, enum kind kind, size_t exact)
{
    uint8_t bytes[EXTRA_MAX_BYTES];
    wei_t number;
    size_t n;
    if (kind == QUANTITY) {
        if (!field_wei(value, &number))
            return false;
        rlp_put_wei(w, number);
        return true;
    }
    if (!field_length(value, &n) || n > sizeof bytes || (exact && n != exact) || !field_bytes(value, bytes, n))
        return false;
    rlp_put_bytes(w, bytes, n);
    return true;
}

bool block_header(const json_t *block, uint8_t *out, size_t cap, size_t *len)
{
    struct rlp_writer w;
    bool ended = false;
    rlp_writer_init(&w, out, cap);
    size_t list = rlp_list_open(&w);
    for (size_t i = 0; i < HEADER_FIELDS; i++) {
        const json_t *value = json_object_get(block, header_fields[i].name);
        bool absent = !value || json_is_null(value);
        if (absent && header_fields[i].optional) {
            ended = true;
            continue;
        }
        if (ended || !put_field(&w, value, header_fields[i].kind, header_fields[i].bytes))
            return false;
    }
    rlp_list_close(&w, list);
    *len = w.len;
    return !w.failed;
}
