/* attention: float32 and int8 outputs equal the CPU's byte for byte: decode, chunks of prompts, and both in one step. Slots
 * that no token wrote are NaN, pages lie in no order, and a second step finds the workspace as the first one left it. */
#include "tests/gpu/kv_world.h"

enum { MAX_ROWS = 96, MAX_SEQS = 12, MAX_PAGES = 350 };

static const struct { int heads, kv_heads, head_dim; } shapes[] = {
    {2, 2, 32}, {2, 1, 64}, {9, 3, 64}, {4, 1, 128}, {8, 1, 64}, {9, 1, 80}, {2, 2, 80}, {3, 1, 96}, {2, 1, 256},
    {4, 2, 48}, {17, 1, 16}, {3, 1, 10}, {33, 1, 32},
};
#ifdef __SANITIZE_THREAD__ /* takes ten times as long: two shapes, of which one is cut into parts and ragged */
enum { FIRST_SHAPE = 4, N_SHAPES = 6 };
#else
enum { FIRST_SHAPE = 0, N_SHAPES = sizeof shapes / sizeof *shapes };
#endif

struct rows { int pos0, n_rows; };

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
    pair_equal(&w->p, w->out, (size_t)(MAX_ROWS * pad_cols(w->cols)) * sizeof(float), "out");
    if (w->q8.at[CPU])
        pair_equal(&w->p, w->q8, MAX_ROWS * q8_row_bytes(w->cols), "int8 out");
    float first;
    pair_read(&w->p, GPU, &first, w->out, sizeof first);
    ck_assert_msg(!isnan(first), "nothing was computed");
}

static void open_world(struct kv_world *w, int shape)
{
    const struct step_limits limits = {.max_rows = MAX_ROWS, .max_seqs = MAX_SEQS, .max_logits = 1, .max_pages = MAX_PAGES};
    kv_open(w, shapes[shape].heads, shapes[shape].kv_heads, shapes[shape].head_dim, limits, false);
}

/* All sequences in one step, and again in another order, with other pages. */
static void check_steps(int shape, const struct rows *sequences, int n)
{
    struct kv_world w;
    open_world(&w, shape);
    for (int step = 0; step < 2; step++) {
        kv_begin_step(&w);
        for (int i = 0; i < n; i++) {
            const struct rows *r = &sequences[step ? n - 1 - i : i];
            kv_add_sequence(&w, r->pos0, r->n_rows);
        }
        kv_write_contexts(&w);
        attend(&w, 1.0f / sqrtf((float)w.kv.head_dim));
    }
    kv_close(&w);
}

START_TEST(decode)
{
    static const struct rows few[] = {{0, 1}, {14, 1}, {15, 1}, {16, 1}, {254, 1}, {255, 1}, {256, 1}};
    static const struct rows many[] = {{699, 1}, {512, 1}, {31, 1}, {300, 1}};
    check_steps(_i, few, 7);
    check_steps(_i, many, 4);
}
END_TEST

START_TEST(prefill)
{
    static const struct rows sequences[] = {{0, 15}, {14, 3}, {250, 12}, {255, 2}, {510, 5}, {16, 16}};
    check_steps(_i, sequences, 6);
}
END_TEST

START_TEST(mixed)
{
    static const struct rows sequences[] = {{40, 1}, {0, 33}, {300, 1}, {255, 3}, {256, 1}, {0, 1}, {15, 2}};
    check_steps(_i, sequences, 7);
}
END_TEST

/* One row alone, and a step that holds as many rows and sequences as it may. */
START_TEST(smallest_and_largest)
{
    static const struct rows one[] = {{0, 1}}, two[] = {{0, 2}};
    static const struct rows full[MAX_SEQS] = {{9, 1}, {8, 1}, {7, 1}, {6, 1}, {5, 1}, {4, 1}, {3, 1}, {2, 1}, {1, 1},
                                               {0, 1}, {17, 40}, {1, 46}};
    check_steps(_i, one, 1);
    check_steps(_i, two, 1);
    check_steps(_i, full, MAX_SEQS);
}
END_TEST

/* Queries and keys whose products are infinite or far apart: weights of 1, 0, and maxima that later splits change. */
START_TEST(huge_scores)
{
    struct kv_world w;
    open_world(&w, _i);
    kv_begin_step(&w);
    kv_add_sequence(&w, 520, 1);
    kv_add_sequence(&w, 272, 4);
    kv_add_sequence(&w, 3, 1);
    kv_write_contexts(&w);
    for (int row = 0; row < w.step->n_rows; row++)
        for (int c = 0; c < w.cols; c++)
            w.rows[row * w.ld + c] = c % w.kv.head_dim ? 0.0f : row % 2 ? -3e38f : 2e4f;
    for (int i = 0; i < w.step->n_seqs; i++) {
        const struct step_seq *seq = &step_seqs(w.step)[i];
        for (int t = 0; t < seq->pos0 + seq->n_rows; t++)
            for (int head = 0; head < w.kv.n_kv_heads; head++) {
                int stride; /* −3e38 · 2 is −∞, 2e4 · 2 leaves a weight to nobody else; in every split some are near 0 */
                *kv_slot(&w, seq, t, head, false, &stride) = t % 100 == 3 ? f32_to_f16(2.0f) : f32_to_f16(1e-4f * (float)(t % 7));
            }
    }
    for (int head = 0; head < w.kv.n_kv_heads; head++) { /* what the last of four rows alone sees */
        int stride;
        *kv_slot(&w, &step_seqs(w.step)[1], 275, head, true, &stride) = f32_to_f16(INFINITY);
    }
    kv_upload(&w);
    attend(&w, 0.125f);
    kv_close(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attention");
    const struct { const char *name; const TTest *test; int first, end; } cases[] = {
        {"decode", decode, FIRST_SHAPE, N_SHAPES}, {"prefill", prefill, FIRST_SHAPE, N_SHAPES},
        {"mixed", mixed, FIRST_SHAPE, N_SHAPES}, {"sizes", smallest_and_largest, 0, FIRST_SHAPE ? 1 : 3},
        {"huge", huge_scores, 0, FIRST_SHAPE ? 1 : 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TCase *tests = tcase_create(cases[i].name);
        tcase_set_timeout(tests, 240);
        tcase_add_loop_test(tests, cases[i].test, cases[i].first, cases[i].end);
        suite_add_tcase(suite, tests);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
