/* Small regions come from the heap, where the address sanitizer sees their borders. Larger ones are cut from chunks
 * mapped on 2 MiB borders that ask for huge pages: weights are walked end to end at every step, and translation
 * misses would cost more than the walk. With `protect` all come from chunks, since only whole pages can be made
 * unreadable. A chunk's memory is never handed out twice, so it is zero; it goes back when its last region does. */
#include "kernels/cpu/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT ((size_t)64)
#define HEAP_MAX_BYTES ((size_t)64 << 10)
#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define CHUNK_BYTES ((size_t)32 << 20)

struct chunk {
    struct chunk *next;
    void *map;
    size_t map_bytes;
    char *base; /* on a 2 MiB border within the map */
    size_t bytes, used;
    int regions;
};

struct region {
    struct region *next;
    void *data;
    size_t bytes;        /* as asked for */
    struct chunk *chunk; /* NULL: from the heap */
};

void memory_init(struct memory *m, bool protect)
{
    *m = (struct memory){.lock = PTHREAD_MUTEX_INITIALIZER, .protect = protect};
}

static void chunk_protect(const struct chunk *c, int protection)
{
    CHECK(mprotect(c->map, c->map_bytes, protection) == 0);
}

static void chunk_unmap(struct memory *m, struct chunk *c)
{
    struct chunk **at = &m->chunks;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    munmap(c->map, c->map_bytes);
    free(c);
}

static void region_release(struct memory *m, struct region *r)
{
    m->allocated_bytes -= r->bytes;
    if (!r->chunk)
        free(r->data);
    else if (--r->chunk->regions == 0)
        chunk_unmap(m, r->chunk);
    free(r);
}

void memory_deinit(struct memory *m)
{
    while (m->regions) {
        struct region *r = m->regions;
        m->regions = r->next;
        region_release(m, r);
    }
    pthread_mutex_destroy(&m->lock);
}

static struct chunk *chunk_map(struct memory *m, size_t bytes)
{
    struct chunk *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->bytes = bytes < CHUNK_BYTES ? CHUNK_BYTES : bytes;
    c->map_bytes = c->bytes + HUGE_PAGE_BYTES;
    c->map = mmap(NULL, c->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c->map == MAP_FAILED) {
        free(c);
        return NULL;
    }
    c->base = (char *)(((uintptr_t)c->map + HUGE_PAGE_BYTES - 1) & ~(uintptr_t)(HUGE_PAGE_BYTES - 1));
    madvise(c->base, c->bytes, MADV_HUGEPAGE); /* a wish: without it everything works, slower */
    if (m->protect && !m->users)
        chunk_protect(c, PROT_NONE);
    c->next = m->chunks;
    m->chunks = c;
    return c;
}

/* `rounded` is a multiple of ALIGNMENT. */
static bool region_from_chunk(struct memory *m, struct region *r, size_t rounded)
{
    struct chunk *c = m->chunks;
    while (c && c->bytes - c->used < rounded)
        c = c->next;
    if (!c && !(c = chunk_map(m, rounded)))
        return false;
    r->data = c->base + c->used;
    r->chunk = c;
    c->used += rounded;
    c->regions++;
    return true;
}

static bool region_from_heap(struct region *r, size_t rounded)
{
    r->data = aligned_alloc(ALIGNMENT, rounded);
    if (r->data)
        memset(r->data, 0, rounded);
    return r->data;
}

int memory_alloc(struct memory *m, size_t bytes, void **out, struct err *e)
{
    *out = NULL;
    struct region *r = bytes < SIZE_MAX / 2 ? calloc(1, sizeof *r) : NULL;
    if (!r)
        return err_set(e, OL_ENOMEM, "cpu", "no memory for %zu bytes of device memory", bytes);
    size_t rounded = bytes ? (bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1) : ALIGNMENT;
    bool heap = !m->protect && rounded <= HEAP_MAX_BYTES;
    pthread_mutex_lock(&m->lock);
    bool ok = heap ? region_from_heap(r, rounded) : region_from_chunk(m, r, rounded);
    if (ok) {
        r->bytes = bytes;
        r->next = m->regions;
        m->regions = r;
        m->allocated_bytes += bytes;
        *out = r->data;
    }
    pthread_mutex_unlock(&m->lock);
    if (ok)
        return 0;
    free(r);
    return err_set(e, OL_ENOMEM, "cpu", "no memory for %zu bytes of device memory", bytes);
}

size_t memory_allocated(struct memory *m)
{
    pthread_mutex_lock(&m->lock);
    size_t bytes = m->allocated_bytes;
    pthread_mutex_unlock(&m->lock);
    return bytes;
}

void memory_free(struct memory *m, void *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&m->lock);
    struct region **at = &m->regions;
    while (*at && (*at)->data != p)
        at = &(*at)->next;
    struct region *r = *at;
    CHECK(r); /* not ours, or freed twice */
    *at = r->next;
    region_release(m, r);
    pthread_mutex_unlock(&m->lock);
}

static void protect_all(struct memory *m, int protection)
{
    for (struct chunk *c = m->chunks; c; c = c->next)
        chunk_protect(c, protection);
}

void memory_use(struct memory *m)
{
    if (!m->protect)
        return;
    pthread_mutex_lock(&m->lock);
    if (m->users++ == 0)
        protect_all(m, PROT_READ | PROT_WRITE);
    pthread_mutex_unlock(&m->lock);
}

void memory_unuse(struct memory *m)
{
    if (!m->protect)
        return;
    pthread_mutex_lock(&m->lock);
    if (--m->users == 0)
        protect_all(m, PROT_NONE);
    pthread_mutex_unlock(&m->lock);
}
