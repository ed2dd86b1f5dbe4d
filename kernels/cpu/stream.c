/* Streams: an array of commands, filled by enqueueing, run by wait.
 *
 * Every compute thread walks the same array from the first submitted command to the last. A command's gate hands
 * out its tiles; who completes the last one asks the next command for its number of tiles and opens its gate. So
 * the step is read only between commands or inside tiles, and a thread that is late walks through finished commands
 * without looking at anything. */
#include "kernels/check.h"
#include "kernels/cpu/device.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_COMMANDS = 4096, COPY_TILE_BYTES = 256 << 10 };

static const char *const command_name[CMD_COUNT] = {
    [CMD_COPY_IN] = "copy_in", [CMD_COPY_OUT] = "copy_out", [CMD_COPY_PAGES] = "copy_pages", [CMD_EMBED] = "embed",
    [CMD_ROPE_TABLE] = "rope_table", [CMD_ADD_NORM] = "add_norm", [CMD_MATMUL] = "matmul",
    [CMD_LORA_SHRINK] = "lora", [CMD_LORA_EXPAND] = "lora", [CMD_ROPE_KV] = "rope_kv",
    [CMD_ATTENTION] = "attention", [CMD_ATTENTION_FOLD] = "attention", [CMD_SILU_MUL] = "silu_mul",
    [CMD_SAMPLE] = "sample",
};

struct command {
    struct gate gate;
    enum cpu_command kind;
    alignas(64) union {
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

struct stream {
    struct device *device;
    int done, submitted, enqueued; /* commands, 0 ≤ done ≤ submitted ≤ enqueued ≤ MAX_COMMANDS */
    uint64_t ticket;               /* of the last submit */
    const char *problem;           /* the first since the last submit, or NULL */
    const char *problem_command;
    int problem_at;
    struct gate exit;
    struct command commands[MAX_COMMANDS];
};

int cpu_stream_open(struct device *d, struct stream **out, struct err *e)
{
    *out = NULL;
    struct stream *s = aligned_alloc(alignof(struct stream), sizeof *s);
    if (!s)
        return err_set(e, OL_ENOMEM, "cpu", "no memory for a stream of %d commands", MAX_COMMANDS);
    memset(s, 0, sizeof *s);
    s->device = d;
    *out = s;
    return 0;
}

void cpu_stream_close(struct stream *s) { free(s); }

/* Copies `op` in as the next command; after a problem nothing more is kept, since submit will drop it all. */
static void enqueue(struct stream *s, enum cpu_command kind, const void *op, size_t op_bytes, const char *problem)
{
    if (s->problem)
        return;
    if (!problem && s->enqueued == MAX_COMMANDS)
        problem = "the stream is full";
    if (problem) {
        s->problem = problem;
        s->problem_command = command_name[kind];
        s->problem_at = s->enqueued - s->submitted;
        return;
    }
    struct command *c = &s->commands[s->enqueued++];
    c->kind = kind;
    memcpy(&c->op, op, op_bytes);
    gate_reset(&c->gate);
}

void cpu_begin(struct stream *s, const struct step *host, bool keep) { (void)s, (void)host, (void)keep; }

void cpu_copy_in(struct stream *s, dptr dst, const void *src, size_t bytes)
{
    struct op_copy op = {dst, src, bytes};
    enqueue(s, CMD_COPY_IN, &op, sizeof op, check_copy(dst, (dptr)(uintptr_t)src, bytes));
}

void cpu_copy_out(struct stream *s, void *dst, dptr src, size_t bytes)
{
    struct op_copy op = {(dptr)(uintptr_t)dst, host(src), bytes};
    enqueue(s, CMD_COPY_OUT, &op, sizeof op, check_copy((dptr)(uintptr_t)dst, src, bytes));
}

#define ENQUEUE(name, kind)                                       \
    void cpu_##name(struct stream *s, const struct op_##name *op) \
    {                                                             \
        enqueue(s, kind, op, sizeof *op, check_##name(op));       \
    }
ENQUEUE(copy_pages, CMD_COPY_PAGES)
ENQUEUE(rope_table, CMD_ROPE_TABLE)
ENQUEUE(add_norm, CMD_ADD_NORM)
ENQUEUE(rope_kv, CMD_ROPE_KV)
ENQUEUE(silu_mul, CMD_SILU_MUL)
ENQUEUE(sample, CMD_SAMPLE)

static const struct weight_shape *shape_of(const struct weight *w, struct weight_shape *out)
{
    if (w)
        *out = (struct weight_shape){w->dtype, w->rows, w->cols};
    return w ? out : NULL;
}

void cpu_embed(struct stream *s, const struct op_embed *op)
{
    struct weight_shape w;
    enqueue(s, CMD_EMBED, op, sizeof *op, check_embed(op, shape_of(op->w, &w)));
}

void cpu_matmul(struct stream *s, const struct op_matmul *op)
{
    struct weight_shape w;
    enqueue(s, CMD_MATMUL, op, sizeof *op, check_matmul(op, shape_of(op->w, &w)));
}

void cpu_lora(struct stream *s, const struct op_lora *op)
{
    enqueue(s, CMD_LORA_SHRINK, op, sizeof *op, check_lora(op));
    enqueue(s, CMD_LORA_EXPAND, op, sizeof *op, NULL);
}

void cpu_attention(struct stream *s, const struct op_attention *op)
{
    enqueue(s, CMD_ATTENTION, op, sizeof *op, check_attention(op));
    enqueue(s, CMD_ATTENTION_FOLD, op, sizeof *op, NULL);
}

int cpu_submit(struct stream *s, uint64_t *ticket, struct err *e)
{
    if (s->problem) {
        int rc = err_set(e, OL_EINVAL, "cpu", "%s (command %d of this submit): %s; nothing of it was run",
                         s->problem_command, s->problem_at, s->problem);
        s->enqueued = s->submitted;
        s->problem = NULL;
        return rc;
    }
    s->submitted = s->enqueued;
    *ticket = ++s->ticket;
    return 0;
}

static int copy_tiles(const void *op, int threads)
{
    (void)threads;
    return (int)((((const struct op_copy *)op)->bytes + COPY_TILE_BYTES - 1) / COPY_TILE_BYTES);
}

static void copy_run(const void *arg, int tile, int tiles, int worker)
{
    (void)tiles, (void)worker;
    const struct op_copy *op = arg;
    size_t at = (size_t)tile * COPY_TILE_BYTES, left = op->bytes - at;
    memcpy((char *)host(op->dst) + at, (const char *)op->src + at, left < COPY_TILE_BYTES ? left : COPY_TILE_BYTES);
}

static const struct cpu_phase copy_phase = {copy_tiles, copy_run};

static const struct cpu_phase *phase_of(const struct stream *s, const struct command *c)
{
    bool copy = c->kind == CMD_COPY_IN || c->kind == CMD_COPY_OUT;
    return copy ? &copy_phase : s->device->kernels->phase[c->kind];
}

/* Opens c and, while there is nothing to do, those after it; past the last command it opens the exit. */
static void open_from(struct stream *s, struct command *c)
{
    const struct command *end = s->commands + s->submitted;
    int threads = pool_threads(s->device->pool);
    for (; c < end; c++) {
        int tiles = phase_of(s, c)->tiles(&c->op, threads);
        gate_open(&c->gate, tiles);
        if (tiles)
            return;
    }
    gate_open(&s->exit, 0);
}

static void walk(void *arg, int worker)
{
    struct stream *s = arg;
    struct command *end = s->commands + s->submitted;
    for (struct command *c = s->commands + s->done; c < end; c++) {
        int tiles = gate_wait(&c->gate), finished = 0;
        for (int t; (t = gate_take(&c->gate)) < tiles; finished++)
            phase_of(s, c)->run(&c->op, t, tiles, worker);
        if (gate_finish(&c->gate, tiles, finished))
            open_from(s, c + 1);
    }
    gate_wait(&s->exit);
}

int cpu_wait(struct stream *s, uint64_t ticket, struct err *e)
{
    if (ticket > s->ticket)
        return err_set(e, OL_EINVAL, "cpu", "wait for a ticket that was never given");
    if (s->done < s->submitted) {
        memory_use(&s->device->memory);
        gate_reset(&s->exit);
        open_from(s, s->commands + s->done);
        pool_run(s->device->pool, walk, s);
        memory_unuse(&s->device->memory);
    }
    s->done = s->submitted;
    if (s->submitted == s->enqueued)
        s->done = s->submitted = s->enqueued = 0;
    return 0;
}
