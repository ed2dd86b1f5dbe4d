/* One thread for what may take long (reading an adapter's files), so that server threads never wait for a disk. */
#ifndef OPENLORA_HTTP_WORKER_H
#define OPENLORA_HTTP_WORKER_H

#include "base/err.h"

#include <stdbool.h>

struct worker;

int worker_open(int max_jobs, struct worker **out, struct err *e) __attribute__((warn_unused_result));
void worker_stop(struct worker *);  /* waits for the jobs that were taken; worker_do refuses from here on */
void worker_close(struct worker *); /* stops it if need be; nobody may call worker_do any more */
/* False: max_jobs are waiting. Otherwise run(user) is called once, in the order of the calls. */
bool worker_do(struct worker *, void (*run)(void *user), void *user);

#endif
