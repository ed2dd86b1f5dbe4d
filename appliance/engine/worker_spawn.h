/* A child process that runs this program as a worker: started, watched, ended. It inherits a socket, the shared memory
 * and a pipe for what it prints, and nothing else; it is ended when we die. One thread uses it. */
#ifndef OPENLORA_ENGINE_WORKER_SPAWN_H
#define OPENLORA_ENGINE_WORKER_SPAWN_H

#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct worker_child {
    pid_t pid;            /* 0: there is none */
    int socket;
    int output;           /* read end of the pipe that is its standard output and error */
    pthread_t reader;     /* passes its lines on to our standard error */
    char last_line[160];  /* the reader's own until it is joined */
};

/* memory_fd is given to the child. */
int worker_child_start(struct worker_child *, int memory_fd, struct err *e) __attribute__((warn_unused_result));
/* Lets the child end by itself for wait_ms, then kills it; reaps it. `how` says in words how it ended. Nothing happens
 * where there is no child. */
void worker_child_end(struct worker_child *, int wait_ms, char *how, size_t bytes);

#endif
