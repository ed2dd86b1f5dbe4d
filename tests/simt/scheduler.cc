/* Who runs next. Order is random at three levels: which resident block, which of its warps, which of the warp's lanes.
 *
 *   lane ──converge──▶ another ready lane of its warp, or the scheduler when there is none
 *        ──barrier───▶ the scheduler
 *        ──spin──────▶ the scheduler, which lets one more block of the grid in when all that is resident spins
 *
 * Blocks run one after the other until one spins in wait_flag; those it waits for then join it, and after them other
 * operations that are ready. */
#include "tests/simt/count.h"
#include "tests/simt/machine.h"
#include "tests/simt/scheduler.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

namespace simt {

__thread lane *current __attribute__((tls_model("initial-exec")));
static __thread fiber host;        /* the scheduler, on a stack of the system */
static __thread unsigned progress; /* lanes that left other than by spinning */

enum { IDLE_TURNS = 64 }; /* turns in a row that ended with a lane still waiting for its flag: then something must be done */

static lane *pick(const warp *w, const block *b)
{
    unsigned by = random_bits() & 31;
    uint32_t turned = w->ready >> by | w->ready << (-by & 31);
    return &b->lanes[w->number * LANES + (((unsigned)__builtin_ctz(turned) + by) & 31)];
}

/* Gives the processor away. Who resumes this lane has set `current`. */
static void leave(lane *self, bool to_scheduler, bool last = false)
{
    fiber *to = &host;
    if (!to_scheduler && self->warp->ready) {
        current = pick(self->warp, self->block);
        if (current == self)
            return;
        to = &current->context;
    } else {
        current = nullptr;
    }
    fiber_switch(&self->context, to, last);
}

/* --- Warp operations. --- */

static const char *op_name(warp_op op)
{
    switch (op) {
    case OP_SYNC: return "syncwarp";
    case OP_SHUFFLE: return "a shuffle";
    case OP_BALLOT: return "a vote";
    case OP_LDMATRIX: return "ldmatrix";
    default: return "mma";
    }
}

static bool same(place a, place b) { return a.line == b.line && (a.file == b.file || !strcmp(a.file, b.file)); }

static void check_lanes(const warp *w, warp_op op, place at)
{
    if (w->exists != ~0u)
        violation(at, "%s needs a whole warp, but the block ends within this one", op_name(op));
    if (w->done)
        violation(at, "%s needs all 32 lanes, but lane %d has exited", op_name(op), __builtin_ctz(w->done));
    if (w->posted && (w->op != op || !same(w->at, at)))
        violation(at, "divergence: this lane is at %s, lane %d of its warp is at %s in line %d of %s", op_name(op),
                  __builtin_ctz(w->posted), op_name(w->op), w->at.line, w->at.file);
}

void converge(warp_op op, place at)
{
    lane *self = current;
    warp *w = self->warp;
    unsigned phase = self->phase;
    check_lanes(w, op, at);
    w->op = op;
    w->at = at;
    self->phase ^= 1;
    if (op == OP_SYNC)
        release(&self->block->warp_tokens[w->number][phase]);
    progress++;
    w->posted |= self->bit;
    if (w->posted == w->exists) {
        resolve(w, op, phase);
        if (watching & WATCH_TRAFFIC) {
            count_op(op);
            count_flush(w);
        }
        w->posted = 0;
        w->ready = w->exists;
        if (random_bits() % 8 == 0)
            leave(self, true); /* another warp's turn */
    } else {
        w->ready &= ~self->bit;
        self->waits = op_name(op);
        self->at = at;
        leave(self, false);
        self->waits = nullptr;
    }
    if (op == OP_SYNC)
        acquire(&self->block->warp_tokens[w->number][phase]);
}

/* --- Barriers. --- */

static void open_barrier(block *b, barrier *bar)
{
    for (int i = 0; i < b->warps; i++) {
        if (watching & WATCH_TRAFFIC && bar->waiting[i])
            count_flush(&b->warp_of[i]);
        b->warp_of[i].ready |= bar->waiting[i];
        bar->waiting[i] = 0;
    }
    bar->arrived = bar->expected = 0;
    bar->phase ^= 1;
}

static void check_barrier(const lane *self, const barrier *bar, int id, int threads, place at)
{
    const block *b = self->block;
    if (id < 0 || id >= BARRIERS)
        violation(at, "there is no barrier %d: they are 0 to %d", id, BARRIERS - 1);
    if (threads && (threads % LANES || threads < 0 || threads > b->warps * LANES))
        violation(at, "barrier %d of %d threads: not a multiple of 32 within the block's %d", id, threads, b->threads);
    if (!bar->arrived)
        return;
    if (threads != bar->stated)
        violation(at, "barrier %d: this thread says it is of %d threads, the one at line %d said %d", id, threads,
                  bar->at.line, bar->stated);
    uint32_t here = bar->waiting[self->warp->number];
    const place *other = here ? &b->lanes[self->warp->number * LANES + __builtin_ctz(here)].at : &bar->at;
    if ((here || !threads) && !same(*other, at))
        violation(at, "divergent barrier: other threads wait for this one at line %d of %s", other->line, other->file);
}

/* True if the caller need not wait: it was the last. */
static bool arrive(lane *self, int id, int threads, place at)
{
    barrier *bar = &self->block->barriers[id];
    if (!bar->arrived) {
        bar->at = at;
        bar->stated = threads;
    }
    bar->expected = threads ? threads : self->block->live;
    release(&self->block->tokens[id][bar->phase]);
    progress++;
    if (watching & WATCH_TRAFFIC)
        count_barrier();
    if (++bar->arrived > bar->expected)
        violation(at, "barrier %d of %d threads: more than that arrived", id, threads);
    if (bar->arrived < bar->expected)
        return false;
    open_barrier(self->block, bar);
    return true;
}

void barrier_wait(int id, int threads, place at)
{
    lane *self = current;
    barrier *bar = &self->block->barriers[id & (BARRIERS - 1)];
    check_barrier(self, bar, id, threads, at);
    unsigned phase = bar->phase;
    if (!arrive(self, id, threads, at)) {
        bar->waiting[self->warp->number] |= self->bit;
        self->warp->ready &= ~self->bit;
        self->waits = "a barrier";
        self->at = at;
    }
    leave(self, !(self->warp->ready & ~self->bit) || random_bits() % 8 == 0);
    self->waits = nullptr;
    acquire(&self->block->tokens[id][phase]);
}

void barrier_arrive(int id, int threads, place at)
{
    lane *self = current;
    check_barrier(self, &self->block->barriers[id & (BARRIERS - 1)], id, threads, at);
    arrive(self, id, threads, at);
}

void spin(place at)
{
    lane *self = current;
    self->waits = "a flag";
    self->at = at;
    progress--; /* leaving is none */
    leave(self, true);
    self->waits = nullptr;
}

/* --- Lanes begin and end. --- */

static void finish(lane *self)
{
    warp *w = self->warp;
    block *b = self->block;
    barrier *all = &b->barriers[0];
    if (w->posted)
        violation(w->at, "this thread exited, but lane %d of its warp waits for it in %s", __builtin_ctz(w->posted),
                  op_name(w->op));
    w->done |= self->bit;
    w->ready &= ~self->bit;
    b->live--;
    if (watching & WATCH_TRAFFIC && w->done == w->exists)
        count_flush(w);
    progress++;
    if (all->arrived && all->arrived == b->live && !all->stated)
        open_barrier(b, all);
}

static void lane_main()
{
    fiber_entered();
    lane *self = current;
    kernel *k = self->block->launch;
    acquire(&k->start);
    k->body();
    release(&k->end);
    finish(self);
    leave(self, false, true);
}

static void start_warp(block *b, int number)
{
    warp *w = &b->warp_of[number];
    int here = b->threads - number * LANES;
    w->number = number;
    w->exists = w->ready = here >= LANES ? ~0u : (1u << here) - 1;
    w->posted = w->done = 0;
    for (int i = number * LANES; i < b->threads && i < (number + 1) * LANES; i++) {
        lane *l = &b->lanes[i];
        unsigned x = b->launch->block.x, y = b->launch->block.y;
        l->thread = {(unsigned)i % x, (unsigned)i / x % y, (unsigned)i / (x * y)};
        l->block = b;
        l->warp = w;
        l->number = i;
        l->bit = 1u << (i % LANES);
        l->phase = 0;
        l->waits = nullptr;
        l->copies.clear();
        l->groups.clear();
        l->uncommitted = l->dropped = 0;
        fiber_start(&l->context, lane_main, (unsigned)i);
    }
}

void start_block(block *b, kernel *k, uint64_t order)
{
    random_restart((uint64_t)k->number << 32 | order); /* whatever thread runs it, and beside what */
    b->launch = k;
    b->index = {(unsigned)(order % k->grid.x), (unsigned)(order / k->grid.x % k->grid.y),
                (unsigned)(order / k->grid.x / k->grid.y)};
    b->threads = b->live = (int)(k->block.x * k->block.y * k->block.z);
    b->warps = (b->threads + LANES - 1) / LANES;
    memset(b->barriers, 0, sizeof b->barriers);
    block_memory(b);
    if (watching & WATCH_TRAFFIC)
        count_block(b);
    release(&k->start); /* its lanes come after what was just done for them, and not after other blocks' */
    for (int i = 0; i < b->warps; i++)
        start_warp(b, i);
}

/* --- Deadlocks. --- */

[[noreturn]] static void deadlock(const block *b)
{
    char text[1024];
    size_t used = 0;
    const lane *told[8];
    int n = 0;
    for (int i = 0; i < b->threads && n < 8; i++) {
        const lane *l = &b->lanes[i];
        int same = 0, first = 1;
        for (int j = 0; j < n; j++)
            first &= !(told[j]->at.line == l->at.line && told[j]->waits == l->waits);
        if (!l->waits || !first)
            continue;
        for (int j = i; j < b->threads; j++)
            same += b->lanes[j].waits == l->waits && b->lanes[j].at.line == l->at.line;
        told[n++] = l;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%d threads (first: %d) wait for %s at %s:%d",
                                 n > 1 ? "; " : "", same, i, l->waits, l->at.file, l->at.line);
        if (used >= sizeof text)
            break;
    }
    violation_of(b, n ? told[0]->at : place{}, "deadlock: %s; %d of %d have exited", text, b->threads - b->live,
                 b->threads);
}

/* --- The loop. --- */

/* Lets one lane of the block run until no lane of its warp can, or fate says so. */
static void turn(block *b)
{
    uint32_t ready = 0;
    for (int i = 0; i < b->warps; i++)
        ready |= (uint32_t)(b->warp_of[i].ready != 0) << i;
    if (!ready)
        deadlock(b);
    unsigned by = random_bits() & 31;
    uint32_t turned = ready >> by | ready << (-by & 31);
    current = pick(&b->warp_of[((unsigned)__builtin_ctz(turned) + by) & 31], b);
    fiber_switch(&host, &current->context);
}

/* All that is resident on this thread: blocks of one kernel, or of several when one waits for what another will do. */
static thread_local std::vector<block *> resident;

static double seconds()
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* How long all may wait for a flag before it is called a deadlock: another thread of the program may raise it yet. */
static double patience()
{
    const char *given = getenv("OPENLORA_SIMT_PATIENCE_MS");
    return given ? strtod(given, nullptr) / 1e3 : 10;
}

/* One turn of a random block that is resident here; true if something came of it. */
static bool one_turn()
{
    uint32_t which = random_below((uint32_t)resident.size());
    block *b = resident[which];
    unsigned before = progress;
    turn(b);
    bool useful = progress != before - 1;
    if (!b->live) {
        kernel *k = b->launch;
        block_done(b);
        resident.erase(resident.begin() + which);
        __atomic_fetch_add(&k->finished, 1, __ATOMIC_RELEASE);
    }
    return useful;
}

static bool has_block_of(const kernel *k)
{
    for (const block *b : resident)
        if (b->launch == k)
            return true;
    return false;
}

/* Only waiting lanes are left here, or none. Lets one more block in, or (the thread that holds the engine) other
 * operations run. `since`: when the waiting began; 0: nobody waits. */
static void unblock(kernel *k, block *(*next)(kernel *), bool owner, double *since)
{
    block *b = next(k);
    if (b) {
        resident.push_back(b);
        *since = 0;
    } else if (owner && (!resident.empty() || *since != 0) && run_others()) {
        *since = 0;
    } else if (*since == 0) {
        *since = seconds();
    } else if (!resident.empty() && seconds() - *since > patience()) {
        deadlock(resident[0]);
    } else {
        sched_yield();
    }
}

void run_blocks(kernel *k, block *(*next)(kernel *), bool owner)
{
    unsigned idle = 0;
    double since = 0;
    uint64_t finished = 0;
    fiber_adopt(&host);
    for (;;) {
        uint64_t now = __atomic_load_n(&k->finished, __ATOMIC_ACQUIRE);
        if (now == k->blocks)
            return;
        bool own = has_block_of(k);
        if (!owner && !own && __atomic_load_n(&k->started, __ATOMIC_RELAXED) >= k->blocks)
            return;
        if (now != finished)
            since = 0;
        finished = now;
        if (!own || idle >= IDLE_TURNS) {
            unblock(k, next, owner, &since);
            idle = 0;
        }
        if (resident.empty())
            continue;
        if (one_turn())
            idle = 0, since = 0;
        else
            idle++;
    }
}

} // namespace simt
