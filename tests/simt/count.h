/* Where the emulator meets the counters (traffic.cc). `watching` says what wants to know of accesses. */
#ifndef SIMT_COUNT_H
#define SIMT_COUNT_H

#include "tests/simt/machine.h"

namespace simt {

enum { WATCH_ORDER = 1, WATCH_TRAFFIC = 2 };
extern unsigned watching;

enum counted {
    COUNT_LOAD, COUNT_STREAM, COUNT_COPY, COUNT_COPY_L1, COUNT_STORE, COUNT_ATOMIC, COUNT_SHARED_LOAD, COUNT_SHARED_STORE,
    COUNT_LDMATRIX
};

/* By the current lane: address of global memory, or offset of shared memory. */
void count_access(counted what, uint64_t address, unsigned bytes, place at);
void count_op(warp_op op);       /* a warp operation, once */
void count_barrier();            /* a thread came to one */
void count_flush(warp *w);       /* the lanes of this warp are together, or at their end */
void count_begin(kernel *k);
void count_block(block *b);      /* it starts */
void count_end(kernel *k);
void traffic_init();             /* once */

} // namespace simt

#endif
