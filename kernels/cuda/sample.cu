/* sample: a token for every row that wants one, with its log probability and the likeliest alternatives, as
 * kernels/sample.h defines it, bit for bit. Three launches:
 *
 *   scan    (parts, rows)  penalties and bias; each part's likeliest tokens
 *   weigh   (parts, rows)  each part's Σ exp_(z − m), and the weights to draw from: needs all parts' maxima
 *   choose  (rows)         sample_choose.cu
 *
 *   logits (rows, vocab) ──► values (rows, parts · 4096) uint32 ──► token (rows)
 *
 * TILING of scan and weigh: a block takes one part of one row, 4,096 ids; 256 threads of 4 neighbouring ids, 4 times:
 *
 *   row   │ part 0: t0 t1 … t255 │ t0 … t255 │ t0 … │ t0 … │ part 1: another block │ …
 *           4 ids each             + 1024       + 2048  + 3072
 *
 * WHO WAITS. scan: a barrier before other threads' logits are touched by penalties, one between penalties and bias, one
 * after; a token stands in a list once, so no two threads change the same logit. Each round of the search for the
 * likeliest n tokens has one barrier (one round if no alternatives are wanted). weigh: one barrier before the 16 lanes
 * of warp 0 add up what all have exponentiated (256 dependent additions, 0.6 µs, while the other warps weigh), one in
 * the sum of weights.
 *
 * A row without penalties leaves no copy of its logits; a greedy row leaves none, nor weights.
 *
 * RESOURCES: ≤ 64 registers; shared memory 16.5 KiB.
 * TRAFFIC, bytes a row: scan reads 4 · vocab, and with penalties the row's lists once per part, and writes 4 · vocab;
 * weigh reads 4 · vocab (8 with penalties), twice that for a row that draws, and writes 4 · vocab. All of it fits L2 as a
 * rule.
 * MACHINE CODE: LDG.128, STG.128, LDS.128, SHFL.BFLY, BAR; weigh: FFMA (exp_), F2I. */
#include "kernels/cuda/sample.cuh"

enum { PART_THREADS = 256, PART_STRIDE = 4 * PART_THREADS };

struct part_shared {
    float z[SAMPLE_PART];
    uint64_t per_warp[2 * 32];
};

/* Where this thread's next 4 ids of a part begin: for (int i = first_quad(); i < SAMPLE_PART; i += PART_STRIDE) */
DEVICE int first_quad() { return (int)threadIdx.x * 4; }

/* Ids of this block's part that are in the vocabulary. */
DEVICE int part_ids(const struct sample_args &a)
{
    int left = a.vocab - (int)blockIdx.x * SAMPLE_PART;
    return left < SAMPLE_PART ? left : SAMPLE_PART;
}

DEVICE float4 clean_quad(const float *logits, int i, int n)
{
    const float none = bits_to_float(0xff800000u);
    if (i + 4 <= n) {
        float4 v = ldg((const float4 *)(logits + i));
        return make_float4(sample_clean(v.x), sample_clean(v.y), sample_clean(v.z), sample_clean(v.w));
    }
    return make_float4(i < n ? sample_clean(ldg(logits + i)) : none, i + 1 < n ? sample_clean(ldg(logits + i + 1)) : none,
                       i + 2 < n ? sample_clean(ldg(logits + i + 2)) : none, none);
}

/* The largest key below `below` among this thread's ids; z: shared. */
DEVICE uint64_t part_best(const float *z, int id0, int n, uint64_t below)
{
    uint64_t best = 0;
    for (int i = first_quad(); i < n; i += PART_STRIDE) {
        float4 v = lds((const float4 *)(z + i));
        const float each[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int k = 0; k < 4; k++) {
            uint64_t key = token_key(each[k], id0 + i + k);
            if (i + k < n && key < below && key > best)
                best = key;
        }
    }
    return best;
}

/* Penalties, then bias, of the tokens of this part. */
DEVICE void adjust_part(const struct sample_args &a, const struct step_sample &p, float *z, int id0, int n)
{
    const struct step_history *history = view_history(a.step) + p.history0;
    const struct step_bias *bias = view_bias(a.step) + p.bias0;
    syncthreads();
    for (int i = (int)threadIdx.x; i < p.n_history; i += PART_THREADS) {
        int at = ldg(&history[i].token) - id0;
        if (at >= 0 && at < n)
            sts(z + at, sample_penalize(&p, lds(z + at), ldg(&history[i].output_count)));
    }
    syncthreads();
    for (int i = (int)threadIdx.x; i < p.n_bias; i += PART_THREADS) {
        int at = ldg(&bias[i].token) - id0;
        if (at >= 0 && at < n)
            sts(z + at, sample_biased(lds(z + at), ldg(&bias[i].add)));
    }
    syncthreads();
}

KERNEL(PART_THREADS, 4) k_sample_scan(struct sample_args a)
{
    const int part = (int)blockIdx.x, row = (int)blockIdx.y, id0 = part * SAMPLE_PART, n = part_ids(a);
    if (row >= step_logits(a.step))
        return;
    SHARED(struct part_shared, s, 0);
    const struct step_sample p = row_sample(a, row);
    const float *logits = a.logits + row * a.ld + id0;
    for (int i = first_quad(); i < SAMPLE_PART; i += PART_STRIDE)
        sts((float4 *)(s->z + i), clean_quad(logits, i, n));
    uint64_t mine = ~(uint64_t)0, likeliest = token_key(bits_to_float(0xff800000u), id0); /* if nothing is possible */
    auto next = [&](uint64_t below) { return mine >= below ? mine = part_best(s->z, id0, n, below) : mine; };
    uint64_t *top = row_top(a, row) + part * STEP_TOP_LOGPROBS;
    int found = block_top(p.n_top > 1 ? p.n_top : 1, s->per_warp, next, [&](int r, uint64_t key) {
        likeliest = r ? likeliest : key;
        if (threadIdx.x == 0)
            st(top + r, key);
    });
    if ((int)threadIdx.x >= found && (int)threadIdx.x < p.n_top)
        st(top + threadIdx.x, (uint64_t)0);
    uint64_t adjusted = likeliest;
    if (!sample_is_plain(&p)) {
        adjust_part(a, p, s->z, id0, n);
        adjusted = block_largest(part_best(s->z, id0, n, ~(uint64_t)0), s->per_warp);
        uint32_t *values = row_values(a, row) + id0;
        for (int i = first_quad(); p.temperature >= SAMPLE_GREEDY_BELOW && i < SAMPLE_PART; i += PART_STRIDE)
            st((float4 *)(values + i), lds((const float4 *)(s->z + i)));
    }
    if (threadIdx.x == 0) {
        struct sample_part *out = row_parts(a, row) + part;
        st(&out->likeliest, likeliest);
        st(&out->adjusted, adjusted);
    }
}

DEVICE uint32_t weight_of(float z, float m, float inverse)
{
    return (uint32_t)float_to_int_rn(gpu_exp((z - m) * inverse) * SAMPLE_WEIGHT_ONE);
}

/* By warp 0, both halves alike: sum16 of the part. */
DEVICE float part_sum(const float *exps, int n)
{
    float sum = 0.0f;
#pragma unroll 16
    for (int i = lane_id() % 16; i < n; i += 16)
        sum = sum + lds(exps + i);
    return tree16(sum);
}

/* Weights of this thread's ids, 0 beyond the vocabulary; their sum. */
DEVICE uint64_t weigh_part(const struct sample_args &a, const struct step_sample &p, uint64_t adjusted, int row, int n)
{
    const int id0 = (int)blockIdx.x * SAMPLE_PART;
    const float *logits = a.logits + row * a.ld + id0, m = key_logit(adjusted), inverse = 1.0f / p.temperature;
    uint32_t *values = row_values(a, row) + id0;
    const bool plain = sample_is_plain(&p);
    uint64_t mass = 0;
    for (int i = first_quad(); i < SAMPLE_PART; i += PART_STRIDE) {
        float4 z = plain ? clean_quad(logits, i, n) : ld((const float4 *)(values + i));
        uint4 w = make_uint4(weight_of(z.x, m, inverse), weight_of(z.y, m, inverse), weight_of(z.z, m, inverse),
                             weight_of(z.w, m, inverse));
        st((uint4 *)(values + i), w);
        mass += (uint64_t)w.x + w.y + w.z + w.w;
    }
    return mass;
}

KERNEL(PART_THREADS, 4) k_sample_weigh(struct sample_args a)
{
    const int part = (int)blockIdx.x, row = (int)blockIdx.y, id0 = part * SAMPLE_PART, n = part_ids(a);
    if (row >= step_logits(a.step))
        return;
    SHARED(struct part_shared, s, 0);
    const struct step_sample p = row_sample(a, row);
    struct sample_part *parts = row_parts(a, row);
    const float *logits = a.logits + row * a.ld + id0, m = key_logit(row_largest(parts, a.parts, &sample_part::likeliest));
    for (int i = first_quad(); i < n; i += PART_STRIDE) {
        float4 z = clean_quad(logits, i, n);
        sts((float4 *)(s->z + i), make_float4(gpu_exp(z.x - m), gpu_exp(z.y - m), gpu_exp(z.z - m), gpu_exp(z.w - m)));
    }
    syncthreads();
    if (warp_id() == 0) {
        float sum = part_sum(s->z, n);
        if (lane_id() == 0)
            st(&parts[part].sum, sum);
    }
    const uint64_t adjusted = row_largest(parts, a.parts, &sample_part::adjusted);
    if (sample_is_greedy(p, adjusted))
        return;
    uint64_t mass = block_scan(weigh_part(a, p, adjusted, row, n), s->per_warp);
    if (threadIdx.x == PART_THREADS - 1)
        st(&parts[part].mass, mass);
}

extern "C" size_t gpu_sample_workspace(int32_t vocab, const struct step_limits *limits)
{
    return (size_t)limits->max_logits * (size_t)sample_row_bytes(sample_parts(vocab));
}

extern "C" cudaError_t gpu_sample(const struct op_sample *op, const struct gpu_bucket *b, cudaStream_t stream)
{
    struct sample_args a = {GPU_POINTER(const float, op->logits), GPU_POINTER(unsigned char, op->workspace),
                            GPU_POINTER(struct step_result, op->results), op->ld, op->vocab, sample_parts(op->vocab),
                            step_view_of(op->step, b)};
    if (!b->logits)
        return cudaSuccess;
    dim3 grid((unsigned)a.parts, (unsigned)b->logits);
    cudaError_t rc = LAUNCH(k_sample_scan, grid, dim3(PART_THREADS), sizeof(struct part_shared), stream, a);
    if (rc == cudaSuccess)
        rc = LAUNCH(k_sample_weigh, grid, dim3(PART_THREADS), sizeof(struct part_shared), stream, a);
    return rc == cudaSuccess ? gpu_sample_choose(a, b->logits, stream) : rc;
}
