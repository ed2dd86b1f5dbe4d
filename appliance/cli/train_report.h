/* What `openlora train` says while it works: lines for people with a progress bar, or one JSON object a line. */
#ifndef OPENLORA_CLI_TRAIN_REPORT_H
#define OPENLORA_CLI_TRAIN_REPORT_H

#include "training/trainer.h"

struct train_report {
    bool json, quiet;
    int64_t epochs;
    double loss_sum, learnt_sum; /* of the epoch under way: losses of its steps by their tokens */
    int64_t tokens;              /* since the last line */
    double seconds;
};

/* For trainer_config.events; user: the report. */
struct trainer_events train_report_events(struct train_report *r);

/* One JSON line {"event": name, …} of an object that is taken over; nothing unless --json. */
void train_report_json(const struct train_report *r, const char *event, json_t *fields);
/* A line for people; nothing with --json or --quiet. */
void train_report_line(const struct train_report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
