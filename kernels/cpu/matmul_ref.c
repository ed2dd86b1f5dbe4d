/* The product as the contract in ops.h says it, one output after another. */
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/phases.h"

#include <math.h>

/* acc of one weight row against rows row0 .. row1 of quantized activations. */
static void quantized(const struct op_matmul *op, const struct matmul_range *range, int64_t n, float *acc)
{
    const struct weight *w = op->w;
    struct unit unit;
    for (int64_t u = 0; u < w->cols / UNIT_COLS; u++) {
        weight_unit(w, n, u, &unit);
        for (int row = range->row0; row < range->row1; row++) {
            const char *a = (const char *)host(op->a.q8) + (size_t)row * q8_row_bytes(w->cols);
            const int8_t *q = (const int8_t *)a + u * UNIT_COLS;
            const struct q8_meta *meta = (const struct q8_meta *)(a + w->cols) + u;
            int32_t half[2] = {0, 0};
            for (int c = 0; c < UNIT_COLS; c++)
                half[c / 16] += unit.q[c] * q[c];
            float *y = &acc[row - range->row0];
            *y = fmaf((float)(unit.sc[0] * half[0] + unit.sc[1] * half[1]), unit.d * meta->d, *y);
            if (unit.has_min)
                *y = fmaf(unit.m, meta->ds, *y);
        }
    }
}

static void floats(const struct op_matmul *op, const struct matmul_range *range, int64_t n, float *acc)
{
    const struct weight *w = op->w;
    size_t step = packed_block_bytes(w->dtype), bytes = step / GROUP_ROWS;
    const unsigned char *p = w->data + (size_t)(n / GROUP_ROWS) * w->group_bytes + bytes * (size_t)(n % GROUP_ROWS);
    for (int64_t k = 0; k < w->cols; k++, p += step) {
        float value;
        dequantize_row(w->dtype, p, &value, 1);
        for (int row = range->row0; row < range->row1; row++) {
            const float *x = (const float *)host(op->a.f32) + row * pad_cols(w->cols);
            acc[row - range->row0] = fmaf(value, x[k], acc[row - range->row0]);
        }
    }
}

static void run(const void *arg, int tile, int tiles, int worker)
{
    (void)worker;
    const struct op_matmul *op = arg;
    struct matmul_range range = matmul_range(op, tile, tiles);
    const float *bias = host(op->bias);
    for (int64_t n = range.group0 * GROUP_ROWS; n < range.group1 * GROUP_ROWS && n < op->w->rows; n++) {
        float acc[MATMUL_ROW_BLOCK] = {0};
        if (dtype_is_quantized(op->w->dtype))
            quantized(op, &range, n, acc);
        else
            floats(op, &range, n, acc);
        for (int row = range.row0; row < range.row1; row++)
            ((float *)host(op->y))[row * op->ldy + n] = acc[row - range.row0] + (bias ? bias[n] : -0.0f);
    }
}

const struct cpu_phase matmul_ref = {matmul_tiles, run};
