/* Rotary frequencies of every scaling kind. */
#include "model/model_file.h"

#include <math.h>
#include <string.h>

/* Llama 3 scales low frequencies by `factor` and blends in between (Llama 3.1 release; same in transformers). */
static double llama3_frequency(const struct model_config *c, double f)
{
    double wavelength = 2 * M_PI / f, original = c->rope_original_context;
    if (wavelength < original / c->rope_high_freq_factor)
        return f;
    if (wavelength > original / c->rope_low_freq_factor)
        return f / c->rope_factor;
    double smooth = (original / wavelength - c->rope_low_freq_factor) /
                    (c->rope_high_freq_factor - c->rope_low_freq_factor);
    return (1 - smooth) * f / c->rope_factor + smooth * f;
}

void rope_frequencies(const struct model_config *c, float freq[MAX_HEAD_DIM / 2])
{
    memset(freq, 0, MAX_HEAD_DIM / 2 * sizeof *freq);
    for (int i = 0; i < c->head_dim / 2; i++) {
        double f = pow(c->rope_theta, -2.0 * i / c->head_dim);
        if (c->rope_scaling == ROPE_LINEAR)
            f /= c->rope_factor;
        else if (c->rope_scaling == ROPE_LLAMA3)
            f = llama3_frequency(c, f);
        if (c->has_rope_freq_factors)
            f /= c->rope_freq_factors[i];
        freq[i] = (float)f;
    }
}
