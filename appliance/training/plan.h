/* Which examples each step learns from: what is held out, how many steps there are, the order of every epoch. All of it
 * follows from the settings and the number of examples. */
#ifndef OPENLORA_TRAINING_PLAN_H
#define OPENLORA_TRAINING_PLAN_H

#include "training/settings.h"

struct train_plan {
    uint32_t *train, *held_out; /* owned; indices of examples, ascending */
    uint32_t n_train, n_held_out;
    uint32_t *order;            /* owned, (n_train): positions in `train` in the order of `epoch` */
    int64_t epoch;              /* −1: none yet */
    int64_t steps, steps_per_epoch, epochs;
    uint32_t per_step;
    uint64_t seed;
};

/* OL_EINVAL: nothing would be left to train on. */
int train_plan_init(const struct train_settings *s, uint32_t n_examples, struct train_plan *out, struct err *e)
    __attribute__((warn_unused_result));
void train_plan_deinit(struct train_plan *p);

/* Number of examples of step (0 ≤ step < steps), the last of an epoch may have fewer; *first: place of the first of
 * them within the epoch. */
uint32_t train_plan_step(struct train_plan *p, int64_t step, uint32_t *first);
/* Example at a place of the epoch of the step last asked for, and the seed of its dropout masks this time. */
uint32_t train_plan_example(const struct train_plan *p, uint32_t place, uint64_t *dropout_seed);

#endif
