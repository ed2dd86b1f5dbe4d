/* Queues of work, and who carries it out.
 *
 * A call that enqueues returns at once: nothing has happened yet. When somebody synchronises, operations are taken from
 * the heads of the streams that are ready, in random order, until what was waited for is done. So what a program does
 * not order happens in any order.
 *
 * Order (order.cc) is known when an operation is enqueued: each stream has a vector clock, which grows by its own
 * operations, by events it waits for, and by what the host had synchronised with. Two operations that touch the same 16
 * bytes, one of them writing, must be ordered by those clocks.
 *
 * One lock guards all of it. It is held while an operation runs, but for the moments at which a kernel waits for a flag
 * and nothing else can run. */
#ifndef SIMT_ENGINE_H
#define SIMT_ENGINE_H

#include "tests/simt/machine.h"

#include <deque>
#include <memory>
#include <mutex>

struct CUgraph_st;

namespace simt {

typedef std::vector<uint32_t> vector_clock; /* by stream: so many of its operations come before */
void join(vector_clock *into, const vector_clock &other);

/* A point in a stream: what an event stands for. */
struct marker {
    bool done;
    double when_ms;
    vector_clock clock;
    CUgraph_st *recording; /* it was recorded while this graph was captured */
};

enum work_kind { WORK_KERNEL, WORK_COPY, WORK_SET, WORK_HOST, WORK_RECORD, WORK_WAIT };

struct work {
    work_kind kind;
    kernel launch;             /* kernel; its number and safe are set for all kinds */
    void *to;                  /* copy, set */
    const void *from;
    size_t bytes;
    int value;
    std::vector<char> staged;  /* of pageable memory, which is read when the copy is enqueued */
    uint64_t sum;              /* of pinned memory, which nobody may change until it is read */
    uint32_t unfinished_then;  /* the oldest operation that was not finished when this one was enqueued */
    cudaHostFn_t call;
    void *data;
    std::shared_ptr<marker> mark;
    uint64_t turn;             /* position among all that was enqueued */
};

} // namespace simt

struct CUstream_st {
    int device;
    bool blocking;             /* waits for the legacy stream, and it for this one */
    uint32_t actor;            /* its place in clocks */
    simt::vector_clock clock;
    std::deque<simt::work> queue;
    uint64_t enqueued, done;
    CUgraph_st *recording;     /* being captured into */
    int slot;                  /* which of that graph's streams it is */
};

namespace simt {

extern std::recursive_mutex engine;

/* The following with the lock held. */
CUstream_st *stream_of(cudaStream_t s);        /* NULL: the current GPU's legacy stream */
CUstream_st *new_stream(int device, bool blocking);
void delete_stream(CUstream_st *s);
cudaError_t enqueue(CUstream_st *s, work &&w); /* or into the graph that is being captured */
void run_until(bool (*done)(const void *), const void *what);
void finish_stream(CUstream_st *s);            /* runs until all it has now is done; the host comes after that */
void finish_device(int device);                /* the same for all streams of a GPU */
void finish_marker(const std::shared_ptr<marker> &m);
bool run_one();                                /* some operation that is ready; false: none is */
bool pending_touches(const void *p, size_t bytes); /* something enqueued still reads or writes there */

/* order.cc */
void order_begin(CUstream_st *s, work *w);     /* gives it its number */
void order_host(const vector_clock &c);        /* the host comes after these operations */
vector_clock order_of_host();
void order_ranges(const work *w);              /* of a copy or set, when it is carried out */
uint32_t order_oldest_unfinished();
void order_finished(uint32_t number);

/* graph.cc: appends to the graph that `s` is captured into; a wait may bring `s` into it first. */
cudaError_t capture(CUstream_st *s, work &&w);
cudaError_t capture_broken(CUstream_st *s); /* the stream was asked something that ends its capture: the error */
bool capturing_here();                      /* the calling thread captures, and so may not wait or allocate */

/* faults.cc: errors on demand, and what follows from them. */
cudaError_t device_error(int device);          /* sticky; cudaSuccess while all is well */
bool fault_now(int device);                    /* a kernel is about to run: true if it must not */
bool refuse_allocation();

} // namespace simt

#endif
