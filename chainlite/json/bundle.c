/* Schemas of bundles and bodies; see bundle.h. */
#include "chainlite/json/bundle.h"

static const struct field signed_voucher_fields[] = {
    FIELD_MERGED(signed_voucher, voucher, &voucher_schema),
    FIELD(signed_voucher, SIGNATURE, "signature", signature),
};
const struct schema signed_voucher_schema = SCHEMA("voucher", signed_voucher, signed_voucher_fields);

static const struct field hash_fields[] = {FIELD(hash_element, HASH, "hash", hash)};
static const struct schema hash_schema = SCHEMA_AS(BARE, "hash", hash_element, hash_fields);

static const struct field node_fields[] = {FIELD_BOUNDED(node_element, BYTES, "node", rlp, BUNDLE_MAX_NODE_BYTES)};
const struct schema node_element_schema = SCHEMA_AS(BARE, "node", node_element, node_fields);

static const struct field rows_fields[] = {
    FIELD_NESTED(bundle_rows, "model_version", model, &version_schema),
    FIELD_NULLABLE(bundle_rows, "adapter_version", adapter, has_adapter, &version_schema),
    FIELD_NESTED(bundle_rows, "price", price, &price_schema),
    FIELD_NESTED(bundle_rows, "split", split, &split_schema),
};
static const struct schema rows_schema = SCHEMA("rows", bundle_rows, rows_fields);

/* The posting's own schema is an array; merged into an object its fields get their names. */
static const struct field posting_fields[] = {
    FIELD_MERGED(bundle_posting, posting, &posting_schema),
    FIELD(bundle_posting, U32, "index", index),
    FIELD_MANY(bundle_posting, "path", path, &sumnode_schema, SUMTREE_MAX_DEPTH),
};
static const struct schema bundle_posting_schema = SCHEMA("posting", bundle_posting, posting_fields);

static const struct field settlement_fields[] = {
    FIELD_NESTED(bundle_settlement, "batch", batch, &batch_schema),
    FIELD(bundle_settlement, WEI, "settled", settled_wei),
    FIELD(bundle_settlement, U32, "index", index),
    FIELD_MANY(bundle_settlement, "receipt_path", receipt_path, &sumnode_schema, SUMTREE_MAX_DEPTH),
    FIELD_MANY(bundle_settlement, "postings", postings, &bundle_posting_schema, BUNDLE_MAX_POSTINGS),
    FIELD(bundle_settlement, HASH, "block_hash", block_hash),
    FIELD_BOUNDED(bundle_settlement, BYTES, "block_header", block_header, BUNDLE_MAX_HEADER_BYTES),
    FIELD_MANY(bundle_settlement, "account_proof", account_proof, &node_element_schema, BUNDLE_MAX_NODES),
    FIELD_MANY(bundle_settlement, "storage_proof", storage_proof, &node_element_schema, BUNDLE_MAX_NODES),
};
const struct schema bundle_settlement_schema = SCHEMA("settlement", bundle_settlement, settlement_fields);

static const struct field signed_statement_fields[] = {
    FIELD_NESTED(signed_statement, "statement", statement, &attribution_statement_schema),
    FIELD(signed_statement, SIGNATURE, "signature", signature),
    FIELD_MANY(signed_statement, "shares", shares, &share_schema, RECEIPT_MAX_SHARES),
};
const struct schema signed_statement_schema = SCHEMA("statement", signed_statement, signed_statement_fields);

static const struct field signature_fields[] = {FIELD(signature, SIGNATURE, "signature", at)};
static const struct schema signature_schema = SCHEMA_AS(BARE, "signature", signature, signature_fields);

static const struct field attribution_fields[] = {
    FIELD_NESTED(bundle_attribution, "policy", policy, &version_schema),
    FIELD_MANY(bundle_attribution, "spans", spans, &span_schema, RECEIPT_MAX_SPANS),
    FIELD_NULLABLE(bundle_attribution, "statement", statement, has_statement, &attribution_statement_schema),
    FIELD_NULLABLE(bundle_attribution, "signature", signature, has_signature, &signature_schema),
    FIELD_MANY(bundle_attribution, "shares", shares, &share_schema, RECEIPT_MAX_SHARES),
};
const struct schema bundle_attribution_schema = SCHEMA("attribution", bundle_attribution, attribution_fields);

static const struct field bundle_fields[] = {
    FIELD_BOUNDED(bundle, VERSION, "version", version, BUNDLE_VERSION),
    FIELD(bundle, U64, "chain_id", chain_id),
    FIELD_NESTED(bundle, "proof", proof, &proof_schema),
    FIELD(bundle, SIGNATURE, "signature", signature),
    FIELD(bundle, HASH, "salt", salt),
    FIELD(bundle, HASH, "request_body_hash", request_body_hash),
    FIELD_MANY(bundle, "response_text_hashes", response_text_hashes, &hash_schema, BUNDLE_MAX_CHOICES),
    FIELD_NULLABLE(bundle, "voucher", voucher, has_voucher, &signed_voucher_schema),
    FIELD_NESTED(bundle, "rows", rows, &rows_schema),
    FIELD_MANY(bundle, "parts", parts, &part_schema, MAX_PARTS_PER_RECEIPT),
    FIELD_NULLABLE(bundle, "attribution", attribution, has_attribution, &bundle_attribution_schema),
    FIELD_NULLABLE(bundle, "settlement", settlement, has_settlement, &bundle_settlement_schema),
    FIELD(bundle, OPEN, "informative", informative),
};
const struct schema bundle_schema = SCHEMA("bundle", bundle, bundle_fields);

static const struct field body_receipt_fields[] = {
    FIELD_NESTED(body_receipt, "proof", proof, &proof_schema),
    FIELD(body_receipt, SIGNATURE, "signature", signature),
    FIELD(body_receipt, WEI, "settled", settled_wei),
};
const struct schema body_receipt_schema = SCHEMA("receipt", body_receipt, body_receipt_fields);

static const struct field body_rows_fields[] = {
    FIELD_MANY(body_rows, "versions", versions, &version_schema, BODY_MAX_ROWS),
    FIELD_MANY(body_rows, "prices", prices, &price_schema, BODY_MAX_ROWS),
    FIELD_MANY(body_rows, "splits", splits, &split_schema, BODY_MAX_ROWS),
};
static const struct schema body_rows_schema = SCHEMA("rows", body_rows, body_rows_fields);

static const struct field body_fields[] = {
    FIELD_BOUNDED(body, VERSION, "version", version, BUNDLE_VERSION),
    FIELD_NESTED(body, "batch", batch, &batch_body_schema),
    FIELD_MANY(body, "receipts", receipts, &body_receipt_schema, BODY_MAX_RECEIPTS),
    FIELD_MANY(body, "postings", postings, &posting_schema, BODY_MAX_POSTINGS),
    FIELD_MANY(body, "credits", credits, &credit_schema, BODY_MAX_POSTINGS),
    FIELD_NESTED(body, "rows", rows, &body_rows_schema),
    FIELD_MANY(body, "vouchers", vouchers, &signed_voucher_schema, BODY_MAX_RECEIPTS),
    FIELD_MANY(body, "statements", statements, &signed_statement_schema, BODY_MAX_RECEIPTS),
};
const struct schema body_schema = SCHEMA("body", body, body_fields);

void response_hash(const uint8_t salt[32], const struct hash_element *hashes, size_t n, uint8_t out[HASH_BYTES])
{
    struct keccak k;
    uint8_t all[HASH_BYTES];
    keccak_init(&k);
    for (size_t i = 0; i < n; i++)
        keccak_add(&k, hashes[i].hash, HASH_BYTES);
    keccak_end(&k, all);
    salted_hash(salt, all, out);
}
