/* The scheduler: (state, events, now) → the next step. No device, clock, thread or I/O: tests drive it by
 * simulation.
 *
 * A plan is made of three passes over a budget of max_rows rows:
 *  1. decode: one row for every running sequence that has computed all but its last token;
 *  2. prefill: chunks of prompts already running, oldest first;
 *  3. admission: the next waiting sequence by fairness (tenants.h) while rows and places are left;
 * the second and third for each service tier in turn, as they are due.
 * A sequence gets the pages of all its tokens at admission, and further ones as it grows. When none can be had by
 * evicting idle cached pages and adapters, the latest admitted sequence of the lowest tier is preempted: its pages go, its tokens
 * stay, and it waits at the front of its tenant's queue to be computed again. A sequence that lacks a page and
 * has nobody junior to preempt sits out the step.
 *
 * Waiting does not block others where it is not about pages: a sequence is passed over while its adapter is being
 * read or while a running sequence is prefilling pages they will share. One that lacks pages is not passed: the
 * pages that others give back are its own.
 *
 * If a lower tier had more than its due meanwhile, or another tenant of the tier runs more than its share, the youngest
 * sequence there makes way.
 *
 * Invariants: a sequence alone always fits (scheduler_max_total), so the oldest running one always advances; every
 * plan keeps the step's limits; between plan and commit nothing but scheduler_lose_pages is called. One thread. */
#ifndef OPENLORA_ENGINE_SCHEDULER_H
#define OPENLORA_ENGINE_SCHEDULER_H

#include "engine/prefix_cache.h"
#include "engine/residency.h"
#include "engine/sequence.h"
#include "engine/tenants.h"

struct scheduler_config {
    int32_t n_pages, max_context, max_seqs, max_rows; /* max_rows ≥ max_seqs */
    int32_t max_live;                 /* sequences waiting and running at one time */
    int32_t max_history, max_bias;    /* per step; each holds what one sequence can have */
    bool no_prefix_cache;
    struct cache_origin origin;
};

struct plan_item {
    struct sequence *seq;
    int32_t n_rows;   /* tokens n_computed .. n_computed + n_rows − 1 */
    bool logits;      /* the last row gives the next token */
};

struct plan {
    struct plan_item *items;     /* (n_items of max_seqs) base first, then grouped by adapter */
    struct step_copy *copies;    /* (n_copies of max_seqs) */
    struct residency **uploads;  /* (n_uploads of max_seqs) placed in this plan: upload before the step */
    int32_t n_items, n_copies, n_uploads;
    int32_t n_rows, n_history, n_bias;
};

struct scheduler {
    struct scheduler_config config;
    struct page_pool pool;
    struct prefix_cache cache;
    struct residency_set adapters;
    struct tenants tenants;
    struct sequence *head, *tail;  /* running, in order of admission */
    int32_t n_running, n_waiting;
    const struct tenant *starved;  /* whose turn it was in the last plan, without a place or pages to be had */
    struct plan plan;
    uint64_t epoch;                /* plans made */
    double now_s;
    double kv_page_s;              /* cost of computing a page of KV again, measured by the owner */
    uint64_t preemptions;
    uint64_t prompt_tokens, cached_tokens; /* of sequences admitted; each counted once */
};

int scheduler_init(struct scheduler *, const struct scheduler_config *, struct err *e)
    __attribute__((warn_unused_result));
void scheduler_deinit(struct scheduler *);

/* The largest prompt + output of a sequence whose adapter takes adapter_pages: context and pool allow it alone. */
int32_t scheduler_max_total(const struct scheduler_config *, int32_t adapter_pages);

void scheduler_add(struct scheduler *, struct sequence *, double now_s); /* a new sequence waits */
void scheduler_remove(struct scheduler *, struct sequence *);            /* ended or cancelled, in any state */

/* The pages' memory is lost, also in the middle of a plan: whoever runs waits again, in the same order, to be computed
 * from its tokens; cache and adapters are empty. */
void scheduler_lose_pages(struct scheduler *);

/* Valid until the next plan. n_items = 0: nothing can run before the next event. */
const struct plan *scheduler_plan(struct scheduler *, double now_s);
/* The step of the last plan is done: its KV is there. */
void scheduler_commit(struct scheduler *);
/* The token that the committed step gave a sequence. */
void scheduler_append(struct scheduler *, struct sequence *, int32_t token);

#endif
