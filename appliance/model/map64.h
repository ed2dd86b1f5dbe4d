/* A hash map from 64-bit keys to 64-bit values: pairs of token ids to their merge, trie edges to trie nodes.
 * Grows while it is built; read-only and safe from any thread after that. */
#ifndef OPENLORA_MODEL_MAP64_H
#define OPENLORA_MODEL_MAP64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAP64_ABSENT UINT64_MAX /* not a legal value */

struct map64_slot {
    uint64_t key, value; /* value MAP64_ABSENT: a free slot */
};

struct map64 {
    struct map64_slot *slots; /* owned; a power of two of them, at most half used; NULL while empty */
    size_t mask, used;
};

void map64_deinit(struct map64 *m);
/* Adds a key or replaces its value; false if there is no memory. */
bool map64_set(struct map64 *m, uint64_t key, uint64_t value) __attribute__((warn_unused_result));

/* The constants are those of the splitmix64 finaliser. */
static inline size_t map64_hash(uint64_t key)
{
    key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
    key = (key ^ key >> 27) * 0x94d049bb133111ebu;
    return (size_t)(key ^ key >> 31);
}

/* The value, or MAP64_ABSENT. */
static inline uint64_t map64_get(const struct map64 *m, uint64_t key)
{
    if (!m->slots)
        return MAP64_ABSENT;
    for (size_t i = map64_hash(key) & m->mask;; i = (i + 1) & m->mask) {
        const struct map64_slot *s = &m->slots[i];
        if (s->value == MAP64_ABSENT || s->key == key)
            return s->value;
    }
}

#endif
