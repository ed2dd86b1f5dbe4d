/* OP-stack deposit transactions (type 0x7E) and the L1 attributes that the first of each block carries (OP specs:
 * deposits, Ecotone, Isthmus and Jovian L1 attributes). They have no signature: they count because the transactions
 * root covers them and because of their sender. Pure. */
#ifndef OPENLORA_CORE_DEPOSIT_H
#define OPENLORA_CORE_DEPOSIT_H

#include "base/err.h"
#include "chainlite/core/keccak.h"
#include "chainlite/core/wei.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEPOSIT_TX_TYPE = 0x7e };

/* Where a deposit comes from; the second number is the log's index or the block's sequence number in its epoch. */
void deposit_user_source(const uint8_t l1_block_hash[HASH_BYTES], uint64_t log_index, uint8_t out[HASH_BYTES]);
void deposit_l1_info_source(const uint8_t l1_block_hash[HASH_BYTES], uint64_t sequence_number, uint8_t out[HASH_BYTES]);
void deposit_upgrade_source(const char *intent, uint8_t out[HASH_BYTES]); /* "Jovian: L1Block Deployment" */

struct deposit {
    uint8_t source_hash[HASH_BYTES], from[ADDRESS_BYTES], to[ADDRESS_BYTES];
    bool create; /* no `to` */
    wei_t mint_wei, value_wei;
    uint64_t gas;
    bool is_system;      /* false since Regolith */
    const uint8_t *data; /* borrows the input */
    size_t data_len;
};

int deposit_parse(const uint8_t *bytes, size_t n, struct deposit *out, struct err *);

enum attributes_form { ATTRIBUTES_ECOTONE, ATTRIBUTES_ISTHMUS, ATTRIBUTES_JOVIAN };

struct l1_attributes { /* what a form does not have is zero */
    enum attributes_form form;
    uint32_t base_fee_scalar, blob_base_fee_scalar;
    uint64_t sequence_number, timestamp, number; /* of the L1 origin: Unix seconds, height */
    wei_t base_fee_wei, blob_base_fee_wei;       /* per gas */
    uint8_t hash[HASH_BYTES], batcher_hash[HASH_BYTES];
    uint32_t operator_fee_scalar;     /* Isthmus */
    uint64_t operator_fee_constant;   /* Isthmus */
    uint16_t da_footprint_gas_scalar; /* Jovian; 0 means the default, see fees.h */
};

/* The deposit must be the attributes transaction: from the depositor account to the L1Block predeploy, with the source
 * hash of its own L1 origin. OL_EUNSUPPORTED: call data of a form not known here. */
int deposit_l1_attributes(const struct deposit *, struct l1_attributes *out, struct err *);

#endif
