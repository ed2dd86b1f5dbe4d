/* add_norm on the GPU: the residual, float32 and int8 rows are the reference's, byte for byte. */
#include "rows.h"

static uint64_t seed;
static struct pair pair;

static void setup(void)
{
    seed = test_seed();
    pair_open(&pair);
}

static void teardown(void) { pair_close(&pair); }

enum { N_ROWS = 6, MOST_ROWS = 8 };

/* Around the lanes of a chain, of a load, of a warp, of a block; more than a block holds at once; the largest. */
static const int64_t widths[] = {1, 15, 16, 17, 32, 33, 96, 100, 576, 608, 1000, 2048, 2080, 4096, 5003, 8192, 16384};
enum { N_WIDTHS = sizeof widths / sizeof *widths };

static void check_norm(int64_t cols, bool with_y, bool logit_rows, bool with_q8)
{
    struct blocks blocks = {.n = 0};
    struct step *step = rows_step(&blocks, N_ROWS, MOST_ROWS);
    int64_t ldx = pad_cols(cols) + 16, ldy = pad_cols(cols) + 48;
    size_t out_bytes = (size_t)(MOST_ROWS * pad_cols(cols)) * sizeof(float), q8_bytes = MOST_ROWS * q8_row_bytes(cols);
    struct both x = rows_alloc(&pair, &seed, N_ROWS, cols, ldx), y = rows_alloc(&pair, &seed, N_ROWS, cols, ldy);
    struct both gain = rows_alloc(&pair, &seed, 1, cols, pad_cols(cols)), out = pair_alloc(&pair, out_bytes);
    struct both q8 = with_q8 && q8_bytes ? pair_alloc(&pair, q8_bytes) : (struct both){{0, 0}};
    for (int d = 0; d < 2; d++) {
        pair_begin(&pair, d, step);
        pair.ops[d]->add_norm(pair.stream[d], &(struct op_add_norm){
            .x = x.at[d], .ldx = ldx, .y = with_y ? y.at[d] : 0, .ldy = ldy, .gain = gain.at[d],
            .out = {out.at[d], q8.at[d]}, .cols = cols, .eps = 1e-5f, .step = pair.step.at[d],
            .logit_rows = logit_rows});
        pair_finish(&pair, d);
    }
    pair_equal(&pair, x, (size_t)(N_ROWS * ldx) * sizeof(float), "x");
    pair_equal(&pair, out, out_bytes, "out");
    if (q8.at[0])
        pair_equal(&pair, q8, q8_bytes, "out.q8");
    pair_release(&pair);
    release(&blocks);
}

START_TEST(every_width)
{
    check_norm(widths[_i], true, false, true);
    check_norm(widths[_i], false, true, true);
}
END_TEST

START_TEST(every_mode)
{
    for (int mode = 0; mode < 8; mode++)
        check_norm(640, mode & 1, mode & 2, mode & 4);
}
END_TEST

/* A step without rows, as a warm-up has: nothing is written. */
START_TEST(no_rows)
{
    struct blocks blocks = {.n = 0};
    struct step *step = rows_step(&blocks, 1, MOST_ROWS);
    step->n_rows = step->n_logits = 0;
    struct both x = pair_alloc(&pair, 64 * sizeof(float)), out = pair_alloc(&pair, 64 * sizeof(float));
    for (int d = 0; d < 2; d++) {
        pair_begin(&pair, d, step);
        for (int logit_rows = 0; logit_rows < 2; logit_rows++)
            pair.ops[d]->add_norm(pair.stream[d], &(struct op_add_norm){
                .x = x.at[d], .ldx = 64, .gain = x.at[d], .out = {out.at[d], 0}, .cols = 64, .eps = 1e-5f,
                .step = pair.step.at[d], .logit_rows = logit_rows});
        pair_finish(&pair, d);
    }
    pair_equal(&pair, out, 64 * sizeof(float), "out");
    pair_release(&pair);
    release(&blocks);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gpu/norm");
    TCase *tests = tcase_create("add_norm");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, every_width, 0, N_WIDTHS);
    tcase_add_test(tests, every_mode);
    tcase_add_test(tests, no_rows);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
