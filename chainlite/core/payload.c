/* Gossiped blocks; see payload.h. The SSZ container is a fixed part, with an offset for each variable one, then these
 * parts in order. Offsets must be those that an encoder writes, so there is one encoding. */
#include "chainlite/core/payload.h"
#include "chainlite/core/mpt.h"
#include "chainlite/core/rlp.h"
#include "chainlite/core/trie.h"

#include <string.h>

enum {
    /* of the fixed part */
    AT_PARENT = 0, AT_MINER = 32, AT_STATE_ROOT = 52, AT_RECEIPTS_ROOT = 84, AT_BLOOM = 116, AT_RANDAO = 372,
    AT_NUMBER = 404, AT_GAS_LIMIT = 412, AT_GAS_USED = 420, AT_TIMESTAMP = 428, AT_EXTRA = 436, AT_BASE_FEE = 440,
    AT_BLOCK_HASH = 472, AT_TRANSACTIONS = 504, AT_WITHDRAWALS = 508, AT_BLOB_GAS_USED = 512,
    AT_EXCESS_BLOB_GAS = 520, AT_WITHDRAWALS_ROOT = 528,
    BLOOM_BYTES = 256, OFFSET_BYTES = 4, EXTRA_MAX_BYTES = 32, WORD_BYTES = 32,
};

static const size_t fixed_bytes[] = {[PAYLOAD_V1] = 508, [PAYLOAD_V2] = 512, [PAYLOAD_V3] = 528, [PAYLOAD_V4] = 560};

static int refuse(struct err *e, const char *what) { return err_set(e, OL_EFORMAT, "payload", "%s", what); }

enum payload_version payload_version_of(enum header_fork fork)
{
    return fork >= FORK_ISTHMUS   ? PAYLOAD_V4
           : fork >= FORK_ECOTONE ? PAYLOAD_V3
           : fork >= FORK_CANYON  ? PAYLOAD_V2
                                  : PAYLOAD_V1;
}

void payload_signing_hash(uint64_t chain_id, const uint8_t *payload, size_t n, uint8_t out[HASH_BYTES])
{
    uint8_t words[3][WORD_BYTES] = {{0}}; /* the first: the domain of blocks */
    wei_to_be32(chain_id, words[1]);
    keccak256(payload, n, words[2]);
    keccak256(words, sizeof words, out);
}

int payload_signer(const uint8_t *message, size_t n, uint64_t chain_id, const struct secp *secp,
                   uint8_t signer[ADDRESS_BYTES], const uint8_t **payload, size_t *payload_len, struct err *e)
{
    uint8_t hash[HASH_BYTES], signature[SIGNATURE_BYTES];
    if (n <= SIGNATURE_BYTES)
        return refuse(e, "a message too short for a signature and a payload");
    memcpy(signature, message, SIGNATURE_BYTES);
    if (signature[64] > 1)
        return refuse(e, "a signature whose parity is not 0 or 1");
    signature[64] = (uint8_t)(signature[64] + 27);
    *payload = message + SIGNATURE_BYTES;
    *payload_len = n - SIGNATURE_BYTES;
    payload_signing_hash(chain_id, *payload, *payload_len, hash);
    return secp_recover(secp, hash, signature, signer, e);
}

static uint64_t le(const uint8_t *at, size_t n)
{
    uint64_t value = 0;
    while (n--)
        value = value << 8 | at[n];
    return value;
}

/* A list of byte lists: the first offset says how many there are. */
static int check_transactions(struct payload *p, struct err *e)
{
    size_t n = p->transactions_len, last = 0;
    if (n == 0)
        return refuse(e, "a block without transactions; the first is always the L1 attributes deposit");
    if (n < OFFSET_BYTES || (last = (size_t)le(p->transactions, OFFSET_BYTES)) == 0 || last % OFFSET_BYTES || last > n)
        return refuse(e, "the first offset of the transactions is not one that an encoder writes");
    p->n_transactions = last / OFFSET_BYTES;
    for (size_t i = 0; i < p->n_transactions; i++) {
        size_t from = (size_t)le(p->transactions + i * OFFSET_BYTES, OFFSET_BYTES);
        if (from < last || (i && from == last) || from >= n)
            return refuse(e, "an offset of a transaction out of order, or an empty transaction");
        last = from;
    }
    return 0;
}

int payload_parse(const uint8_t *payload, size_t n, enum payload_version version, struct payload *out, struct err *e)
{
    CHECK(version >= PAYLOAD_V1 && version <= PAYLOAD_V4);
    size_t fixed = fixed_bytes[version], root = version >= PAYLOAD_V3 ? HASH_BYTES : 0;
    if (n > PAYLOAD_MAX_BYTES)
        return err_set(e, OL_ELIMIT, "payload", "%zu bytes; %d at most", n, PAYLOAD_MAX_BYTES);
    if (n < root + fixed)
        return refuse(e, "shorter than its fixed part");
    const uint8_t *ssz = payload + root;
    n -= root;
    *out = (struct payload){.version = version, .ssz = ssz, .parent_beacon_root = root ? payload : NULL};
    size_t extra = (size_t)le(ssz + AT_EXTRA, OFFSET_BYTES), txs = (size_t)le(ssz + AT_TRANSACTIONS, OFFSET_BYTES);
    size_t end = version >= PAYLOAD_V2 ? (size_t)le(ssz + AT_WITHDRAWALS, OFFSET_BYTES) : n;
    if (extra != fixed || txs < extra || end < txs || end > n)
        return refuse(e, "an offset that no encoder writes");
    if (end != n)
        return refuse(e, "withdrawals, which no L2 block has");
    if (txs - extra > EXTRA_MAX_BYTES)
        return refuse(e, "more than 32 bytes of extra data");
    out->extra = ssz + extra;
    out->extra_len = txs - extra;
    out->transactions = ssz + txs;
    out->transactions_len = end - txs;
    out->number = le(ssz + AT_NUMBER, 8);
    out->timestamp = le(ssz + AT_TIMESTAMP, 8);
    memcpy(out->block_hash, ssz + AT_BLOCK_HASH, HASH_BYTES);
    return check_transactions(out, e);
}

void payload_transaction(const struct payload *p, size_t index, const uint8_t **data, size_t *len)
{
    CHECK(index < p->n_transactions);
    const uint8_t *offset = p->transactions + index * OFFSET_BYTES;
    size_t from = (size_t)le(offset, OFFSET_BYTES);
    size_t to = index + 1 < p->n_transactions ? (size_t)le(offset + OFFSET_BYTES, OFFSET_BYTES) : p->transactions_len;
    *data = p->transactions + from;
    *len = to - from;
}

static void item(const void *context, size_t index, const uint8_t **data, size_t *len)
{
    payload_transaction(context, index, data, len);
}

/* SSZ keeps the base fee as 32 little-endian bytes. */
static bool base_fee(const uint8_t *at, wei_t *out)
{
    uint8_t be[WORD_BYTES];
    for (int i = 0; i < WORD_BYTES; i++)
        be[i] = at[WORD_BYTES - 1 - i];
    return wei_from_be32(be, out);
}

/* The header's fields in its order; those from WITHDRAWALS_ROOT on by version. */
static void put_fields(struct rlp_writer *w, const struct payload *p, wei_t fee)
{
    static const uint8_t nonce[8];
    const uint8_t *ssz = p->ssz;
    uint8_t transactions_root[HASH_BYTES];
    const struct trie_items items = {p->n_transactions, item, p};
    trie_ordered_root(&items, transactions_root);
    rlp_put_bytes(w, ssz + AT_PARENT, HASH_BYTES);
    rlp_put_bytes(w, header_no_uncles, HASH_BYTES);
    rlp_put_bytes(w, ssz + AT_MINER, ADDRESS_BYTES);
    rlp_put_bytes(w, ssz + AT_STATE_ROOT, HASH_BYTES);
    rlp_put_bytes(w, transactions_root, HASH_BYTES);
    rlp_put_bytes(w, ssz + AT_RECEIPTS_ROOT, HASH_BYTES);
    rlp_put_bytes(w, ssz + AT_BLOOM, BLOOM_BYTES);
    rlp_put_u64(w, 0); /* difficulty */
    rlp_put_u64(w, p->number);
    rlp_put_u64(w, le(ssz + AT_GAS_LIMIT, 8));
    rlp_put_u64(w, le(ssz + AT_GAS_USED, 8));
    rlp_put_u64(w, p->timestamp);
    rlp_put_bytes(w, p->extra, p->extra_len);
    rlp_put_bytes(w, ssz + AT_RANDAO, HASH_BYTES);
    rlp_put_bytes(w, nonce, sizeof nonce);
    rlp_put_wei(w, fee);
    if (p->version >= PAYLOAD_V2)
        rlp_put_bytes(w, p->version >= PAYLOAD_V4 ? ssz + AT_WITHDRAWALS_ROOT : mpt_empty_root, HASH_BYTES);
    if (p->version >= PAYLOAD_V3) {
        rlp_put_u64(w, le(ssz + AT_BLOB_GAS_USED, 8));
        rlp_put_u64(w, le(ssz + AT_EXCESS_BLOB_GAS, 8));
        rlp_put_bytes(w, p->parent_beacon_root, HASH_BYTES);
    }
    if (p->version >= PAYLOAD_V4)
        rlp_put_bytes(w, header_no_requests, HASH_BYTES);
}

int payload_header(const struct payload *p, const struct header_rules *rules, uint8_t rlp[PAYLOAD_HEADER_BYTES],
                   size_t *rlp_len, struct header *out, struct err *e)
{
    struct rlp_writer w;
    wei_t fee;
    if (!base_fee(p->ssz + AT_BASE_FEE, &fee))
        return refuse(e, "a base fee of more than 128 bits");
    rlp_writer_init(&w, rlp, PAYLOAD_HEADER_BYTES);
    put_fields(&w, p, fee);
    rlp_list_close(&w, 0);
    CHECK(!w.failed);
    *rlp_len = w.len;
    int rc = header_parse(rlp, w.len, rules, out, e);
    if (rc)
        return rc;
    if (memcmp(out->hash, p->block_hash, HASH_BYTES) != 0)
        return refuse(e, "the block hash is not that of the block");
    return 0;
}

int payload_check_time(uint64_t timestamp, uint64_t now, struct err *e)
{
    if (timestamp > now && timestamp - now > PAYLOAD_MAX_AHEAD_S)
        return refuse(e, "a block from the future; check this machine's clock");
    if (timestamp < now && now - timestamp > PAYLOAD_MAX_AGE_S)
        return refuse(e, "a block older than gossip may be");
    return 0;
}
