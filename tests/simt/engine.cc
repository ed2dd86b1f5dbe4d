/* Streams, and carrying out what is in them. */
#include "tests/simt/engine.h"
#include "tests/simt/memory.h"
#include "tests/simt/runtime.h"
#include "tests/simt/scheduler.h"

#include <algorithm>
#include <sched.h>
#include <string.h>
#include <time.h>

namespace simt {

std::recursive_mutex engine;

/* All there are. Not destroyed at exit, when some may still be in use. */
static std::vector<CUstream_st *> &streams = *new std::vector<CUstream_st *>();
static CUstream_st *legacy[MAX_DEVICES];   /* one for each GPU, when first used */
static uint32_t actors;
static uint64_t turns;
static bool running; /* an operation is, on some thread; the lock may be free meanwhile */

CUstream_st *new_stream(int device, bool blocking)
{
    CUstream_st *s = new CUstream_st();
    s->device = device;
    s->blocking = blocking;
    s->actor = actors++;
    streams.push_back(s);
    return s;
}

void delete_stream(CUstream_st *s)
{
    streams.erase(std::find(streams.begin(), streams.end(), s));
    delete s;
}

static CUstream_st *legacy_of(int device)
{
    if (!legacy[device])
        legacy[device] = new_stream(device, false);
    return legacy[device];
}

static bool is_legacy(const CUstream_st *s) { return s == legacy[s->device]; }

CUstream_st *stream_of(cudaStream_t s)
{
    if (!s)
        return gpu_at(current_gpu()) ? legacy_of(current_gpu()) : nullptr;
    return std::find(streams.begin(), streams.end(), s) == streams.end() ? nullptr : s;
}

/* --- Enqueueing. --- */

/* The legacy stream comes after all blocking streams, and they after it. */
static void join_legacy(CUstream_st *s)
{
    if (s->blocking && legacy[s->device])
        join(&s->clock, legacy[s->device]->clock);
    if (is_legacy(s))
        for (CUstream_st *other : streams)
            if (other->device == s->device && other->blocking)
                join(&s->clock, other->clock);
}

/* A checksum of what a copy will read of pinned memory. */
static uint64_t sum_of(const void *p, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)memory_real(p);
    uint64_t sum = bytes, word;
    for (; bytes >= sizeof word; bytes -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u + (sum >> 29);
    }
    for (; bytes; bytes--)
        sum = (sum ^ *at++) * 0x9e3779b97f4a7c15u;
    return sum;
}

/* Until the copy is done the host may neither change what it reads nor read where it writes. */
static void guard_host_memory(work *w)
{
    if (memory_device(w->from) == -1)
        w->sum = sum_of(w->from, w->bytes);
    if (memory_device(w->from) == -2 && w->from) {
        w->staged.assign((const char *)w->from, (const char *)w->from + w->bytes);
    }
    if (memory_device(w->to) == -1 && !pending_touches(w->to, w->bytes))
        memset(memory_real(w->to), 0xff, w->bytes);
}

cudaError_t enqueue(CUstream_st *s, work &&w)
{
    if (s->recording || (w.kind == WORK_WAIT && w.mark->recording))
        return capture(s, std::move(w));
    join(&s->clock, order_of_host());
    join_legacy(s);
    if (w.kind == WORK_WAIT)
        join(&s->clock, w.mark->clock);
    if (w.kind == WORK_COPY)
        guard_host_memory(&w);
    if (w.kind != WORK_WAIT && w.kind != WORK_RECORD)
        order_begin(s, &w);
    if (w.kind == WORK_RECORD)
        w.mark->clock = s->clock;
    w.turn = turns++;
    s->queue.push_back(std::move(w));
    s->enqueued++;
    return cudaSuccess;
}

static bool overlaps(const void *p, size_t n, const void *q, size_t m)
{
    return (uintptr_t)p < (uintptr_t)q + m && (uintptr_t)q < (uintptr_t)p + n;
}

bool pending_touches(const void *p, size_t bytes)
{
    for (const CUstream_st *s : streams)
        for (const work &w : s->queue)
            if ((w.kind == WORK_COPY || w.kind == WORK_SET) &&
                (overlaps(p, bytes, w.to, w.bytes) || overlaps(p, bytes, w.from, w.bytes)))
                return true;
    return false;
}

/* --- Carrying out. --- */

static bool ready(const CUstream_st *s)
{
    if (s->queue.empty())
        return false;
    const work &w = s->queue.front();
    if (w.kind == WORK_WAIT && !w.mark->done)
        return false;
    for (const CUstream_st *other : streams)
        if (other->device == s->device && other != s && !other->queue.empty() && other->queue.front().turn < w.turn &&
            ((is_legacy(s) && other->blocking) || (is_legacy(other) && s->blocking)))
            return false;
    return true;
}

/* What a copy engine does is no access of this thread's to ThreadSanitizer: order.cc checks it. */
static void move(void *to, const void *from, size_t bytes)
{
#ifdef SIMT_TSAN
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
#else
    memmove(to, from, bytes);
#endif
}

static void copy(const work *w)
{
    if (memory_device(w->from) == -1 && w->staged.empty() && sum_of(w->from, w->bytes) != w->sum) {
        bool by_device = false;
        for (size_t i = 0; i < w->bytes; i += STAMP_BYTES)
            by_device |= memory.stamps[((uintptr_t)w->from + i - memory.base) / STAMP_BYTES].wrote >= w->unfinished_then;
        if (!by_device)
            violation(place{}, "the host changed pinned memory at %p, of which an enqueued copy of %zu bytes to the device "
                      "had not read all: it must wait for the copy", w->from, w->bytes);
    }
    move(memory_real(w->to), w->staged.empty() ? memory_real(w->from) : w->staged.data(), w->bytes);
}

static void set(const work *w)
{
    void *to = memory_real(w->to);
    size_t bytes = w->bytes;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(w->value) : "memory");
}

static double now_ms()
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void perform(CUstream_st *s, work *w)
{
    if (device_error(s->device) != cudaSuccess && w->kind != WORK_RECORD)
        return;
    switch (w->kind) {
    case WORK_KERNEL:
        if (!fault_now(s->device))
            run_kernel(&w->launch);
        break;
    case WORK_COPY:
        order_ranges(w);
        copy(w);
        break;
    case WORK_SET:
        order_ranges(w);
        set(w);
        break;
    case WORK_HOST: w->call(w->data); break;
    case WORK_RECORD:
        w->mark->done = true;
        w->mark->when_ms = now_ms();
        break;
    case WORK_WAIT: break;
    }
    order_finished(w->launch.number);
}

static std::vector<const CUstream_st *> busy; /* streams whose head is being carried out */

bool run_one()
{
    std::vector<CUstream_st *> can;
    for (CUstream_st *s : streams)
        if (std::find(busy.begin(), busy.end(), s) == busy.end() && ready(s))
            can.push_back(s);
    if (can.empty())
        return false;
    CUstream_st *s = can[random_below((uint32_t)can.size())];
    busy.push_back(s);
    bool outer = running;
    running = true;
    perform(s, &s->queue.front());
    running = outer;
    busy.erase(std::find(busy.begin(), busy.end(), s));
    s->queue.pop_front();
    s->done++;
    return true;
}

bool run_others()
{
    if (run_one())
        return true;
    engine.unlock(); /* another thread may enqueue what is waited for */
    sched_yield();
    engine.lock();
    return false;
}

void run_until(bool (*done)(const void *), const void *what)
{
    while (!done(what)) {
        if (!running && run_one())
            continue;
        if (!running)
            violation(place{}, "a stream waits for an event that nobody will record");
        engine.unlock(); /* another thread is at it; it takes up what this one enqueued */
        sched_yield();
        engine.lock();
    }
}

struct goal {
    const CUstream_st *stream;
    uint64_t count;
};

static bool reached(const void *what)
{
    const goal *g = (const goal *)what;
    return g->stream->done >= g->count;
}

void finish_stream(CUstream_st *s)
{
    goal g = {s, s->enqueued};
    vector_clock clock = s->clock;
    run_until(reached, &g);
    order_host(clock);
}

void finish_device(int device)
{
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i]->device == device)
            finish_stream(streams[i]);
}

static bool is_done(const void *what) { return ((const marker *)what)->done; }

void finish_marker(const std::shared_ptr<marker> &m)
{
    run_until(is_done, m.get());
    order_host(m->clock);
}

} // namespace simt
