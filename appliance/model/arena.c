/* Blocks of 16 KiB, or of one larger piece, are chained and freed together. A block comes zeroed from calloc and is
 * used once, so every piece is zeroed without a second pass over it. */
#include "model/arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 16 * 1024, ALIGNMENT = alignof(max_align_t) };

struct arena_block {
    struct arena_block *previous;
    size_t used, cap;
    alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes};
}

void arena_deinit(struct arena *a)
{
    while (a->last) {
        struct arena_block *previous = a->last->previous;
        free(a->last);
        a->last = previous;
    }
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    if (bytes > a->max_bytes || a->used > a->max_bytes - bytes)
        return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!a->last || a->last->cap - a->last->used < bytes) {
        size_t cap = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        struct arena_block *b = calloc(1, sizeof *b + cap);
        if (!b)
            return NULL;
        b->cap = cap;
        b->previous = a->last;
        a->last = b;
    }
    void *p = a->last->bytes + a->last->used;
    a->last->used += bytes;
    a->used += bytes;
    return p;
}
