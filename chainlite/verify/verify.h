/* Checks a bundle (docs/protocol.md §10) in named steps, without I/O: every hash, signature, proof and sum in it.
 *
 * 1. Chain id, contracts and forks come from the chain file, never from the bundle.
 * 2. Each field outside `informative` (a fixed list: that one object) decides at least one check.
 * 3. The checks are independent where they can be: one report names all that is wrong.
 * 4. What a bundle proves by itself is that its batch stands in the state of the block whose header it carries. Whether
 *    that block is on the chain is VERIFY_BLOCK, which only somebody who asks the chain can decide. */
#ifndef OPENLORA_VERIFY_VERIFY_H
#define OPENLORA_VERIFY_VERIFY_H

#include "chainlite/json/bundle.h"
#include "chainlite/json/chain_file.h"

enum { VERIFY_REASON_BYTES = ERR_MESSAGE_BYTES, VERIFY_MAX_BUNDLE_BYTES = 1 << 20 };

enum verify_check {
    VERIFY_SCHEMA,            /* every field is known and well-formed */
    VERIFY_CHAIN,             /* chain id, and a chain file that knows the contracts */
    VERIFY_SIGNATURE,         /* of the proof, by the node */
    VERIFY_ROWS,              /* ids of versions, price, split; who they belong to */
    VERIFY_REQUEST,           /* salted hash of the request */
    VERIFY_RESPONSE,          /* salted hash of the texts */
    VERIFY_VOUCHER,           /* the voucher is the one in the proof, from this payer for this node */
    VERIFY_VOUCHER_SIGNATURE, /* by the payer */
    VERIFY_CEILING,           /* cumulative within the voucher */
    VERIFY_PRICE,             /* the fee by the price rule */
    VERIFY_SPLIT,             /* the parts by the split rule */
    VERIFY_POLICY,            /* of attribution: its row, and that there is one if the proof says so */
    VERIFY_SPANS,             /* possible ones, with the proof's root */
    VERIFY_SHARES,            /* the leaves behind the statement, and what of them follows from the spans */
    VERIFY_STATEMENT,         /* of this receipt */
    VERIFY_STATEMENT_SIGNATURE, /* by the node */
    VERIFY_POSITION,          /* the receipt's place in its batch, what of it settled */
    VERIFY_RECEIPT_PATH,      /* the receipt is a leaf of the batch */
    VERIFY_POSTINGS,          /* so is every part's posting */
    VERIFY_HEADER,            /* the block's header and hash */
    VERIFY_ACCOUNT,           /* the Settlement contract is in the block's state */
    VERIFY_STORAGE,           /* the batch's slot is in the contract's storage */
    VERIFY_BATCH,             /* which holds this batch's hash */
    VERIFY_BLOCK,             /* the block is on the chain; needs an endpoint */
    VERIFY_CHECKS
};

enum verify_outcome { VERIFY_OK, VERIFY_FAILED, VERIFY_UNAVAILABLE };
enum verify_verdict { VERDICT_VALID, VERDICT_INVALID, VERDICT_NOT_SETTLED }; /* NOT_SETTLED: all holds so far */

struct verify_result {
    enum verify_outcome outcome;
    char reason[VERIFY_REASON_BYTES]; /* why not; "" with VERIFY_OK */
};

struct verify_report {
    struct verify_result check[VERIFY_CHECKS]; /* VERIFY_BLOCK: unavailable until the caller sets it */
    bool other_signer;                         /* the voucher is signed by `voucher_signer`, not by the payer itself */
    uint8_t voucher_signer[ADDRESS_BYTES];
};

/* Short stable names, as in the output: "schema", "receipt_path", … */
const char *verify_check_name(enum verify_check);
const char *verify_check_purpose(enum verify_check); /* a few words for people */

/* Reads the text and checks it. *bundle is filled unless the schema check fails, and then zeroed; release it with
 * schema_free(&bundle_schema, …) either way. Never fails: what is wrong is in the report. */
void verify_bundle(const char *text, size_t n, const struct chain_file *, const struct secp *, struct bundle *,
                   struct verify_report *);

/* VERDICT_INVALID if any check failed; VERIFY_BLOCK counts only if it was made. */
enum verify_verdict verify_verdict(const struct verify_report *, const struct bundle *);

#endif
