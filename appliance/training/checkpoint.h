/* A checkpoint: one safetensors file with the parameters, both moments and a JSON text that says where training stands.
 *
 * It replaces the one before at once, and carries the SHA-256 of all it holds: what is read back is what was written,
 * to the bit, or is refused. Numbers of the generator and the order of the examples are not in it: they follow from the
 * seed and the step (random.h). */
#ifndef OPENLORA_TRAINING_CHECKPOINT_H
#define OPENLORA_TRAINING_CHECKPOINT_H

#include "base/err.h"

#include <jansson.h>
#include <stdint.h>

struct checkpoint_vectors {
    float *params, *moment1, *moment2; /* (n) each */
    int64_t n;
};

int checkpoint_write(const char *path, const struct checkpoint_vectors *v, const json_t *state, struct err *e)
    __attribute__((warn_unused_result));
/* Fills the caller's vectors. *state: owned by the caller. OL_EIO: no file. OL_EFORMAT: damaged, or of another size. */
int checkpoint_read(const char *path, const struct checkpoint_vectors *v, json_t **state, struct err *e)
    __attribute__((warn_unused_result));
/* The state alone, to compare before anything is made: owned by the caller. */
int checkpoint_read_state(const char *path, json_t **state, struct err *e) __attribute__((warn_unused_result));

#endif
