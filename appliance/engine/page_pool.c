#include "engine/page_pool.h"

#include <stdlib.h>

int page_pool_init(struct page_pool *p, int32_t n_pages, struct err *e)
{
    *p = (struct page_pool){.n_pages = n_pages};
    if (n_pages < 1)
        return err_set(e, OL_EINVAL, "page_pool", "the page pool needs at least one page");
    p->free_stack = calloc((size_t)n_pages, sizeof *p->free_stack);
    p->refs = calloc((size_t)n_pages, sizeof *p->refs);
    p->owner = calloc((size_t)n_pages, sizeof *p->owner);
    if (!p->free_stack || !p->refs || !p->owner) {
        page_pool_deinit(p);
        return err_set(e, OL_ENOMEM, "page_pool", "no memory to keep track of %d pages", (int)n_pages);
    }
    for (int32_t i = 0; i < n_pages; i++) /* low ids first: a short run touches little of the pool */
        p->free_stack[i] = n_pages - 1 - i;
    p->count[PAGE_FREE] = n_pages;
    return 0;
}

void page_pool_deinit(struct page_pool *p)
{
    free(p->free_stack);
    free(p->refs);
    free(p->owner);
    *p = (struct page_pool){0};
}

int32_t page_pool_take(struct page_pool *p, enum page_owner owner)
{
    CHECK(owner == PAGE_KV || owner == PAGE_ADAPTER);
    if (!p->count[PAGE_FREE])
        return -1;
    int32_t page = p->free_stack[--p->count[PAGE_FREE]];
    CHECK(p->owner[page] == PAGE_FREE && p->refs[page] == 0);
    p->owner[page] = (uint8_t)owner;
    p->refs[page] = 1;
    p->count[owner]++;
    return page;
}

void page_pool_ref(struct page_pool *p, int32_t page)
{
    CHECK(page >= 0 && page < p->n_pages && p->refs[page] > 0 && p->owner[page] == PAGE_KV);
    p->refs[page]++;
}

bool page_pool_release(struct page_pool *p, int32_t page)
{
    CHECK(page >= 0 && page < p->n_pages && p->refs[page] > 0);
    if (--p->refs[page])
        return false;
    p->count[p->owner[page]]--;
    p->owner[page] = PAGE_FREE;
    p->free_stack[p->count[PAGE_FREE]++] = page;
    return true;
}
