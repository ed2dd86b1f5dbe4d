/* Starting the operations of a step: one after the other on the main stream, but for the shrink half of LoRA, which
 * reads what the base product before it reads and writes elsewhere, and so runs beside it:
 *
 *   main  … add_norm ─┬─ matmul qkv ─┬─ expand … rope_kv …
 *   side              └─ shrink qkv ─┘ */
#include "kernels/cuda/stream.h"

static cudaError_t run_one(const struct stream *s, const struct command *c)
{
    const struct gpu_bucket *b = &s->bucket;
    cudaStream_t main = s->main;
    switch (c->kind) {
    case CMD_COPY_PAGES: return gpu_copy_pages(&c->op.copy_pages, b, main);
    case CMD_EMBED: return gpu_embed(&c->op.embed, b, main);
    case CMD_ROPE_TABLE: return gpu_rope_table(&c->op.rope_table, b, main);
    case CMD_ADD_NORM: return gpu_add_norm(&c->op.add_norm, b, main);
    case CMD_MATMUL: return gpu_matmul(&c->op.matmul, b, main);
    case CMD_LORA: return gpu_lora_expand(&c->op.lora, b, main);
    case CMD_ROPE_KV: return gpu_rope_kv(&c->op.rope_kv, b, main);
    case CMD_ATTENTION: return gpu_attention(&c->op.attention, b, main);
    case CMD_SILU_MUL: return gpu_silu_mul(&c->op.silu_mul, b, main);
    case CMD_SAMPLE: return gpu_sample(&c->op.sample, b, main);
    case CMD_COPY_IN: case CMD_COPY_OUT: case CMD_COUNT: break;
    }
    return cudaErrorInvalidValue;
}

/* The LoRA command that follows the products from `at` on and reads the same rows; NULL if none. */
static const struct op_lora *lora_after(const struct stream *s, int at, int end)
{
    dptr x = s->commands[at].op.matmul.a.f32;
    while (at < end && s->commands[at].kind == CMD_MATMUL && s->commands[at].op.matmul.a.f32 == x)
        at++;
    return at < end && s->commands[at].kind == CMD_LORA && s->commands[at].op.lora.x == x ? &s->commands[at].op.lora : NULL;
}

static cudaError_t fork_shrink(const struct stream *s, const struct op_lora *op)
{
    cudaError_t rc = cudaEventRecord(s->fork, s->main);
    if (rc == cudaSuccess)
        rc = cudaStreamWaitEvent(s->side, s->fork, 0);
    if (rc == cudaSuccess)
        rc = gpu_lora_shrink(op, &s->bucket, s->side);
    return rc == cudaSuccess ? cudaEventRecord(s->join, s->side) : rc;
}

cudaError_t gpu_run(struct stream *s, int first, int n, int *failed)
{
    const struct op_lora *beside = NULL; /* its shrink is on its way */
    for (int i = first; i < first + n; i++) {
        const struct command *c = &s->commands[i];
        cudaError_t rc = cudaSuccess;
        *failed = i;
        if (c->kind == CMD_MATMUL && !beside) {
            beside = lora_after(s, i, first + n);
            rc = beside ? fork_shrink(s, beside) : cudaSuccess;
        } else if (c->kind == CMD_LORA) {
            rc = beside ? cudaStreamWaitEvent(s->main, s->join, 0) : gpu_lora_shrink(&c->op.lora, &s->bucket, s->main);
            beside = NULL;
        }
        if (rc == cudaSuccess)
            rc = run_one(s, c);
        if (rc != cudaSuccess)
            return rc;
    }
    return cudaSuccess;
}
