/* What a real node answered (tests/golden/record_anvil.mjs): header, receipts, account and storage proofs. Every proof
 * is accepted as it is and refused with any of its bytes changed. */
#include "unit/chain_json.h"
#include "unit/trie_maker.h"
#include "chainlite/core/trie.h"

static json_t *root;
static struct header head;

static struct bytes nodes[64];
static struct mpt_node proof[64];

static size_t load_proof(const json_t *array)
{
    size_t i;
    json_t *node;
    json_array_foreach(array, i, node) {
        ck_assert_uint_lt(i, 64);
        nodes[i] = bytes_of_hex(json_string_value(node));
        proof[i] = (struct mpt_node){nodes[i].data, nodes[i].len};
    }
    return json_array_size(array);
}

static void free_proof(size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(nodes[i].data);
}

static void word_at(const json_t *object, const char *key, uint8_t out[32])
{
    char text[65];
    const char *digits = text_at(object, key) + 2;
    snprintf(text, sizeof text, "%0*d%s", (int)(64 - strlen(digits)), 0, digits);
    ck_assert(hex_decode(strlen(digits) == 64 ? digits : text, out, 32));
}

static void read_head(void)
{
    uint8_t rlp[1024];
    const json_t *block = json_object_get(root, "block");
    const struct header_rules plain = {0};
    size_t len = header_of_json(block, rlp, sizeof rlp);
    ck_assert_int_eq(header_parse(rlp, len, &plain, &head, NULL), 0);
    ck_assert_hex(head.hash, 32, text_at(block, "hash"));
}

static void check_slot(const uint8_t storage_root[HASH_BYTES], const json_t *entry)
{
    uint8_t slot[32], expected[32], value[32];
    struct err e = {0};
    word_at(entry, "key", slot);
    word_at(entry, "value", expected);
    size_t n = load_proof(json_object_get(entry, "proof"));
    ck_assert_msg(mpt_storage(storage_root, slot, proof, n, value, &e) == 0, "%s", e.message);
    ck_assert_mem_eq(value, expected, 32);
    for (size_t i = 0; i < n; i++)
        for (size_t at = 0; at < nodes[i].len; at++)
            for (int bit = 1; bit < 256; bit <<= 1) {
                nodes[i].data[at] ^= (uint8_t)bit;
                ck_assert_int_eq(mpt_storage(storage_root, slot, proof, n, value, NULL), OL_EFORMAT);
                nodes[i].data[at] ^= (uint8_t)bit;
            }
    slot[31] ^= 0x40; /* another slot: another path, so another proof */
    if (n)
        ck_assert(mpt_storage(storage_root, slot, proof, n, value, NULL) != 0 || memcmp(value, expected, 32) != 0 ||
                  memcmp(expected, (const uint8_t[32]){0}, 32) == 0);
    free_proof(n);
}

START_TEST(test_proofs)
{
    json_t *account, *entry;
    size_t i, k;
    int present = 0, absent = 0;
    read_head();
    json_array_foreach(json_object_get(root, "proofs"), i, account) {
        struct bytes address = bytes_at(account, "address");
        struct mpt_account a, other;
        struct err e = {0};
        size_t n = load_proof(json_object_get(account, "accountProof"));
        ck_assert_msg(mpt_account(head.state_root, address.data, proof, n, &a, &e) == 0, "%s", e.message);
        for (size_t node = 0; node < n; node++)
            for (size_t at = 0; at < nodes[node].len; at++)
                for (int bit = 1; bit < 256; bit <<= 1) {
                    nodes[node].data[at] ^= (uint8_t)bit;
                    ck_assert_int_eq(mpt_account(head.state_root, address.data, proof, n, &other, NULL), OL_EFORMAT);
                    nodes[node].data[at] ^= (uint8_t)bit;
                }
        free_proof(n);
        uint8_t balance[32];
        word_at(account, "balance", balance);
        ck_assert_mem_eq(a.balance_wei, balance, 32);
        ck_assert_uint_eq(a.nonce, quantity_at(account, "nonce"));
        ck_assert_hex(a.storage_root, 32, text_at(account, "storageHash"));
        ck_assert_hex(a.code_hash, 32, text_at(account, "codeHash"));
        present += a.exists;
        absent += !a.exists;
        json_array_foreach(json_object_get(account, "storageProof"), k, entry)
            if (a.exists)
                check_slot(a.storage_root, entry);
        free(address.data);
    }
    ck_assert(present == 2 && absent == 1);
}
END_TEST

static struct bytes receipts[TRIE_ENTRIES];

static void receipt_item(const void *context, size_t index, const uint8_t **data, size_t *len)
{
    ck_assert_ptr_eq(context, receipts);
    *data = receipts[index].data;
    *len = receipts[index].len;
}

/* Receipts without logs, encoded again; their trie's root is the header's. Then one receipt's proof. */
START_TEST(test_receipts)
{
    json_t *receipt;
    size_t n, len;
    uint8_t trie_root[HASH_BYTES], bloom[256] = {0}, key[9], made[HASH_BYTES];
    const uint8_t *found;
    static struct trie_maker t;
    read_head();
    json_array_foreach(json_object_get(root, "receipts"), n, receipt) {
        uint8_t bytes[400] = {(uint8_t)quantity_at(receipt, "type")};
        struct rlp_writer w;
        ck_assert(json_array_size(json_object_get(receipt, "logs")) == 0);
        rlp_writer_init(&w, bytes + 1, sizeof bytes - 1);
        rlp_put_u64(&w, quantity_at(receipt, "status"));
        rlp_put_u64(&w, quantity_at(receipt, "cumulativeGasUsed"));
        rlp_put_bytes(&w, bloom, sizeof bloom);
        rlp_list_close(&w, rlp_list_open(&w));
        rlp_list_close(&w, 0);
        receipts[n] = (struct bytes){malloc(w.len + 1), w.len + 1};
        memcpy(receipts[n].data, bytes, w.len + 1);
        rlp_writer_init(&w, key, sizeof key);
        rlp_put_u64(&w, n);
        trie_set(&t, key, w.len, receipts[n].data, receipts[n].len);
    }
    const struct trie_items items = {n, receipt_item, receipts};
    trie_ordered_root(&items, trie_root);
    ck_assert_mem_eq(trie_root, head.receipts_root, HASH_BYTES);
    for (uint64_t index = 0; index < n + 2; index++) {
        struct rlp_writer w;
        rlp_writer_init(&w, key, sizeof key);
        rlp_put_u64(&w, index);
        trie_make(&t, key, w.len, made);
        ck_assert_mem_eq(made, head.receipts_root, HASH_BYTES);
        int rc = mpt_receipt(head.receipts_root, index, t.proof, t.n_proof, &found, &len, NULL);
        ck_assert_int_eq(rc, index < n ? 0 : OL_ENOTFOUND);
        ck_assert(rc || (len == receipts[index].len && memcmp(found, receipts[index].data, len) == 0));
    }
    for (size_t i = 0; i < n; i++)
        free(receipts[i].data);
}
END_TEST

/* Roots of up to 199 items of many sizes against the tests' own trie maker. */
static struct bytes sized[TRIE_ENTRIES];
static void sized_item(const void *context, size_t index, const uint8_t **data, size_t *len)
{
    *data = ((const struct bytes *)context)[index].data;
    *len = ((const struct bytes *)context)[index].len;
}

START_TEST(test_ordered_roots)
{
    static struct trie_maker t;
    static uint8_t fill[64] = {0x41, 0x81, 0x42};
    for (size_t size = 1; size < 64; size += size < 36 ? 1 : 9) {
        t.n = 0;
        for (size_t n = 0; n < TRIE_ENTRIES; n++) {
            uint8_t key[9], made[HASH_BYTES], computed[HASH_BYTES];
            const struct trie_items items = {n, sized_item, sized};
            struct rlp_writer w;
            trie_make(&t, NULL, 0, made);
            trie_ordered_root(&items, computed);
            ck_assert_msg(memcmp(made, computed, HASH_BYTES) == 0, "%zu items of %zu bytes", n, size);
            sized[n] = (struct bytes){fill, n % 3 ? size : 1};
            rlp_writer_init(&w, key, sizeof key);
            rlp_put_u64(&w, n);
            trie_set(&t, key, w.len, sized[n].data, sized[n].len);
        }
    }
}
END_TEST

int main(void)
{
    root = json_load_file("tests/unit/data/anvil.json", 0, NULL);
    int rc = RUN_SUITE("recorded", test_proofs, test_receipts, test_ordered_roots);
    json_decref(root);
    return rc;
}
