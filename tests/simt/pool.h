/* Threads of the system that run blocks of a kernel beside the one that started it. */
#ifndef SIMT_POOL_H
#define SIMT_POOL_H

#include "tests/simt/machine.h"

namespace simt {

/* Has up to OPENLORA_SIMT_THREADS − 1 threads (default: as many as there are cores, less one) call `work` on the kernel
 * too, until pool_join. False: there are none to have; then pool_join must not be called. */
bool pool_start(kernel *k, void (*work)(kernel *));
void pool_join(); /* they have all returned */

} // namespace simt

#endif
