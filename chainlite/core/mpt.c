/* Merkle-Patricia proofs; see mpt.h. One loop walks down: each level is a node of the proof, found by its hash, or a
 * small node that lies inside its parent. Every level but the last consumes a nibble of the key, so the walk ends. */
#include "chainlite/core/mpt.h"
#include "chainlite/core/rlp.h"

#include <string.h>

enum { BRANCH_ITEMS = 17, SHORT_ITEMS = 2, KEY_MAX_BYTES = 32, EMBEDDED_MAX_BYTES = 31 };

const uint8_t mpt_empty_root[HASH_BYTES] = {0x56, 0xe8, 0x1f, 0x17, 0x1b, 0xcc, 0x55, 0xa6, 0xff, 0x83, 0x45,
                                            0xe6, 0x92, 0xc0, 0xf8, 0x6e, 0x5b, 0x48, 0xe0, 0x1b, 0x99, 0x6c,
                                            0xad, 0xc0, 0x01, 0x62, 0x2f, 0xb5, 0xe3, 0x63, 0xb4, 0x21};

struct walk {
    const struct mpt_node *nodes;
    size_t n_nodes, used;
    const uint8_t *key;
    size_t nibbles, at; /* of the key: all, consumed */
    bool ended, found;
    struct rlp value;
};

static int refuse(struct err *e, const struct walk *w, const char *what)
{
    return err_set(e, OL_EFORMAT, "mpt", "proof node %zu: %s", w->used, what);
}

static uint8_t nibble(const uint8_t *bytes, size_t i) { return i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4; }

/* The next node of the proof, which must have this hash. */
static int take_node(struct walk *w, const uint8_t hash[HASH_BYTES], struct rlp *out, struct err *e)
{
    uint8_t actual[HASH_BYTES];
    if (w->used == w->n_nodes)
        return err_set(e, OL_EFORMAT, "mpt", "the proof ends after %zu nodes, before the key does", w->n_nodes);
    const struct mpt_node *node = &w->nodes[w->used++];
    keccak256(node->data, node->len, actual);
    if (memcmp(actual, hash, HASH_BYTES) != 0)
        return refuse(e, w, "its hash is not the one above it");
    return rlp_parse(node->data, node->len, out, e);
}

static void end_walk(struct walk *w, const struct rlp *value)
{
    w->ended = true;
    w->found = value != NULL;
    if (value)
        w->value = *value;
}

/* Goes through a reference: nothing (the key is absent), a hash, or a node small enough to lie inside. */
static int follow(struct walk *w, const struct rlp *reference, struct rlp *node, struct err *e)
{
    if (reference->list) {
        if (reference->len + 1 > EMBEDDED_MAX_BYTES)
            return refuse(e, w, "it holds a node that should have been hashed");
        *node = *reference;
        return 0;
    }
    if (reference->len == HASH_BYTES)
        return take_node(w, reference->data, node, e);
    if (reference->len != 0)
        return refuse(e, w, "a reference is neither a hash nor a node");
    end_walk(w, NULL);
    return 0;
}

static int step_branch(struct walk *w, const struct rlp items[BRANCH_ITEMS], struct rlp *node, struct err *e)
{
    if (w->at < w->nibbles)
        return follow(w, &items[nibble(w->key, w->at++)], node, e);
    const struct rlp *value = &items[BRANCH_ITEMS - 1];
    if (value->list)
        return refuse(e, w, "a branch whose value is a list");
    end_walk(w, value->len ? value : NULL);
    return 0;
}

/* A leaf or an extension: a compact path (its first nibble says which, and whether the path is odd) and a target. */
static int step_short(struct walk *w, const struct rlp items[SHORT_ITEMS], struct rlp *node, struct err *e)
{
    const struct rlp *path = &items[0], *target = &items[1];
    if (path->list || path->len == 0 || path->len > KEY_MAX_BYTES + 1 || path->data[0] >> 4 > 3)
        return refuse(e, w, "a path that is not in compact form");
    bool leaf = path->data[0] & 0x20, odd = path->data[0] & 0x10;
    if (!odd && path->data[0] & 15)
        return refuse(e, w, "a path with dirty padding");
    size_t first = odd ? 1 : 2, n = 2 * path->len - first, same = 0;
    if (!leaf && n == 0)
        return refuse(e, w, "an extension without a path");
    if (!target->list && target->len == 0)
        return refuse(e, w, "a path that leads to nothing");
    if (leaf && target->list)
        return refuse(e, w, "a leaf whose value is a list");
    while (same < n && w->at + same < w->nibbles && nibble(path->data, first + same) == nibble(w->key, w->at + same))
        same++;
    if (same < n || (leaf && w->at + n != w->nibbles)) { /* another key's path */
        end_walk(w, NULL);
        return 0;
    }
    w->at += n;
    if (!leaf)
        return follow(w, target, node, e);
    end_walk(w, target);
    return 0;
}

static int step(struct walk *w, struct rlp *node, struct err *e)
{
    struct rlp items[BRANCH_ITEMS];
    size_t n = 0;
    int rc;
    if (!node->list)
        return refuse(e, w, "not a list");
    for (struct rlp_reader r = rlp_items(node); rlp_more(&r); n++) {
        struct rlp extra;
        if ((rc = rlp_next(&r, n < BRANCH_ITEMS ? &items[n] : &extra, e)))
            return rc;
    }
    if (n == BRANCH_ITEMS)
        return step_branch(w, items, node, e);
    if (n == SHORT_ITEMS)
        return step_short(w, items, node, e);
    return refuse(e, w, "neither a branch nor a path");
}

int mpt_verify(const uint8_t root[HASH_BYTES], const uint8_t *key, size_t key_len, const struct mpt_node *nodes,
               size_t n_nodes, bool *found, const uint8_t **value, size_t *value_len, struct err *e)
{
    struct walk w = {.nodes = nodes, .n_nodes = n_nodes, .key = key, .nibbles = 2 * key_len};
    struct rlp node;
    int rc = 0;
    CHECK(key_len <= KEY_MAX_BYTES);
    if (memcmp(root, mpt_empty_root, HASH_BYTES) == 0) { /* some nodes prove the empty trie by no node, some by 0x80 */
        w.ended = true;
        w.used = n_nodes == 1 && nodes[0].len == 1 && nodes[0].data[0] == 0x80;
    } else {
        rc = take_node(&w, root, &node, e);
    }
    while (!rc && !w.ended)
        rc = step(&w, &node, e);
    if (rc)
        return rc;
    if (w.used != n_nodes)
        return err_set(e, OL_EFORMAT, "mpt", "%zu proof nodes where %zu prove the key", n_nodes, w.used);
    *found = w.found;
    *value = w.value.data;
    *value_len = w.value.len;
    return 0;
}

/* An integer of at most 32 bytes as a word. */
static int next_word(struct rlp_reader *r, uint8_t out[32], struct err *e)
{
    struct rlp item;
    int rc = rlp_next(r, &item, e);
    if (rc)
        return rc;
    if (item.list || item.len > 32 || (item.len && item.data[0] == 0))
        return err_set(e, OL_EFORMAT, "mpt", "a value that is not an integer of at most 32 bytes");
    memset(out, 0, 32 - item.len);
    memcpy(out + 32 - item.len, item.data, item.len);
    return 0;
}

int mpt_account(const uint8_t state_root[HASH_BYTES], const uint8_t address[ADDRESS_BYTES],
                const struct mpt_node *nodes, size_t n_nodes, struct mpt_account *out, struct err *e)
{
    uint8_t key[HASH_BYTES];
    const uint8_t *value;
    size_t len;
    struct rlp list;
    bool found;
    keccak256(address, ADDRESS_BYTES, key);
    int rc = mpt_verify(state_root, key, sizeof key, nodes, n_nodes, &found, &value, &len, e);
    if (rc)
        return rc;
    *out = (struct mpt_account){.exists = found};
    if (!found) {
        memcpy(out->storage_root, mpt_empty_root, HASH_BYTES);
        keccak256(NULL, 0, out->code_hash);
        return 0;
    }
    if ((rc = rlp_parse(value, len, &list, e)))
        return rc;
    struct rlp_reader r = rlp_items(&list);
    if ((rc = rlp_next_u64(&r, &out->nonce, e)) || (rc = next_word(&r, out->balance_wei, e)) ||
        (rc = rlp_next_bytes(&r, out->storage_root, HASH_BYTES, e)) ||
        (rc = rlp_next_bytes(&r, out->code_hash, HASH_BYTES, e)))
        return rc;
    if (!list.list || rlp_more(&r))
        return err_set(e, OL_EFORMAT, "mpt", "an account that is not a list of four fields");
    return 0;
}

int mpt_storage(const uint8_t storage_root[HASH_BYTES], const uint8_t slot[32], const struct mpt_node *nodes,
                size_t n_nodes, uint8_t value[32], struct err *e)
{
    uint8_t key[HASH_BYTES];
    const uint8_t *leaf;
    size_t len;
    bool found;
    keccak256(slot, 32, key);
    int rc = mpt_verify(storage_root, key, sizeof key, nodes, n_nodes, &found, &leaf, &len, e);
    if (rc)
        return rc;
    memset(value, 0, 32);
    if (!found)
        return 0;
    struct rlp_reader r = {leaf, leaf + len};
    if ((rc = next_word(&r, value, e)))
        return rc;
    if (rlp_more(&r)) /* a stored zero says what absence says; anvil keeps them */
        return err_set(e, OL_EFORMAT, "mpt", "a storage value is followed by bytes");
    return 0;
}

int mpt_receipt(const uint8_t receipts_root[HASH_BYTES], uint64_t index, const struct mpt_node *nodes, size_t n_nodes,
                const uint8_t **receipt, size_t *len, struct err *e)
{
    uint8_t key[RLP_PREFIX_BYTES];
    struct rlp_writer w;
    bool found;
    rlp_writer_init(&w, key, sizeof key);
    rlp_put_u64(&w, index);
    int rc = mpt_verify(receipts_root, key, w.len, nodes, n_nodes, &found, receipt, len, e);
    if (rc)
        return rc;
    if (!found)
        return err_set(e, OL_ENOTFOUND, "mpt", "the block has no transaction %llu", (unsigned long long)index);
    return 0;
}

void mpt_slot(uint64_t n, uint8_t out[32]) { wei_to_be32(n, out); }

void mpt_word_address(const uint8_t address[ADDRESS_BYTES], uint8_t out[32])
{
    memset(out, 0, 32 - ADDRESS_BYTES);
    memcpy(out + 32 - ADDRESS_BYTES, address, ADDRESS_BYTES);
}

void mpt_mapping_slot(const uint8_t key[32], const uint8_t slot[32], uint8_t out[32])
{
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, key, 32);
    keccak_add(&k, slot, 32);
    keccak_end(&k, out);
}
