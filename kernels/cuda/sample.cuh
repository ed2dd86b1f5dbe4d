/* What the kernels of sample share: the row's workspace, keys that order tokens, reductions and scans of a block.
 *
 * A row's vocabulary is cut into parts of SAMPLE_PART ids. The workspace holds, per row of logits:
 *
 *   uint32_t values[parts][SAMPLE_PART]   adjusted logits, then weights (0 beyond the vocabulary)
 *   struct sample_part part[parts]        what each part found
 *   uint64_t top[parts][STEP_TOP_LOGPROBS] keys of its likeliest tokens, descending; 0: no more */
#ifndef OPENLORA_KERNELS_CUDA_SAMPLE_CUH
#define OPENLORA_KERNELS_CUDA_SAMPLE_CUH

#include "kernels/cuda/math.cuh"
#include "kernels/cuda/step.cuh"
#include "kernels/sample.h"

struct sample_part {
    uint64_t likeliest; /* key of its likeliest token by the model's own logits */
    uint64_t adjusted;  /* the same after penalties and bias */
    uint64_t mass;      /* of its weights */
    float sum;          /* sum16 of exp_(z − m) */
    uint32_t unused;
};

struct sample_args {
    const float *logits;
    unsigned char *workspace;
    struct step_result *results;
    int64_t ld;
    int32_t vocab, parts;
    struct step_view step;
};

HOST_DEVICE int32_t sample_parts(int32_t vocab) { return (vocab + SAMPLE_PART - 1) / SAMPLE_PART; }

HOST_DEVICE int64_t sample_row_bytes(int32_t parts)
{
    return parts * (int64_t)(SAMPLE_PART * sizeof(uint32_t) + sizeof(struct sample_part) +
                             STEP_TOP_LOGPROBS * sizeof(uint64_t));
}

DEVICE uint32_t *row_values(const struct sample_args &a, int row)
{
    return (uint32_t *)(a.workspace + row * sample_row_bytes(a.parts));
}

DEVICE struct sample_part *row_parts(const struct sample_args &a, int row)
{
    return (struct sample_part *)(row_values(a, row) + (int64_t)a.parts * SAMPLE_PART);
}

DEVICE uint64_t *row_top(const struct sample_args &a, int row) { return (uint64_t *)(row_parts(a, row) + a.parts); }

DEVICE struct step_sample row_sample(const struct sample_args &a, int row)
{
    struct step_sample s;
    uint32_t words[sizeof s / 4];
    const uint32_t *from = (const uint32_t *)(view_samples(a.step) + row);
#pragma unroll
    for (int i = 0; i < (int)(sizeof s / 4); i++)
        words[i] = ldg(from + i);
    memcpy(&s, words, sizeof s);
    return s;
}

/* Keys: the greater one is the larger logit, the lower id on a tie. The upper half orders floats as integers (negative
 * ones with all bits turned, −0 as 0), the lower half is the id with all bits turned. No token's key is 0 or ~0. */
static const uint32_t KEY_MINUS_INFINITY = 0x007fffffu;

DEVICE uint64_t token_key(float z, int id)
{
    uint32_t bits = z == 0.0f ? 0 : float_to_bits(z);
    bits = bits >> 31 ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)~id;
}

DEVICE float key_logit(uint64_t key)
{
    uint32_t bits = (uint32_t)(key >> 32);
    return bits_to_float(bits >> 31 ? bits & 0x7fffffffu : ~bits);
}

DEVICE int key_token(uint64_t key) { return (int)~(uint32_t)key; }
DEVICE bool key_is_possible(uint64_t key) { return (uint32_t)(key >> 32) > KEY_MINUS_INFINITY; }

DEVICE uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

DEVICE uint64_t warp_largest(uint64_t v)
{
#pragma unroll
    for (int mask = 16; mask; mask /= 2)
        v = larger(v, shfl_xor(v, mask));
    return v;
}

DEVICE uint64_t warp_sum(uint64_t v)
{
#pragma unroll
    for (int mask = 16; mask; mask /= 2)
        v += shfl_xor(v, mask);
    return v;
}

/* Lane i gets the sum of lanes 0 .. i. */
DEVICE uint64_t warp_scan(uint64_t v)
{
#pragma unroll
    for (int by = 1; by < WARP; by *= 2) {
        uint64_t below = shfl_up(v, by);
        v += lane_id() >= by ? below : 0;
    }
    return v;
}

/* The block's largest, for every thread. `per_warp` (shared, 32 entries) must not be in use: whoever calls this again
 * before another barrier brings other entries. */
DEVICE uint64_t block_largest(uint64_t v, uint64_t *per_warp)
{
    v = warp_largest(v);
    if (lane_id() == 0)
        sts(per_warp + warp_id(), v);
    syncthreads();
    return warp_largest(lane_id() < (int)blockDim.x / WARP ? lds(per_warp + lane_id()) : 0);
}

/* Thread i gets the sum of threads 0 .. i; `per_warp` as above. */
DEVICE uint64_t block_scan(uint64_t v, uint64_t *per_warp)
{
    v = warp_scan(v);
    if (lane_id() == WARP - 1)
        sts(per_warp + warp_id(), v);
    syncthreads();
    uint64_t sums = warp_scan(lane_id() < (int)blockDim.x / WARP ? lds(per_warp + lane_id()) : 0);
    uint64_t before = shfl(sums, warp_id() > 0 ? warp_id() - 1 : 0);
    return v + (warp_id() > 0 ? before : 0);
}

/* The n largest keys of a block, descending. next(below): this thread's largest key below `below`, 0 if none; take(r,
 * key): called by every thread. Ends early when only −infinity is left; the number of keys. Ends with a barrier behind
 * every access to per_warp (shared, 2 · 32 entries) but the last. */
template <class Next, class Take> DEVICE int block_top(int n, uint64_t *per_warp, Next next, Take take)
{
    uint64_t last = ~(uint64_t)0;
    for (int r = 0; r < n; r++) {
        last = block_largest(next(last), per_warp + r % 2 * 32);
        if (!key_is_possible(last))
            return r;
        take(r, last);
    }
    return n;
}

/* The largest `field` of a row's parts, for every thread; each warp looks for itself. */
DEVICE uint64_t row_largest(const struct sample_part *part, int parts, uint64_t sample_part::*field)
{
    uint64_t best = 0;
    for (int i = lane_id(); i < parts; i += WARP)
        best = larger(best, ld(&(part[i].*field)));
    return warp_largest(best);
}

DEVICE bool sample_is_greedy(const struct step_sample &p, uint64_t adjusted)
{
    return p.temperature < SAMPLE_GREEDY_BELOW || !key_is_possible(adjusted);
}

/* sample_choose.cu: the last of the launches. */
cudaError_t gpu_sample_choose(const struct sample_args &a, int rows, cudaStream_t stream);

#endif
