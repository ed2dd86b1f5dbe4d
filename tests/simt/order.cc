/* Who comes before whom. Operations are numbered as they are enqueued; `safe` of an operation is the largest number up to
 * which all come before it, so that most accesses need one comparison. Each 16 bytes of memory remember the operation
 * that wrote them last and one that read them since. */
#include "tests/simt/order.h"
#include "tests/simt/count.h"
#include "tests/simt/engine.h"
#include "tests/simt/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace simt {

struct operation {
    const char *name;
    uint32_t actor, tick;
    bool finished;
    vector_clock clock; /* what comes before it, itself included */
};

static std::deque<operation> operations; /* number `oldest` is the first */
static uint32_t oldest = 1;
static std::vector<std::vector<uint32_t>> numbers; /* by actor and tick − 1 */
static vector_clock host_clock;

struct edge { /* operation `after` saw a flag that `before` had raised */
    uint32_t before, after;
};
static std::vector<edge> flags;

/* Guards all of the above: kernels look things up on several threads while others enqueue. */
static std::recursive_mutex lock;
typedef std::lock_guard<std::recursive_mutex> locked;

enum { REMEMBERED = 1 << 16 };

static unsigned wanted()
{
    const char *given = getenv("OPENLORA_SIMT_ORDER");
    return !given || strcmp(given, "0") != 0 ? (unsigned)WATCH_ORDER : 0;
}
unsigned watching = wanted();

void join(vector_clock *into, const vector_clock &other)
{
    if (into->size() < other.size())
        into->resize(other.size());
    for (size_t i = 0; i < other.size(); i++)
        if ((*into)[i] < other[i])
            (*into)[i] = other[i];
}

static const operation *find(uint32_t number)
{
    return number >= oldest && number - oldest < operations.size() ? &operations[number - oldest] : nullptr;
}

static bool covers(const vector_clock &c, const operation *o) { return o->actor < c.size() && c[o->actor] >= o->tick; }

static uint32_t safe_of(const vector_clock &clock, uint32_t number)
{
    uint32_t safe = number - 1;
    for (size_t a = 0; a < numbers.size(); a++) {
        uint32_t known = a < clock.size() ? clock[a] : 0;
        if (known < numbers[a].size() && numbers[a][known] <= safe)
            safe = numbers[a][known] - 1;
    }
    return safe;
}

static const char *name_of(const work *w)
{
    switch (w->kind) {
    case WORK_KERNEL: return w->launch.name;
    case WORK_COPY: return "a copy";
    case WORK_SET: return "a memset";
    case WORK_HOST: return "a host function";
    default: return "an event";
    }
}

void order_begin(CUstream_st *s, work *w)
{
    locked guard(lock);
    uint32_t number = oldest + (uint32_t)operations.size();
    if (s->clock.size() <= s->actor)
        s->clock.resize(s->actor + 1);
    if (numbers.size() <= s->actor)
        numbers.resize(s->actor + 1);
    w->launch.number = number;
    w->launch.safe = safe_of(s->clock, number);
    s->clock[s->actor]++;
    numbers[s->actor].push_back(number);
    w->unfinished_then = order_oldest_unfinished();
    operations.push_back({name_of(w), s->actor, s->clock[s->actor], false, s->clock});
    while (operations.size() > REMEMBERED) {
        operations.pop_front();
        oldest++;
    }
}

void order_host(const vector_clock &c) { join(&host_clock, c); }
vector_clock order_of_host() { return host_clock; }

void order_finished(uint32_t number)
{
    locked guard(lock);
    if (number >= oldest && number - oldest < operations.size())
        operations[number - oldest].finished = true;
}

uint32_t order_oldest_unfinished()
{
    locked guard(lock);
    static uint32_t at = 1;
    if (at < oldest)
        at = oldest;
    while (find(at) && find(at)->finished)
        at++;
    return at;
}

/* Operation `before` comes before `me`: by streams and events, or by a flag that one of those before me waited for. */
static bool ordered(uint32_t before, uint32_t me)
{
    const operation *b = find(before), *m = find(me);
    if (!b || !m || before == me || covers(m->clock, b))
        return true;
    for (const edge &e : flags) {
        const operation *raised = find(e.before), *saw = find(e.after);
        if (raised && saw && (e.after == me || covers(m->clock, saw)) && (e.before == before || covers(raised->clock, b)))
            return true;
    }
    return false;
}

static void check(const void *p, uint32_t other, uint32_t me, const char *what, const char *did, place at)
{
    locked guard(lock);
    if (ordered(other, me))
        return;
    const operation *o = find(other), *m = find(me);
    violation(at, "%s of stream %u %s device address %p, which %s of stream %u %s, and nothing orders the two%s%s", m->name,
              m->actor, what, p, o->name, o->actor, did, o->finished ? "" : "; the latter has not even run",
              current ? "" : " (no kernel runs: this is a copy, or the host)");
}

void order_conflict_read(const void *p, stamp *s, const kernel *k, place at)
{
    if (s->wrote > k->safe && s->wrote != k->number)
        check(p, s->wrote, k->number, "reads", "wrote", at);
}

void order_conflict_write(const void *p, stamp *s, const kernel *k, place at)
{
    if (s->wrote > k->safe && s->wrote != k->number)
        check(p, s->wrote, k->number, "writes", "wrote", at);
    if (s->read > k->safe && s->read != k->number)
        check(p, s->read, k->number, "writes", "read", at);
}

void order_not_constant(const void *p, const char *what, place at)
{
    violation(at, "%s at global address %p: this kernel reads by ldg what it also writes, and ldg may see either", what, p);
}

void order_flag_seen(const void *flag)
{
    kernel *k = current->block->launch;
    stamp *s = &memory.stamps[((uintptr_t)flag - memory.base) / STAMP_BYTES];
    if (s->wrote > k->safe && s->wrote != k->number) {
        locked guard(lock);
        flags.push_back({s->wrote, k->number});
    }
}

#ifdef SIMT_TSAN
void order_read(size_t offset, const void *p, place at) { order_read_inline(offset, p, at); }
void order_constant(size_t offset, const void *p, place at) { order_constant_inline(offset, p, at); }
void order_write(size_t offset, const void *p, place at) { order_write_inline(offset, p, at); }
#endif

static void range(const void *p, size_t bytes, const kernel *k, bool writes)
{
    uintptr_t offset = (uintptr_t)p - memory.base;
    if (offset >= memory.bytes || !bytes)
        return;
    for (size_t i = offset / STAMP_BYTES; i <= (offset + bytes - 1) / STAMP_BYTES; i++) {
        stamp *s = &memory.stamps[i];
        const void *at = (const void *)(memory.base + i * STAMP_BYTES);
        if (writes) {
            order_conflict_write(at, s, k, place{});
            s->wrote = k->number;
        } else {
            order_conflict_read(at, s, k, place{});
            s->read = k->number;
        }
    }
}

void order_ranges(const work *w)
{
    if (!(watching & WATCH_ORDER))
        return;
    if (w->kind == WORK_COPY && w->staged.empty())
        range(w->from, w->bytes, &w->launch, false);
    range(w->to, w->bytes, &w->launch, true);
}

} // namespace simt
