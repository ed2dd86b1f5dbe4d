/* silu_mul on the GPU: float32 and int8 rows are the reference's, byte for byte. */
#include "rows.h"

static uint64_t seed;
static struct pair pair;

static void setup(void)
{
    seed = test_seed();
    pair_open(&pair);
}

static void teardown(void) { pair_close(&pair); }

enum { N_ROWS = 5, MOST_ROWS = 8 };

/* Around a load, an int8 block, a warp, a block of threads. */
static const int64_t widths[] = {1, 3, 4, 15, 32, 33, 64, 96, 576, 1000, 1024, 1028, 1056, 1536, 2049, 8192};
enum { N_WIDTHS = sizeof widths / sizeof *widths };

struct silu {
    struct blocks blocks;
    struct both out, q8;
    size_t out_bytes, q8_bytes;
};

static void run_silu(struct silu *t, const float *gu, int64_t cols, int64_t ld)
{
    memset(t, 0, sizeof *t);
    struct step *step = rows_step(&t->blocks, N_ROWS, MOST_ROWS);
    size_t gu_bytes = (size_t)(N_ROWS * ld) * sizeof(float);
    struct both in = pair_alloc(&pair, gu_bytes);
    pair_fill(&pair, in, gu, gu_bytes);
    t->out_bytes = (size_t)(MOST_ROWS * pad_cols(cols)) * sizeof(float);
    t->q8_bytes = MOST_ROWS * q8_row_bytes(cols);
    t->out = pair_alloc(&pair, t->out_bytes);
    if (t->q8_bytes)
        t->q8 = pair_alloc(&pair, t->q8_bytes);
    for (int d = 0; d < 2; d++) {
        pair_begin(&pair, d, step);
        pair.ops[d]->silu_mul(pair.stream[d], &(struct op_silu_mul){.out = {t->out.at[d], t->q8.at[d]}, .gu = in.at[d],
                                                                    .ld = ld, .cols = cols, .step = pair.step.at[d]});
        pair_finish(&pair, d);
    }
}

static void close_silu(struct silu *t)
{
    pair_release(&pair);
    release(&t->blocks);
}

START_TEST(every_width)
{
    struct silu t;
    int64_t cols = widths[_i], ld = pad_cols(2 * cols) + 16;
    float *gu = malloc((size_t)(N_ROWS * ld) * sizeof(float));
    memset(gu, 0xff, (size_t)(N_ROWS * ld) * sizeof(float));
    for (int i = 0; i < N_ROWS; i++) {
        fill_row(&seed, gu + i * ld, i, 2 * cols);
        for (int64_t c = 0; i == 0 && c < cols; c++) /* gates from nothing to everything */
            gu[c] *= 40.0f;
    }
    run_silu(&t, gu, cols, ld);
    pair_equal(&pair, t.out, t.out_bytes, "out");
    if (t.q8_bytes)
        pair_equal(&pair, t.q8, t.q8_bytes, "out.q8");
    close_silu(&t);
    free(gu);
}
END_TEST

static bool same_or_nan(float a, float b) { return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a); }

/* Values that have no good int8 form: silu(90) is 90, so any `up` gets there. The sign of a NaN is the processor's. */
START_TEST(quantizes_strange_values)
{
    static const float strange[] = {0.0f, -0.0f, 1e-45f, -1e-38f, 1e36f, -1e36f, INFINITY, -INFINITY, NAN, 1.0f};
    enum { COLS = 320, LD = 2 * COLS };
    struct silu t;
    static float gu[N_ROWS * LD];
    for (int i = 0; i < N_ROWS; i++)
        for (int c = 0; c < COLS; c++) { /* later blocks take more of the list */
            gu[i * LD + c] = 90.0f;
            gu[i * LD + COLS + c] = strange[random_u32(&seed) % (uint32_t)(c / 32 + 1)];
        }
    run_silu(&t, gu, COLS, LD);
    unsigned char *rows[2] = {malloc(t.q8_bytes), malloc(t.q8_bytes)};
    for (int d = 0; d < 2; d++)
        pair_read(&pair, d, rows[d], t.q8, t.q8_bytes);
    for (size_t i = 0; i < N_ROWS; i++) {
        const unsigned char *a = rows[CPU] + i * q8_row_bytes(COLS), *b = rows[GPU] + i * q8_row_bytes(COLS);
        ck_assert_mem_eq(a, b, COLS);
        for (int k = 0; k < COLS / 32; k++) {
            struct q8_meta is[2];
            memcpy(&is[CPU], a + COLS + (size_t)k * sizeof *is, sizeof *is);
            memcpy(&is[GPU], b + COLS + (size_t)k * sizeof *is, sizeof *is);
            ck_assert(same_or_nan(is[CPU].d, is[GPU].d) && same_or_nan(is[CPU].ds, is[GPU].ds));
            ck_assert(is[CPU].sum == is[GPU].sum && is[CPU].sum_lo == is[GPU].sum_lo);
        }
    }
    free(rows[0]);
    free(rows[1]);
    close_silu(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gpu/silu");
    TCase *tests = tcase_create("silu_mul");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, every_width, 0, N_WIDTHS);
    tcase_add_test(tests, quantizes_strange_values);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
