/* A hash index from names to positions in the caller's array. Names are borrowed. Built once, then read-only. */
#ifndef OPENLORA_MODEL_NAME_INDEX_H
#define OPENLORA_MODEL_NAME_INDEX_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct name_slot {
    const char *name; /* borrowed; NULL for a free slot */
    size_t len;
    uint32_t position;
};

struct name_index {
    struct name_slot *slots; /* owned; open addressing, at most half full */
    size_t mask;
};

/* Room for `count` names (at most 2^24). */
int name_index_init(struct name_index *x, size_t count, struct err *e) __attribute__((warn_unused_result));
void name_index_deinit(struct name_index *x);

/* False if the name is already there (the index is unchanged then). */
bool name_index_add(struct name_index *x, const char *name, size_t len, uint32_t position);
bool name_index_find(const struct name_index *x, const char *name, size_t len, uint32_t *position);

/* Names of keys and tensors: not empty, no control characters, so that they can be looked up and printed. */
bool name_is_plain(const char *name, size_t len);

#endif
