/* Rows of the registry that bills refer to, their ids, the fee rule and the split rule (docs/protocol.md §1, §2). Pure. */
#ifndef OPENLORA_CORE_ROWS_H
#define OPENLORA_CORE_ROWS_H

#include "base/err.h"
#include "chainlite/core/proof.h"

#include <stdbool.h>
#include <stdint.h>

enum item_kind { ITEM_NODE = 1, ITEM_DATANET = 2, ITEM_MODEL = 3, ITEM_ADAPTER = 4, ITEM_AGENT = 5, ITEM_POLICY = 6 };
enum { PPB = 1000000000 }; /* parts per billion: the whole */

struct row_version {
    uint8_t item[32];
    uint32_t number; /* from 1 */
    uint8_t content_hash[32];
    uint8_t base_version[32]; /* 0: this is a base model */
    uint8_t payee[ADDRESS_BYTES];
    uint32_t base_ppb;
    uint8_t metadata[32];
};

enum tier { TIER_DEFAULT = 0, TIER_FLEX = 1, TIER_PRIORITY = 2 };

struct row_price { /* wei per million tokens; floor per answer */
    uint8_t node[ADDRESS_BYTES];
    uint8_t version[32];
    uint8_t tier;
    uint64_t effective_time; /* Unix seconds */
    wei_t input_wei, cached_wei, output_wei, floor_wei, compute_wei;
};

struct row_split {
    uint32_t model_ppb, data_ppb, validators_ppb, node_ppb;
    uint8_t validators_pool[ADDRESS_BYTES], unattributed_pool[ADDRESS_BYTES], treasury[ADDRESS_BYTES];
};

extern const struct schema version_schema, price_schema, split_schema, part_schema;

void item_id(enum item_kind, const uint8_t owner[ADDRESS_BYTES], const char *name, uint8_t out[32]); /* name ≤ 128 bytes */
void version_metadata(const uint8_t (*parents)[32], size_t n_parents, const uint8_t (*data_roots)[32], size_t n_roots,
                      const uint8_t training_record[32], uint8_t out[32]);
void version_id(const struct row_version *, uint8_t out[32]);
void price_id(const struct row_price *, uint8_t out[32]);
void split_id(const struct row_split *, uint8_t out[32]);

struct fee {
    wei_t royalty_wei, compute_wei;
};
/* OL_EINVAL: cached > prompt; OL_ELIMIT: over 128 bits. */
int fee_of(const struct row_price *, uint32_t prompt_tokens, uint32_t cached_tokens, uint32_t output_tokens,
           enum proof_status, struct fee *out, struct err *);

enum role {
    ROLE_MODEL = 1,
    ROLE_BASE,
    ROLE_DATA,
    ROLE_VALIDATORS,
    ROLE_NODE,
    ROLE_COMPUTE,
    ROLE_END, /* of the parts of a fee */
    ROLE_UNATTRIBUTED = ROLE_END, /* of postings only: what no share gets of the data part of a receipt with a policy */
};

struct part {
    uint8_t beneficiary[ADDRESS_BYTES];
    uint8_t role;     /* enum role */
    wei_t amount_wei; /* never 0 */
};

enum { MAX_PARTS_PER_RECEIPT = 6 };

wei_t wei_part(wei_t amount, uint32_t ppb); /* ⌊amount · ppb / 10⁹⌋ for ppb ≤ 10⁹, exactly */

/* The parts of a fee that settled, zero amounts left out; *n of them, by role. The data part goes to the unattributed
 * pool (a batch posts it one batch later; with a policy core/shares.h divides it). base: NULL without an adapter.
 * OL_EINVAL: a split whose parts are not the whole, or a base part above it. */
int parts_of(const struct fee *, const struct row_split *, const struct row_version *top, const struct row_version *base,
             const uint8_t node[ADDRESS_BYTES], struct part out[MAX_PARTS_PER_RECEIPT], int *n, struct err *);

#endif
