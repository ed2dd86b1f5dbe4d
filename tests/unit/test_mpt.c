/* Proofs: the Ethereum Foundation's tries (built by the tests' own maker, whose roots must be the published ones), each
 * key proved in and each absent key out; proofs that a node recorded; every byte of every proof changed. */
#include "unit/trie_maker.h"
#include "unit/vectors.h"

static struct trie_maker t;

static void set_text(const char *key, const json_t *value, bool secure)
{
    const char *text = json_string_value(value);
    struct bytes k = {(uint8_t *)strdup(key), strlen(key)}, v = {NULL, 0};
    uint8_t hash[HASH_BYTES];
    if (strncmp(key, "0x", 2) == 0) {
        free(k.data);
        k = bytes_of_hex(key);
    }
    if (text && strncmp(text, "0x", 2) == 0)
        v = bytes_of_hex(text);
    else if (text)
        v = (struct bytes){(uint8_t *)strdup(text), strlen(text)};
    keccak256(k.data, k.len, hash);
    trie_set(&t, secure ? hash : k.data, secure ? sizeof hash : k.len, v.data, v.len);
    free(k.data);
    free(v.data);
}

/* The proof of `key` verifies, to `value` or (NULL) to absence; and not when a byte of it changes. */
static void check_key(const uint8_t *key, size_t key_len, const struct trie_entry *entry)
{
    uint8_t root[HASH_BYTES];
    const uint8_t *value;
    size_t len;
    bool found;
    struct err e = {0};
    trie_make(&t, key, key_len, root);
    ck_assert_msg(mpt_verify(root, key, key_len, t.proof, t.n_proof, &found, &value, &len, &e) == 0, "%s", e.message);
    ck_assert_int_eq(found, entry != NULL);
    if (entry)
        ck_assert(len == entry->value_len && memcmp(value, entry->value, len) == 0);
    for (size_t i = 0; i < t.n_proof; i++) {
        uint8_t *node = (uint8_t *)t.proof[i].data;
        for (size_t at = 0; at < t.proof[i].len; at++) {
            node[at] ^= 1;
            ck_assert_int_eq(mpt_verify(root, key, key_len, t.proof, t.n_proof, &found, &value, &len, NULL),
                             OL_EFORMAT);
            node[at] ^= 1;
        }
    }
    for (size_t n = 0; n < t.n_proof; n++) /* the end is missing; a node too many */
        ck_assert_int_eq(mpt_verify(root, key, key_len, t.proof, n, &found, &value, &len, NULL), OL_EFORMAT);
    t.proof[t.n_proof] = t.proof[0];
    ck_assert_int_eq(mpt_verify(root, key, key_len, t.proof, t.n_proof + 1, &found, &value, &len, NULL), OL_EFORMAT);
}

static void check_trie(const char *name, const char *root_text)
{
    uint8_t root[HASH_BYTES], key[32];
    trie_make(&t, NULL, 0, root);
    ck_assert_msg(root_text != NULL, "%s", name);
    ck_assert_hex(root, sizeof root, root_text);
    for (size_t i = 0; i < t.n; i++) {
        const struct trie_entry *entry = &t.entries[i];
        size_t len = entry->key_len;
        check_key(entry->key, len, entry);
        memcpy(key, entry->key, len);
        for (size_t at = 0; at < len; at++) { /* keys beside it, at every byte and both nibbles */
            for (int bit = 0; bit < 8; bit += 4) {
                key[at] ^= (uint8_t)(1 << bit);
                size_t other = 0;
                while (other < t.n && trie_compare(&t.entries[other], key, len) != 0)
                    other++;
                check_key(key, len, other < t.n ? &t.entries[other] : NULL);
                key[at] ^= (uint8_t)(1 << bit);
            }
        }
        if (len < 32) { /* longer and shorter keys */
            size_t other = 0;
            key[len] = 's';
            while (other < t.n && trie_compare(&t.entries[other], key, len + 1) != 0)
                other++;
            check_key(key, len + 1, other < t.n ? &t.entries[other] : NULL);
        }
    }
}

static void check_file(const char *path, bool secure)
{
    json_t *root = vectors_load(path), *vector, *value;
    const char *name, *key;
    size_t i;
    json_object_foreach(root, name, vector)
    {
        const json_t *in = json_object_get(vector, "in");
        t.n = 0;
        if (json_is_array(in)) {
            json_array_foreach(in, i, value)
                set_text(json_string_value(json_array_get(value, 0)), json_array_get(value, 1), secure);
        } else {
            json_object_foreach((json_t *)in, key, value) set_text(key, value, secure);
        }
        check_trie(name, json_string_value(json_object_get(vector, "root")));
    }
    json_decref(root);
}

START_TEST(test_published)
{
    check_file("tests/unit/data/ethereum/trietest.json", false);
    check_file("tests/unit/data/ethereum/trieanyorder.json", false);
}
END_TEST

START_TEST(test_published_secure)
{
    check_file("tests/unit/data/ethereum/trietest_secureTrie.json", true);
    check_file("tests/unit/data/ethereum/trieanyorder_secureTrie.json", true);
    check_file("tests/unit/data/ethereum/hex_encoded_securetrie_test.json", true);
}
END_TEST

/* Forms that no honest trie has, under their right hash. */
START_TEST(test_malformed)
{
    static const char *const nodes[] = {"c600c482201241", /* an extension without a path above a leaf */
                                        "c30081ff",
                                        "c2c0c0",
                                        "c24041",
                                        "c22080",
                                        "c28041",
                                        "c2c021", /* paths and targets */
                                        "c3202121",
                                        "c0",
                                        "80",
                                        "8412345678", /* neither a branch nor a path */
                                        "c22120",
                                        "c88220218421212121", /* dirty padding; another key's leaf */
                                        "d18080808080808080808080808080808080ff",
                                        "d2808080808080808080808080808080808080"};
    const uint8_t key[1] = {0x12};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        struct bytes node = bytes_of_hex(nodes[i]);
        struct mpt_node proof = {node.data, node.len};
        uint8_t root[HASH_BYTES];
        const uint8_t *value;
        size_t len;
        bool found = false;
        keccak256(node.data, node.len, root);
        int rc = mpt_verify(root, key, 1, &proof, 1, &found, &value, &len, NULL);
        if (strcmp(nodes[i], "c88220218421212121") == 0 || strcmp(nodes[i], "80") == 0) /* absence, well-formed */
            ck_assert_msg(rc == 0 && !found, "%s", nodes[i]);
        else
            ck_assert_msg(rc == OL_EFORMAT, "%s: %d", nodes[i], rc);
        free(node.data);
    }
}
END_TEST

/* An extension and a branch repeated for each nibble never end before the key does; an embedded node of 32 bytes. */
START_TEST(test_embedded)
{
    uint8_t bytes[64], root[HASH_BYTES];
    const uint8_t key[1] = {0x12}, *value;
    size_t len;
    bool found;
    for (size_t size = 26; size < 30; size++) { /* the leaf inside takes size + 3 bytes */
        struct rlp_writer w;
        const uint8_t leaf_path[1] = {0x32}, fill[32] = {0x55, 0x66};
        rlp_writer_init(&w, bytes, sizeof bytes);
        for (int i = 0; i < 17; i++) {
            if (i != 1) {
                rlp_put_bytes(&w, NULL, 0);
                continue;
            }
            size_t list = rlp_list_open(&w);
            rlp_put_bytes(&w, leaf_path, 1);
            rlp_put_bytes(&w, fill, size);
            rlp_list_close(&w, list);
        }
        rlp_list_close(&w, 0);
        keccak256(bytes, w.len, root);
        struct mpt_node proof = {bytes, w.len};
        int rc = mpt_verify(root, key, 1, &proof, 1, &found, &value, &len, NULL);
        if (size + 3 < 32)
            ck_assert(rc == 0 && found && len == size);
        else
            ck_assert_int_eq(rc, OL_EFORMAT);
    }
}
END_TEST

START_TEST(test_empty)
{
    const uint8_t nothing[1] = {0x80}, other[1] = {0x81}, slot[32] = {0};
    struct mpt_node node = {nothing, 1};
    uint8_t value[32] = {1};
    struct mpt_account account;
    ck_assert(mpt_storage(mpt_empty_root, slot, NULL, 0, value, NULL) == 0 && value[0] == 0);
    ck_assert_int_eq(mpt_storage(mpt_empty_root, slot, &node, 1, value, NULL), 0);
    node.data = other;
    ck_assert_int_eq(mpt_storage(mpt_empty_root, slot, &node, 1, value, NULL), OL_EFORMAT);
    ck_assert(mpt_account(mpt_empty_root, slot, NULL, 0, &account, NULL) == 0 && !account.exists);
    ck_assert_hex(account.code_hash, 32, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
    ck_assert_mem_eq(account.storage_root, mpt_empty_root, 32);
}
END_TEST

/* Where Solidity keeps things: mapping(address => …) at slot 0, the value that cast index gives. */
START_TEST(test_slots)
{
    uint8_t key[32], slot[32], out[32];
    struct bytes address = bytes_of_hex("0xd8da6bf26964af9d7eed9e03e53415d37aa96045");
    mpt_word_address(address.data, key);
    mpt_slot(0, slot);
    mpt_mapping_slot(key, slot, out);
    ck_assert_hex(out, 32, "0xfca351f4d96129454cfc8ef7930b638ac71fea35eb69ee3b8d959496beb04a33");
    free(address.data);
}
END_TEST

int main(void)
{
    return RUN_SUITE("mpt", test_published, test_published_secure, test_malformed, test_embedded, test_empty,
                     test_slots);
}
