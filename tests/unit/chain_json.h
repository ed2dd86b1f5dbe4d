/* Blocks as nodes print them in JSON: their header as RLP, their payload as SSZ. */
#ifndef OPENLORA_TEST_CHAIN_JSON_H
#define OPENLORA_TEST_CHAIN_JSON_H

#include "unit/vectors.h"
#include "chainlite/core/header.h"
#include "chainlite/core/rlp.h"

static inline void put_data_at(struct rlp_writer *w, const json_t *object, const char *key)
{
    struct bytes b = bytes_at(object, key);
    rlp_put_bytes(w, b.data, b.len);
    free(b.data);
}

static inline uint64_t quantity_at(const json_t *object, const char *key)
{
    return strtoull(text_at(object, key), NULL, 16);
}

/* Fields that the block does not have are not written. Returns the length. */
static inline size_t header_of_json(const json_t *block, uint8_t *out, size_t cap)
{
    static const struct {
        const char *name;
        bool number;
    } fields[] = {{"parentHash", false},
                  {"sha3Uncles", false},
                  {"miner", false},
                  {"stateRoot", false},
                  {"transactionsRoot", false},
                  {"receiptsRoot", false},
                  {"logsBloom", false},
                  {"difficulty", true},
                  {"number", true},
                  {"gasLimit", true},
                  {"gasUsed", true},
                  {"timestamp", true},
                  {"extraData", false},
                  {"mixHash", false},
                  {"nonce", false},
                  {"baseFeePerGas", true},
                  {"withdrawalsRoot", false},
                  {"blobGasUsed", true},
                  {"excessBlobGas", true},
                  {"parentBeaconBlockRoot", false},
                  {"requestsHash", false}};
    struct rlp_writer w;
    rlp_writer_init(&w, out, cap);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!json_object_get(block, fields[i].name))
            continue;
        if (fields[i].number)
            rlp_put_u64(&w, quantity_at(block, fields[i].name));
        else
            put_data_at(&w, block, fields[i].name);
    }
    rlp_list_close(&w, 0);
    ck_assert(!w.failed);
    return w.len;
}

static inline uint8_t *copy_at(uint8_t *to, const json_t *object, const char *key)
{
    struct bytes b = bytes_at(object, key);
    memcpy(to, b.data, b.len);
    to += b.len;
    free(b.data);
    return to;
}

static inline uint8_t *put_le(uint8_t *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++, value >>= 8)
        *to++ = (uint8_t)value;
    return to;
}

/* Version 4: parentBeaconBlockRoot and the SSZ container. Returns the length. */
static inline size_t payload_of_json(const json_t *block, uint8_t *out, size_t cap)
{
    const json_t *txs = json_object_get(block, "transactions");
    size_t extra = strlen(text_at(block, "extraData")) / 2 - 1, list = 0, n = json_array_size(txs), i;
    json_t *tx;
    json_array_foreach(txs, i, tx) list += 4 + strlen(json_string_value(tx)) / 2 - 1;
    ck_assert_uint_le(32 + 560 + extra + list, cap);
    uint8_t *at = copy_at(out, block, "parentBeaconBlockRoot");
    static const char *const hashes[] = {"parentHash", "miner", "stateRoot", "receiptsRoot", "logsBloom", "mixHash"};
    static const char *const numbers[] = {"number", "gasLimit", "gasUsed", "timestamp"};
    for (i = 0; i < 6; i++)
        at = copy_at(at, block, hashes[i]);
    for (i = 0; i < 4; i++)
        at = put_le(at, quantity_at(block, numbers[i]), 8);
    at = put_le(at, 560, 4);
    at = put_le(put_le(at, quantity_at(block, "baseFeePerGas"), 8), 0, 24);
    at = copy_at(at, block, "hash");
    at = put_le(at, 560 + extra, 4);
    at = put_le(at, 560 + extra + list, 4);
    at = put_le(at, quantity_at(block, "blobGasUsed"), 8);
    at = put_le(at, quantity_at(block, "excessBlobGas"), 8);
    at = copy_at(at, block, "withdrawalsRoot");
    at = copy_at(at, block, "extraData");
    size_t offset = 4 * n;
    json_array_foreach(txs, i, tx)
    {
        at = put_le(at, offset, 4);
        offset += strlen(json_string_value(tx)) / 2 - 1;
    }
    json_array_foreach(txs, i, tx)
    {
        struct bytes b = bytes_of_hex(json_string_value(tx));
        memcpy(at, b.data, b.len);
        at += b.len;
        free(b.data);
    }
    return (size_t)(at - out);
}

/* Rules of a chain on which `fork` is the newest. */
static inline struct header_rules rules_at(enum header_fork fork)
{
    struct header_rules rules = {.op_stack = true};
    for (int i = 0; i < FORK_COUNT; i++)
        rules.fork_time[i] = i <= (int)fork ? 0 : UINT64_MAX;
    return rules;
}

#endif
