/* rope_table, the same code in every instruction set. */
#include "kernels/cpu/phases.h"
#include "kernels/cpu/tile.h"
#include "kernels/sincos.h"

static int tiles(const void *op, int threads)
{
    const struct op_rope_table *o = op;
    return row_tiles(((const struct step *)host(o->step))->n_rows, threads);
}

static void run(const void *op, int tile, int n_tiles, int worker)
{
    (void)worker;
    const struct op_rope_table *o = op;
    const struct step *s = host(o->step);
    const int32_t *pos = step_pos(s);
    const float *inv_freq = host(o->inv_freq);
    struct span rows = tile_span(s->n_rows, tile, n_tiles);
    for (int i = rows.first; i < rows.end; i++) {
        float *out = (float *)host(o->out) + (int64_t)i * 2 * o->half;
        for (int j = 0; j < o->half; j++) {
            float sine, cosine;
            sincos_((float)pos[i] * inv_freq[j], &sine, &cosine); /* a float32 angle, as the models were trained */
            out[2 * j] = cosine * o->mscale;
            out[2 * j + 1] = sine * o->mscale;
        }
    }
}

const struct cpu_phase rope_table_ref = {tiles, run};
const struct cpu_phase rope_table_avx2 = {tiles, run};
const struct cpu_phase rope_table_avx512 = {tiles, run};
