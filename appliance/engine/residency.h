/* Adapters in pool pages: which versions are there, and which is cheapest to lose.
 *
 * struct residency is an adapter version as the scheduler sees it: how many pages its image takes, whether the
 * image can be uploaded now, who uses it. Pages in use by running sequences stay; idle ones are evicted by reload
 * cost × recency, pinned ones only when nothing else can be had and nothing runs. One thread (the engine's). */
#ifndef OPENLORA_ENGINE_RESIDENCY_H
#define OPENLORA_ENGINE_RESIDENCY_H

#include "engine/page_pool.h"

struct residency {
    /* Set by the owner of the version before and between plans. */
    bool ready;             /* the host image can be uploaded; n_pages, pages and hash are valid */
    bool pinned;
    bool held;              /* the owner keeps the host image for it */
    int32_t n_pages;
    int32_t *pages;         /* (n_pages) owned by the version; filled while resident */
    const char *hash;       /* of the content; borrowed from the version */
    double reload_s;        /* measured cost of bringing it back */

    /* Kept by the scheduler. */
    bool resident;
    int32_t n_waiting, n_running;  /* sequences */
    double last_used_s;
    uint64_t order;                /* of placement: groups rows of one adapter in a step */
    struct residency *next, *prev; /* resident versions */
    struct residency *next_changed;
    bool changed;                  /* on the changed list: see residency_set */
};

struct residency_set {
    struct page_pool *pool;    /* borrowed */
    struct residency *head;    /* resident versions */
    struct residency *changed; /* versions whose need for a host image may have changed since this was emptied */
    uint64_t placed;           /* placements so far */
    uint64_t evictions;
};

/* Takes the pages (they must be free) and makes the version resident; the caller uploads the image. */
void residency_place(struct residency_set *, struct residency *, double now_s);
/* Gives its pages back; nobody may be running on it. */
void residency_drop(struct residency_set *, struct residency *);
/* The idle version whose pages are cheapest to lose, or NULL. *value: reload seconds per page and second of age.
 * pinned: pinned ones too. */
struct residency *residency_cheapest(const struct residency_set *, double now_s, bool pinned, double *value);
/* Pages that idle versions hold. */
int32_t residency_idle_pages(const struct residency_set *, bool pinned);
void residency_mark_changed(struct residency_set *, struct residency *);
/* Takes one version off the changed list; NULL when it is empty. */
struct residency *residency_take_changed(struct residency_set *);

/* What losing a page costs: seconds to make it again, the less the longer it lay unused. */
static inline double residency_value(double cost_s, double age_s) { return cost_s / (age_s > 1e-3 ? age_s : 1e-3); }

#endif
