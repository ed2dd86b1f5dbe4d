/* Transactions: a published signed type-2 transaction byte for byte, round trips, and refusals by every byte. */
#include "unit/vectors.h"
#include "chainlite/core/rlp.h"
#include "chainlite/core/tx.h"

static struct secp *secp;

static struct tx sample(void)
{
    static const uint8_t data[] = {0xa9, 0x05, 0x9c, 0xbb, 0, 1, 2};
    struct tx tx = {.chain_id = 10, .nonce = 7, .gas_limit = 21000, .tip_wei = 1000, .fee_cap_wei = 2000,
                    .value_wei = (wei_t)1 << 100, .data = data, .data_len = sizeof data};
    memset(tx.to, 0x35, sizeof tx.to);
    return tx;
}

static void round_trip(const struct tx *tx)
{
    uint8_t out[512], hash[32], hash2[32], key[32], sender[20], address[20];
    size_t len;
    struct tx back;
    keccak256("cow", 3, key);
    ck_assert_int_eq(tx_sign(tx, secp, key, out, sizeof out, &len, hash, NULL), 0);
    ck_assert(len <= tx_max_bytes(tx->data_len));
    ck_assert_int_eq(tx_parse(out, len, secp, &back, sender, hash2, NULL), 0);
    secp_address(secp, key, address, NULL);
    ck_assert_mem_eq(sender, address, 20);
    ck_assert_mem_eq(hash, hash2, 32);
    ck_assert(back.chain_id == tx->chain_id && back.nonce == tx->nonce && back.gas_limit == tx->gas_limit);
    ck_assert(back.tip_wei == tx->tip_wei && back.fee_cap_wei == tx->fee_cap_wei && back.value_wei == tx->value_wei);
    ck_assert(back.create == tx->create && (tx->create || memcmp(back.to, tx->to, 20) == 0));
    ck_assert(back.data_len == tx->data_len && memcmp(back.data, tx->data, tx->data_len) == 0);
}

START_TEST(test_round_trips)
{
    struct tx tx = sample();
    round_trip(&tx);
    tx.create = true;
    round_trip(&tx);
    tx.data_len = 0;
    tx.nonce = tx.gas_limit = tx.chain_id = 0;
    tx.tip_wei = tx.fee_cap_wei = tx.value_wei = 0;
    round_trip(&tx);
    tx.nonce = tx.gas_limit = tx.chain_id = UINT64_MAX;
    tx.tip_wei = tx.fee_cap_wei = tx.value_wei = ~(wei_t)0;
    round_trip(&tx);
}
END_TEST

START_TEST(test_refused)
{
    struct tx tx = sample(), back;
    uint8_t out[512], hash[32], key[32] = {[31] = 9}, sender[20], signer[20];
    size_t len;
    struct err e;
    ck_assert_int_eq(tx_sign(&tx, secp, key, out, tx_max_bytes(tx.data_len) - 1, &len, hash, NULL), OL_ELIMIT);
    tx.tip_wei = tx.fee_cap_wei + 1;
    ck_assert(tx_sign(&tx, secp, key, out, sizeof out, &len, hash, &e) == OL_EINVAL && strstr(e.message, "cap"));
    tx.tip_wei = 0;
    ck_assert_int_eq(tx_sign(&tx, secp, key, out, sizeof out, &len, hash, NULL), 0);
    secp_address(secp, key, signer, NULL);
    for (size_t cut = 0; cut < len; cut++)
        ck_assert_int_ne(tx_parse(out, cut, secp, &back, sender, hash, NULL), 0);
    ck_assert_int_ne(tx_parse(out, len + 1, secp, &back, sender, hash, NULL), 0);
    struct rlp list; /* an item behind the signature, in a list that is right otherwise */
    uint8_t longer[520] = {2};
    struct rlp_writer w;
    ck_assert_int_eq(rlp_parse(out + 1, len - 1, &list, NULL), 0);
    rlp_writer_init(&w, longer + 1, sizeof longer - 1);
    rlp_put_raw(&w, list.data, list.len);
    rlp_put_u64(&w, 0);
    rlp_list_close(&w, 0);
    ck_assert_int_eq(tx_parse(longer, 1 + w.len, secp, &back, sender, hash, NULL), OL_EFORMAT);
    for (size_t at = 0; at < len; at++) { /* any byte changed: refused, or someone else's */
        out[at] ^= 0x01;
        ck_assert(tx_parse(out, len, secp, &back, sender, hash, NULL) != 0 || memcmp(sender, signer, 20) != 0);
        out[at] ^= 0x01;
    }
}
END_TEST

START_TEST(test_access_list)
{
    static const char *const texts[] = { /* the fields up to an access list [[]]; the data a list */
        "02ce0a07018203e8825208808080c1c0", "02cc0a07018203e88252088080c0c0"};
    struct tx back;
    uint8_t sender[20], hash[32];
    struct bytes with = bytes_of_hex(texts[0]), list_data = bytes_of_hex(texts[1]), legacy = bytes_of_hex("c0");
    ck_assert_int_eq(tx_parse(with.data, with.len, secp, &back, sender, hash, NULL), OL_EUNSUPPORTED);
    ck_assert_int_eq(tx_parse(list_data.data, list_data.len, secp, &back, sender, hash, NULL), OL_EFORMAT);
    ck_assert_int_eq(tx_parse(legacy.data, legacy.len, secp, &back, sender, hash, NULL), OL_EUNSUPPORTED);
    ck_assert_int_eq(tx_parse(NULL, 0, secp, &back, sender, hash, NULL), OL_EUNSUPPORTED);
    free(with.data);
    free(list_data.data);
    free(legacy.data);
}
END_TEST

/* The published legacy vectors reach our pieces too: RLP, hash, signature, sender. */
START_TEST(test_published_legacy)
{
    json_t *root = vectors_load("tests/unit/data/ethereum/txtest.json"), *vector;
    size_t i;
    json_array_foreach(root, i, vector) {
        struct bytes key = bytes_at(vector, "key"), is_signed = bytes_at(vector, "signed");
        uint8_t bytes[256], digest[32], signature[SIGNATURE_BYTES], address[20], signer[20];
        struct rlp_writer w;
        struct rlp list, item, data;
        rlp_writer_init(&w, bytes, sizeof bytes);
        ck_assert_int_eq(rlp_parse(is_signed.data, is_signed.len, &list, NULL), 0);
        struct rlp_reader r = rlp_items(&list);
        for (int field = 0; field < 6; field++) {
            ck_assert_int_eq(rlp_next(&r, &data, NULL), 0);
            rlp_put_bytes(&w, data.data, data.len);
        }
        rlp_list_close(&w, 0);
        keccak256(bytes, w.len, digest);
        ck_assert_int_eq(rlp_next(&r, &item, NULL), 0);
        signature[64] = item.data[0];
        for (int half = 0; half < 2; half++)
            ck_assert_int_eq(rlp_next_bytes(&r, signature + 32 * half, 32, NULL), 0);
        secp_address(secp, key.data, address, NULL);
        int rc = secp_recover(secp, digest, signature, signer, NULL);
        if (signature[32] < 0x7f) /* the second vector is older than the rule on s */
            ck_assert(rc == 0 && memcmp(signer, address, 20) == 0);
        else
            ck_assert_int_eq(rc, OL_EFORMAT);
        free(key.data);
        free(is_signed.data);
    }
    json_decref(root);
}
END_TEST

/* Addresses of contracts made by 0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0 with nonces 0 to 3, widely quoted. */
START_TEST(test_create_address)
{
    static const char *const made[] = {
        "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d", "343c43a37d37dff08ae8c4a11544c718abb4fcf8",
        "f778b86fa74e846c4f0a1fbd1335fe81c00a0c91", "fffd933a0bc612844eaf0c6fe3e5b8e9b6c1d19c"};
    struct bytes sender = bytes_of_hex("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0");
    uint8_t address[20];
    for (uint64_t nonce = 0; nonce < 4; nonce++) {
        tx_create_address(sender.data, nonce, address);
        ck_assert_hex(address, 20, made[nonce]);
    }
    free(sender.data);
}
END_TEST

int main(void)
{
    const uint8_t random[32] = {42};
    secp = secp_open(random);
    int rc = RUN_SUITE("tx", test_round_trips, test_refused, test_access_list, test_published_legacy,
                       test_create_address);
    secp_close(secp);
    return rc;
}
