/* Between the engine and its worker process: what goes over the socket and what lies in shared memory.
 *
 * The socket (SOCK_SEQPACKET) carries one struct worker_open and two replies, when the device is chosen and when the
 * model is loaded; then commands and one reply to each. A message is one struct, whole. Both ends are the same
 * program, so layouts agree. Shared memory holds the step, the results and one page: whoever is not waiting for the
 * other may write it. */
#ifndef OPENLORA_ENGINE_WORKER_WIRE_H
#define OPENLORA_ENGINE_WORKER_WIRE_H

#include "engine/engine_internal.h"

#include <sys/types.h>

/* What the child finds open. */
enum { WORKER_SOCKET_FD = 3, WORKER_MEMORY_FD = 4 };

enum worker_command_kind { WORKER_MAP, WORKER_RUN, WORKER_UPLOAD };

struct worker_open { /* the first message: what to load, and how */
    pid_t parent;
    char model_path[4096];
    char version[65];      /* that the files must still have */
    char device[24], isa[24];
    int32_t threads, max_context, max_seqs, max_rows;
    bool fast;
    int32_t n_pages;       /* > 0: exactly so many */
    uint64_t pool_bytes;
};

struct worker_command {
    int32_t kind;
    int32_t page;          /* WORKER_UPLOAD: to this page, */
    uint64_t bytes;        /* so many bytes of the shared one */
};

struct worker_device { /* struct device_info with its texts inside */
    char backend[8], isa[24], numerics[32];
    struct device_info info; /* its pointers mean nothing to the reader */
};

struct worker_reply {
    int32_t code;          /* an enum ol_code; message says more */
    char message[ERR_MESSAGE_BYTES]; /* device chosen: why it is not a GPU, where one was looked for */
    uint64_t lora_ops;
    struct worker_device device; /* once chosen: backend and index; once loaded: all */
    struct memory_plan plan;     /* once loaded; the limits, too */
    struct step_limits limits;
};

struct worker_memory { /* shared memory: offsets and size */
    size_t step, results, page, bytes;
};

struct worker_memory worker_memory_layout(const struct step_limits *, size_t page_bytes);

/* Whole messages. OL_EIO: the other end is gone, or speaks otherwise. */
int worker_send(int fd, const void *message, size_t bytes, struct err *e) __attribute__((warn_unused_result));
/* timeout_ms < 0: for ever; OL_EBUSY: nothing came in time. */
int worker_receive(int fd, void *message, size_t bytes, int timeout_ms, struct err *e)
    __attribute__((warn_unused_result));

#endif
