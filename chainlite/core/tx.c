/* EIP-1559 transactions; see tx.h. What is signed is the list without its last three items, so reading hashes those
 * bytes in place under a new list prefix. */
#include "chainlite/core/tx.h"
#include "chainlite/core/rlp.h"

#include <string.h>

enum {
    TX_TYPE = 0x02,
    FIELDS_MAX_BYTES = 3 * 9 + 3 * 17 + 21 + 9 + 1, /* integers, `to`, the prefix of data, the empty access list */
    SIGNATURE_MAX_BYTES = 1 + 33 + 33,
};

size_t tx_max_bytes(size_t data_len)
{
    return 1 + RLP_PREFIX_BYTES + FIELDS_MAX_BYTES + data_len + SIGNATURE_MAX_BYTES;
}

static int check_fees(const struct tx *tx, int code, struct err *e)
{
    if (tx->tip_wei > tx->fee_cap_wei)
        return err_set(e, code, "tx", "the tip is above the fee cap; raise the cap or lower the tip");
    return 0;
}

static void put_fields(struct rlp_writer *w, const struct tx *tx)
{
    rlp_put_u64(w, tx->chain_id);
    rlp_put_u64(w, tx->nonce);
    rlp_put_wei(w, tx->tip_wei);
    rlp_put_wei(w, tx->fee_cap_wei);
    rlp_put_u64(w, tx->gas_limit);
    rlp_put_bytes(w, tx->to, tx->create ? 0 : ADDRESS_BYTES);
    rlp_put_wei(w, tx->value_wei);
    rlp_put_bytes(w, tx->data, tx->data_len);
    rlp_list_close(w, rlp_list_open(w)); /* access list */
}

/* r or s: an integer, so without leading zeros. */
static void put_scalar(struct rlp_writer *w, const uint8_t scalar[32])
{
    size_t zeros = 0;
    while (zeros < 32 && scalar[zeros] == 0)
        zeros++;
    rlp_put_bytes(w, scalar + zeros, 32 - zeros);
}

/* 0x02 || rlp([fields, signature]); signature NULL: what is to be signed. */
static void encode(struct rlp_writer *w, const struct tx *tx, const uint8_t *signature)
{
    const uint8_t type = TX_TYPE;
    rlp_put_raw(w, &type, 1);
    size_t list = rlp_list_open(w);
    put_fields(w, tx);
    if (signature) {
        rlp_put_u64(w, (uint64_t)signature[64] - 27);
        put_scalar(w, signature);
        put_scalar(w, signature + 32);
    }
    rlp_list_close(w, list);
}

int tx_sign(const struct tx *tx, const struct secp *secp, const uint8_t secret[SECRET_BYTES], uint8_t *out, size_t cap,
            size_t *len, uint8_t hash[HASH_BYTES], struct err *e)
{
    struct rlp_writer w;
    uint8_t digest[HASH_BYTES], signature[SIGNATURE_BYTES];
    int rc = check_fees(tx, OL_EINVAL, e);
    if (rc)
        return rc;
    if (cap < tx_max_bytes(tx->data_len))
        return err_set(e, OL_ELIMIT, "tx", "%zu bytes are too few for a transaction with %zu bytes of data", cap,
                       tx->data_len);
    rlp_writer_init(&w, out, cap);
    encode(&w, tx, NULL);
    keccak256(out, w.len, digest);
    rc = secp_sign(secp, secret, digest, signature, e);
    if (rc)
        return rc;
    rlp_writer_init(&w, out, cap);
    encode(&w, tx, signature);
    CHECK(!w.failed); /* tx_max_bytes is the bound */
    *len = w.len;
    keccak256(out, w.len, hash);
    return 0;
}

static int read_to(struct rlp_reader *r, struct tx *tx, struct err *e)
{
    struct rlp to;
    int rc = rlp_next(r, &to, e);
    if (rc)
        return rc;
    if (to.list || (to.len != 0 && to.len != ADDRESS_BYTES))
        return err_set(e, OL_EFORMAT, "tx", "`to` is neither an address nor empty");
    tx->create = to.len == 0;
    if (!tx->create)
        memcpy(tx->to, to.data, ADDRESS_BYTES);
    return 0;
}

static int read_data(struct rlp_reader *r, struct tx *tx, struct err *e)
{
    struct rlp data, access;
    int rc;
    if ((rc = rlp_next_wei(r, &tx->value_wei, e)) || (rc = rlp_next(r, &data, e)) || (rc = rlp_next(r, &access, e)))
        return rc;
    if (data.list || !access.list)
        return err_set(e, OL_EFORMAT, "tx", "data is a list, or the access list is not");
    if (access.len)
        return err_set(e, OL_EUNSUPPORTED, "tx", "a transaction with an access list");
    tx->data = data.data;
    tx->data_len = data.len;
    return 0;
}

static int read_scalar(struct rlp_reader *r, uint8_t out[32], struct err *e)
{
    struct rlp item;
    int rc = rlp_next(r, &item, e);
    if (rc)
        return rc;
    if (item.list || item.len > 32 || (item.len && item.data[0] == 0))
        return err_set(e, OL_EFORMAT, "tx", "r or s is not an integer of at most 32 bytes");
    memset(out, 0, 32 - item.len);
    memcpy(out + 32 - item.len, item.data, item.len);
    return 0;
}

static int read_signature(struct rlp_reader *r, uint8_t out[SIGNATURE_BYTES], struct err *e)
{
    uint64_t parity;
    int rc;
    if ((rc = rlp_next_u64(r, &parity, e)) || (rc = read_scalar(r, out, e)) || (rc = read_scalar(r, out + 32, e)))
        return rc;
    if (parity > 1 || rlp_more(r))
        return err_set(e, OL_EFORMAT, "tx", "the parity is not 0 or 1, or items follow the signature");
    out[64] = (uint8_t)(27 + parity);
    return 0;
}

/* Hash of what was signed: type, a list prefix of its own, the fields as they stand. */
static void signed_digest(const uint8_t *fields, size_t n, uint8_t out[HASH_BYTES])
{
    struct keccak k;
    uint8_t prefix[1 + RLP_PREFIX_BYTES] = {TX_TYPE};
    keccak_init(&k);
    keccak_add(&k, prefix, 1 + rlp_list_prefix(n, prefix + 1));
    keccak_add(&k, fields, n);
    keccak_end(&k, out);
}

int tx_parse(const uint8_t *bytes, size_t n, const struct secp *secp, struct tx *out, uint8_t sender[ADDRESS_BYTES],
             uint8_t hash[HASH_BYTES], struct err *e)
{
    struct rlp list;
    uint8_t signature[SIGNATURE_BYTES], digest[HASH_BYTES];
    int rc;
    if (n == 0 || bytes[0] != TX_TYPE)
        return err_set(e, OL_EUNSUPPORTED, "tx", "not a transaction of type 2");
    if ((rc = rlp_parse(bytes + 1, n - 1, &list, e)))
        return rc;
    if (!list.list)
        return err_set(e, OL_EFORMAT, "tx", "a string where the list of fields should be");
    struct rlp_reader r = rlp_items(&list);
    struct tx tx = {0};
    if ((rc = rlp_next_u64(&r, &tx.chain_id, e)) || (rc = rlp_next_u64(&r, &tx.nonce, e)) ||
        (rc = rlp_next_wei(&r, &tx.tip_wei, e)) || (rc = rlp_next_wei(&r, &tx.fee_cap_wei, e)) ||
        (rc = rlp_next_u64(&r, &tx.gas_limit, e)) || (rc = read_to(&r, &tx, e)) || (rc = read_data(&r, &tx, e)))
        return rc;
    signed_digest(list.data, (size_t)(r.at - list.data), digest);
    if ((rc = read_signature(&r, signature, e)) || (rc = check_fees(&tx, OL_EFORMAT, e)) ||
        (rc = secp_recover(secp, digest, signature, sender, e)))
        return rc;
    keccak256(bytes, n, hash);
    *out = tx;
    return 0;
}

void tx_create_address(const uint8_t sender[ADDRESS_BYTES], uint64_t nonce, uint8_t out[ADDRESS_BYTES])
{
    uint8_t bytes[1 + 21 + 9], hash[HASH_BYTES];
    struct rlp_writer w;
    rlp_writer_init(&w, bytes, sizeof bytes);
    rlp_put_bytes(&w, sender, ADDRESS_BYTES);
    rlp_put_u64(&w, nonce);
    rlp_list_close(&w, 0);
    keccak256(bytes, w.len, hash);
    memcpy(out, hash + HASH_BYTES - ADDRESS_BYTES, ADDRESS_BYTES);
}
