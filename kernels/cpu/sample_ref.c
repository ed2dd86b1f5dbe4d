/* Reference: sampling as kernels/sample.h defines it, with a full sort. */
#include "kernels/cpu/phases.h"
#include "kernels/cpu/ref.h"
#include "kernels/cpu/sample.h"

#include <stdlib.h>

static float largest(const float *z, int n)
{
    float m = -INFINITY;
    for (int i = 0; i < n; i++)
        m = z[i] > m ? z[i] : m;
    return m;
}

static int first_of(const float *z, int n, float value)
{
    for (int i = 0; i < n; i++)
        if (z[i] == value)
            return i;
    return 0;
}

static float sum_of_exp(const float *z, int n, float m)
{
    float sum = 0.0f;
    for (int part = 0; part < n; part += SAMPLE_PART) {
        float lane[16] = {0};
        for (int i = part; i < n && i < part + SAMPLE_PART; i++)
            lane[i % 16] += exp_(z[i] - m);
        sum += tree16_ref(lane);
    }
    return sum;
}

/* The next token after `previous` (−1: none) in descending order of z, ascending id; −1 when only −infinity is left. */
static int next_likely(const float *z, int n, int previous)
{
    int best = -1;
    for (int i = 0; i < n; i++) {
        bool later = previous < 0 || z[i] < z[previous] || (z[i] == z[previous] && i > previous);
        if (later && z[i] > -INFINITY && (best < 0 || z[i] > z[best]))
            best = i;
    }
    return best;
}

static int descending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x < y) - (x > y);
}

/* Smallest weight that passes all filters. */
static uint32_t cut_of(const struct step_sample *p, const uint32_t *weights, uint32_t *sorted, int n)
{
    uint32_t cut = sample_min_p_cut(p->min_p);
    int kept = n;
    memcpy(sorted, weights, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, descending);
    if (p->top_k > 0 && p->top_k < n) {
        kept = p->top_k;
        while (kept < n && sorted[kept] == sorted[p->top_k - 1]) /* ties */
            kept++;
        cut = sorted[kept - 1] > cut ? sorted[kept - 1] : cut;
    }
    if (p->top_p < 1.0f) {
        uint64_t total = 0, sum = 0;
        for (int i = 0; i < kept; i++)
            total += sorted[i];
        uint64_t needed = sample_needed_mass(p->top_p, total);
        int last = -1;
        while (sum < needed)
            sum += sorted[++last];
        cut = sorted[last] > cut ? sorted[last] : cut;
    }
    return cut;
}

static int draw(const struct step_sample *p, const float *z, float m, struct sample_scratch scratch, int n)
{
    float inverse = 1.0f / p->temperature;
    for (int i = 0; i < n; i++)
        scratch.weights[i] = (uint32_t)rintf(exp_((z[i] - m) * inverse) * SAMPLE_WEIGHT_ONE);
    uint32_t cut = cut_of(p, scratch.weights, scratch.kept, n);
    uint64_t total = 0, sum = 0;
    for (int i = 0; i < n; i++)
        if (scratch.weights[i] >= cut)
            total += scratch.weights[i];
    uint64_t target = sample_target(p, total);
    for (int i = 0; i < n; i++)
        if (scratch.weights[i] >= cut && (sum += scratch.weights[i]) > target)
            return i;
    return 0;
}

static int sample_tiles(const void *op, int threads)
{
    (void)threads;
    const struct op_sample *o = op;
    return ((const struct step *)host(o->step))->n_logits;
}

static void sample_run(const void *op, int row, int tiles, int worker)
{
    (void)tiles;
    const struct op_sample *o = op;
    const struct step *s = host(o->step);
    const struct step_sample *p = &step_samples(s)[row];
    const float *logits = (const float *)host(o->logits) + row * o->ld;
    struct step_result *result = (struct step_result *)host(o->results) + row;
    struct sample_scratch scratch = sample_scratch(o, worker);
    float *z = scratch.logits;
    for (int i = 0; i < o->vocab; i++)
        z[i] = sample_clean(logits[i]);
    float m = largest(z, o->vocab), sum = sum_of_exp(z, o->vocab, m);
    *result = (struct step_result){0};
    for (int i = next_likely(z, o->vocab, -1); i >= 0 && result->n_top < p->n_top; i = next_likely(z, o->vocab, i)) {
        result->top_token[result->n_top] = i;
        result->top_logprob[result->n_top++] = sample_logprob(z[i], m, sum);
    }
    sample_adjust(s, p, z);
    float adjusted = largest(z, o->vocab);
    if (adjusted == -INFINITY || p->temperature < SAMPLE_GREEDY_BELOW)
        result->token = first_of(z, o->vocab, adjusted);
    else
        result->token = draw(p, z, adjusted, scratch, o->vocab);
    result->logprob = sample_logprob(sample_clean(logits[result->token]), m, sum);
}

const struct cpu_phase sample_ref = {sample_tiles, sample_run};
