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

/* Runs the kernel's blocks on the calling thread, with others perhaps; `next` returns one that start_block has prepared,
 * or NULL. The `owner` holds the engine, and returns when all of them have ended. */
void run_blocks(kernel *k, block *(*next)(kernel *), bool owner);
void start_block(block *b, kernel *k, uint64_t order); /* `order`: which block of the grid it is */

} // namespace simt

#endif
