/* A set of owned objects found by the id they begin with (open addressing, grows by doubling). Not thread-safe. */
#ifndef OPENLORA_SETTLE_IDMAP_H
#define OPENLORA_SETTLE_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap {
    void **slot;
    size_t n, cap; /* cap: 0 or a power of two */
    size_t id_bytes;
    uint64_t seed; /* random: ids come from outside */
};

void idmap_init(struct idmap *, size_t id_bytes, uint64_t seed);
void idmap_deinit(struct idmap *); /* frees the objects too */
void *idmap_find(const struct idmap *, const uint8_t *id);
bool idmap_add(struct idmap *, void *object); /* takes it; its id is not there yet. False: no memory, not taken */
void idmap_remove(struct idmap *, const uint8_t *id); /* frees it, if it is there */
/* Frees every object for which `drop` is true. */
void idmap_filter(struct idmap *, bool (*drop)(void *user, void *object), void *user);

#endif
