/* What an OP-stack transaction costs besides its gas, and bounds on it (OP specs: Fjord, Isthmus, Jovian; EIP-7623).
 * Parameters come from the block's L1 attributes (deposit.h), so a client recomputes what no receipt proves. Pure. */
#ifndef OPENLORA_CORE_FEES_H
#define OPENLORA_CORE_FEES_H

#include "chainlite/core/deposit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FEES_MAX_TX_BYTES = 1 << 24,         /* of fees_flz_bytes */
    FEES_DA_FOOTPRINT_GAS_SCALAR = 400, /* when the attributes say 0 */
};

/* Length that the FastLZ compressor (level 1) would give the signed transaction. Uses 32 KB of stack. */
uint32_t fees_flz_bytes(const uint8_t *tx, size_t n);

/* Fjord's estimate of the bytes on L1, times a million: max(100, …) * 10^6. */
uint64_t fees_da_size_e6(uint32_t flz_bytes);
/* L1 fee since Fjord. false: more than 128 bits, which no real fee is. */
bool fees_l1_wei(const struct l1_attributes *, uint32_t flz_bytes, wei_t *out);
/* Operator fee since Isthmus; Jovian multiplies where Isthmus divides. */
wei_t fees_operator_wei(const struct l1_attributes *, uint64_t gas);
/* A transaction's share of its block's DA footprint (Jovian); deposits have none. The block's sum is blobGasUsed. */
uint64_t fees_da_footprint_gas(const struct l1_attributes *, uint32_t flz_bytes);
/* Least gas of a call with this data (EIP-7623). */
uint64_t fees_floor_gas(const uint8_t *data, size_t n);

#endif
