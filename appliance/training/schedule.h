/* The learning rate of each step: a warm-up in a straight line, then constant, straight to zero, or half a cosine.
 *
 *   step < warmup:  peak · (step + 1) / warmup
 *   constant:       peak
 *   linear:         peak · (steps − step) / (steps − warmup)
 *   cosine:         peak · (1 + cos(π · (step − warmup) / (steps − warmup))) / 2
 *
 * Computed in double without libm, so that a training gives the same bits on every machine. */
#ifndef OPENLORA_TRAINING_SCHEDULE_H
#define OPENLORA_TRAINING_SCHEDULE_H

#include <stdint.h>

enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE, SCHEDULES };

struct schedule {
    enum schedule_kind kind;
    double peak;
    int64_t warmup, steps; /* warmup ≤ steps */
};

double schedule_rate(const struct schedule *s, int64_t step); /* 0 ≤ step < steps */
const char *schedule_name(enum schedule_kind kind);
enum schedule_kind schedule_find(const char *name); /* SCHEDULES: none has this name */

#endif
