/* Root of an ordered trie; see trie.h. Keys are rlp(index): in their order come 1…127, then 0 (0x80), then 128 and up.
 * So the position of a key says its index, and every subtree is a range of positions. */
#include "chainlite/core/trie.h"
#include "base/err.h"
#include "chainlite/core/mpt.h"
#include "chainlite/core/rlp.h"

#include <string.h>

enum { KEY_MAX_BYTES = 4, ONE_BYTE_KEYS = 128, BRANCH_BYTES = 3 + 17 * 33, EMBEDDED_MAX_BYTES = 31 };

struct key {
    uint8_t bytes[KEY_MAX_BYTES];
    size_t nibbles;
};

struct reference { /* to a node: itself when small, else its hash; RLP either way */
    uint8_t bytes[1 + HASH_BYTES];
    size_t len;
};

static size_t index_of(size_t position, size_t n)
{
    size_t ones = n < ONE_BYTE_KEYS ? n : ONE_BYTE_KEYS;
    if (position + 1 < ones)
        return position + 1;
    return position + 1 == ones ? 0 : position;
}

static void key_at(size_t position, size_t n, struct key *key)
{
    struct rlp_writer w;
    rlp_writer_init(&w, key->bytes, sizeof key->bytes);
    rlp_put_u64(&w, index_of(position, n));
    CHECK(!w.failed);
    key->nibbles = 2 * w.len;
}

static unsigned nibble(const struct key *key, size_t i)
{
    return i % 2 ? key->bytes[i / 2] & 15u : (unsigned)key->bytes[i / 2] >> 4;
}

/* Compact form of the key's nibbles from…to; returns its length. */
static size_t compact(const struct key *key, size_t from, size_t to, bool leaf, uint8_t out[KEY_MAX_BYTES + 1])
{
    size_t n = to - from, odd = n % 2;
    memset(out, 0, KEY_MAX_BYTES + 1);
    out[0] = (uint8_t)((leaf ? 0x20 : 0) | (odd ? 0x10 : 0));
    for (size_t i = 0; i < n; i++) {
        size_t at = i + 2 - odd;
        out[at / 2] = (uint8_t)(out[at / 2] | nibble(key, from + i) << (at % 2 ? 0 : 4));
    }
    return n / 2 + 1;
}

static void refer(const uint8_t *node, size_t len, struct reference *out)
{
    if (len <= EMBEDDED_MAX_BYTES) {
        memcpy(out->bytes, node, len);
        out->len = len;
        return;
    }
    out->bytes[0] = 0x80 + HASH_BYTES;
    keccak256(node, len, out->bytes + 1);
    out->len = sizeof out->bytes;
}

/* The item may be long, so the leaf is hashed in pieces: prefix and path, the value's prefix, the value. */
static void leaf(const struct trie_items *items, size_t index, const struct key *key, size_t depth,
                 struct reference *out)
{
    uint8_t head[32], prefix[RLP_PREFIX_BYTES], path[KEY_MAX_BYTES + 1], small[EMBEDDED_MAX_BYTES];
    const uint8_t *data;
    size_t len, path_len = compact(key, depth, key->nibbles, true, path);
    struct rlp_writer w;
    items->item(items->context, index, &data, &len);
    rlp_writer_init(&w, head, sizeof head);
    rlp_put_bytes(&w, path, path_len);
    bool bare = len == 1 && data[0] < 0x80;
    size_t prefix_len = bare ? 0 : rlp_string_prefix(len, prefix), payload = w.len + prefix_len + len;
    rlp_put_raw(&w, prefix, prefix_len);
    size_t body = w.len;
    uint8_t list[RLP_PREFIX_BYTES];
    size_t list_len = rlp_list_prefix(payload, list);
    if (list_len + payload <= EMBEDDED_MAX_BYTES) {
        memcpy(small, list, list_len);
        memcpy(small + list_len, head, body);
        memcpy(small + list_len + body, data, len);
        refer(small, list_len + payload, out);
        return;
    }
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, list, list_len);
    keccak_add(&k, head, body);
    keccak_add(&k, data, len);
    out->bytes[0] = 0x80 + HASH_BYTES;
    keccak_end(&k, out->bytes + 1);
    out->len = sizeof out->bytes;
}

static void subtree(const struct trie_items *, size_t lo, size_t hi, size_t depth, struct reference *out);

/* Positions lo…hi share the key's first `depth` nibbles and differ in the next. */
static void branch(const struct trie_items *items, size_t lo, size_t hi, size_t depth, struct reference *out)
{
    uint8_t bytes[BRANCH_BYTES + RLP_PREFIX_BYTES];
    struct rlp_writer w;
    struct key key;
    rlp_writer_init(&w, bytes, sizeof bytes);
    for (unsigned child = 0; child < 16; child++) {
        struct reference node;
        size_t low = lo, end = hi; /* the first position of a later child, by halving */
        while (low < end) {
            size_t middle = low + (end - low) / 2;
            key_at(middle, items->n, &key);
            if (nibble(&key, depth) <= child)
                low = middle + 1;
            else
                end = middle;
        }
        if (low == lo) {
            rlp_put_bytes(&w, NULL, 0);
            continue;
        }
        subtree(items, lo, low, depth + 1, &node);
        rlp_put_raw(&w, node.bytes, node.len);
        lo = low;
    }
    rlp_put_bytes(&w, NULL, 0); /* no key is the beginning of another */
    rlp_list_close(&w, 0);
    CHECK(!w.failed);
    refer(bytes, w.len, out);
}

static void subtree(const struct trie_items *items, size_t lo, size_t hi, size_t depth, struct reference *out)
{
    struct key first, last;
    key_at(lo, items->n, &first);
    if (hi - lo == 1) {
        leaf(items, index_of(lo, items->n), &first, depth, out);
        return;
    }
    key_at(hi - 1, items->n, &last);
    size_t same = depth;
    while (nibble(&first, same) == nibble(&last, same))
        same++;
    if (same == depth) {
        branch(items, lo, hi, depth, out);
        return;
    }
    uint8_t path[KEY_MAX_BYTES + 1], bytes[64];
    struct reference node;
    struct rlp_writer w;
    branch(items, lo, hi, same, &node);
    rlp_writer_init(&w, bytes, sizeof bytes);
    rlp_put_bytes(&w, path, compact(&first, depth, same, false, path));
    rlp_put_raw(&w, node.bytes, node.len);
    rlp_list_close(&w, 0);
    refer(bytes, w.len, out);
}

void trie_ordered_root(const struct trie_items *items, uint8_t root[HASH_BYTES])
{
    struct reference top;
    CHECK(items->n <= TRIE_MAX_ITEMS);
    if (items->n == 0) {
        memcpy(root, mpt_empty_root, HASH_BYTES);
        return;
    }
    subtree(items, 0, items->n, 0, &top);
    if (top.len == sizeof top.bytes)
        memcpy(root, top.bytes + 1, HASH_BYTES);
    else /* the root is hashed even when it is small */
        keccak256(top.bytes, top.len, root);
}
