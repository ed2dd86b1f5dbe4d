/* EIP-1559 transactions (type 2, no access list): encode, sign, read back. Pure. */
#ifndef OPENLORA_CORE_TX_H
#define OPENLORA_CORE_TX_H

#include "base/err.h"
#include "chainlite/core/secp.h"
#include "chainlite/core/wei.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tx {
    uint64_t chain_id, nonce, gas_limit;
    wei_t tip_wei, fee_cap_wei; /* per gas: maxPriorityFeePerGas, maxFeePerGas */
    bool create;                /* no `to`: data is init code */
    uint8_t to[ADDRESS_BYTES];
    wei_t value_wei;
    const uint8_t *data; /* borrowed */
    size_t data_len;
};

/* Room that tx_sign needs for a transaction with this much data. */
size_t tx_max_bytes(size_t data_len);
/* out: 0x02 || rlp(…). hash: keccak of it. */
int tx_sign(const struct tx *, const struct secp *, const uint8_t secret[SECRET_BYTES], uint8_t *out, size_t cap,
            size_t *len, uint8_t hash[HASH_BYTES], struct err *);
/* Reads a signed transaction and recovers its sender; out borrows the bytes. */
int tx_parse(const uint8_t *bytes, size_t n, const struct secp *, struct tx *out, uint8_t sender[ADDRESS_BYTES],
             uint8_t hash[HASH_BYTES], struct err *);
/* Address of a contract that `sender` creates with `nonce`. */
void tx_create_address(const uint8_t sender[ADDRESS_BYTES], uint64_t nonce, uint8_t out[ADDRESS_BYTES]);

#endif
