/* Block headers of OP-stack chains and of plain Ethereum chains since London: RLP -> fields, with the fields of each
 * fork as a table (OP specs; chain parameters say when a fork starts). The hash is always recomputed. Pure. */
#ifndef OPENLORA_CORE_HEADER_H
#define OPENLORA_CORE_HEADER_H

#include "base/err.h"
#include "chainlite/core/keccak.h"
#include "chainlite/core/wei.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum header_fork {
    FORK_BEDROCK,
    FORK_CANYON,
    FORK_ECOTONE,
    FORK_HOLOCENE,
    FORK_ISTHMUS,
    FORK_JOVIAN,
    FORK_KARST,
    FORK_COUNT
};

struct header_rules {
    bool op_stack;                       /* false: field counts are checked, fork contents are not */
    uint64_t fork_time[FORK_COUNT];      /* UINT64_MAX: not scheduled */
};

/* Hashes of nothing: the uncles of every block since the merge, the requests of every L2 block. */
extern const uint8_t header_no_uncles[HASH_BYTES], header_no_requests[HASH_BYTES];

struct header {
    uint8_t hash[HASH_BYTES], parent_hash[HASH_BYTES], state_root[HASH_BYTES], transactions_root[HASH_BYTES],
        receipts_root[HASH_BYTES], withdrawals_root[HASH_BYTES];
    uint64_t number, timestamp, gas_limit, gas_used, blob_gas_used; /* blob gas: from Jovian the DA footprint */
    wei_t base_fee_wei;
    bool has_withdrawals_root;
    const uint8_t *extra; /* borrows the input */
    size_t extra_len;
};

int header_parse(const uint8_t *rlp, size_t n, const struct header_rules *, struct header *out, struct err *);
const char *header_fork_name(enum header_fork);
enum header_fork header_fork_at(const struct header_rules *, uint64_t timestamp);

#endif
