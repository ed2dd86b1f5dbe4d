/* The root of an ordered trie: a block's transactions or receipts, keyed by rlp(index). Made from the items alone, in
 * one pass over the keys in their order, without memory of its own but the stack (about 6 KB; the depth is that of the
 * keys, at most 9 levels). Pure. */
#ifndef OPENLORA_CORE_TRIE_H
#define OPENLORA_CORE_TRIE_H

#include "chainlite/core/keccak.h"

#include <stddef.h>
#include <stdint.h>

enum { TRIE_MAX_ITEMS = 1 << 24 };

struct trie_items {
    size_t n;                                                                           /* at most TRIE_MAX_ITEMS */
    void (*item)(const void *context, size_t index, const uint8_t **data, size_t *len); /* never empty */
    const void *context;
};

void trie_ordered_root(const struct trie_items *, uint8_t root[HASH_BYTES]);

#endif
