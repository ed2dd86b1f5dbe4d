/* Call data of the contracts in chainlite/contracts, one function per call: selector and ABI words into the caller's
 * writer, whose `failed` tells whether it fitted. Structs are written field by field from the tables of
 * chainlite/core/schema.h, so that their order is stated once. Pure. */
#ifndef OPENLORA_CALLS_H
#define OPENLORA_CALLS_H

#include "chainlite/core/abi.h"
#include "chainlite/core/batch.h"

#include <stddef.h>
#include <stdint.h>

struct claim { /* one payer's line of Escrow.claim */
    uint8_t payer[ADDRESS_BYTES];
    wei_t amount_wei;
    wei_t ceiling_wei; /* with request hash and signature: the voucher that covers it */
    uint8_t request_hash[32];
    uint8_t signature[SIGNATURE_BYTES];
};

enum {
    CALL_CLAIM_BYTES = 11 * ABI_WORD_BYTES,         /* of one claim, its offset included */
    CALL_MAX_CLAIMS = 256,                          /* Escrow.MAX_CLAIMS */
    CALL_SUBMIT_BYTES = 4 + 2 * 19 * ABI_WORD_BYTES /* two batches of 19 words */
};

/* Room that call_escrow_claim needs. */
static inline size_t call_claims_bytes(size_t n) { return 4 + 2 * ABI_WORD_BYTES + n * CALL_CLAIM_BYTES; }

void call_escrow_claim(struct abi_writer *, const struct claim *, size_t n);
void call_escrow_deposit(struct abi_writer *, const uint8_t payer[ADDRESS_BYTES], const uint8_t node[ADDRESS_BYTES],
                         wei_t amount);
void call_escrow_deposit_native(struct abi_writer *, const uint8_t payer[ADDRESS_BYTES],
                                const uint8_t node[ADDRESS_BYTES]); /* the transaction's value is the amount */
void call_escrow_thaw(struct abi_writer *, const uint8_t node[ADDRESS_BYTES], wei_t amount);
void call_escrow_withdraw(struct abi_writer *, const uint8_t node[ADDRESS_BYTES]);
void call_escrow_authorise(struct abi_writer *, const uint8_t signer[ADDRESS_BYTES]);
void call_escrow_revoke(struct abi_writer *, const uint8_t signer[ADDRESS_BYTES]);
/* pairs: the chunk's packed (payer(20) || amount(16)) */
void call_escrow_refund(struct abi_writer *, const uint8_t node[ADDRESS_BYTES], uint64_t index,
                        const uint8_t previous_hash[32], const void *pairs, size_t pairs_len);

/* previous: the node's batch before as it stands on the chain; all zero before the first. */
void call_settlement_submit(struct abi_writer *, const struct batch *previous, const struct batch *batch);
void call_settlement_finalise(struct abi_writer *, const struct batch *);
void call_settlement_open_epoch(struct abi_writer *, const uint8_t node[ADDRESS_BYTES], const struct batch *last);
void call_settlement_refund_overdue(struct abi_writer *, const uint8_t node[ADDRESS_BYTES], const struct batch *last);
void call_settlement_bond(struct abi_writer *, const uint8_t node[ADDRESS_BYTES], wei_t amount);
void call_settlement_unbond(struct abi_writer *, const uint8_t node[ADDRESS_BYTES], wei_t amount);
void call_settlement_withdraw_bond(struct abi_writer *, const uint8_t node[ADDRESS_BYTES]);
void call_settlement_offer_node(struct abi_writer *, const uint8_t node[ADDRESS_BYTES],
                                const uint8_t to[ADDRESS_BYTES]);
void call_settlement_accept_node(struct abi_writer *, const uint8_t node[ADDRESS_BYTES]);

/* path: of the credit's leaf at `index` of the batch's credits tree. */
void call_rewards_claim(struct abi_writer *, const struct batch *, const struct credit *, uint32_t index,
                        const struct sumpath *path);
void call_rewards_set_payout(struct abi_writer *, const uint8_t to[ADDRESS_BYTES]);
void call_rewards_sweep(struct abi_writer *, const struct batch *last, const struct batch *next,
                        const struct row_split *);

/* BillingNFT: what proves one receipt of a final batch. path: of its leaf at `index`. */
struct proven_receipt {
    const struct batch *batch;
    const struct proof *proof;
    wei_t settled_wei;
    uint32_t index;
    const struct sumpath *path;
    const struct row_price *price;
    const struct row_split *split;
};
enum { CALL_MINT_BYTES = 4 + (1 + 19 + 29 + 2 + 9 + 7 + 3 + 2 * SUMTREE_MAX_DEPTH) * ABI_WORD_BYTES };
void call_nft_mint(struct abi_writer *, const struct proven_receipt *);

/* Registry. Texts are UTF-8; the contract bounds them (names 128 bytes, URIs 512). */
void call_registry_create_item(struct abi_writer *, enum item_kind, const char *name);
void call_registry_publish_version(struct abi_writer *, const struct row_version *, const uint8_t (*parents)[32],
                                   size_t n_parents, const uint8_t (*data_roots)[32], size_t n_roots,
                                   const uint8_t training_record[32], const char *uri);
void call_registry_publish_price(struct abi_writer *, const struct row_price *);
void call_registry_publish_split(struct abi_writer *, const struct row_split *);
void call_registry_set_current(struct abi_writer *, const uint8_t item[32], uint32_t number);
void call_registry_freeze(struct abi_writer *, const uint8_t item[32]);
void call_registry_activate(struct abi_writer *, const uint8_t item[32]);
void call_registry_redirect(struct abi_writer *, const uint8_t item[32], const uint8_t to[32]);
void call_registry_offer_item(struct abi_writer *, const uint8_t item[32], const uint8_t to[ADDRESS_BYTES]);
void call_registry_accept_item(struct abi_writer *, const uint8_t item[32]);

/* The payment asset: an ERC-20 that wraps the native token. */
void call_asset_deposit(struct abi_writer *); /* the transaction's value is the amount */
void call_asset_approve(struct abi_writer *, const uint8_t spender[ADDRESS_BYTES], wei_t amount);
void call_asset_transfer(struct abi_writer *, const uint8_t to[ADDRESS_BYTES], wei_t amount);

enum { CALL_ERROR_BYTES = 160 };
/* What a revert says: "WrongNumber(4)" for the contracts' own errors (arguments that are integers in decimal, others in
 * hexadecimal), the text of Error(string), "Panic(0x11)"; the bare data when it is unknown. data: "0x…" as endpoints
 * give it, possibly cut. */
void call_error_text(const char *data, char out[CALL_ERROR_BYTES]);

#endif
