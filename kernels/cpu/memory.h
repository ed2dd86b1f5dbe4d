/* Device memory of the CPU device: 64-byte aligned, zeroed regions. Thread-safe. */
#ifndef OPENLORA_KERNELS_CPU_MEMORY_H
#define OPENLORA_KERNELS_CPU_MEMORY_H

#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct region;
struct chunk;

struct memory {
    pthread_mutex_t lock;
    struct region *regions;
    struct chunk *chunks;
    size_t allocated_bytes;
    bool protect; /* regions are PROT_NONE while nobody uses them */
    int users;    /* between memory_use and memory_unuse */
};

void memory_init(struct memory *m, bool protect);
void memory_deinit(struct memory *m); /* frees what was not freed */

int memory_alloc(struct memory *m, size_t bytes, void **out, struct err *e);
size_t memory_allocated(struct memory *m);
void memory_free(struct memory *m, void *p); /* NULL is fine */

/* Around every access to device memory; nests, and may be held by several threads. Costs nothing without protect. */
void memory_use(struct memory *m);
void memory_unuse(struct memory *m);

#endif
