/* The state of a running kernel: threads (lanes), warps, blocks.
 *
 * Invariants:
 *  1. `current` is the lane whose stack is in use; nullptr in the scheduler.
 *  2. A lane runs until it waits: in a warp operation, at a barrier, in wait_flag, or at its end. Where it waits is
 *     file:line, for reports.
 *  3. warp.ready: lanes that may run. posted: lanes waiting in the warp operation that is being gathered; the last one
 *     of the warp resolves it. A lane in neither is at a barrier or gone (done).
 *  4. Slots of warp operations have two phases: a lane is at most one operation ahead of its slowest neighbour. */
#ifndef SIMT_MACHINE_H
#define SIMT_MACHINE_H

#include "cuda_runtime_api.h"
#include "tests/simt/fiber.h"

#include <functional>
#include <stddef.h>
#include <stdint.h>
#include <vector>

/* Where in the kernel's text an operation stands: default arguments are evaluated at the caller. */
#define SIMT_AT const char *simt_file = __builtin_FILE(), int simt_line = __builtin_LINE()
#define SIMT_HERE simt::place{simt_file, simt_line}
#define SIMT_INLINE __attribute__((always_inline)) inline

namespace simt {

enum { LANES = 32, MAX_THREADS = 1024, MAX_WARPS = MAX_THREADS / LANES, BARRIERS = 16 };

struct place {
    const char *file;
    int line;
};

struct block;
struct warp;

/* A cp.async under way. */
struct async_copy {
    unsigned char *to;         /* in the block's shared memory */
    const unsigned char *from; /* where device memory really lies */
    uint8_t size, bytes;       /* written, of which read; the rest is 0 */
    bool landed;
};

struct lane {
    fiber context;
    uint3 thread;
    struct block *block;
    struct warp *warp;
    int number;         /* in the block */
    unsigned bit;       /* 1 << its place in the warp */
    unsigned phase;     /* of its next warp operation: 0, 1 */
    const char *waits;  /* for what, for reports */
    place at;
    std::vector<async_copy> copies; /* of this lane, oldest first */
    std::vector<int> groups;        /* copies in each committed group, oldest first */
    int uncommitted;                /* copies at the end that no commit covers yet */
    int dropped;                    /* copies at the beginning that have been waited for */
};

enum warp_op { OP_SYNC, OP_SHUFFLE, OP_BALLOT, OP_MMA_S8_K32, OP_MMA_S8_K16, OP_MMA_F16, OP_MMA_BF16, OP_LDMATRIX };

struct warp {
    uint32_t exists, ready, posted, done;
    int number;
    warp_op op; /* being gathered, and from where */
    place at;
    uint64_t slot[2][LANES];                  /* shuffles, row addresses */
    uint32_t votes[2];
    alignas(32) uint32_t fragment[2][14][LANES]; /* a 0–3, b 4–5, c 6–9; results 10–13 */
};

struct barrier {
    int stated;            /* threads, as the first to come said; 0: all that live */
    int expected, arrived;
    unsigned phase;
    place at;              /* of the first */
    uint32_t waiting[MAX_WARPS];
};

/* A launch. */
struct kernel {
    const char *name;
    const void *function;
    uint32_t number, safe; /* order.cc */
    dim3 grid, block;
    size_t shared_bytes;
    std::function<void()> body;
    uint64_t blocks, started, finished;
    uint64_t first, step; /* the i-th to start is (first + i · step) mod blocks */
    char start, end; /* tokens: what came before it, and that it is over */
};

struct block {
    kernel *launch;
    uint3 index;
    int threads, warps, live;
    unsigned char *shared; /* exactly launch->shared_bytes */
    uint8_t *in_flight;    /* per 4 bytes of shared memory: a cp.async is under way to it */
    lane *lanes;
    warp warp_of[MAX_WARPS];
    barrier barriers[BARRIERS];
    char tokens[BARRIERS][2], warp_tokens[MAX_WARPS][2]; /* ThreadSanitizer's: barriers, syncwarp, by phase */
};

extern __thread lane *current __attribute__((tls_model("initial-exec")));

/* scheduler.cc. All are called by a lane and return when it may go on. */
void converge(warp_op op, place at); /* all 32 lanes are here; the last to come has computed the result */
void barrier_wait(int id, int threads, place at); /* threads 0: all that live */
void barrier_arrive(int id, int threads, place at);
void spin(place at);                 /* let others run: what this lane waits for has not happened */

/* Runs all blocks of a kernel in random order, to the end. */
void run_kernel(kernel *k);

/* report.cc: prints what rule was broken, by whom and where, and ends the process. */
[[noreturn]] void violation(place at, const char *format, ...) __attribute__((format(printf, 2, 3)));
[[noreturn]] void violation_of(const block *b, place at, const char *format, ...) __attribute__((format(printf, 3, 4)));

void report_faults(); /* from now on, those of addresses at which nothing is mapped, too */

/* random.cc: seeded by OPENLORA_SIMT_SEED, else by the clock; the seed is part of every report. */
uint64_t seed();
uint32_t random_bits();
void random_restart(uint64_t with); /* the calling thread's numbers: as the seed and `with` say */
inline uint32_t random_below(uint32_t n) { return (uint32_t)(((uint64_t)random_bits() * n) >> 32); }

} // namespace simt

#endif
