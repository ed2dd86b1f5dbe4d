/* Blocks as an OP-stack sequencer gossips them before they are on L1 (OP specs: rollup-node-p2p): signature, SSZ
 * ExecutionPayload of versions 1 to 4, and the block hash, which is always recomputed from the header.
 *
 *   snappy block -> message = r || s || parity || payload; payload = [parent beacon root, from version 3] || SSZ
 *
 * Accept a block when: its signer is the unsafe block signer that L1's SystemConfig names; payload_header succeeds;
 * payload_check_time succeeds; no more than PAYLOAD_MAX_PER_HEIGHT of its height were accepted before (the caller
 * counts). Pure. */
#ifndef OPENLORA_CORE_PAYLOAD_H
#define OPENLORA_CORE_PAYLOAD_H

#include "base/err.h"
#include "chainlite/core/header.h"
#include "chainlite/core/secp.h"

#include <stddef.h>
#include <stdint.h>

enum payload_version { PAYLOAD_V1 = 1, PAYLOAD_V2, PAYLOAD_V3, PAYLOAD_V4 }; /* Bedrock, Canyon, Ecotone, Isthmus on */

enum {
    PAYLOAD_MAX_BYTES = 10 << 20, /* of an uncompressed message */
    PAYLOAD_MAX_PER_HEIGHT = 5,
    PAYLOAD_MAX_AGE_S = 60,
    PAYLOAD_MAX_AHEAD_S = 5,
    PAYLOAD_HEADER_BYTES = 800,
};

/* The version whose topic, /optimism/<chain id>/<version - 1>/blocks, carries blocks of this fork. */
enum payload_version payload_version_of(enum header_fork);

void payload_signing_hash(uint64_t chain_id, const uint8_t *payload, size_t n, uint8_t out[HASH_BYTES]);
/* message: uncompressed. *payload: what was signed, inside the message. */
int payload_signer(const uint8_t *message, size_t n, uint64_t chain_id, const struct secp *,
                   uint8_t signer[ADDRESS_BYTES], const uint8_t **payload, size_t *payload_len, struct err *);

struct payload { /* borrows the bytes */
    enum payload_version version;
    const uint8_t *parent_beacon_root; /* from version 3, else NULL */
    const uint8_t *ssz;                /* the fixed part */
    const uint8_t *extra;
    size_t extra_len;
    const uint8_t *transactions; /* the SSZ list: offsets, then the transactions */
    size_t transactions_len, n_transactions;
    uint64_t number, timestamp;     /* height; Unix seconds */
    uint8_t block_hash[HASH_BYTES]; /* as claimed */
};

int payload_parse(const uint8_t *payload, size_t n, enum payload_version, struct payload *out, struct err *);
/* Transaction `index` < n_transactions; a deposit comes first (deposit.h). */
void payload_transaction(const struct payload *, size_t index, const uint8_t **data, size_t *len);
/* Makes the header (its RLP in `rlp`, which *out borrows), checks it against the rules and its hash against the claim.
 */
int payload_header(const struct payload *, const struct header_rules *, uint8_t rlp[PAYLOAD_HEADER_BYTES],
                   size_t *rlp_len, struct header *out, struct err *);
/* now: Unix seconds. OL_EFORMAT when older or newer than gossip may be. */
int payload_check_time(uint64_t timestamp, uint64_t now, struct err *);

#endif
