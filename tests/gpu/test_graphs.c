/* Graphs: a step begun with `keep` is recorded and not run; steps of its bucket with its operations are replayed, whatever
 * their true counts, and give the reference's bytes; other steps are started operation by operation. */
#include "rows.h"

enum { COLS = 96, LD = COLS, MOST_ROWS = 8 };

static uint64_t seed;
static struct pair pair;
static struct both x, gain, out;
static const size_t out_bytes = MOST_ROWS * COLS * sizeof(float);

static void setup(void)
{
    seed = test_seed();
    pair_open(&pair);
    x = rows_alloc(&pair, &seed, MOST_ROWS, COLS, LD);
    gain = rows_alloc(&pair, &seed, 1, COLS, LD);
    out = pair_alloc(&pair, out_bytes);
}

static void teardown(void) { pair_close(&pair); }

static struct device_info gpu(void)
{
    struct device_info info;
    pair.ops[GPU]->info(pair.device[GPU], &info);
    return info;
}

/* A decode step of so many sequences, one row each. */
static struct step *decode_step(struct blocks *b, int rows)
{
    struct step *s = new_step(b, (struct step_limits){.max_rows = MOST_ROWS, .max_seqs = MOST_ROWS,
                                                      .max_logits = MOST_ROWS, .max_pages = MOST_ROWS});
    for (int i = 0; i < rows; i++)
        add_sequence(s, 0, 1, (int32_t[]){i}, 1);
    return s;
}

/* Its padding is `padding`: whatever a caller's stack holds. */
static void enqueue(int d, int64_t cols, int padding)
{
    struct op_add_norm op;
    memset(&op, padding, sizeof op);
    op.x = x.at[d];
    op.ldx = LD;
    op.y = 0;
    op.ldy = LD;
    op.gain = gain.at[d];
    op.out.f32 = out.at[d];
    op.out.q8 = 0;
    op.cols = cols;
    op.eps = 1e-5f;
    op.step = pair.step.at[d];
    op.logit_rows = false;
    pair.ops[d]->add_norm(pair.stream[d], &op);
}

static void run_rows(int rows, int64_t cols)
{
    struct blocks b = {0};
    struct step *s = decode_step(&b, rows);
    for (int d = 0; d < 2; d++) {
        pair_begin(&pair, d, s);
        enqueue(d, cols, 0xaa);
        pair_finish(&pair, d);
    }
    pair_equal(&pair, out, out_bytes, "out");
    release(&b);
}

START_TEST(kept_steps_are_replayed)
{
    struct blocks b = {0};
    unsigned char before[MOST_ROWS * COLS * sizeof(float)], after[sizeof before];
    pair_read(&pair, GPU, before, out, out_bytes);
    pair.ops[GPU]->begin(pair.stream[GPU], decode_step(&b, 4), true);
    enqueue(GPU, COLS, 0);
    pair_finish(&pair, GPU);
    release(&b);
    pair_read(&pair, GPU, after, out, out_bytes);
    ck_assert_mem_eq(before, after, sizeof after); /* recorded, not run */
    ck_assert_int_eq(gpu().graphs, 1);
    ck_assert_uint_eq(gpu().replays, 0);

    run_rows(4, COLS);
    run_rows(3, COLS); /* the same bucket */
    ck_assert_uint_eq(gpu().replays, 2);
    run_rows(5, COLS);      /* another bucket */
    run_rows(4, COLS / 2);  /* another operation */
    ck_assert_uint_eq(gpu().replays, 2);
    ck_assert_int_eq(gpu().graphs, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gpu/graphs");
    TCase *tests = tcase_create("graphs");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, kept_steps_are_replayed);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
