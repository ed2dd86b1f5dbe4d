/* Reference: LoRA deltas, one number at a time. */
#include "kernels/cpu/lora_blocks.h"
#include "kernels/cpu/phases.h"
#include "kernels/cpu/ref.h"

static float element(const void *slab, int dtype, int64_t i)
{
    return dtype == DTYPE_F16 ? f16_to_f32(((const uint16_t *)slab)[i]) : ((const float *)slab)[i];
}

static int lora_tiles(const void *op, int threads)
{
    (void)threads;
    return lora_block_count(op);
}

static void lora_shrink_run(const void *op, int tile, int tiles, int worker)
{
    (void)tiles, (void)worker;
    const struct op_lora *o = op;
    struct lora_block b = lora_block_at(o, tile);
    int target = b.target, in = o->targets[target].in;
    for (int64_t row = b.row0; row < b.row0 + b.n_rows; row++)
        for (int r = 0; r < b.site->rank; r++) {
            const float *x = (const float *)host(o->x) + row * o->ldx;
            const void *slab = lora_slab_data(o, &b, r / LORA_SLAB_RANKS);
            float s[16] = {0};
            for (int k = 0; k < in; k++)
                s[k % 16] = fmaf(element(slab, b.site->dtype, r % LORA_SLAB_RANKS * pad_cols(in) + k), x[k], s[k % 16]);
            lora_t(o, row, target)[r] = tree16_ref(s) * b.site->scale;
        }
}

static void lora_expand_run(const void *op, int tile, int tiles, int worker)
{
    (void)tiles, (void)worker;
    const struct op_lora *o = op;
    struct lora_block b = lora_block_at(o, tile);
    int target = b.target, out = o->targets[target].out;
    for (int64_t row = b.row0; row < b.row0 + b.n_rows; row++) {
        float *y = (float *)host(o->y) + row * o->ldy + o->targets[target].col0;
        for (int r = 0; r < b.site->rank; r++) {
            const void *slab = lora_slab_data(o, &b, lora_slab_count(b.site) + r / LORA_SLAB_RANKS);
            for (int n = 0; n < out; n++)
                y[n] = fmaf(element(slab, b.site->dtype, r % LORA_SLAB_RANKS * pad_cols(out) + n),
                            lora_t(o, row, target)[r], y[n]);
        }
    }
}

const struct cpu_phase lora_shrink_ref = {lora_tiles, lora_shrink_run};
const struct cpu_phase lora_expand_ref = {lora_tiles, lora_expand_run};
