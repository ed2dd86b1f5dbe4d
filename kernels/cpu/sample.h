/* Sampling on the CPU: what kernels/sample.h defines, over rows in host memory; shared by every instruction set. */
#ifndef OPENLORA_KERNELS_CPU_SAMPLE_H
#define OPENLORA_KERNELS_CPU_SAMPLE_H

#include "kernels/cpu/cpu.h"
#include "kernels/sample.h"

/* Penalties and bias on a row of clean logits. */
static inline void sample_adjust(const struct step *s, const struct step_sample *p, float *z)
{
    const struct step_history *history = step_history(s) + p->history0;
    const struct step_bias *bias = step_bias(s) + p->bias0;
    for (int i = 0; i < p->n_history; i++)
        z[history[i].token] = sample_penalize(p, z[history[i].token], history[i].output_count);
    for (int i = 0; i < p->n_bias; i++)
        z[bias[i].token] = sample_biased(z[bias[i].token], bias[i].add);
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
