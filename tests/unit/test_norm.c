/* exp_, F16, quantization, add_norm, silu_mul, rope_table: bit-equal in every instruction set, and right. */
#include "kernels/cpu/math.h"
#include "ops_fixture.h"

static uint64_t seed;

static void setup(void) { seed = test_seed(); }

START_TEST(exp_is_within_an_ulp)
{
    double worst = 0;
    for (float x = -87.32f; x < 88.7f; x += 0.00137f) {
        double exact = exp((double)x), got = (double)exp_(x);
        double ulp = ldexp(1.0, ilogb(exact) - 23);
        worst = fmax(worst, fabs(got - exact) / ulp);
    }
    ck_assert_double_le(worst, 1.0);
    ck_assert(exp_(0.0f) == 1.0f && exp_(-0.0f) == 1.0f);
    ck_assert(exp_(-87.4f) == 0.0f && exp_(-INFINITY) == 0.0f);
    ck_assert(exp_(88.8f) == INFINITY && exp_(INFINITY) == INFINITY);
    ck_assert(isfinite(exp_(EXP_MAX)) && exp_(nextafterf(EXP_MAX, 100.0f)) == INFINITY);
    ck_assert(isnan(exp_(NAN)));
    ck_assert(exp_(EXP_MIN) >= 0x1p-126f); /* never denormal */
}
END_TEST

START_TEST(f16_conversion_rounds_to_nearest_even)
{
    for (uint32_t h = 0; h < 0x7c00; h++) { /* every finite half, what lies next to it, and the ties between two */
        float x = f16_to_f32((uint16_t)h), next = h < 0x7bff ? f16_to_f32((uint16_t)(h + 1)) : 65536.0f;
        float tie = (float)(((double)x + (double)next) / 2);
        ck_assert_uint_eq(f32_to_f16(x), h);
        ck_assert_uint_eq(f32_to_f16(-x), h | 0x8000);
        ck_assert_uint_eq(f32_to_f16(nextafterf(tie, 0.0f)), h);
        ck_assert_uint_eq(f32_to_f16(nextafterf(tie, INFINITY)), h + 1);
        ck_assert_uint_eq(f32_to_f16(tie), h % 2 ? h + 1 : h);
    }
    ck_assert_uint_eq(f32_to_f16(INFINITY), 0x7c00);
    ck_assert_uint_eq(f32_to_f16(-1e30f), 0xfc00);
    ck_assert(f32_to_f16(NAN) > 0x7c00);
}
END_TEST

/* Operands of add_norm or silu_mul, outputs of every variant. */
struct rows {
    struct blocks blocks;
    struct step *step;
    float *x, *y, *gain, *gu;
    float *out[N_VARIANTS], *new_x[N_VARIANTS];
    unsigned char *q8[N_VARIANTS];
    size_t out_bytes, q8_bytes, x_bytes;
    int64_t cols, ld;
};

enum { N_ROWS = 13, N_LOGITS = 3 };

static void make_rows(struct rows *r, int64_t cols)
{
    memset(r, 0, sizeof *r);
    r->cols = cols;
    r->ld = pad_cols(cols) + 16;
    const struct step_limits limits = {.max_rows = N_ROWS, .max_seqs = 1, .max_logits = N_LOGITS, .max_pages = 1};
    r->step = new_step(&r->blocks, limits);
    add_sequence(r->step, 0, N_ROWS, (int32_t[]){0}, 1);
    r->step->n_logits = N_LOGITS;
    memcpy(step_logit_row(r->step), (int32_t[]){0, 7, 12}, N_LOGITS * sizeof(int32_t));
    r->x_bytes = (size_t)(N_ROWS * r->ld) * sizeof(float);
    r->out_bytes = (size_t)(N_ROWS * pad_cols(cols)) * sizeof(float);
    r->q8_bytes = N_ROWS * q8_row_bytes(cols);
    r->x = take(&r->blocks, r->x_bytes);
    r->y = take(&r->blocks, r->x_bytes);
    r->gain = take_floats(&r->blocks, cols);
    r->gu = take_floats(&r->blocks, N_ROWS * pad_cols(2 * cols));
    fill_random(&seed, r->gain, cols);
    for (int i = 0; i < N_ROWS; i++) { /* padding stays NaN */
        fill_random(&seed, r->x + i * r->ld, cols);
        fill_random(&seed, r->y + i * r->ld, cols);
        fill_random(&seed, r->gu + i * pad_cols(2 * cols), 2 * cols);
    }
    for (int64_t c = 0; c < 2 * cols; c++) { /* large and small gates too */
        r->gu[c] *= 120.0f;
        r->gu[pad_cols(2 * cols) + c] *= 1e-38f;
    }
    memset(r->x + 2 * r->ld, 0, (size_t)cols * sizeof(float)); /* a row of zeros */
    memset(r->y + 2 * r->ld, 0, (size_t)cols * sizeof(float));
    for (int v = 0; v < N_VARIANTS; v++) {
        r->out[v] = take(&r->blocks, r->out_bytes);
        r->new_x[v] = take(&r->blocks, r->x_bytes);
        r->q8[v] = r->q8_bytes ? take(&r->blocks, r->q8_bytes) : NULL;
    }
}

static const int64_t widths[] = {1, 15, 32, 33, 64, 576, 608, 1000};

static void check_equal(const struct rows *r, int v, const char *isa)
{
    ck_assert_msg(!memcmp(r->out[0], r->out[v], r->out_bytes), "%s: cols %d: float32 differs", isa, (int)r->cols);
    ck_assert_msg(!memcmp(r->new_x[0], r->new_x[v], r->x_bytes), "%s: cols %d: x differs", isa, (int)r->cols);
    ck_assert_msg(!r->q8_bytes || !memcmp(r->q8[0], r->q8[v], r->q8_bytes), "%s: cols %d: int8 differs", isa,
                  (int)r->cols);
}

/* The reference's int8 rows against their definition, in double: |x − d·q| ≤ d/2 (1 + rounding). */
static void check_quantized(const struct rows *r, int n_rows)
{
    for (int i = 0; i < n_rows && r->q8_bytes; i++) {
        const int8_t *q = (const int8_t *)r->q8[0] + (size_t)i * q8_row_bytes(r->cols);
        const struct q8_meta *meta = (const struct q8_meta *)(q + r->cols);
        const float *x = r->out[0] + i * pad_cols(r->cols);
        for (int64_t b = 0; b < r->cols / 32; b++) {
            int sum = 0, sum_lo = 0;
            for (int j = 0; j < 32; j++) {
                sum += q[32 * b + j];
                sum_lo += j < 16 ? q[32 * b + j] : 0;
                double error = fabs((double)x[32 * b + j] - (double)meta[b].d * q[32 * b + j]);
                ck_assert_double_le(error, (double)meta[b].d * 0.5001 + 1e-36);
            }
            ck_assert_int_eq(meta[b].sum, sum);
            ck_assert_int_eq(meta[b].sum_lo, sum_lo);
            ck_assert(meta[b].ds == meta[b].d * (float)sum);
        }
    }
}

static void check_norm(const struct rows *r, int i, int row, bool with_y, float eps)
{
    double squares = 0;
    for (int64_t c = 0; c < r->cols; c++) {
        double x = (double)(r->x[row * r->ld + c] + (with_y ? r->y[row * r->ld + c] : 0.0f));
        ck_assert((double)r->new_x[0][row * r->ld + c] == x);
        squares += x * x;
    }
    double scale = 1 / sqrt(squares / (double)r->cols + (double)eps);
    for (int64_t c = 0; c < r->cols; c++) {
        double expected = (double)r->new_x[0][row * r->ld + c] * scale * (double)r->gain[c];
        double bound = fabs(expected) * (double)(r->cols / 16 + 16) * 0x1p-24 + 1e-37;
        ck_assert_double_le(fabs((double)r->out[0][i * pad_cols(r->cols) + c] - expected), bound);
    }
}

START_TEST(add_norm)
{
    struct variant variants[] = VARIANTS(add_norm);
    bool with_y = _i & 1, logit_rows = _i & 2;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        struct rows r;
        make_rows(&r, widths[w]);
        for (int v = 0; v < N_VARIANTS; v++)
            for (int threads = 1; variants[v].usable && threads <= 4; threads++) {
                memcpy(r.new_x[v], r.x, r.x_bytes);
                struct op_add_norm op = {.x = at(r.new_x[v]), .ldx = r.ld, .y = with_y ? at(r.y) : 0, .ldy = r.ld,
                                         .gain = at(r.gain), .out = {at(r.out[v]), at(r.q8[v])}, .cols = r.cols,
                                         .eps = 1e-5f, .step = at(r.step), .logit_rows = logit_rows};
                run_phase(variants[v].phase, &op, threads);
                check_equal(&r, v, variants[v].isa);
            }
        int n = logit_rows ? N_LOGITS : N_ROWS;
        for (int i = 0; i < n; i++)
            check_norm(&r, i, logit_rows ? step_logit_row(r.step)[i] : i, with_y, 1e-5f);
        for (int row = 0; logit_rows && row < N_ROWS; row++) /* rows that want no logits keep their x */
            if (row != 0 && row != 7 && row != 12)
                ck_assert(!memcmp(r.x + row * r.ld, r.new_x[0] + row * r.ld, (size_t)r.ld * sizeof(float)));
        check_quantized(&r, n);
        release(&r.blocks);
    }
}
END_TEST

START_TEST(silu_mul)
{
    struct variant variants[] = VARIANTS(silu_mul);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        struct rows r;
        make_rows(&r, widths[w]);
        int64_t cols = r.cols, ld = pad_cols(2 * cols);
        for (int v = 0; v < N_VARIANTS; v++)
            for (int threads = 1; variants[v].usable && threads <= 4; threads++) {
                struct op_silu_mul op = {.out = {at(r.out[v]), at(r.q8[v])}, .gu = at(r.gu), .ld = ld, .cols = cols,
                                         .step = at(r.step)};
                run_phase(variants[v].phase, &op, threads);
                check_equal(&r, v, variants[v].isa);
            }
        for (int i = 0; i < N_ROWS; i++)
            for (int64_t c = 0; c < cols; c++) {
                double g = (double)r.gu[i * ld + c], expected = g / (1 + exp(-g)) * (double)r.gu[i * ld + cols + c];
                double got = (double)r.out[0][i * pad_cols(cols) + c];
                ck_assert_double_le(fabs(got - expected), fabs(expected) * 5 * 0x1p-24 + 1e-34);
            }
        check_quantized(&r, N_ROWS);
        release(&r.blocks);
    }
}
END_TEST

static bool same_or_nan(float a, float b) { return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a); }

/* Values that have no good int8 form still give the same bytes everywhere: silu(90) is 90, so any `up` gets there. */
START_TEST(quantize_strange_values)
{
    static const float strange[] = {0.0f, -0.0f, 1e-45f, -1e-38f, 1e36f, -1e36f, INFINITY, -INFINITY, NAN, 1.0f};
    struct variant variants[] = VARIANTS(silu_mul);
    struct rows r;
    make_rows(&r, 320);
    for (int i = 0; i < N_ROWS; i++)
        for (int64_t c = 0; c < r.cols; c++) { /* later blocks take more of the list */
            r.gu[i * 2 * r.cols + c] = 90.0f;
            r.gu[i * 2 * r.cols + r.cols + c] = strange[random_u32(&seed) % (uint32_t)(c / 32 + 1)];
        }
    for (int v = 0; v < N_VARIANTS; v++) {
        if (!variants[v].usable)
            continue;
        struct op_silu_mul op = {.out = {at(r.out[v]), at(r.q8[v])}, .gu = at(r.gu), .ld = 2 * r.cols, .cols = r.cols,
                                 .step = at(r.step)};
        run_phase(variants[v].phase, &op, 1);
        for (int64_t i = 0; i < N_ROWS * r.cols; i++) /* the sign of a NaN is the processor's affair */
            ck_assert(same_or_nan(r.out[0][i], r.out[v][i]));
        for (size_t i = 0; i < N_ROWS; i++) {
            const unsigned char *a = r.q8[0] + i * q8_row_bytes(r.cols), *b = r.q8[v] + i * q8_row_bytes(r.cols);
            ck_assert_mem_eq(a, b, (size_t)r.cols);
            for (int64_t k = 0; k < r.cols / 32; k++) {
                struct q8_meta ma = ((const struct q8_meta *)(a + r.cols))[k];
                struct q8_meta mb = ((const struct q8_meta *)(b + r.cols))[k];
                ck_assert(same_or_nan(ma.d, mb.d) && same_or_nan(ma.ds, mb.ds));
                ck_assert(ma.sum == mb.sum && ma.sum_lo == mb.sum_lo);
            }
        }
    }
    release(&r.blocks);
}
END_TEST

START_TEST(rope_table)
{
    struct blocks blocks = {.n = 0};
    struct step *s = new_step(&blocks, (struct step_limits){.max_rows = 40, .max_seqs = 2, .max_pages = 600});
    static int32_t pages[600];
    add_sequence(s, 0, 20, pages, 2);
    add_sequence(s, 8000, 20, pages, 502);
    enum { HALF = 24 };
    float *inv_freq = take_floats(&blocks, HALF), *out = take_floats(&blocks, 40 * 2 * HALF);
    for (int j = 0; j < HALF; j++)
        inv_freq[j] = powf(10000.0f, -(float)j / HALF);
    struct op_rope_table op = {.out = at(out), .inv_freq = at(inv_freq), .half = HALF, .mscale = 1.5f, .step = at(s)};
    run_phase(&rope_table_ref, &op, 3);
    for (int i = 0; i < 40; i++)
        for (int j = 0; j < HALF; j++) {
            double angle = (double)((float)step_pos(s)[i] * inv_freq[j]);
            ck_assert(out[(i * HALF + j) * 2] == (float)cos(angle) * 1.5f);
            ck_assert(out[(i * HALF + j) * 2 + 1] == (float)sin(angle) * 1.5f);
        }
    release(&blocks);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("norm");
    TCase *tests = tcase_create("norm");
    tcase_add_unchecked_fixture(tests, setup, NULL);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, exp_is_within_an_ulp);
    tcase_add_test(tests, f16_conversion_rounds_to_nearest_even);
    tcase_add_loop_test(tests, add_norm, 0, 4);
    tcase_add_test(tests, silu_mul);
    tcase_add_test(tests, quantize_strange_values);
    tcase_add_test(tests, rope_table);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
