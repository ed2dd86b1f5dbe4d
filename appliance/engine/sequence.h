/* A sequence: the tokens of one choice of one request, the pages that hold its KV, and what sampling needs to
 * remember. Everything it will ever need is allocated when it is made (on the submitting thread); after that it
 * belongs to the engine's thread, and generating allocates nothing. */
#ifndef OPENLORA_ENGINE_SEQUENCE_H
#define OPENLORA_ENGINE_SEQUENCE_H

#include "engine/engine.h"
#include "engine/prefix_cache.h"

#include <stdatomic.h>

struct residency;
struct tenant;

enum {
    TENANT_NAME_BYTES = 128,
    SEQUENCE_MAX_BIAS = 1024, /* logit-bias entries of one request */
};

enum sequence_state { SEQ_NEW, SEQ_WAITING, SEQ_RUNNING, SEQ_ENDED };

struct sequence {
    /* The request, fixed. */
    uint64_t id;              /* ascending in order of submission */
    struct sampling sampling; /* .bias is owned */
    int32_t choice;
    char tenant_name[TENANT_NAME_BYTES];
    enum service_tier tier;
    struct adapter *adapter;      /* reference held, or NULL */
    struct residency *residency;  /* the adapter's pages (borrowed from it), or NULL */
    bool (*on_token)(void *, const struct step_result *);
    void (*on_end)(void *, enum engine_end, const struct usage *, const struct err *);
    void *user;

    /* Tokens and their KV. */
    int32_t *tokens;     /* (max_total) prompt, then output */
    int32_t n_prompt, n_tokens, max_total;
    int32_t n_computed;  /* tokens whose KV is in the pages; at most n_tokens − 1 between steps */
    int32_t *pages;      /* (pages of max_total) */
    int32_t n_pages;
    int32_t n_published; /* pages that the prefix cache knows */
    struct cache_space space; /* valid once space_known: needs the adapter's hash */
    bool space_known;

    /* Penalties: distinct tokens so far, with an open-addressing index from token to entry. NULL without them. */
    struct step_history *history; /* (n_history of max_total) */
    int32_t n_history;
    int32_t *history_index;       /* (history_mask + 1) entry + 1, or 0 */
    uint32_t history_mask;

    /* Scheduler. */
    enum sequence_state state;
    struct tenant *tenant;
    struct sequence *next, *prev; /* its tenant's queue, or the running list */
    uint64_t planned_epoch;       /* last plan with rows of this sequence */
    uint64_t skip_epoch;          /* last plan in which it could not be admitted */
    int32_t prefix_waits;         /* plans it waited for another sequence's prefill of the same prefix */
    bool deferred;                /* its penalty lists did not fit the last step */
    bool charged;                 /* its prompt was charged to the tenant */

    /* Engine. */
    struct sequence *next_live, *prev_live; /* inbox, then the live list: see engine_internal.h */
    atomic_bool cancelled;
    int losses;                             /* steps it was in when the backend was lost */
    struct usage usage;
    double submitted_s, scheduled_s, first_token_s, last_token_s; /* 0: not yet */
};

static inline int32_t pages_of_tokens(int32_t n) { return (n + STEP_PAGE_TOKENS - 1) / STEP_PAGE_TOKENS; }
static inline int32_t sequence_outputs(const struct sequence *s) { return s->n_tokens - s->n_prompt; }

/* max_total: prompt and output together, already cut to the context. Checks the request's own values (not ids
 * against the vocabulary: `vocab` bounds those). The adapter reference is recorded, not taken. */
int sequence_create(const struct engine_request *, int32_t vocab, int32_t max_total, struct sequence **out,
                    struct err *e) __attribute__((warn_unused_result));
void sequence_free(struct sequence *);

bool sequence_has_penalties(const struct sequence *);
/* Appends an output token and counts it for the penalties. */
void sequence_append(struct sequence *, int32_t token);

#endif
