#include "engine/residency.h"

#include <stddef.h>

void residency_place(struct residency_set *set, struct residency *r, double now_s)
{
    CHECK(r->ready && !r->resident && r->n_pages > 0);
    for (int32_t i = 0; i < r->n_pages; i++) {
        r->pages[i] = page_pool_take(set->pool, PAGE_ADAPTER);
        CHECK(r->pages[i] >= 0);
    }
    r->resident = true;
    r->last_used_s = now_s;
    r->order = ++set->placed;
    r->prev = NULL;
    r->next = set->head;
    if (set->head)
        set->head->prev = r;
    set->head = r;
    residency_mark_changed(set, r);
}

void residency_drop(struct residency_set *set, struct residency *r)
{
    CHECK(r->resident && r->n_running == 0);
    for (int32_t i = 0; i < r->n_pages; i++)
        page_pool_release(set->pool, r->pages[i]);
    r->resident = false;
    *(r->prev ? &r->prev->next : &set->head) = r->next;
    if (r->next)
        r->next->prev = r->prev;
    r->next = r->prev = NULL;
    residency_mark_changed(set, r);
}

struct residency *residency_cheapest(const struct residency_set *set, double now_s, bool pinned, double *value)
{
    struct residency *best = NULL;
    for (struct residency *r = set->head; r; r = r->next) {
        if (r->n_running || (r->pinned && !pinned))
            continue;
        double v = residency_value(r->reload_s / r->n_pages, now_s - r->last_used_s);
        /* Pinned ones come last whatever they cost. */
        if (!best || (best->pinned && !r->pinned) || (best->pinned == r->pinned && v < *value)) {
            best = r;
            *value = v;
        }
    }
    return best;
}

int32_t residency_idle_pages(const struct residency_set *set, bool pinned)
{
    int32_t n = 0;
    for (const struct residency *r = set->head; r; r = r->next)
        if (!r->n_running && (pinned || !r->pinned))
            n += r->n_pages;
    return n;
}

void residency_mark_changed(struct residency_set *set, struct residency *r)
{
    if (r->changed)
        return;
    r->changed = true;
    r->next_changed = set->changed;
    set->changed = r;
}

struct residency *residency_take_changed(struct residency_set *set)
{
    struct residency *r = set->changed;
    if (r) {
        set->changed = r->next_changed;
        r->next_changed = NULL;
        r->changed = false;
    }
    return r;
}
