/* Block objects of eth_getBlockBy…: the header's RLP put together from their fields. Nothing in them is believed: the
 * caller hashes the RLP. Pure. */
#ifndef OPENLORA_RPC_BLOCK_H
#define OPENLORA_RPC_BLOCK_H

#include "chainlite/core/keccak.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block_claim { /* what an endpoint says about a block */
    uint64_t number, timestamp;
    uint8_t hash[HASH_BYTES];
};

bool block_claim(const json_t *block, struct block_claim *out);
/* false: a field is missing or malformed, or it does not fit. */
bool block_header(const json_t *block, uint8_t *out, size_t cap, size_t *len);

#endif
