#include "chainlite/settle/idmap.h"

#include <stdlib.h>
#include <string.h>

void idmap_init(struct idmap *m, size_t id_bytes, uint64_t seed)
{
    *m = (struct idmap){.id_bytes = id_bytes, .seed = seed};
}

void idmap_deinit(struct idmap *m)
{
    for (size_t i = 0; i < m->cap; i++)
        free(m->slot[i]);
    free(m->slot);
    idmap_init(m, m->id_bytes, m->seed);
}

/* FNV-1a over the id, begun at the seed. */
static size_t home(const struct idmap *m, const uint8_t *id)
{
    uint64_t h = m->seed ^ 0xcbf29ce484222325;
    for (size_t i = 0; i < m->id_bytes; i++)
        h = (h ^ id[i]) * 0x100000001b3;
    return (size_t)(h ^ h >> 32) & (m->cap - 1);
}

/* The slot of the id, or the empty one where it would stand. */
static size_t place(const struct idmap *m, const uint8_t *id)
{
    size_t i = home(m, id);
    while (m->slot[i] && memcmp(m->slot[i], id, m->id_bytes) != 0)
        i = (i + 1) & (m->cap - 1);
    return i;
}

void *idmap_find(const struct idmap *m, const uint8_t *id) { return m->cap ? m->slot[place(m, id)] : NULL; }

static bool grow(struct idmap *m)
{
    struct idmap next = *m;
    next.cap = m->cap ? 2 * m->cap : 64;
    next.slot = calloc(next.cap, sizeof *next.slot);
    if (!next.slot)
        return false;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slot[i])
            next.slot[place(&next, m->slot[i])] = m->slot[i];
    free(m->slot);
    *m = next;
    return true;
}

bool idmap_add(struct idmap *m, void *object)
{
    if (4 * (m->n + 1) > 3 * m->cap && !grow(m))
        return false;
    m->slot[place(m, object)] = object;
    m->n++;
    return true;
}

/* Empties a slot and closes the gap, so that no search ends too early. */
static void empty(struct idmap *m, size_t i)
{
    m->slot[i] = NULL;
    m->n--;
    for (size_t k = (i + 1) & (m->cap - 1); m->slot[k]; k = (k + 1) & (m->cap - 1)) {
        void *object = m->slot[k];
        m->slot[k] = NULL;
        m->slot[place(m, object)] = object;
    }
}

void idmap_remove(struct idmap *m, const uint8_t *id)
{
    if (!m->cap)
        return;
    size_t i = place(m, id);
    if (!m->slot[i])
        return;
    free(m->slot[i]);
    empty(m, i);
}

void idmap_filter(struct idmap *m, bool (*drop)(void *user, void *object), void *user)
{
    for (size_t i = 0; i < m->cap; i++)
        while (m->slot[i] && drop(user, m->slot[i])) { /* another one may move into the slot */
            free(m->slot[i]);
            empty(m, i);
        }
}
