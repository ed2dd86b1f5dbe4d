/* Choosing a token: the definition, and the arithmetic that the CPU and the GPU share.
 *
 * A logit that is NaN counts as −infinity, +infinity as the largest float. log p(i) under the model itself is
 * z[i] − m − log_(Σ exp_(z − m)): the sum in float32, sum16 within each SAMPLE_PART ids and then the parts' sums in
 * ascending order; the rest in double (sample_log).
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
#ifndef OPENLORA_KERNELS_SAMPLE_H
#define OPENLORA_KERNELS_SAMPLE_H

#include "kernels/host_device.h"
#include "kernels/step.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { SAMPLE_PART = 4096 };

#define SAMPLE_GREEDY_BELOW 1e-5f
#define SAMPLE_WEIGHT_ONE 0x1p30f

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011), in place. */
HOST_DEVICE void philox4x32(uint32_t counter[4], uint32_t key0, uint32_t key1)
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
HOST_DEVICE uint64_t sample_target(const struct step_sample *p, uint64_t total)
{
    uint32_t counter[4] = {p->position, p->choice, 0, 0};
    philox4x32(counter, p->seed_lo, p->seed_hi);
    return (uint64_t)(((counter[0] >> 8) + 0.5) * 0x1p-24 * (double)total);
}

HOST_DEVICE float sample_clean(float z) { return !(z >= -INFINITY) ? -INFINITY : z > FLT_MAX ? FLT_MAX : z; }

/* Does this row look at the logits as they are? */
HOST_DEVICE bool sample_is_plain(const struct step_sample *p)
{
    return !p->n_bias && (!p->n_history || (p->repetition == 1.0f && p->frequency == 0.0f && p->presence == 0.0f));
}

/* Penalties of one token of the history; its bias. */
HOST_DEVICE float sample_penalize(const struct step_sample *p, float z, int32_t output_count)
{
    float v = z > 0.0f ? z / p->repetition : z * p->repetition;
    if (output_count)
        v = v - p->frequency * (float)output_count - p->presence;
    return sample_clean(v);
}

HOST_DEVICE float sample_biased(float z, float add) { return sample_clean(z + add); }

/* Sum that the kept tokens must reach for top-p, at least 1. */
HOST_DEVICE uint64_t sample_needed_mass(float top_p, uint64_t total)
{
    double needed = ceil((double)top_p * (double)total);
    return needed < 1.0 ? 1 : (uint64_t)needed;
}

HOST_DEVICE uint32_t sample_min_p_cut(float min_p)
{
    return min_p > 0.0f ? (uint32_t)ceil((double)(min_p < 1.0f ? min_p : 1.0f) * SAMPLE_WEIGHT_ONE) : 0;
}

/* Natural logarithm of a positive, finite, normal double: x = 2^n · f with f in √½ .. √2, and log f = 2 · artanh(s),
 * s = (f − 1) / (f + 1), by its Taylor series: |s| < 0.1716, so the term after the last is below 2^−57 of the sum.
 * Additions, products and one division in the order written give the same bits everywhere, which a libm's log does
 * not promise. */
HOST_DEVICE double sample_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int n = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
    double f;
    memcpy(&f, &bits, sizeof f);
    if (f > 0x1.6a09e667f3bcdp+0) { /* √2 */
        f = f * 0.5;
        n++;
    }
    double s = (f - 1.0) / (f + 1.0), s2 = s * s, series = 0.0;
    for (int k = 21; k >= 3; k -= 2)
        series = (series + 1.0 / k) * s2;
    return 2.0 * s + (2.0 * s * series + n * 0x1.62e42fefa39efp-1); /* ln 2 */
}

/* z: the token's clean logit, m: the largest of the row, sum: Σ exp_(z − m). */
HOST_DEVICE float sample_logprob(float z, float m, float sum)
{
    return m > -INFINITY ? (float)((double)z - (double)m - sample_log((double)sum)) : -INFINITY;
}

#endif
