/* Streams: commands are written down as they are enqueued and started together by submit. A step is copies to the
 * device, operations, copies back; the operations between the copies are what a graph holds. */
#include "kernels/cuda/stream.h"
#include "kernels/bucket.h"
#include "kernels/check.h"
#include "kernels/cuda/weight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *gpu_command_name(enum gpu_command kind)
{
    static const char *const name[CMD_COUNT] = {
        [CMD_COPY_IN] = "copy_in", [CMD_COPY_OUT] = "copy_out", [CMD_COPY_PAGES] = "copy_pages", [CMD_EMBED] = "embed",
        [CMD_ROPE_TABLE] = "rope_table", [CMD_ADD_NORM] = "add_norm", [CMD_MATMUL] = "matmul", [CMD_LORA] = "lora",
        [CMD_ROPE_KV] = "rope_kv", [CMD_ATTENTION] = "attention", [CMD_SILU_MUL] = "silu_mul",
        [CMD_SAMPLE] = "sample",
    };
    return name[kind];
}

static cudaError_t open_handles(struct stream *s)
{
    cudaError_t rc = cudaStreamCreateWithFlags(&s->main, cudaStreamNonBlocking);
    if (rc == cudaSuccess)
        rc = cudaStreamCreateWithFlags(&s->side, cudaStreamNonBlocking);
    if (rc == cudaSuccess)
        rc = cudaEventCreateWithFlags(&s->fork, cudaEventDisableTiming);
    if (rc == cudaSuccess)
        rc = cudaEventCreateWithFlags(&s->join, cudaEventDisableTiming);
    if (rc == cudaSuccess)
        rc = cudaEventCreateWithFlags(&s->done, cudaEventDisableTiming | cudaEventBlockingSync);
    return rc;
}

int gpu_stream_open(struct device *d, struct stream **out, struct err *e)
{
    *out = NULL;
    int rc = gpu_use(d, e);
    if (rc)
        return rc;
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, OL_ENOMEM, "cuda", "no memory for a stream of %d commands", MAX_COMMANDS);
    s->device = d;
    cudaError_t failed = open_handles(s);
    if (failed != cudaSuccess) {
        gpu_stream_close(s);
        return gpu_error(d, failed, "opening a stream", e);
    }
    *out = s;
    return 0;
}

void gpu_stream_close(struct stream *s)
{
    gpu_forget(s);
    if (s->main)
        cudaStreamDestroy(s->main);
    if (s->side)
        cudaStreamDestroy(s->side);
    if (s->fork)
        cudaEventDestroy(s->fork);
    if (s->join)
        cudaEventDestroy(s->join);
    if (s->done)
        cudaEventDestroy(s->done);
    free(s);
}

/* --- Enqueueing. --- */

static void fill_bucket(struct gpu_bucket *b, const struct step *s)
{
    int32_t context = 1;
    memset(b, 0, sizeof *b); /* buckets are compared byte by byte */
    b->layout = step_layout(&s->limits);
    b->rows = bucket_rows(s->n_rows, s->limits.max_rows);
    b->logits = bucket_rows(s->n_logits, s->limits.max_logits);
    b->seqs = bucket_rows(s->n_seqs, s->limits.max_seqs);
    b->seq_rows = 1;
    for (int i = 0; i < s->n_seqs; i++) {
        const struct step_seq *q = &step_seqs(s)[i];
        if (q->n_rows > 1)
            b->seq_rows = b->rows;
        if (q->pos0 + q->n_rows > context)
            context = q->pos0 + q->n_rows;
    }
    if (s->n_segments) /* as many as there can be: how many there are is no reason for another graph */
        b->segments = b->seqs;
    b->splits = bucket_splits((context + ATTENTION_SPLIT - 1) / ATTENTION_SPLIT);
}

void gpu_enqueue_begin(struct stream *s, const struct step *host, bool keep)
{
    s->begun = true;
    s->keep = keep;
    s->n = 0;
    s->problem = NULL;
    fill_bucket(&s->bucket, host);
    s->bucket.tensor_attention = s->device->tensor_attention;
}

static void enqueue(struct stream *s, enum gpu_command kind, const void *op, size_t op_bytes, const char *problem)
{
    if (s->problem)
        return;
    if (!problem && !s->begun)
        problem = "no step was begun";
    if (!problem && s->n == MAX_COMMANDS)
        problem = "the stream is full";
    if (problem) {
        s->problem = problem;
        s->problem_command = gpu_command_name(kind);
        return;
    }
    struct command *c = &s->commands[s->n++];
    memset(c, 0, sizeof *c);
    c->kind = kind;
    memcpy(&c->op, op, op_bytes);
}

void gpu_enqueue_copy_in(struct stream *s, dptr dst, const void *src, size_t bytes)
{
    struct op_copy op = {GPU_POINTER(void, dst), src, bytes};
    enqueue(s, CMD_COPY_IN, &op, sizeof op, check_copy(dst, (dptr)(uintptr_t)src, bytes));
}

void gpu_enqueue_copy_out(struct stream *s, void *dst, dptr src, size_t bytes)
{
    struct op_copy op = {dst, GPU_POINTER(const void, src), bytes};
    enqueue(s, CMD_COPY_OUT, &op, sizeof op, check_copy((dptr)(uintptr_t)dst, src, bytes));
}

static const struct weight_shape *shape_of(const struct weight *w, struct weight_shape *out)
{
    if (w)
        *out = (struct weight_shape){w->dtype, w->rows, w->cols};
    return w ? out : NULL;
}

/* Commands are compared byte by byte with those of a graph, so padding, which callers leave as it comes, becomes 0. */
#define ENQUEUE(name, kind, problem)                                      \
    void gpu_enqueue_##name(struct stream *s, const struct op_##name *op) \
    {                                                                     \
        struct op_##name clean = *op;                                     \
        __builtin_clear_padding(&clean);                                  \
        enqueue(s, kind, &clean, sizeof clean, problem);                  \
    }
ENQUEUE(embed, CMD_EMBED, check_embed(op, shape_of(op->w, &(struct weight_shape){0})))
ENQUEUE(matmul, CMD_MATMUL, check_matmul(op, shape_of(op->w, &(struct weight_shape){0})))
ENQUEUE(copy_pages, CMD_COPY_PAGES, check_copy_pages(op))
ENQUEUE(rope_table, CMD_ROPE_TABLE, check_rope_table(op))
ENQUEUE(add_norm, CMD_ADD_NORM, check_add_norm(op))
ENQUEUE(lora, CMD_LORA, check_lora(op))
ENQUEUE(rope_kv, CMD_ROPE_KV, check_rope_kv(op))
ENQUEUE(attention, CMD_ATTENTION, check_attention(op))
ENQUEUE(silu_mul, CMD_SILU_MUL, check_silu_mul(op))
ENQUEUE(sample, CMD_SAMPLE, check_sample(op))

/* --- Submitting. --- */

static bool is_copy(const struct command *c) { return c->kind == CMD_COPY_IN || c->kind == CMD_COPY_OUT; }

static cudaError_t copy(struct stream *s, const struct command *c)
{
    enum cudaMemcpyKind kind = c->kind == CMD_COPY_IN ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
    return cudaMemcpyAsync(c->op.copy.dst, c->op.copy.src, c->op.copy.bytes, kind, s->main);
}

static cudaError_t start(struct stream *s, int *failed)
{
    cudaError_t rc = cudaSuccess;
    for (int i = 0, n; rc == cudaSuccess && i < s->n; i += n) {
        *failed = i;
        n = 1;
        if (is_copy(&s->commands[i])) {
            rc = copy(s, &s->commands[i]);
            continue;
        }
        while (i + n < s->n && !is_copy(&s->commands[i + n]))
            n++;
        rc = s->keep ? gpu_keep(s, i, n, failed) : gpu_replay(s, i, n, failed);
    }
    return rc == cudaSuccess ? cudaEventRecord(s->done, s->main) : rc;
}

int gpu_submit(struct stream *s, uint64_t *ticket, struct err *e)
{
    int failed = 0, rc = 0;
    char doing[64];
    s->begun = false;
    if (s->problem)
        return err_set(e, OL_EINVAL, "cuda", "%s (command %d of this submit): %s; nothing of it was run",
                       s->problem_command, s->n, s->problem);
    if ((rc = gpu_use(s->device, e)))
        return rc;
    cudaError_t started = start(s, &failed);
    if (started != cudaSuccess) {
        snprintf(doing, sizeof doing, "starting %s (command %d)", gpu_command_name(s->commands[failed].kind), failed);
        return gpu_error(s->device, started, doing, e);
    }
    *ticket = ++s->ticket;
    return 0;
}

int gpu_wait(struct stream *s, uint64_t ticket, struct err *e)
{
    if (ticket > s->ticket)
        return err_set(e, OL_EINVAL, "cuda", "wait for a ticket that was never given");
    int rc = gpu_use(s->device, e);
    if (rc)
        return rc;
    cudaError_t failed = cudaEventSynchronize(s->done);
    return failed == cudaSuccess ? 0 : gpu_error(s->device, failed, "waiting for a step", e);
}
