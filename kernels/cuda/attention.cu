/* attention: which kernels a step needs, by its bucket alone.
 *
 *   every step           attention_decode    rows of sequences with one row
 *   seq_rows > 1         attention_prefill   rows of the others; attention_tensor instead, if the device is to be fast
 *   ragged int8 blocks   attention_rows_q8   where a kv head's outputs do not end at a multiple of 32 columns, blocks of
 *                                            32 belong to two kernels' blocks, so whole rows are quantized afterwards
 *
 * attention_rows_q8: a block per row, 256 threads, four columns each; waits for nobody. Registers only. Traffic: reads
 * rows · cols · 4 bytes (from L2), writes rows · cols · 1.5. Machine code: SHFL.BFLY. */
#include "kernels/cuda/attention.cuh"

enum { THREADS = 256, COUNTER_ALIGN = 64 };

KERNEL(THREADS, 4) k_attention_rows_q8(struct attention_args a)
{
    if ((int)blockIdx.x < step_rows(a.step))
        attention_quantize(a, (int)blockIdx.x, 0, a.n_heads * a.head_dim);
}

/* Counters first, one for each head of as many sequences as the step has room for; then partials. */
static size_t counter_bytes(const struct kv_shape *kv, const struct step_layout *at)
{
    size_t seqs = (at->segments - at->seqs) / sizeof(struct step_seq);
    return (seqs * (size_t)kv->n_heads * sizeof(uint32_t) + COUNTER_ALIGN - 1) / COUNTER_ALIGN * COUNTER_ALIGN;
}

/* A sequence of n pages has at most n / 16 + 1 splits. */
size_t gpu_attention_workspace(const struct kv_shape *kv, const struct step_limits *limits)
{
    size_t splits = (size_t)limits->max_pages / SPLIT_PAGES + (size_t)limits->max_seqs;
    struct step_layout at = step_layout(limits);
    return counter_bytes(kv, &at) +
           splits * (size_t)kv->n_heads * ((size_t)pad_cols(kv->head_dim) + 16) * sizeof(float);
}

cudaError_t gpu_attention(const struct op_attention *op, const struct gpu_bucket *bucket, cudaStream_t stream)
{
    const struct kv_shape *kv = &op->kv;
    struct attention_args a = {};
    a.step = step_view_of(op->step, bucket);
    a.kv = kv_view_of(kv, op->pool, op->layer);
    a.qkv = GPU_POINTER(const float, op->qkv);
    a.ld = op->ld;
    a.out = GPU_POINTER(float, op->out.f32);
    a.out_ld = pad_cols((int64_t)kv->n_heads * kv->head_dim);
    a.counters = GPU_POINTER(uint32_t, op->workspace);
    a.partials = GPU_POINTER(float, op->workspace + counter_bytes(kv, &bucket->layout));
    a.scale = op->scale;
    a.n_heads = kv->n_heads;
    a.n_kv_heads = kv->n_kv_heads;
    a.head_dim = kv->head_dim;
    a.padded = (int)pad_cols(kv->head_dim);
    a.group = kv->n_heads / kv->n_kv_heads;

    bool prefill = bucket->seq_rows > 1;
    int queries = bucket->tensor_attention ? TENSOR_QUERIES : PREFILL_QUERIES;
    bool ragged = attention_is_ragged(a, DECODE_QUERIES) || (prefill && attention_is_ragged(a, queries));
    a.q8 = ragged ? nullptr : GPU_POINTER(void, op->out.q8);
    cudaError_t rc = attention_decode_start(a, bucket, stream);
    if (rc == cudaSuccess && prefill)
        rc = bucket->tensor_attention ? attention_tensor_start(a, bucket, stream)
                                      : attention_prefill_start(a, bucket, stream);
    if (rc != cudaSuccess || !ragged || !op->out.q8)
        return rc;
    a.q8 = GPU_POINTER(void, op->out.q8);
    return LAUNCH(k_attention_rows_q8, dim3((unsigned)bucket->rows), dim3(THREADS), 0, stream, a);
}
