/* A stream of the CUDA backend: the commands of one step as they are enqueued, and what submit makes of them. */
#ifndef OPENLORA_KERNELS_CUDA_STREAM_H
#define OPENLORA_KERNELS_CUDA_STREAM_H

#include "kernels/cuda/gpu.h"

#include <stdalign.h>

enum { MAX_COMMANDS = 4096, MAX_GRAPHS = 256 };

enum gpu_command {
    CMD_COPY_IN, CMD_COPY_OUT, CMD_COPY_PAGES, CMD_EMBED, CMD_ROPE_TABLE, CMD_ADD_NORM, CMD_MATMUL, CMD_LORA,
    CMD_ROPE_KV, CMD_ATTENTION, CMD_SILU_MUL, CMD_SAMPLE, CMD_COUNT
};

struct op_copy {
    void *dst;
    const void *src;
    size_t bytes;
};

struct command {
    enum gpu_command kind;
    alignas(16) union {
        struct op_copy copy;
        struct op_copy_pages copy_pages;
        struct op_embed embed;
        struct op_rope_table rope_table;
        struct op_add_norm add_norm;
        struct op_matmul matmul;
        struct op_lora lora;
        struct op_rope_kv rope_kv;
        struct op_attention attention;
        struct op_silu_mul silu_mul;
        struct op_sample sample;
    } op;
};

struct graph { /* a recording of one bucket's operations */
    struct gpu_bucket bucket;
    struct command *commands; /* (n) owned */
    int n;
    cudaGraphExec_t exec;
};

struct stream {
    struct device *device;
    cudaStream_t main, side;   /* side: what runs beside a base product */
    cudaEvent_t fork, join;    /* main → side → main */
    cudaEvent_t done;          /* after the last submit */
    bool begun, keep;
    uint64_t ticket;           /* of the last submit */
    struct gpu_bucket bucket;  /* of the step being enqueued */
    int n;                     /* commands since begin */
    const char *problem;       /* the first since begin, or NULL */
    const char *problem_command;
    struct command commands[MAX_COMMANDS];
    struct graph graphs[MAX_GRAPHS];
    int n_graphs;
};

/* run.c: starts commands first .. first + n − 1, none of them a copy, in order. *failed: the command that could not be
 * started. */
cudaError_t gpu_run(struct stream *s, int first, int n, int *failed);
/* graph.c: records the commands for later; starts them, from a recording if there is one. */
cudaError_t gpu_keep(struct stream *s, int first, int n, int *failed);
cudaError_t gpu_replay(struct stream *s, int first, int n, int *failed);
void gpu_forget(struct stream *s); /* drops all graphs */
const char *gpu_command_name(enum gpu_command kind);

#endif
