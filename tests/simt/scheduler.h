/* Between the scheduler and what it schedules. */
#ifndef SIMT_SCHEDULER_H
#define SIMT_SCHEDULER_H

#include "tests/simt/machine.h"

namespace simt {

/* warp.cc: all lanes of the warp have posted; computes what they will read. */
void resolve(warp *w, warp_op op, unsigned phase);

/* launch.cc: shared memory for a block that starts, exactly its size, all NaN. */
void block_memory(block *b);
void block_done(block *b); /* may be used again */

/* engine.cc: all that runs waits for a flag. Does something else that is ready; false: there is nothing. */
bool run_others();

/* Runs the kernel's blocks on the calling thread; `next` returns one that start_next has prepared, or NULL. */
void run_blocks(kernel *k, block *(*next)(kernel *));
void start_next(block *b, kernel *k, uint64_t order);

} // namespace simt

#endif
