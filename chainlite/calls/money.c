/* Calls of Escrow, Settlement, Rewards and the payment asset; see calls.h. */
#include "chainlite/calls/words.h"

void words_put(struct abi_writer *w, const struct schema *schema, const void *object)
{
    uint8_t word[ABI_WORD_BYTES];
    for (size_t i = 0; i < schema->n; i++) {
        field_word(&schema->field[i], object, word);
        abi_put_word(w, word);
    }
}

void words_put_path(struct abi_writer *w, uint32_t index, const struct sumpath *path)
{
    size_t start = w->len;
    abi_put_u64(w, index);
    size_t siblings = abi_put_offset(w);
    abi_set_offset(w, siblings, start);
    abi_put_u64(w, (uint64_t)path->depth);
    for (int i = 0; i < path->depth; i++) {
        abi_put_word(w, path->node[i].hash);
        abi_put_wei(w, path->node[i].sum_wei);
    }
}

static void put_claim(struct abi_writer *w, const struct claim *c)
{
    size_t start = w->len;
    abi_put_address(w, c->payer);
    abi_put_wei(w, c->amount_wei);
    abi_put_wei(w, c->ceiling_wei);
    abi_put_word(w, c->request_hash);
    size_t signature = abi_put_offset(w);
    abi_set_offset(w, signature, start);
    abi_put_bytes(w, c->signature, SIGNATURE_BYTES);
}

void call_escrow_claim(struct abi_writer *w, const struct claim *claims, size_t n)
{
    abi_put_selector(w, "claim(" CLAIM_TYPE "[])");
    size_t arguments = w->len;
    size_t array = abi_put_offset(w);
    abi_set_offset(w, array, arguments);
    abi_put_u64(w, n);
    /* Claims are dynamic: first the offsets of all, counted from the first of them, then the claims. */
    size_t offsets = w->len;
    for (size_t i = 0; i < n; i++)
        abi_put_offset(w);
    for (size_t i = 0; i < n && !w->failed; i++) {
        size_t at = w->len;
        wei_to_be32(at - offsets, w->data + offsets + i * ABI_WORD_BYTES);
        put_claim(w, &claims[i]);
    }
}

/* The shapes that most calls have. */
static void call_address(struct abi_writer *w, const char *signature, const uint8_t a[ADDRESS_BYTES])
{
    abi_put_selector(w, signature);
    abi_put_address(w, a);
}

static void call_address_wei(struct abi_writer *w, const char *signature, const uint8_t a[ADDRESS_BYTES], wei_t amount)
{
    call_address(w, signature, a);
    abi_put_wei(w, amount);
}

static void call_addresses(struct abi_writer *w, const char *signature, const uint8_t a[ADDRESS_BYTES],
                           const uint8_t b[ADDRESS_BYTES])
{
    call_address(w, signature, a);
    abi_put_address(w, b);
}

void call_escrow_deposit(struct abi_writer *w, const uint8_t payer[ADDRESS_BYTES], const uint8_t node[ADDRESS_BYTES],
                         wei_t amount)
{
    call_addresses(w, "deposit(address,address,uint128)", payer, node);
    abi_put_wei(w, amount);
}

void call_escrow_deposit_native(struct abi_writer *w, const uint8_t payer[ADDRESS_BYTES],
                                const uint8_t node[ADDRESS_BYTES])
{
    call_addresses(w, "depositNative(address,address)", payer, node);
}

void call_escrow_thaw(struct abi_writer *w, const uint8_t node[ADDRESS_BYTES], wei_t amount)
{
    call_address_wei(w, "thaw(address,uint128)", node, amount);
}

void call_escrow_withdraw(struct abi_writer *w, const uint8_t node[ADDRESS_BYTES])
{
    call_address(w, "withdraw(address)", node);
}

void call_escrow_authorise(struct abi_writer *w, const uint8_t signer[ADDRESS_BYTES])
{
    call_address(w, "authorise(address)", signer);
}

void call_escrow_revoke(struct abi_writer *w, const uint8_t signer[ADDRESS_BYTES])
{
    call_address(w, "revoke(address)", signer);
}

void call_escrow_refund(struct abi_writer *w, const uint8_t node[ADDRESS_BYTES], uint64_t index,
                        const uint8_t previous_hash[32], const void *pairs, size_t pairs_len)
{
    abi_put_selector(w, "refund(address,uint256,bytes32,bytes)");
    size_t arguments = w->len;
    abi_put_address(w, node);
    abi_put_u64(w, index);
    abi_put_word(w, previous_hash);
    size_t place = abi_put_offset(w);
    abi_set_offset(w, place, arguments);
    abi_put_bytes(w, pairs, pairs_len);
}

void call_settlement_submit(struct abi_writer *w, const struct batch *previous, const struct batch *batch)
{
    abi_put_selector(w, "submit(" BATCH_TYPE "," BATCH_TYPE ")");
    words_put(w, &batch_schema, previous);
    words_put(w, &batch_schema, batch);
}

void call_settlement_finalise(struct abi_writer *w, const struct batch *batch)
{
    abi_put_selector(w, "finalise(" BATCH_TYPE ")");
    words_put(w, &batch_schema, batch);
}

void call_settlement_open_epoch(struct abi_writer *w, const uint8_t node[ADDRESS_BYTES], const struct batch *last)
{
    call_address(w, "openEpoch(address," BATCH_TYPE ")", node);
    words_put(w, &batch_schema, last);
}

void call_settlement_refund_overdue(struct abi_writer *w, const uint8_t node[ADDRESS_BYTES], const struct batch *last)
{
    call_address(w, "refundOverdue(address," BATCH_TYPE ")", node);
    words_put(w, &batch_schema, last);
}

void call_settlement_bond(struct abi_writer *w, const uint8_t node[ADDRESS_BYTES], wei_t amount)
{
    call_address_wei(w, "bond(address,uint128)", node, amount);
}

void call_settlement_unbond(struct abi_writer *w, const uint8_t node[ADDRESS_BYTES], wei_t amount)
{
    call_address_wei(w, "unbond(address,uint128)", node, amount);
}

void call_settlement_withdraw_bond(struct abi_writer *w, const uint8_t node[ADDRESS_BYTES])
{
    call_address(w, "withdrawBond(address)", node);
}

void call_settlement_offer_node(struct abi_writer *w, const uint8_t node[ADDRESS_BYTES],
                                const uint8_t to[ADDRESS_BYTES])
{
    call_addresses(w, "offerNode(address,address)", node, to);
}

void call_settlement_accept_node(struct abi_writer *w, const uint8_t node[ADDRESS_BYTES])
{
    call_address(w, "acceptNode(address)", node);
}

void call_rewards_claim(struct abi_writer *w, const struct batch *batch, const struct credit *credit, uint32_t index,
                        const struct sumpath *path)
{
    abi_put_selector(w, "claim(" BATCH_TYPE ",address,uint128," PATH_TYPE ")");
    size_t arguments = w->len;
    words_put(w, &batch_schema, batch);
    words_put(w, &credit_schema, credit);
    size_t place = abi_put_offset(w);
    abi_set_offset(w, place, arguments);
    words_put_path(w, index, path);
}

void call_nft_mint(struct abi_writer *w, const struct proven_receipt *r)
{
    abi_put_selector(w, "mint((" BATCH_TYPE "," PROOF_TYPE ",uint128," PATH_TYPE "," PRICE_TYPE "," SPLIT_TYPE "))");
    size_t arguments = w->len, argument = abi_put_offset(w); /* the struct has a list, so it stands behind its offset */
    abi_set_offset(w, argument, arguments);
    size_t start = w->len;
    words_put(w, &batch_schema, r->batch);
    words_put(w, &proof_schema, r->proof);
    abi_put_wei(w, r->settled_wei);
    size_t path = abi_put_offset(w);
    words_put(w, &price_schema, r->price);
    words_put(w, &split_schema, r->split);
    abi_set_offset(w, path, start);
    words_put_path(w, r->index, r->path);
}

void call_rewards_set_payout(struct abi_writer *w, const uint8_t to[ADDRESS_BYTES])
{
    call_address(w, "setPayout(address)", to);
}

void call_rewards_sweep(struct abi_writer *w, const struct batch *last, const struct batch *next,
                        const struct row_split *split)
{
    abi_put_selector(w, "sweep(" BATCH_TYPE "," BATCH_TYPE "," SPLIT_TYPE ")");
    words_put(w, &batch_schema, last);
    words_put(w, &batch_schema, next);
    words_put(w, &split_schema, split);
}

void call_asset_deposit(struct abi_writer *w) { abi_put_selector(w, "deposit()"); }

void call_asset_approve(struct abi_writer *w, const uint8_t spender[ADDRESS_BYTES], wei_t amount)
{
    call_address_wei(w, "approve(address,uint256)", spender, amount);
}

void call_asset_transfer(struct abi_writer *w, const uint8_t to[ADDRESS_BYTES], wei_t amount)
{
    call_address_wei(w, "transfer(address,uint256)", to, amount);
}
