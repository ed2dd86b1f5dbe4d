/* An engine backend in a process of its own.
 *
 * A fault of a GPU is sticky: the process that met it can never compute again, and may hang. So the model, its device
 * and the page pool live in a child process of the same program, started as `PROGRAM --compute-worker`; the engine
 * fills steps in shared memory and waits for each at most a deadline. A child that dies, hangs or reports a fault is
 * killed, and `restart` starts another with a pool of the same size and nothing in it. The child holds no keys and
 * opens no port. */
#ifndef OPENLORA_ENGINE_WORKER_PROCESS_H
#define OPENLORA_ENGINE_WORKER_PROCESS_H

#include "engine/engine_internal.h"

struct worker_process;

/* Starts the child and waits until the model is loaded. The child chooses the device, so that this process never uses
 * a driver; only_gpu: if that is the CPU, *out is NULL and *why_not says why. version: of the model's files, which the
 * child checks. The thread that calls this, or later restart, must live as long as the worker: the kernel ends the
 * child with the thread that started it. */
int worker_process_open(const struct engine_config *resolved, const char *version, bool only_gpu,
                        struct worker_process **out, struct memory_plan *plan, struct err *why_not, struct err *e)
    __attribute__((warn_unused_result));
void worker_process_close(struct worker_process *); /* ends the child */
struct engine_backend worker_process_table(struct worker_process *); /* its close is worker_process_close */

#endif
