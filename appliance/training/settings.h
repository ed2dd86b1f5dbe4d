/* All that decides which parameters a training ends with, but for model and data: one struct, its checks, its JSON. */
#ifndef OPENLORA_TRAINING_SETTINGS_H
#define OPENLORA_TRAINING_SETTINGS_H

#include "training/adamw.h"
#include "training/dataset.h"
#include "training/schedule.h"

#include <jansson.h>

struct train_settings {
    /* the adapter */
    uint32_t targets; /* bits 1 << LORA_Q … */
    int32_t rank;
    double alpha;
    bool rslora;
    double dropout;
    /* the data */
    struct dataset_options data;
    int32_t batch, accumulate; /* a step learns from batch · accumulate examples */
    double eval_fraction;      /* of the examples, held out; 0: none */
    /* the optimizer */
    struct adamw adamw;
    enum schedule_kind schedule;
    double rate; /* at its highest */
    double clip; /* greatest norm of a gradient; 0: any */
    int64_t warmup;
    int64_t epochs, steps; /* steps 0: as many as the epochs have */
    uint64_t seed;
};

enum { MAX_BATCH = 4096, MAX_EPOCHS = 10000 };

/* OL_EINVAL names the setting and what it may be. */
int train_settings_check(const struct train_settings *s, struct err *e) __attribute__((warn_unused_result));

/* A new object with one key per setting, reals as decimal text so that the JSON has one form; NULL: no memory. */
json_t *train_settings_json(const struct train_settings *s);

/* A real as it stands in records: the shortest decimal text of at most 17 digits that reads back equal. */
json_t *train_real_json(double value);

/* Names of the bits, in the order of the layers' parts: ["q_proj","v_proj"]. */
json_t *train_targets_json(uint32_t targets);

#endif
