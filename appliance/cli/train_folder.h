/* The folder a training writes into, held by one process at a time:
 *
 *   training.checkpoint       from the first checkpoint until all below is written
 *   adapter_model.safetensors, adapter_config.json, training.json */
#ifndef OPENLORA_CLI_TRAIN_FOLDER_H
#define OPENLORA_CLI_TRAIN_FOLDER_H

#include "base/err.h"

#include <stdbool.h>

#define TRAIN_CHECKPOINT "training.checkpoint"

struct train_folder {
    const char *path; /* borrowed */
    char *checkpoint; /* owned */
    int fd;           /* of the folder, locked; −1: closed */
    bool has_checkpoint, has_adapter, has_record;
};

/* Makes the folder if need be and locks it. OL_EBUSY: another training holds it. */
int train_folder_open(const char *path, struct train_folder *out, struct err *e) __attribute__((warn_unused_result));
void train_folder_close(struct train_folder *f);

/* Removes a file of the folder, for good; none is fine. */
int train_folder_remove(struct train_folder *f, const char *name, struct err *e) __attribute__((warn_unused_result));

#endif
