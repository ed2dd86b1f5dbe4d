/* Makes whole Merkle-Patricia tries from entries, and the proof of one key, as an independent opposite of core/mpt.c:
 * written from the yellow paper's appendix D, recursive, over entries sorted by key. */
#ifndef OPENLORA_TEST_TRIE_MAKER_H
#define OPENLORA_TEST_TRIE_MAKER_H

#include "chainlite/core/mpt.h"
#include "chainlite/core/rlp.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { TRIE_NODE_BYTES = 1024, TRIE_PROOF_NODES = 70, TRIE_ENTRIES = 200, TRIE_VALUE_BYTES = 400 };

struct trie_entry {
    uint8_t key[32], value[TRIE_VALUE_BYTES];
    size_t key_len, value_len;
};

struct trie_maker {
    struct trie_entry entries[TRIE_ENTRIES]; /* sorted, no two keys alike */
    size_t n;
    uint8_t nodes[TRIE_PROOF_NODES][TRIE_NODE_BYTES]; /* of the proof, from the last to the root */
    struct mpt_node proof[TRIE_PROOF_NODES];          /* from the root */
    size_t n_proof;
    const uint8_t *target; /* whose proof is made */
    size_t target_len;
};

static inline int trie_nibble(const uint8_t *key, size_t i) { return i % 2 ? key[i / 2] & 15 : key[i / 2] >> 4; }

static inline int trie_compare(const struct trie_entry *a, const uint8_t *key, size_t len)
{
    int order = memcmp(a->key, key, a->key_len < len ? a->key_len : len);
    return order ? order : (a->key_len > len) - (a->key_len < len);
}

/* Sets, or removes when value is NULL. */
static inline void trie_set(struct trie_maker *t, const void *key, size_t key_len, const void *value, size_t value_len)
{
    size_t at = 0;
    while (at < t->n && trie_compare(&t->entries[at], key, key_len) < 0)
        at++;
    bool there = at < t->n && trie_compare(&t->entries[at], key, key_len) == 0;
    if (there) {
        memmove(&t->entries[at], &t->entries[at + 1], (t->n - at - 1) * sizeof *t->entries);
        t->n--;
    }
    if (!value)
        return;
    ck_assert(t->n < TRIE_ENTRIES && key_len <= 32 && value_len <= TRIE_VALUE_BYTES);
    memmove(&t->entries[at + 1], &t->entries[at], (t->n - at) * sizeof *t->entries);
    struct trie_entry *e = &t->entries[at];
    memcpy(e->key, key, key_len);
    memcpy(e->value, value, value_len);
    e->key_len = key_len;
    e->value_len = value_len;
    t->n++;
}

/* Is the target's path the first `nibbles` nibbles of the entry's? */
static inline bool trie_on_path(const struct trie_maker *t, const struct trie_entry *e, size_t nibbles)
{
    if (!t->target || 2 * t->target_len < nibbles)
        return false;
    for (size_t i = 0; i < nibbles; i++)
        if (trie_nibble(e->key, i) != trie_nibble(t->target, i))
            return false;
    return true;
}

static inline void trie_put_path(struct rlp_writer *w, const struct trie_entry *e, size_t from, size_t to, bool leaf)
{
    uint8_t path[33] = {0};
    size_t n = to - from, odd = n % 2;
    for (size_t i = 0; i < n; i++) {
        size_t at = i + 2 - odd;
        path[at / 2] |= (uint8_t)(trie_nibble(e->key, from + i) << (at % 2 ? 0 : 4));
    }
    path[0] |= (uint8_t)((leaf ? 0x20 : 0) | (odd ? 0x10 : 0));
    rlp_put_bytes(w, path, n / 2 + 1);
}

static inline void trie_put_node(struct trie_maker *t, struct rlp_writer *parent, size_t lo, size_t hi, size_t depth);

static inline void trie_write_node(struct trie_maker *t, struct rlp_writer *w, size_t lo, size_t hi, size_t depth)
{
    const struct trie_entry *first = &t->entries[lo], *last = &t->entries[hi - 1];
    size_t list = rlp_list_open(w), same = depth;
    if (hi - lo == 1) {
        trie_put_path(w, first, depth, 2 * first->key_len, true);
        rlp_put_bytes(w, first->value, first->value_len);
        rlp_list_close(w, list);
        return;
    }
    while (same < 2 * first->key_len && trie_nibble(first->key, same) == trie_nibble(last->key, same))
        same++;
    if (same > depth) {
        trie_put_path(w, first, depth, same, false);
        trie_put_node(t, w, lo, hi, same);
        rlp_list_close(w, list);
        return;
    }
    size_t at = lo + (2 * first->key_len == depth); /* an entry that ends here is the branch's value */
    for (int nibble = 0; nibble < 16; nibble++) {
        size_t end = at;
        while (end < hi && trie_nibble(t->entries[end].key, depth) == nibble)
            end++;
        if (end > at)
            trie_put_node(t, w, at, end, depth + 1);
        else
            rlp_put_bytes(w, NULL, 0);
        at = end;
    }
    rlp_put_bytes(w, first->value, 2 * first->key_len == depth ? first->value_len : 0);
    rlp_list_close(w, list);
}

/* A reference to the node of entries lo..hi; nodes with a hash that lie on the target's path join its proof. */
static inline void trie_put_node(struct trie_maker *t, struct rlp_writer *parent, size_t lo, size_t hi, size_t depth)
{
    uint8_t bytes[TRIE_NODE_BYTES], hash[HASH_BYTES];
    struct rlp_writer w;
    rlp_writer_init(&w, bytes, sizeof bytes);
    trie_write_node(t, &w, lo, hi, depth);
    ck_assert(!w.failed);
    bool root = parent == NULL;
    if ((w.len >= 32 || root) && trie_on_path(t, &t->entries[lo], depth)) {
        memcpy(t->nodes[t->n_proof], bytes, w.len);
        t->proof[t->n_proof] = (struct mpt_node){t->nodes[t->n_proof], w.len};
        t->n_proof++;
    }
    keccak256(bytes, w.len, hash);
    if (root)
        memcpy(t->nodes[TRIE_PROOF_NODES - 1], hash, HASH_BYTES);
    else if (w.len >= 32)
        rlp_put_bytes(parent, hash, HASH_BYTES);
    else
        rlp_put_raw(parent, bytes, w.len);
}

/* The root, and in t->proof the proof of `key` (may be NULL). */
static inline void trie_make(struct trie_maker *t, const uint8_t *key, size_t key_len, uint8_t root[HASH_BYTES])
{
    t->target = key;
    t->target_len = key_len;
    t->n_proof = 0;
    if (t->n == 0) {
        memcpy(root, mpt_empty_root, HASH_BYTES);
        return;
    }
    trie_put_node(t, NULL, 0, t->n, 0);
    memcpy(root, t->nodes[TRIE_PROOF_NODES - 1], HASH_BYTES);
    for (size_t i = 0; i < t->n_proof / 2; i++) {
        struct mpt_node other = t->proof[i];
        t->proof[i] = t->proof[t->n_proof - 1 - i];
        t->proof[t->n_proof - 1 - i] = other;
    }
}

#endif
