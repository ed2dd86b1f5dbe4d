/* The page pool: which of the pool's equal pages are free, who owns the others, and how often each is referenced.
 *
 * Bookkeeping only: pages are ids 0 .. n_pages − 1, their memory belongs to the device. Every call is O(1). One
 * thread uses a pool. A KV page may be held by several sequences and by the prefix cache at once; an adapter's
 * page has one holder. */
#ifndef OPENLORA_ENGINE_PAGE_POOL_H
#define OPENLORA_ENGINE_PAGE_POOL_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum page_owner { PAGE_FREE, PAGE_KV, PAGE_ADAPTER, PAGE_OWNERS };

struct page_pool {
    int32_t n_pages;
    int32_t count[PAGE_OWNERS]; /* pages by owner; count[PAGE_FREE] are free */
    int32_t *free_stack;        /* (n_pages) the first count[PAGE_FREE] are free ids */
    int32_t *refs;              /* (n_pages) */
    uint8_t *owner;             /* (n_pages) enum page_owner */
};

int page_pool_init(struct page_pool *, int32_t n_pages, struct err *e) __attribute__((warn_unused_result));
void page_pool_deinit(struct page_pool *);

/* A free page with one reference, or −1 when none is left. */
int32_t page_pool_take(struct page_pool *, enum page_owner owner);
void page_pool_ref(struct page_pool *, int32_t page);
/* Drops one reference; true when that freed the page. */
bool page_pool_release(struct page_pool *, int32_t page);

static inline int32_t page_pool_free_count(const struct page_pool *p) { return p->count[PAGE_FREE]; }

#endif
