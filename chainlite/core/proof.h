/* The Billing Proof and the voucher: fields, EIP-712 hashes, signatures (docs/protocol.md §3). Pure. */
#ifndef OPENLORA_CORE_PROOF_H
#define OPENLORA_CORE_PROOF_H

#include "base/err.h"
#include "chainlite/core/schema.h"
#include "chainlite/core/secp.h"
#include "chainlite/core/wei.h"

#include <stdint.h>

enum proof_kind { KIND_CHAT = 1, KIND_COMPLETION = 2 };
enum proof_status { STATUS_STOP = 1, STATUS_LENGTH = 2, STATUS_CANCELLED = 3, STATUS_FAILED = 4 };

struct proof { /* in the order of the EIP-712 type */
    uint8_t receipt_id[32];
    uint8_t node[ADDRESS_BYTES];
    uint64_t epoch, sequence;
    uint8_t request_hash[32], response_hash[32];
    uint8_t model_version[32], adapter_version[32]; /* adapter: 0 = the base alone */
    uint8_t numerics[32];
    uint8_t price_id[32], split_id[32];
    uint8_t payer[ADDRESS_BYTES];
    uint8_t caller[32];
    uint8_t kind, status;
    uint64_t start_time_ms; /* Unix */
    uint32_t queue_ms, prefill_ms, decode_ms;
    uint32_t prompt_tokens, cached_tokens, output_tokens;
    int32_t mean_logprob_micro; /* mean log-probability of the output tokens, in millionths */
    wei_t fee_wei;
    uint64_t payer_previous; /* sequence; 0: none in this epoch */
    wei_t payer_cumulative_wei;
    uint8_t voucher_digest[32];
    uint8_t span_root[32], attribution_policy[32];
};

struct voucher {
    uint8_t payer[ADDRESS_BYTES], node[ADDRESS_BYTES];
    wei_t ceiling_wei;
    uint8_t request_hash[32];
};

extern const struct schema proof_schema, voucher_schema;

struct domains { /* EIP-712 domain separators of one deployment */
    uint8_t settlement[HASH_BYTES]; /* of proofs */
    uint8_t escrow[HASH_BYTES];     /* of vouchers */
};

void domains_make(uint64_t chain_id, const uint8_t settlement[ADDRESS_BYTES], const uint8_t escrow[ADDRESS_BYTES],
                  struct domains *out);
void proof_struct_hash(const struct proof *, uint8_t out[HASH_BYTES]);
void proof_digest(const struct proof *, const struct domains *, uint8_t out[HASH_BYTES]);
void voucher_digest(const struct voucher *, const struct domains *, uint8_t out[HASH_BYTES]);
/* OL_EFORMAT unless the signature is `signer`'s. */
int signature_check(const struct secp *, const uint8_t digest[HASH_BYTES], const uint8_t signature[SIGNATURE_BYTES],
                    const uint8_t signer[ADDRESS_BYTES], const char *what, struct err *);
/* keccak(salt || content_hash): requestHash and responseHash. */
void salted_hash(const uint8_t salt[32], const uint8_t content_hash[32], uint8_t out[32]);

#endif
