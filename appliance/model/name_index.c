#include "model/name_index.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 1 << 24 };

int name_index_init(struct name_index *x, size_t count, struct err *e)
{
    *x = (struct name_index){0};
    if (count > MAX_NAMES)
        return err_set(e, OL_ELIMIT, "model", "%zu names in one file, more than %d", count, MAX_NAMES);
    size_t slots = 16;
    while (slots < count * 2)
        slots *= 2;
    x->slots = calloc(slots, sizeof *x->slots);
    if (!x->slots)
        return err_set(e, OL_ENOMEM, "model", "no memory to index %zu names", count);
    x->mask = slots - 1;
    return 0;
}

void name_index_deinit(struct name_index *x)
{
    free(x->slots);
    *x = (struct name_index){0};
}

static uint64_t hash_name(const char *name, size_t len) /* FNV-1a, finished so that the low bits mix */
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
    h ^= h >> 32;
    return h * 0x9e3779b97f4a7c15u >> 20;
}

/* The slot that holds the name, or the free slot where it would go. */
static struct name_slot *slot_of(const struct name_index *x, const char *name, size_t len)
{
    for (size_t i = hash_name(name, len) & x->mask;; i = (i + 1) & x->mask) {
        struct name_slot *s = &x->slots[i];
        if (!s->name || (s->len == len && !memcmp(s->name, name, len)))
            return s;
    }
}

/* The table is at most half full, so slot_of always ends. */
bool name_index_add(struct name_index *x, const char *name, size_t len, uint32_t position)
{
    struct name_slot *s = slot_of(x, name, len);
    if (s->name)
        return false;
    *s = (struct name_slot){name, len, position};
    return true;
}

bool name_index_find(const struct name_index *x, const char *name, size_t len, uint32_t *position)
{
    if (!x->slots)
        return false;
    const struct name_slot *s = slot_of(x, name, len);
    if (s->name)
        *position = s->position;
    return s->name != NULL;
}

bool name_is_plain(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return len > 0;
}
