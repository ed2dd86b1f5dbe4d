/* Billing Proof and voucher; see proof.h. */
#include "chainlite/core/proof.h"

#include "chainlite/core/eip712.h"
#include "chainlite/core/hex.h"

#include <string.h>

static const char proof_type[] =
    "BillingProof(bytes32 receiptId,address node,uint64 epoch,uint64 sequence,bytes32 requestHash,"
    "bytes32 responseHash,bytes32 modelVersion,bytes32 adapterVersion,bytes32 numerics,bytes32 priceId,"
    "bytes32 splitId,address payer,bytes32 caller,uint8 kind,uint8 status,uint64 startTimeMs,uint32 queueMs,"
    "uint32 prefillMs,uint32 decodeMs,uint32 promptTokens,uint32 cachedTokens,uint32 outputTokens,"
    "int32 meanLogprobMicro,uint128 fee,uint64 payerPrevious,uint128 payerCumulative,bytes32 voucherDigest,"
    "bytes32 spanRoot,bytes32 attributionPolicy)";

static const struct field proof_fields[] = {
    FIELD(proof, HASH, "receipt_id", receipt_id),
    FIELD(proof, ADDRESS, "node", node),
    FIELD(proof, U64, "epoch", epoch),
    FIELD(proof, U64, "sequence", sequence),
    FIELD(proof, HASH, "request_hash", request_hash),
    FIELD(proof, HASH, "response_hash", response_hash),
    FIELD(proof, HASH, "model_version", model_version),
    FIELD(proof, HASH, "adapter_version", adapter_version),
    FIELD(proof, HASH, "numerics", numerics),
    FIELD(proof, HASH, "price_id", price_id),
    FIELD(proof, HASH, "split_id", split_id),
    FIELD(proof, ADDRESS, "payer", payer),
    FIELD(proof, HASH, "caller", caller),
    FIELD(proof, U8, "kind", kind),
    FIELD(proof, U8, "status", status),
    FIELD(proof, U64, "start_time_ms", start_time_ms),
    FIELD(proof, U32, "queue_ms", queue_ms),
    FIELD(proof, U32, "prefill_ms", prefill_ms),
    FIELD(proof, U32, "decode_ms", decode_ms),
    FIELD(proof, U32, "prompt_tokens", prompt_tokens),
    FIELD(proof, U32, "cached_tokens", cached_tokens),
    FIELD(proof, U32, "output_tokens", output_tokens),
    FIELD(proof, I32, "mean_logprob_micro", mean_logprob_micro),
    FIELD(proof, WEI, "fee", fee_wei),
    FIELD(proof, U64, "payer_previous", payer_previous),
    FIELD(proof, WEI, "payer_cumulative", payer_cumulative_wei),
    FIELD(proof, HASH, "voucher_digest", voucher_digest),
    FIELD(proof, HASH, "span_root", span_root),
    FIELD(proof, HASH, "attribution_policy", attribution_policy),
};
const struct schema proof_schema = SCHEMA("proof", proof, proof_fields);

static const char voucher_type[] = "Voucher(address payer,address node,uint128 ceiling,bytes32 requestHash)";

static const struct field voucher_fields[] = {
    FIELD(voucher, ADDRESS, "payer", payer),
    FIELD(voucher, ADDRESS, "node", node),
    FIELD(voucher, WEI, "ceiling", ceiling_wei),
    FIELD(voucher, HASH, "request_hash", request_hash),
};
const struct schema voucher_schema = SCHEMA("voucher", voucher, voucher_fields);

void domains_make(uint64_t chain_id, const uint8_t settlement[ADDRESS_BYTES], const uint8_t escrow[ADDRESS_BYTES],
                  struct domains *out)
{
    eip712_domain("OpenLoRA", "1", chain_id, settlement, out->settlement);
    eip712_domain("OpenLoRA Escrow", "1", chain_id, escrow, out->escrow);
}

void proof_struct_hash(const struct proof *p, uint8_t out[HASH_BYTES])
{
    schema_hash(&proof_schema, p, proof_type, out);
}

void proof_digest(const struct proof *p, const struct domains *d, uint8_t out[HASH_BYTES])
{
    uint8_t hash[HASH_BYTES];
    proof_struct_hash(p, hash);
    eip712_digest(d->settlement, hash, out);
}

void voucher_digest(const struct voucher *v, const struct domains *d, uint8_t out[HASH_BYTES])
{
    uint8_t hash[HASH_BYTES];
    schema_hash(&voucher_schema, v, voucher_type, hash);
    eip712_digest(d->escrow, hash, out);
}

int signature_check(const struct secp *secp, const uint8_t digest[HASH_BYTES], const uint8_t signature[SIGNATURE_BYTES],
                    const uint8_t signer[ADDRESS_BYTES], const char *what, struct err *e)
{
    uint8_t by[ADDRESS_BYTES];
    char text[2][ADDRESS_TEXT_BYTES];
    if (secp_recover(secp, digest, signature, by, e))
        return err_prefix(e, "%s", what);
    if (memcmp(by, signer, ADDRESS_BYTES) == 0)
        return 0;
    address_format(by, text[0]);
    address_format(signer, text[1]);
    return err_set(e, OL_EFORMAT, "proof", "%s is signed by %s, not by %s", what, text[0], text[1]);
}

void salted_hash(const uint8_t salt[32], const uint8_t content_hash[32], uint8_t out[32])
{
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, salt, 32);
    keccak_add(&k, content_hash, 32);
    keccak_end(&k, out);
}
