/* What proves one receipt (docs/protocol.md §10) and the body of a batch (§5), as structs with their schemas. JSON in and
 * out: notation.h. Everything hangs off the struct and is released with schema_free(&bundle_schema, …). */
#ifndef OPENLORA_JSON_BUNDLE_H
#define OPENLORA_JSON_BUNDLE_H

#include "chainlite/core/batch.h"
#include "chainlite/core/statement.h"
#include "chainlite/json/notation.h"

enum {
    BUNDLE_VERSION = 1,
    BUNDLE_MAX_CHOICES = 128,       /* texts of one answer */
    BUNDLE_MAX_POSTINGS = MAX_PARTS_PER_RECEIPT,
    BUNDLE_MAX_HEADER_BYTES = 1024,
    BUNDLE_MAX_NODES = 65,          /* of a Merkle-Patricia proof */
    BUNDLE_MAX_NODE_BYTES = 1024,   /* a branch has 532 */
    BODY_MAX_RECEIPTS = 65536,
    BODY_MAX_POSTINGS = BODY_MAX_RECEIPTS * (MAX_PARTS_PER_RECEIPT + 1 + RECEIPT_MAX_SHARES),
    BODY_MAX_ROWS = 65536,
};

struct signed_voucher {
    struct voucher voucher;
    uint8_t signature[SIGNATURE_BYTES];
};
extern const struct schema signed_voucher_schema;

struct hash_element { /* of a list of hashes */
    uint8_t hash[HASH_BYTES];
};

struct node_element { /* one node of a Merkle-Patricia proof */
    struct byte_string rlp;
};
extern const struct schema node_element_schema;

struct bundle_rows {
    struct row_version model, adapter;
    bool has_adapter;
    struct row_price price;
    struct row_split split;
};

struct bundle_posting {
    struct posting posting;
    uint32_t index;
    struct list path; /* struct sumnode, from the leaf upwards */
};

struct bundle_settlement {
    struct batch batch;
    wei_t settled_wei;
    uint32_t index;           /* of the receipt: sequence - first sequence */
    struct list receipt_path; /* struct sumnode */
    struct list postings;     /* struct bundle_posting: each posting of the receipt in its own batch, by role */
    uint8_t block_hash[HASH_BYTES];
    struct byte_string block_header; /* RLP; its keccak is block_hash */
    struct list account_proof, storage_proof; /* struct node_element, root first */
};

struct signed_statement {
    struct attribution_statement statement;
    uint8_t signature[SIGNATURE_BYTES];
    struct list shares; /* struct share: all leaves behind the statement's sharesRoot */
};
extern const struct schema signed_statement_schema;

struct signature { /* where one may be missing */
    uint8_t at[SIGNATURE_BYTES];
};

struct bundle_attribution {
    struct row_version policy;
    struct list spans; /* struct receipt_span */
    bool has_statement, has_signature; /* both or neither: not before the batch after the receipt's is closed */
    struct attribution_statement statement;
    struct signature signature;
    struct list shares; /* struct share; none without a statement */
};
extern const struct schema bundle_attribution_schema;

struct bundle {
    uint8_t version; /* BUNDLE_VERSION */
    uint64_t chain_id;
    struct proof proof;
    uint8_t signature[SIGNATURE_BYTES];
    uint8_t salt[32];
    uint8_t request_body_hash[HASH_BYTES];
    struct list response_text_hashes; /* struct hash_element, by choice */
    bool has_voucher; /* false only while the payer's cumulative is 0 */
    struct signed_voucher voucher;
    struct bundle_rows rows;
    struct list parts; /* struct part, by role: what the receipt pays if it settles */
    bool has_attribution; /* as the proof has a policy */
    struct bundle_attribution attribution;
    bool has_settlement;
    struct bundle_settlement settlement;
    json_t *informative; /* an object; nothing in it is checked */
};
extern const struct schema bundle_schema, bundle_settlement_schema;

struct body_receipt {
    struct proof proof;
    uint8_t signature[SIGNATURE_BYTES];
    wei_t settled_wei;
};

struct body_rows {
    struct list versions, prices, splits; /* struct row_version, row_price, row_split */
};

struct body { /* the batch's submitted_at and body_hash are not part of it: 0 after reading */
    uint8_t version;
    struct batch batch;
    struct list receipts; /* struct body_receipt */
    struct list postings; /* struct posting */
    struct list credits;  /* struct credit */
    struct body_rows rows;
    struct list vouchers; /* struct signed_voucher */
    struct list statements; /* struct signed_statement, of the receipts of the batch before that have a policy */
};
extern const struct schema body_schema, body_receipt_schema;

/* keccak(salt ‖ keccak(h₀ ‖ … ‖ hₙ₋₁)): the response hash of these texts' hashes. */
void response_hash(const uint8_t salt[32], const struct hash_element *hashes, size_t n, uint8_t out[HASH_BYTES]);

#endif
