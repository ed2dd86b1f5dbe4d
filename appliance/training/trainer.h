/* The loop of a training: steps, checkpoints, evaluations; what it is about to do follows from its state alone, so a
 * training that was killed goes on from its checkpoint to the same bits.
 *
 *   open ── resume? ── run ──(stopped)── checkpoint written: OL_ECANCELLED
 *                       └────(done)───── the last state is in the checkpoint; trainer_params, trainer_result
 *
 * After a step: parameters; at an epoch's end its mean loss and the evaluation; then the checkpoint when one is due. */
#ifndef OPENLORA_TRAINING_TRAINER_H
#define OPENLORA_TRAINING_TRAINER_H

#include "training/plan.h"

#include <signal.h>

struct trainer;

struct trainer_step {
    int64_t step, steps; /* from 1 */
    int64_t epoch, epochs;
    double loss;         /* mean over the tokens learnt in this step, before it changed anything */
    double rate, norm;   /* learning rate; norm of the gradient of the mean loss, before clipping */
    int64_t examples, tokens, learnt;
    double seconds;      /* of this step */
};

struct trainer_epoch { /* mean losses per learnt token; evaluation NAN: there is none */
    double loss, evaluation;
};

struct trainer_events {
    void *user;
    void (*step)(void *user, const struct trainer_step *);
    void (*epoch)(void *user, int64_t epoch, const struct trainer_epoch *); /* 0: before the first step */
};

struct trainer_config {
    const struct train_settings *settings; /* checked; borrowed, as all that follows */
    const struct model_file *file;
    const struct dataset *data, *evaluation; /* evaluation: NULL, or a set of its own in place of a held-out part */
    const char *start;                       /* an adapter to go on from; NULL: PEFT's start */
    const json_t *identity;                  /* what a checkpoint must agree with: base, data, settings */
    const char *checkpoint;                  /* path */
    int64_t checkpoint_every;                /* steps; 0: only when stopped and at the end */
    int threads;
    struct trainer_events events;
};

struct trainer_result {
    int64_t started, resumed; /* Unix seconds of the first start; how often it was taken up again */
    double seconds;           /* spent in steps and evaluations, over all runs */
    int64_t steps, epochs;
    const struct trainer_epoch *before, *epochs_done; /* before the first step; (epochs) */
    uint32_t trained, held_out;                       /* examples */
};

int trainer_open(const struct trainer_config *config, struct trainer **out, struct err *e)
    __attribute__((warn_unused_result));
void trainer_close(struct trainer *t); /* NULL is fine */

/* Goes on from config.checkpoint. OL_EINVAL names what differs from this training's identity. */
int trainer_resume(struct trainer *t, struct err *e) __attribute__((warn_unused_result));
int64_t trainer_done_steps(const struct trainer *t);
const struct train_plan *trainer_plan(const struct trainer *t);

/* Until the last step, or until *stop is not 0: the step is finished and a checkpoint written. A loss that is not
 * finite is OL_EINVAL. */
int trainer_run(struct trainer *t, const volatile sig_atomic_t *stop, struct err *e)
    __attribute__((warn_unused_result));

struct trainer_result trainer_result(const struct trainer *t);
const float *trainer_params(const struct trainer *t);
const struct lora_layout *trainer_layout(const struct trainer *t);

#endif
