/* A training's state, and its way into a checkpoint and back; shared by trainer.c and trainer_state.c. */
#ifndef OPENLORA_TRAINING_TRAINER_INTERNAL_H
#define OPENLORA_TRAINING_TRAINER_INTERNAL_H

#include "training/trainer.h"

struct trainer {
    struct trainer_config config;
    struct lora_model *model;
    struct train_plan plan;
    struct schedule schedule;
    int64_t n; /* parameters */
    float *gradient, *moment1, *moment2;    /* owned, (n) */
    struct train_example *examples;         /* owned, (batch) */
    struct train_loss *losses;              /* owned, (batch) */
    /* what a checkpoint holds beside parameters and moments */
    int64_t step;                           /* done */
    double epoch_loss, epoch_weight;        /* sums over the epoch under way */
    struct trainer_epoch before, *epochs;   /* epochs: owned, (plan.epochs) */
    int64_t started, resumed;
    double seconds;
};

int trainer_save(struct trainer *t, struct err *e) __attribute__((warn_unused_result));
int trainer_restore(struct trainer *t, struct err *e) __attribute__((warn_unused_result));

#endif
