/* Fairness between tenants: virtual token counters (VTC, Sheng et al., OSDI 2024).
 *
 * A counter holds the weighted tokens a tenant was served. The tenant with the lowest counter among those that
 * wait is served next; within a tenant it is first come, first served. A tenant that comes (back) with nothing
 * waiting is lifted to the lowest counter of those that wait, or, when none does, to that of the tenant served
 * last: idle time earns no credit, and leaving does not erase a debt. Two tenants that both always have work
 * waiting differ in service by at most 2·max(input weight · longest prompt, output weight · tokens running).
 *
 * Above the tenants stand the service tiers, by the same counting: a tier has a counter of its own, which a token
 * raises by the tier's cost (priority 1, default 4, flex 16), and the waiting tier with the lowest counter is served
 * next; of equal ones the cheaper. So while all three have work waiting they are served 16 : 4 : 1, nobody starves, and
 * what a tier does not use goes to the others. A tier that comes back with nothing waiting is lifted to the lowest of
 * those that wait: it is served at once when its cost is the lowest. A tenant has one entry per tier it uses.
 *
 * Tenants live in a table of fixed size; one that is full forgets the idle tenant with the lowest counter, which
 * lifting would have forgiven anyway. One thread. */
#ifndef OPENLORA_ENGINE_TENANTS_H
#define OPENLORA_ENGINE_TENANTS_H

#include "engine/sequence.h"

enum { VTC_INPUT_WEIGHT = 1, VTC_OUTPUT_WEIGHT = 2 };

struct tenant {
    char name[TENANT_NAME_BYTES];
    enum service_tier tier;
    uint64_t service;             /* the virtual token counter */
    struct sequence *head, *tail; /* waiting, by id */
    int32_t n_waiting, n_running;
    uint64_t skip_epoch;          /* plan in which nothing of this tenant could be admitted */
    bool used;
};

struct tenants {
    struct tenant *slots;         /* (capacity) */
    int32_t capacity;
    struct tenant **waiting;      /* (n_waiting of capacity) tenants with a waiting sequence, in no order */
    int32_t n_waiting;
    struct tier_line {
        uint64_t service;         /* tokens times the tier's cost */
        int32_t n_waiting, n_running; /* sequences */
        int32_t n_active;         /* tenants with a waiting or running sequence */
        struct tenant *last;      /* served last, or NULL */
    } tier[SERVICE_TIERS];
    enum service_tier last;       /* served last */
};

uint64_t tier_cost(enum service_tier); /* of a token; lower: served before others */

/* capacity: more than the sequences that can be alone with their tenant at one time. */
int tenants_init(struct tenants *, int32_t capacity, struct err *e) __attribute__((warn_unused_result));
void tenants_deinit(struct tenants *);

/* A new sequence: finds or makes its tenant (seq->tenant), lifts it, and queues the sequence. */
void tenants_arrive(struct tenants *, struct sequence *);
/* Queues a sequence of a known tenant again, in the order of ids: older ones first. */
void tenants_requeue(struct tenants *, struct sequence *);
/* Takes a sequence out of its tenant's queue. */
void tenants_dequeue(struct tenants *, struct sequence *);
/* One of its sequences started or stopped running. */
void tenants_started(struct tenants *, struct tenant *);
void tenants_stopped(struct tenants *, struct tenant *);
/* The waiting tenant of this tier with the lowest counter that is not marked skip_epoch = epoch; NULL when none is
 * left. */
struct tenant *tenants_next(const struct tenants *, enum service_tier, uint64_t epoch);
/* The tiers in the order in which they are due. */
void tenants_tiers(const struct tenants *, enum service_tier out[SERVICE_TIERS]);
/* Tokens that a sequence of this tenant was served, weighted by VTC_…. */
void tenants_charge(struct tenants *, struct tenant *, uint64_t tokens);
void tenants_admitted(struct tenants *, struct tenant *); /* notes who was served last */

#endif
