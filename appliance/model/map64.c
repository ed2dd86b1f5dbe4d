/* Open addressing with linear probing: one cache line usually answers. The table doubles at half full, so a search
 * ends at a free slot after a few steps, whatever keys a model file brings. There is no removal. */
#include "model/map64.h"

#include <stdlib.h>

void map64_deinit(struct map64 *m)
{
    free(m->slots);
    *m = (struct map64){0};
}

static struct map64_slot *slot_of(const struct map64 *m, uint64_t key)
{
    size_t i = map64_hash(key) & m->mask;
    while (m->slots[i].value != MAP64_ABSENT && m->slots[i].key != key)
        i = (i + 1) & m->mask;
    return &m->slots[i];
}

static bool grow(struct map64 *m)
{
    size_t n = m->slots ? (m->mask + 1) * 2 : 64;
    struct map64 bigger = {.slots = calloc(n, sizeof *bigger.slots), .mask = n - 1, .used = m->used};
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < n; i++)
        bigger.slots[i].value = MAP64_ABSENT;
    for (size_t i = 0; m->slots && i <= m->mask; i++)
        if (m->slots[i].value != MAP64_ABSENT)
            *slot_of(&bigger, m->slots[i].key) = m->slots[i];
    free(m->slots);
    *m = bigger;
    return true;
}

bool map64_set(struct map64 *m, uint64_t key, uint64_t value)
{
    if ((!m->slots || (m->used + 1) * 2 > m->mask + 1) && !grow(m))
        return false;
    struct map64_slot *s = slot_of(m, key);
    m->used += s->value == MAP64_ABSENT;
    *s = (struct map64_slot){key, value};
    return true;
}
