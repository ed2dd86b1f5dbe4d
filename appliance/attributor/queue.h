/* Answers that wait for their gradients: those that go first (drawn by the policy's sample, or asked for), and the rest,
 * which only run while the engine has nothing to do. Bounded; over the bound an answer is turned away and gets its
 * policy's mean. All functions from any thread. */
#ifndef OPENLORA_ATTRIBUTOR_QUEUE_H
#define OPENLORA_ATTRIBUTOR_QUEUE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct queue;

struct queued {
    uint8_t receipt_id[32];
    bool drawn; /* computed whatever else there is to do, within the budget */
};

int queue_open(struct queue **out, struct err *) __attribute__((warn_unused_result));
void queue_close(struct queue *); /* NULL is fine */
void queue_stop(struct queue *);  /* whoever waits returns, for good */

/* false: it is full. */
bool queue_add(struct queue *, const struct queued *, bool first);
/* Waits for the next one; while busy(user) only for one that goes first. false: stopped. */
bool queue_take(struct queue *, bool (*busy)(void *user), void *user, struct queued *out);
uint32_t queue_waiting(struct queue *);

#endif
