/* Memory that is freed all at once: small pieces cut from growing blocks, with a maximum in total. */
#ifndef OPENLORA_MODEL_ARENA_H
#define OPENLORA_MODEL_ARENA_H

#include <stddef.h>

struct arena {
    struct arena_block *last; /* owned chain */
    size_t used, max_bytes;
};

void arena_init(struct arena *a, size_t max_bytes);
void arena_deinit(struct arena *a);
/* Zeroed, aligned for any type; NULL without memory or past the maximum. */
void *arena_alloc(struct arena *a, size_t bytes);

#endif
