/* Queues of asynchronous copies, one for each lane. */
#include "tests/simt/async.h"

#include <string.h>

namespace simt {

/* Sizes are constants here, so that no call of memcpy is left for ThreadSanitizer to watch. */
static void land(async_copy *c)
{
    if (c->bytes == 16)
        __builtin_memcpy(c->to, c->from, 16);
    else if (c->bytes == 8 && c->size == 8)
        __builtin_memcpy(c->to, c->from, 8);
    else
        for (int i = 0; i < c->size; i++)
            *(volatile unsigned char *)&c->to[i] = i < c->bytes ? c->from[i] : 0;
    c->landed = true;
}

static void poison(unsigned char *to, int size)
{
    static const uint32_t nan = 0xffffffffu;
    for (int i = 0; i < size; i += 4)
        __builtin_memcpy(to + i, &nan, 4);
}

/* Lets some of what is under way land. */
static void time_passes(lane *l)
{
    for (size_t i = (size_t)l->dropped; i < l->copies.size() && random_bits() % 4 == 0; i++)
        if (!l->copies[i].landed)
            land(&l->copies[i]);
}

static void mark(const block *b, const async_copy *c, uint8_t value)
{
    uint8_t *at = &b->in_flight[(size_t)(c->to - b->shared) / 4];
    at[0] = value;
    if (c->size >= 8)
        at[1] = value;
    if (c->size == 16)
        at[2] = at[3] = value;
}

static void check(void *to, const void *from, int size, int bytes, place at)
{
    const block *b = current->block;
    size_t offset = (uintptr_t)to - memory.shared;
    if (bytes < 0 || bytes > size)
        violation(at, "cp.async reads %d of %d bytes", bytes, size);
    if (offset >= b->launch->shared_bytes || offset + (size_t)size > b->launch->shared_bytes || offset % (size_t)size)
        bad_shared(to, (size_t)size, "cp.async", at);
    for (int i = 0; i < size; i += 4)
        if (b->in_flight[(offset + (size_t)i) / 4])
            bad_shared(to, (size_t)size, "cp.async", at);
    if (!bytes)
        return;
    uintptr_t global_offset = (uintptr_t)from - memory.base;
    if (global_offset >= memory.bytes || global_offset % (size_t)size ||
        global_offset % GRANULE + (size_t)bytes > memory.valid[global_offset / GRANULE])
        bad_global(from, (size_t)size, "cp.async", at);
    if (watching & WATCH_ORDER)
        order_read(global_offset, from, at);
    if (watching & WATCH_TRAFFIC)
        count_access(size == 16 ? COUNT_COPY : COUNT_COPY_L1, (uintptr_t)from, (unsigned)bytes, at);
}

unsigned char *copy_issue(void *to, const void *from, int size, int bytes, place at)
{
    lane *self = current;
    check(to, from, size, bytes, at);
    if (self->dropped) {
        self->copies.erase(self->copies.begin(), self->copies.begin() + self->dropped);
        self->dropped = 0;
    }
    async_copy c = {self->block->shared + ((uintptr_t)to - memory.shared), (const unsigned char *)memory_real(from),
                    (uint8_t)size, (uint8_t)bytes, false};
    mark(self->block, &c, 1);
    poison(c.to, size);
    self->copies.push_back(c);
    self->uncommitted++;
    time_passes(self);
    return c.to;
}

void copy_commit()
{
    lane *self = current;
    self->groups.push_back(self->uncommitted);
    self->uncommitted = 0;
    time_passes(self);
}

int copy_wait(int n)
{
    lane *self = current;
    if (self->dropped) {
        self->copies.erase(self->copies.begin(), self->copies.begin() + self->dropped);
        self->dropped = 0;
    }
    size_t groups = 0;
    while (self->groups.size() - groups > (size_t)n)
        self->dropped += self->groups[groups++];
    self->groups.erase(self->groups.begin(), self->groups.begin() + (long)groups);
    for (int i = 0; i < self->dropped; i++) {
        async_copy *c = &self->copies[(size_t)i];
        if (!c->landed)
            land(c);
        mark(self->block, c, 0);
    }
    time_passes(self);
    return self->dropped;
}

const async_copy *landed() { return current->copies.data(); }

} // namespace simt
