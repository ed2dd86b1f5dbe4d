/* Attention on tensor cores (device_config.fast): rows of sequences with several rows in a step, against float64, within a
 * bound that follows from what is rounded to F16; rows of other sequences still equal the CPU's byte for byte. */
#include "tests/gpu/kv_world.h"

enum { MAX_ROWS = 128, MAX_SEQS = 8, MAX_PAGES = 200, MAX_CONTEXT = 600 };

static const struct { int heads, kv_heads, head_dim; } shapes[] = {
    {2, 2, 32}, {9, 3, 64}, {4, 1, 128}, {9, 1, 80}, {2, 2, 80}, {3, 1, 96}, {2, 1, 256}, {3, 1, 10}, {65, 1, 16},
};
#ifdef __SANITIZE_THREAD__ /* takes ten times as long */
enum { N_SHAPES = 2 };
#else
enum { N_SHAPES = sizeof shapes / sizeof *shapes };
#endif

static const struct { int pos0, n_rows; } sequences[] = {{0, 40}, {300, 1}, {62, 3}, {510, 5}, {0, 1}, {31, 34}, {63, 2}};
enum { N_SEQS = sizeof sequences / sizeof *sequences };

#define HALF_EPS 0x1p-11 /* of rounding to F16: relative, or 2^-25 below 2^-14 */
#define FLOAT_EPS 0x1p-24

/* One head of one row in float64. Its keys and values are F16 as they are, q is float32. *bound: of |error| of an output.
 *  - q · scale is rounded to F16, and sums of head_dim products to float32: a score errs by
 *    (HALF_EPS + (head_dim + 2) · FLOAT_EPS) · scale · Σ|q · k| + 2^-25 · Σ|k|; twice the largest is what a weight's
 *    exponent errs by, once its own and once that of the sum.
 *  - a weight is rounded to F16 once more, sums of `context` terms to float32, and rescaled once per tile. */
static void exact_row(const struct kv_world *w, int row, int head, float scale, double *out, double *bound)
{
    const struct step_seq *seq = &step_seqs(w->step)[step_row_seq(w->step)[row]];
    int hd = w->kv.head_dim, kv_head = head / (w->kv.n_heads / w->kv.n_kv_heads), context = step_pos(w->step)[row] + 1;
    const float *q = w->rows + row * w->ld + head * hd;
    double weight[MAX_CONTEXT], largest = -INFINITY, sum = 0, error = 0, most = 0;
    for (int t = 0; t < context; t++) {
        int stride;
        const uint16_t *k = kv_slot(w, seq, t, kv_head, false, &stride);
        double s = 0, size = 0, keys = 0;
        for (int d = 0; d < hd; d++) {
            double key = (double)f16_to_f32(k[d * stride]), product = (double)q[d] * key;
            s += product;
            size += fabs(product);
            keys += fabs(key);
        }
        weight[t] = s * (double)scale;
        largest = fmax(largest, weight[t]);
        error = fmax(error, (HALF_EPS + (hd + 2) * FLOAT_EPS) * size * (double)scale + 0x1p-25 * keys);
    }
    for (int t = 0; t < context; t++)
        sum += weight[t] = exp(weight[t] - largest);
    memset(out, 0, (size_t)hd * sizeof *out);
    for (int t = 0; t < context; t++) {
        int stride;
        const uint16_t *v = kv_slot(w, seq, t, kv_head, true, &stride);
        for (int d = 0; d < hd; d++) {
            double value = (double)f16_to_f32(v[d]);
            out[d] += weight[t] / sum * value;
            most = fmax(most, fabs(value));
        }
    }
    double weights = expm1(2 * error) + HALF_EPS + 4 * context * FLOAT_EPS + context * 0x1p-25 / sum;
    *bound = most * weights;
}

static void attend(struct kv_world *w, float scale)
{
    pair_fill(&w->p, w->qkv, w->rows, (size_t)(MAX_ROWS * w->ld) * sizeof(float));
    for (int d = 0; d < 2; d++) {
        pair_begin(&w->p, d, w->step);
        w->p.ops[d]->attention(w->p.stream[d], &(struct op_attention){
            .out = {w->out.at[d], w->q8.at[d]}, .qkv = w->qkv.at[d], .ld = w->ld, .scale = scale, .layer = WORLD_LAYER,
            .kv = w->kv, .step = w->p.step.at[d], .pool = w->pool.at[d], .workspace = w->workspace.at[d]});
        pair_finish(&w->p, d);
    }
}

/* The int8 row is the quantized form of the row beside it: |x − q · d| ≤ d / 2, and sums are right. */
static void check_q8_row(const float *x, const unsigned char *q8, int64_t cols)
{
    const struct q8_meta *meta = (const struct q8_meta *)(q8 + cols);
    for (int64_t block = 0; block < cols / 32; block++) {
        int sum = 0;
        for (int64_t c = 32 * block; c < 32 * block + 32; c++) {
            sum += (int8_t)q8[c];
            ck_assert_float_le(fabsf(x[c] - (float)(int8_t)q8[c] * meta[block].d), 0.5001f * meta[block].d);
        }
        ck_assert_int_eq(sum, meta[block].sum);
    }
}

/* `amplitude` of q decides how far weights lie apart. */
static void check(int shape, float amplitude)
{
    const struct step_limits limits = {.max_rows = MAX_ROWS, .max_seqs = MAX_SEQS, .max_logits = 1, .max_pages = MAX_PAGES};
    struct kv_world w;
    kv_open(&w, shapes[shape].heads, shapes[shape].kv_heads, shapes[shape].head_dim, limits, true);
    struct device_info info[2];
    for (int d = 0; d < 2; d++)
        w.p.ops[d]->info(w.p.device[d], &info[d]);
    ck_assert_str_ne(info[CPU].numerics, info[GPU].numerics);
    kv_begin_step(&w);
    for (int i = 0; i < N_SEQS; i++)
        kv_add_sequence(&w, sequences[i].pos0, sequences[i].n_rows);
    for (int64_t i = 0; i < w.step->n_rows * w.ld; i++)
        w.rows[i] *= amplitude;
    kv_write_contexts(&w);
    for (int i = 0; i < N_SEQS; i++) /* one value that only the last row may see, and that nobody could overlook */
        for (int head = 0; head < w.kv.n_kv_heads; head++) {
            int stride, last = sequences[i].pos0 + sequences[i].n_rows - 1;
            *kv_slot(&w, &step_seqs(w.step)[i], last, head, true, &stride) = f32_to_f16(3e4f);
        }
    kv_upload(&w);
    float scale = 1.0f / sqrtf((float)w.kv.head_dim);
    attend(&w, scale);
    int64_t ld = pad_cols(w.cols);
    size_t bytes = (size_t)(MAX_ROWS * ld) * sizeof(float), q8_bytes = q8_row_bytes(w.cols);
    float *out[2] = {malloc(bytes), malloc(bytes)};
    unsigned char *q8 = malloc(MAX_ROWS * q8_bytes + 1);
    for (int d = 0; d < 2; d++)
        pair_read(&w.p, d, out[d], w.out, bytes);
    if (q8_bytes)
        pair_read(&w.p, GPU, q8, w.q8, MAX_ROWS * q8_bytes);
    for (int row = 0; row < w.step->n_rows; row++) {
        const struct step_seq *seq = &step_seqs(w.step)[step_row_seq(w.step)[row]];
        const float *is = out[GPU] + row * ld;
        if (seq->n_rows == 1)
            ck_assert(!memcmp(is, out[CPU] + row * ld, (size_t)w.cols * sizeof(float)));
        for (int head = 0; head < w.kv.n_heads; head += 1 + w.kv.n_heads / 8) {
            double exact[MAX_HEAD_DIM], bound;
            exact_row(&w, row, head, scale, exact, &bound);
            for (int d = 0; d < w.kv.head_dim; d++)
                ck_assert_msg(fabs((double)is[head * w.kv.head_dim + d] - exact[d]) <= bound,
                              "row %d head %d d %d: %g, exactly %g, bound %g", row, head, d,
                              (double)is[head * w.kv.head_dim + d], exact[d], bound);
        }
        if (q8_bytes)
            check_q8_row(is, q8 + (size_t)row * q8_bytes, w.cols);
    }
    ck_assert_msg(!memcmp(out[CPU] + w.step->n_rows * ld, out[GPU] + w.step->n_rows * ld,
                          bytes - (size_t)(w.step->n_rows * ld) * sizeof(float)), "rows beyond the step were written");
    free(q8);
    free(out[CPU]);
    free(out[GPU]);
    kv_close(&w);
}

START_TEST(even_weights) { check(_i, 0.05f); }
END_TEST

START_TEST(uneven_weights) { check(_i, 1.0f); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("attention_tensor");
    TCase *tests = tcase_create("attention_tensor");
    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, even_weights, 0, N_SHAPES);
    tcase_add_loop_test(tests, uneven_weights, 0, N_SHAPES);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
