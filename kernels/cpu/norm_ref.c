/* Reference: quantization of activations, add_norm, silu_mul. */
#include "kernels/cpu/phases.h"
#include "kernels/cpu/ref.h"

static int8_t round_i8(float v)
{
    return v >= -128.0f && v <= 127.5f ? (int8_t)rintf(v) : -128; /* −128 for a NaN, as the vector conversions give */
}

static struct q8_meta quantize_block(const float x[32], int8_t q[32])
{
    struct q8_meta meta = {0};
    float max = 0.0f;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > max)
            max = fabsf(x[i]);
    float inverse = 127.0f / max;
    if (!(inverse < INFINITY)) /* max is 0, or so small that its inverse is not finite */
        inverse = 0.0f;
    for (int i = 0; i < 32; i++) {
        q[i] = round_i8(x[i] * inverse);
        meta.sum += q[i];
        if (i < 16)
            meta.sum_lo += q[i];
    }
    meta.d = max / 127.0f;
    meta.ds = meta.d * (float)meta.sum;
    return meta;
}

void quantize_row_ref(const float *x, int64_t cols, void *q8)
{
    int8_t *q = q8;
    struct q8_meta *meta = (struct q8_meta *)(q + cols);
    for (int64_t b = 0; b < cols / 32; b++)
        meta[b] = quantize_block(x + 32 * b, q + 32 * b);
}

static void finish_row(const struct act *out, int64_t row, int64_t cols)
{
    if (out->q8)
        quantize_row_ref((const float *)host(out->f32) + row * pad_cols(cols), cols,
                         (char *)host(out->q8) + (size_t)row * q8_row_bytes(cols));
}

static int add_norm_tiles(const void *op, int threads)
{
    const struct op_add_norm *o = op;
    const struct step *s = host(o->step);
    return row_tiles(o->logit_rows ? s->n_logits : s->n_rows, threads);
}

static void add_norm_run(const void *op, int tile, int tiles, int worker)
{
    (void)worker;
    const struct op_add_norm *o = op;
    const struct step *s = host(o->step);
    const float *gain = host(o->gain);
    struct span rows = tile_span(o->logit_rows ? s->n_logits : s->n_rows, tile, tiles);
    for (int i = rows.first; i < rows.end; i++) {
        int64_t row = o->logit_rows ? step_logit_row(s)[i] : i;
        float *x = (float *)host(o->x) + row * o->ldx;
        const float *y = (const float *)host(o->y) + row * o->ldy;
        float *out = (float *)host(o->out.f32) + i * pad_cols(o->cols);
        if (o->y)
            for (int64_t c = 0; c < o->cols; c++)
                x[c] += y[c];
        float mean_square = dot16_ref(x, x, o->cols) / (float)o->cols;
        float r = 1.0f / sqrtf(mean_square + o->eps);
        for (int64_t c = 0; c < o->cols; c++)
            out[c] = (x[c] * r) * gain[c];
        finish_row(&o->out, i, o->cols);
    }
}

static int silu_mul_tiles(const void *op, int threads)
{
    const struct op_silu_mul *o = op;
    return row_tiles(((const struct step *)host(o->step))->n_rows, threads);
}

static void silu_mul_run(const void *op, int tile, int tiles, int worker)
{
    (void)worker;
    const struct op_silu_mul *o = op;
    const struct step *s = host(o->step);
    struct span rows = tile_span(s->n_rows, tile, tiles);
    for (int64_t i = rows.first; i < rows.end; i++) {
        const float *gate = (const float *)host(o->gu) + i * o->ld, *up = gate + o->cols;
        float *out = (float *)host(o->out.f32) + i * pad_cols(o->cols);
        for (int64_t c = 0; c < o->cols; c++)
            out[c] = (gate[c] / (1.0f + exp_(-gate[c]))) * up[c];
        finish_row(&o->out, i, o->cols);
    }
}

const struct cpu_phase add_norm_ref = {add_norm_tiles, add_norm_run};
const struct cpu_phase silu_mul_ref = {silu_mul_tiles, silu_mul_run};
