/* What OP-stack chains claim on L1: output roots (version 0) and super roots (version 1) (OP specs: proposals,
 * interop). Pure. */
#ifndef OPENLORA_CORE_OUTPUT_ROOT_H
#define OPENLORA_CORE_OUTPUT_ROOT_H

#include "base/err.h"
#include "chainlite/core/header.h"

#include <stddef.h>
#include <stdint.h>

extern const uint8_t output_message_passer[ADDRESS_BYTES]; /* L2ToL1MessagePasser, 0x42…16 */

/* message_passer_root: storage root of output_message_passer at that block. */
void output_root_v0(const uint8_t state_root[HASH_BYTES], const uint8_t message_passer_root[HASH_BYTES],
                    const uint8_t block_hash[HASH_BYTES], uint8_t out[HASH_BYTES]);
/* From Isthmus on the header says all of it; OL_EUNSUPPORTED before: prove the storage root. */
int output_root_of_header(const struct header *, const struct header_rules *, uint8_t out[HASH_BYTES], struct err *);

struct super_chain { /* one chain's output root at the super root's timestamp */
    uint64_t chain_id;
    uint8_t output_root[HASH_BYTES];
};

/* Chains by ascending id, at least one; else OL_EINVAL. timestamp: Unix seconds; each output root is that of the
 * chain's last block at or before it. */
int super_root_v1(uint64_t timestamp, const struct super_chain *, size_t n, uint8_t out[HASH_BYTES], struct err *);

#endif
