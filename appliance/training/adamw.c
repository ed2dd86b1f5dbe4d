#include "training/adamw.h"

#include <math.h>

/* βᵗ by squaring: pow() is not the same everywhere. */
static double power(double beta, int64_t t)
{
    double result = 1;
    for (; t > 0; t >>= 1, beta *= beta)
        if (t & 1)
            result *= beta;
    return result;
}

void adamw_step(const struct adamw *a, double lr, int64_t t, const float *restrict g, float scale, float *restrict p,
                float *restrict m, float *restrict v, int64_t n)
{
    float keep = (float)(1 - lr * a->weight_decay);
    float beta2 = (float)a->beta2, one_less1 = (float)(1 - a->beta1), one_less2 = (float)(1 - a->beta2);
    float rate = (float)(lr / (1 - power(a->beta1, t))), root = (float)sqrt(1 - power(a->beta2, t));
    float epsilon = (float)a->epsilon;
    for (int64_t i = 0; i < n; i++) {
        float grad = g[i] * scale;
        m[i] += one_less1 * (grad - m[i]);
        v[i] = beta2 * v[i] + one_less2 * grad * grad;
        p[i] = p[i] * keep - rate * (m[i] / (sqrtf(v[i]) / root + epsilon));
    }
}

double gradient_norm(const float *g, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    return sqrt(sum);
}

double clip_scale(double norm, double max)
{
    double scale = max > 0 ? max / (norm + 1e-6) : 1;
    return scale < 1 ? scale : 1;
}
