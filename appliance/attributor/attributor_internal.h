/* The attributor as its own files see it. */
#ifndef OPENLORA_ATTRIBUTOR_INTERNAL_H
#define OPENLORA_ATTRIBUTOR_INTERNAL_H

#include "attribution/policy.h"
#include "attribution/span_rule.h"
#include "attributor/attributor.h"

#include <pthread.h>

struct attributor {
    struct attributor_config config;
    struct policy **policies; /* owned, (config.n_folders) */
    int n_policies;          /* opened */
    pthread_mutex_t lock;    /* guards scratch and stats */
    struct span_scratch scratch;
    struct attributor_stats stats;
    struct idle_worker *idle; /* NULL: no gradients */
};

/* ---- idle.c */
int idle_open(struct attributor *, struct idle_worker **out, struct err *) __attribute__((warn_unused_result));
void idle_stop(struct idle_worker *);
void idle_close(struct idle_worker *);
/* drawn: by the policy's sample. first: before what waits for idle time. */
void idle_add(struct idle_worker *, const uint8_t receipt_id[32], bool drawn, bool first);
uint32_t idle_waiting(struct idle_worker *);

#endif
