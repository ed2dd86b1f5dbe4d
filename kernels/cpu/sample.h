/* Choosing a token: the definition, and its scalar parts, which every instruction set shares.
 *
 * A logit that is NaN counts as −infinity, +infinity as the largest float. log p(i) under the model itself is
 * z[i] − m − log Σ exp_(z − m): the sum in float32 over 16 lanes by i mod 16 (sum16), the rest in double.
 *  1. Repetition (z > 0 ? z / r : z · r), then frequency · count and presence, for every token of the history list.
 *  2. Bias. What is not finite then is treated as above.
 *  3. Temperature below SAMPLE_GREEDY_BELOW: the largest, lowest id on a tie. Otherwise weights
 *     w[i] = rint(exp_((z[i] − m) · (1 / T)) · 2^30): integers, so that sums are exact and free of order.
 *  4. Filters, each a threshold on w; tokens that tie with the last one kept are kept too.
 *     top-k: the k-th largest. top-p: the largest t for which tokens with w ≥ t, of those top-k kept, hold p of their
 *     sum. min-p: min_p · 2^30, the likeliest token's weight being 2^30.
 *  5. Inverse CDF over what is left, in order of ids: the first token whose running sum exceeds u · total, with
 *     u = ((x0 >> 8) + 0.5) / 2^24 and x0 the first word of Philox4x32-10, key = seed, counter = (position, choice).
 * When nothing is left above −infinity the token is 0, and its log probability −infinity if the model says so. */
#ifndef OPENLORA_KERNELS_CPU_SAMPLE_H
#define OPENLORA_KERNELS_CPU_SAMPLE_H

#include "kernels/cpu/cpu.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define SAMPLE_GREEDY_BELOW 1e-5f
#define SAMPLE_WEIGHT_ONE 0x1p30f

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011), in place. */
static inline void philox4x32(uint32_t counter[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)counter[0] * 0xD2511F53, b = (uint64_t)counter[2] * 0xCD9E8D57;
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ counter[1] ^ key0, (uint32_t)b,
                            (uint32_t)(a >> 32) ^ counter[3] ^ key1, (uint32_t)a};
        memcpy(counter, next, sizeof next);
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
}

/* What the running sum must exceed; less than total. */
static inline uint64_t sample_target(const struct step_sample *p, uint64_t total)
{
    uint32_t counter[4] = {p->position, p->choice, 0, 0};
    philox4x32(counter, p->seed_lo, p->seed_hi);
    return (uint64_t)(((counter[0] >> 8) + 0.5) * 0x1p-24 * (double)total);
}

static inline float sample_clean(float z) { return !(z >= -INFINITY) ? -INFINITY : z > FLT_MAX ? FLT_MAX : z; }

/* Does this row look at the logits as they are? */
static inline bool sample_is_plain(const struct step_sample *p)
{
    return !p->n_bias && (!p->n_history || (p->repetition == 1.0f && p->frequency == 0.0f && p->presence == 0.0f));
}

/* Penalties and bias on a row of clean logits. */
static inline void sample_adjust(const struct step *s, const struct step_sample *p, float *z)
{
    const struct step_history *history = step_history(s) + p->history0;
    const struct step_bias *bias = step_bias(s) + p->bias0;
    for (int i = 0; i < p->n_history; i++) {
        float v = z[history[i].token];
        v = v > 0.0f ? v / p->repetition : v * p->repetition;
        if (history[i].output_count)
            v = v - p->frequency * (float)history[i].output_count - p->presence;
        z[history[i].token] = sample_clean(v);
    }
    for (int i = 0; i < p->n_bias; i++)
        z[bias[i].token] = sample_clean(z[bias[i].token] + bias[i].add);
}

/* Sum that the kept tokens must reach for top-p, at least 1. */
static inline uint64_t sample_needed_mass(float top_p, uint64_t total)
{
    double needed = ceil((double)top_p * (double)total);
    return needed < 1.0 ? 1 : (uint64_t)needed;
}

static inline uint32_t sample_min_p_cut(float min_p)
{
    return min_p > 0.0f ? (uint32_t)ceil((double)(min_p < 1.0f ? min_p : 1.0f) * SAMPLE_WEIGHT_ONE) : 0;
}

static inline float sample_logprob(float z, float m, float sum)
{
    return m > -INFINITY ? (float)((double)z - (double)m - log((double)sum)) : -INFINITY;
}

/* Scratch of one worker: adjusted logits, then weights; and weights that passed a filter. */
static inline size_t sample_scratch_floats(int32_t vocab) { return (size_t)pad_cols(vocab) + 16; }

struct sample_scratch {
    float *logits;
    uint32_t *weights, *kept; /* weights takes the place of logits */
};

static inline struct sample_scratch sample_scratch(const struct op_sample *o, int worker)
{
    size_t n = sample_scratch_floats(o->vocab);
    float *base = (float *)host(o->workspace) + 2 * n * (size_t)worker;
    return (struct sample_scratch){base, (uint32_t *)base, (uint32_t *)(base + n)};
}

#endif
