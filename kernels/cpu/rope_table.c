/* rope_table, the same code in every instruction set: cos and sin are libm's, in double. */
#include "kernels/cpu/phases.h"
#include "kernels/cpu/tile.h"

#include <math.h>

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
            double angle = (float)pos[i] * inv_freq[j]; /* rounded to float32, as the models were trained */
            out[2 * j] = (float)cos(angle) * o->mscale;
            out[2 * j + 1] = (float)sin(angle) * o->mscale;
        }
    }
}

const struct cpu_phase rope_table_ref = {tiles, run};
const struct cpu_phase rope_table_avx2 = {tiles, run};
const struct cpu_phase rope_table_avx512 = {tiles, run};
