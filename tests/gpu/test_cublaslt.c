/* A device opened with `fast`: products of F16 and BF16 weights with many rows are those of the rounded activations,
 * within the rounding of their sums in any order; all others are the reference's, byte for byte. */
#include "kernels/cpu/math.h"
#include "products.h"
#include "tests/unit/ops_fixture.h"

static struct pair pair;

static void setup(void) { pair_open_config(&pair, &(struct device_config){.fast = true}); }
static void teardown(void) { pair_close(&pair); }

struct product {
    enum dtype dtype;
    int n, k, rows, col0; /* col0: y begins there in wider rows */
    bool bias, logits;
};

static float bf16_to_nearest(float x) /* ties to even, by looking at both neighbours */
{
    uint32_t low = float_bits(x) & 0xffff0000u;
    double below = (double)bits_float(low), above = (double)bits_float(low + 0x10000u);
    double to_below = fabs((double)x - below), to_above = fabs(above - (double)x);
    return (float)(to_below < to_above || (to_below == to_above && !(low & 0x10000u)) ? below : above);
}

static float rounded(enum dtype t, float x) { return t == DTYPE_F16 ? f16_to_f32(f32_to_f16(x)) : bf16_to_nearest(x); }

static float weight_at(const struct weight_part *w, int n, int k)
{
    uint16_t h;
    memcpy(&h, (const char *)w->data + ((size_t)n * (size_t)w->cols + (size_t)k) * 2, 2);
    return w->dtype == DTYPE_F16 ? f16_to_f32(h) : bf16_to_f32(h);
}

static void check_close(const struct product *p, const struct weight_part *w, const float *a, const float *bias, const float *y,
                        int64_t ldy)
{
    for (int r = 0; r < p->rows; r++)
        for (int n = 0; n < p->n; n++) {
            double sum = p->bias ? (double)bias[n] : 0, size = fabs(sum);
            for (int k = 0; k < p->k; k++) {
                double x = (double)weight_at(w, n, k) * (double)rounded(p->dtype, a[r * pad_cols(p->k) + k]);
                sum += x;
                size += fabs(x);
            }
            double got = (double)y[r * ldy + p->col0 + n], bound = size * (p->k + 2) * 0x1p-24;
            ck_assert_msg(fabs(got - sum) <= bound, "row %d, output %d of (%d, %d): %.9g instead of %.9g", r, n, p->n, p->k,
                          got, sum);
        }
}

/* y of both devices in `y`; its first col0 columns, and what lies behind the outputs, stay NaN. */
static void run_product(const struct product *p, bool close)
{
    int most = 128; /* of product_step: room for the bucket */
    int64_t ldy = pad_cols(p->col0 + p->n) + 16;
    struct weight *w[2];
    struct weight_part part = product_tensor(p->dtype, p->n, p->k, 7);
    struct step *step = product_step(p->rows, p->logits ? p->rows : 1);
    struct both a = product_f32(&pair, p->rows, p->k, 3), bias = product_f32(&pair, 1, p->n, 5);
    struct both y = pair_alloc(&pair, (size_t)(most * ldy) * sizeof(float));
    float *values = malloc((size_t)(most * ldy) * sizeof(float)), *rows = malloc((size_t)(p->rows * pad_cols(p->k)) * 4);
    float *biases = malloc((size_t)pad_cols(p->n) * sizeof(float));
    product_load(&pair, &part, 1, w);
    for (int d = 0; d < 2; d++) {
        pair_begin(&pair, d, step);
        pair.ops[d]->matmul(pair.stream[d], &(struct op_matmul){
            .y = y.at[d] + (dptr)p->col0 * sizeof(float), .ldy = ldy, .a = {.f32 = a.at[d]}, .w = w[d],
            .bias = p->bias ? bias.at[d] : 0, .step = pair.step.at[d], .rows = p->logits ? ROWS_LOGITS : ROWS_ALL});
        pair_finish(&pair, d);
    }
    pair_read(&pair, GPU, values, y, (size_t)(most * ldy) * sizeof(float));
    pair_read(&pair, GPU, rows, a, (size_t)(p->rows * pad_cols(p->k)) * 4);
    pair_read(&pair, GPU, biases, bias, (size_t)pad_cols(p->n) * sizeof(float));
    if (close)
        check_close(p, &part, rows, biases, values, ldy);
    else
        pair_equal(&pair, y, (size_t)(most * ldy) * sizeof(float), "y");
    for (int r = 0; r < p->rows; r++) /* neighbours */
        for (int64_t c = 0; c < ldy; c++)
            ck_assert(isnan(values[r * ldy + c]) == (c < p->col0 || c >= p->col0 + p->n));
    product_unload(&pair, w);
    pair_release(&pair);
    free((void *)(uintptr_t)part.data);
    free(values);
    free(rows);
    free(biases);
    free(step);
}

START_TEST(many_rows)
{
    static const struct product products[] = {
        {DTYPE_F16, 40, 64, 17, 0, false, false}, {DTYPE_BF16, 40, 64, 33, 0, false, false},
        {DTYPE_F16, 7, 100, 20, 3, true, false},  {DTYPE_BF16, 130, 576, 24, 2, true, true},
        {DTYPE_BF16, 1, 33, 100, 0, true, false}, {DTYPE_F16, 16, 1, 18, 4, false, true},
    };
    run_product(&products[_i], true);
}
END_TEST

/* More rows than rounded activations are kept: a product in pieces, the last of which is smaller. */
START_TEST(pieces) { run_product(&(struct product){DTYPE_BF16, 1, 300000, 30, 0, true, false}, true); }
END_TEST

START_TEST(others_are_exact)
{
    static const struct product products[] = {
        {DTYPE_F16, 40, 64, 16, 0, true, false}, {DTYPE_BF16, 40, 64, 1, 0, false, false},
        {DTYPE_F32, 24, 64, 40, 0, true, false},
    };
    run_product(&products[_i], false);
}
END_TEST

START_TEST(numerics_are_named)
{
    struct device_info fast, exact;
    struct device *d;
    struct err e;
    pair.ops[GPU]->info(pair.device[GPU], &fast);
    ck_assert_int_eq(pair.ops[GPU]->open(&(struct device_config){0}, &d, &e), 0);
    pair.ops[GPU]->info(d, &exact);
    ck_assert_str_eq(exact.numerics, NUMERICS_ID);
    ck_assert_str_ne(fast.numerics, NUMERICS_ID);
    pair.ops[GPU]->close(d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gpu/cublaslt");
    TCase *tests = tcase_create("cublaslt");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, many_rows, 0, 6);
    tcase_add_test(tests, pieces);
    tcase_add_loop_test(tests, others_are_exact, 0, 3);
    tcase_add_test(tests, numerics_are_named);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
