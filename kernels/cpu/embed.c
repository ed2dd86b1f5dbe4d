/* Embedding: a few rows per step, so plain C serves every instruction set. One tile per row. */
#include "kernels/cpu/pack.h"
#include "kernels/cpu/phases.h"

#include <string.h>

static int tiles(const void *arg, int threads)
{
    (void)threads;
    const struct op_embed *op = arg;
    return ((const struct step *)host(op->step))->n_rows;
}

static void run(const void *arg, int tile, int n_tiles, int worker)
{
    (void)n_tiles, (void)worker;
    const struct op_embed *op = arg;
    int32_t token = step_token(host(op->step))[tile];
    CHECK(token >= 0 && token < op->w->rows); /* the engine refuses unknown tokens long before */
    float *y = (float *)host(op->y) + tile * op->ldy;
    weight_row(op->w, token, y);
    memset(y + op->w->cols, 0, (size_t)(pad_cols(op->w->cols) - op->w->cols) * sizeof *y);
}

const struct cpu_phase embed_ref = {tiles, run};
const struct cpu_phase embed_avx2 = {tiles, run};
const struct cpu_phase embed_avx512 = {tiles, run};
