/* add_norm and silu_mul by vectors; compiled once per instruction set. */
#include "kernels/cpu/phases.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vec_quantize.h"

static void finish_row(const struct act *out, int64_t row, int64_t cols)
{
    if (out->q8)
        v_quantize_row((const float *)host(out->f32) + row * pad_cols(cols), cols,
                       (char *)host(out->q8) + (size_t)row * q8_row_bytes(cols));
}

/* x += y (where there is a y) and the sum of squares, in one pass. */
static float add_square(float *x, const float *y, int64_t cols)
{
    vf sum = v_zero();
    int64_t c = 0;
    for (; c + LANES <= cols; c += LANES) {
        vf v = v_load(x + c);
        if (y)
            v_store(x + c, v = v_add(v, v_load(y + c)));
        sum = v_fma(v, v, sum);
    }
    if (c < cols) {
        int n = (int)(cols - c);
        vf v = v_load_n(x + c, n);
        if (y)
            v_store_n(x + c, v = v_add(v, v_load_n(y + c, n)), n);
        sum = v_fma_n(v, v, sum, n);
    }
    return v_tree(sum);
}

static void scale_row(float *out, const float *x, float r, const float *gain, int64_t cols)
{
    for (int64_t c = 0; c < cols; c += LANES) {
        int n = (int)(cols - c);
        v_store_upto(out + c, v_mul(v_mul(v_load_upto(x + c, n), v_set1(r)), v_load_upto(gain + c, n)), n);
    }
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
    const int32_t *logit_row = step_logit_row(s);
    struct span rows = tile_span(o->logit_rows ? s->n_logits : s->n_rows, tile, tiles);
    for (int64_t i = rows.first; i < rows.end; i++) {
        int64_t row = o->logit_rows ? logit_row[i] : i;
        float *x = (float *)host(o->x) + row * o->ldx;
        const float *y = o->y ? (const float *)host(o->y) + row * o->ldy : NULL;
        float r = 1.0f / sqrtf(add_square(x, y, o->cols) / (float)o->cols + o->eps);
        scale_row((float *)host(o->out.f32) + i * pad_cols(o->cols), x, r, host(o->gain), o->cols);
        finish_row(&o->out, i, o->cols);
    }
}

static inline vf silu_mul(vf gate, vf up)
{
    return v_mul(v_div(gate, v_add(v_set1(1.0f), v_exp(v_negate(gate)))), up);
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
        for (int64_t c = 0; c < o->cols; c += LANES) {
            int n = (int)(o->cols - c);
            v_store_upto(out + c, silu_mul(v_load_upto(gate + c, n), v_load_upto(up + c, n)), n);
        }
        finish_row(&o->out, i, o->cols);
    }
}

const struct cpu_phase VEC(add_norm) = {add_norm_tiles, add_norm_run};
const struct cpu_phase VEC(silu_mul) = {silu_mul_tiles, silu_mul_run};
