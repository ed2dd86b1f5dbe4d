/* Large regions are mapped on 2 MiB borders and ask for huge pages: weights and the page pool are walked end to
 * end, and translation misses would cost more than the walk. Small ones come from the heap, where the address
 * sanitizer sees their borders. With `protect` all are mapped, since only whole pages can be made unreadable. */
#include "kernels/cpu/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE_BYTES = 2 << 20 };

struct region {
    struct region *next;
    void *data;     /* aligned */
    size_t bytes;   /* as asked for */
    void *map;      /* NULL: from the heap */
    size_t map_bytes;
};

void memory_init(struct memory *m, bool protect)
{
    *m = (struct memory){.lock = PTHREAD_MUTEX_INITIALIZER, .protect = protect};
}

static void region_release(struct region *r)
{
    if (r->map)
        munmap(r->map, r->map_bytes);
    else
        free(r->data);
    free(r);
}

void memory_deinit(struct memory *m)
{
    while (m->regions) {
        struct region *r = m->regions;
        m->regions = r->next;
        region_release(r);
    }
    pthread_mutex_destroy(&m->lock);
}

static bool region_map(struct region *r, size_t bytes)
{
    size_t border = bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : 0;
    r->map_bytes = bytes + border;
    r->map = mmap(NULL, r->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r->map == MAP_FAILED)
        return false;
    r->data = r->map;
    if (border) {
        r->data = (void *)(((uintptr_t)r->map + border - 1) & ~(uintptr_t)(border - 1));
        madvise(r->data, bytes, MADV_HUGEPAGE); /* a wish: without it everything works, slower */
    }
    return true;
}

static bool region_heap(struct region *r, size_t bytes)
{
    r->data = aligned_alloc(ALIGNMENT, bytes);
    if (r->data)
        memset(r->data, 0, bytes);
    return r->data;
}

static void region_protect(const struct region *r, int protection)
{
    CHECK(mprotect(r->map, r->map_bytes, protection) == 0);
}

int memory_alloc(struct memory *m, size_t bytes, void **out, struct err *e)
{
    *out = NULL;
    if (bytes > SIZE_MAX / 2)
        return err_set(e, OL_ENOMEM, "cpu", "no memory for %zu bytes of device memory", bytes);
    size_t rounded = bytes ? (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1) : ALIGNMENT;
    struct region *r = calloc(1, sizeof *r);
    bool mapped = m->protect || rounded >= HUGE_PAGE_BYTES;
    if (!r || !(mapped ? region_map(r, rounded) : region_heap(r, rounded))) {
        free(r);
        return err_set(e, OL_ENOMEM, "cpu", "no memory for %zu bytes of device memory", bytes);
    }
    r->bytes = bytes;
    pthread_mutex_lock(&m->lock);
    if (m->protect && !m->users)
        region_protect(r, PROT_NONE);
    r->next = m->regions;
    m->regions = r;
    m->allocated_bytes += bytes;
    pthread_mutex_unlock(&m->lock);
    *out = r->data;
    return 0;
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
    m->allocated_bytes -= r->bytes;
    pthread_mutex_unlock(&m->lock);
    region_release(r);
}

static void protect_all(struct memory *m, int protection)
{
    for (struct region *r = m->regions; r; r = r->next)
        region_protect(r, protection);
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
