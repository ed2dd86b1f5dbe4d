/* AdamW: Adam with decoupled weight decay, on flat float32 vectors.
 *
 * Step t (from 1), element by element, in this order of operations:
 *   p = p · (1 − lr·decay);  m = m + (1 − β₁)·(g − m);  v = β₂·v + (1 − β₂)·g·g
 *   p = p − (lr / (1 − β₁ᵗ)) · m / (√v / √(1 − β₂ᵗ) + ε)
 * as torch.optim.AdamW computes it; scalars are formed in double and rounded once. Of libm only the square root. */
#ifndef OPENLORA_TRAINING_ADAMW_H
#define OPENLORA_TRAINING_ADAMW_H

#include <stdint.h>

struct adamw {
    double beta1, beta2, epsilon, weight_decay;
};

/* p, m, v: (n), changed; g: (n), multiplied by `scale` as it is read (clipping, mean over tokens). */
void adamw_step(const struct adamw *a, double lr, int64_t t, const float *g, float scale, float *p, float *m, float *v,
                int64_t n);

/* √Σ g², summed in double in the order of the elements. Not finite: an element is not. */
double gradient_norm(const float *g, int64_t n);

/* What a gradient of this norm is multiplied by so that it is at most `max`: 1, or max / (norm + 1e-6). max 0: 1. */
double clip_scale(double norm, double max);

#endif
