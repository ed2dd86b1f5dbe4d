/* The automatic prefix cache: KV pages of finished work that a later sequence with the same beginning can use.
 *
 * A cached page is a node of a tree: its parent is the page before it, its key the parent and the tokens it holds.
 * Both are compared exactly, so that equality of a node means equality of everything before it; hashes only find
 * candidates. What is not tokens (tenant, base version, adapter version and scale, numerics) is the root's key,
 * a SHA-256 digest over those fields.
 *
 * Invariants
 *  1. The cache holds one reference on each page it contains. A node whose page has no other reference is idle.
 *  2. Whoever holds a node's page holds the pages of all its ancestors (sequences adopt the canonical page on
 *     publishing), so idle nodes have only idle descendants, and every idle page can be had by evicting leaves.
 *  3. Only pages whose content is complete on the device are published: after the step that wrote them.
 *  4. A page with fewer than 16 tokens is a leaf; it is only ever copied, never shared.
 * Nodes are indexed by page id and allocated at init: nothing here allocates later. One thread. */
#ifndef OPENLORA_ENGINE_PREFIX_CACHE_H
#define OPENLORA_ENGINE_PREFIX_CACHE_H

#include "engine/page_pool.h"
#include "kernels/step.h"

struct cache_space { /* root key */
    unsigned char digest[32];
};

struct cache_origin { /* what computes: fixed for an engine; borrowed texts */
    const char *version;  /* of the base model */
    const char *numerics; /* of the device */
};

/* adapter_hash: "" for the base model. The adapter's hash covers its scale. */
void cache_space_init(struct cache_space *, const struct cache_origin *, const char *tenant, const char *adapter_hash);

struct cache_node;

struct prefix_cache {
    struct page_pool *pool;     /* borrowed */
    struct cache_node *nodes;   /* (n_pages) */
    int32_t *exact;             /* (n_buckets) first node by hash of (parent, tokens), or −1 */
    int32_t *roots;             /* (n_buckets) first node without a parent by hash of its space, or −1 */
    uint32_t n_buckets;
    uint64_t seed;              /* of the hashes, random: prompts cannot be made to collide */
    int32_t lru_head, lru_tail; /* idle leaves, least recently used first; −1 = none */
    int32_t n_nodes, n_idle;
    double now_s;               /* set by the owner before use: recency is measured on it */
};

int prefix_cache_init(struct prefix_cache *, struct page_pool *, struct err *e) __attribute__((warn_unused_result));
void prefix_cache_deinit(struct prefix_cache *);

struct cache_match {
    int32_t n_pages;      /* full pages put into `pages` */
    int32_t partial_page; /* −1, or a page to copy from */
    int32_t n_partial;    /* tokens of it that agree */
};

/* Longest cached beginning of tokens[0 .. max_tokens). The caller gets a reference on each page in `pages` (room
 * for max_tokens/16) and on partial_page; it gives them back with prefix_cache_release. */
struct cache_match prefix_cache_match(struct prefix_cache *, const struct cache_space *, const int32_t *tokens,
                                      int32_t max_tokens, int32_t *pages);

/* How many of tokens[0 .. max_tokens) the cache holds in full pages; takes nothing. */
int32_t prefix_cache_peek(const struct prefix_cache *, const struct cache_space *, const int32_t *tokens,
                          int32_t max_tokens);

/* Publishes `page`, which the caller holds and which contains tokens[0 .. n) (n = 16, or fewer for the tail of a
 * sequence that ended) after the published page `parent` (−1: at the beginning). Returns the page to use from now
 * on: if the same content was there already, the caller's reference moves to that page and its own is dropped. */
int32_t prefix_cache_publish(struct prefix_cache *, const struct cache_space *, int32_t parent, const int32_t *tokens,
                             int32_t n, int32_t page);

/* Drops a sequence's reference on a KV page, cached or not. Pages of one sequence: last page first, so that leaves
 * are older than their ancestors. */
void prefix_cache_release(struct prefix_cache *, int32_t page);

/* Both need n_idle > 0: frees the least recently used idle leaf; when that was last used. */
void prefix_cache_evict(struct prefix_cache *);
double prefix_cache_oldest_s(const struct prefix_cache *);

#endif
