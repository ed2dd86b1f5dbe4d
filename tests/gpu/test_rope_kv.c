/* rope_table and rope_kv: tables, q and pages equal the CPU's byte for byte; rows beyond the step stay as they are. */
#include "tests/gpu/kv_world.h"

enum { MAX_ROWS = 64, MAX_PAGES = 102 };

static const struct { int heads, kv_heads, head_dim; bool q_norm, k_norm; } shapes[] = {
    {9, 3, 64, false, false}, {4, 4, 48, true, true}, {8, 1, 128, true, false}, {2, 2, 80, false, true},
    {30, 1, 16, true, true},  {2, 1, 256, true, true}, {3, 1, 10, true, true},  {4, 2, 96, false, false},
    {1, 1, 32, true, true},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static const struct { int pos0, n_rows; } sequences[] = {{0, 1}, {15, 1}, {14, 3}, {0, 17}, {254, 5}, {16, 16}, {999, 1}};
enum { N_SEQS = sizeof sequences / sizeof *sequences };

struct tables {
    struct both inv_freq, table, gain;
};

static struct tables make_tables(struct kv_world *w)
{
    int hd = w->kv.head_dim;
    float inv_freq[MAX_HEAD_DIM / 2], gain[MAX_HEAD_DIM];
    for (int j = 0; j < hd / 2; j++)
        inv_freq[j] = powf(10000.0f, -2.0f * (float)j / (float)hd);
    for (int d = 0; d < hd; d++)
        gain[d] = 1.0f + 0.5f * some_float(1, 2, (uint32_t)d);
    struct tables t = {pair_alloc(&w->p, (size_t)hd / 2 * sizeof(float)),
                       pair_alloc(&w->p, (size_t)(MAX_ROWS * hd) * sizeof(float)),
                       pair_alloc(&w->p, (size_t)hd * sizeof(float))};
    pair_fill(&w->p, t.inv_freq, inv_freq, (size_t)hd / 2 * sizeof(float));
    pair_fill(&w->p, t.gain, gain, (size_t)hd * sizeof(float));
    return t;
}

static void run_step(struct kv_world *w, const struct tables *t, bool q_norm, bool k_norm)
{
    pair_fill(&w->p, w->qkv, w->rows, (size_t)(MAX_ROWS * w->ld) * sizeof(float));
    for (int d = 0; d < 2; d++) {
        const struct device_ops *ops = w->p.ops[d];
        struct stream *stream = w->p.stream[d];
        dptr step = w->p.step.at[d];
        pair_begin(&w->p, d, w->step);
        ops->rope_table(stream, &(struct op_rope_table){t->table.at[d], t->inv_freq.at[d], w->kv.head_dim / 2, 1.25f, step});
        ops->rope_kv(stream, &(struct op_rope_kv){
            .qkv = w->qkv.at[d], .ld = w->ld, .table = t->table.at[d], .q_gain = q_norm ? t->gain.at[d] : 0,
            .k_gain = k_norm ? t->gain.at[d] : 0, .eps = 1e-6f, .layer = WORLD_LAYER, .kv = w->kv, .step = step,
            .pool = w->pool.at[d]});
        pair_finish(&w->p, d);
    }
    pair_equal(&w->p, t->table, (size_t)(MAX_ROWS * w->kv.head_dim) * sizeof(float), "table");
    pair_equal(&w->p, w->qkv, (size_t)(MAX_ROWS * w->ld) * sizeof(float), "qkv");
    pair_equal(&w->p, w->pool, (size_t)w->n_pages * w->kv.page_bytes, "pages");
}

/* Two steps, the second with other pages for the same positions. */
START_TEST(equals_the_cpu)
{
    const struct step_limits limits = {.max_rows = MAX_ROWS, .max_seqs = N_SEQS, .max_logits = 1, .max_pages = MAX_PAGES};
    struct kv_world w;
    kv_open(&w, shapes[_i].heads, shapes[_i].kv_heads, shapes[_i].head_dim, limits, false);
    struct tables t = make_tables(&w);
    for (int step = 0; step < 2; step++) {
        kv_begin_step(&w);
        for (int q = step; q < N_SEQS; q++)
            kv_add_sequence(&w, sequences[q].pos0, sequences[q].n_rows);
        run_step(&w, &t, shapes[_i].q_norm, shapes[_i].k_norm);
    }
    kv_close(&w);
}
END_TEST

/* Values that F16 rounds to infinity, to a denormal and to 0, and ties. */
START_TEST(rounds_to_half)
{
    static const float values[] = {65519.9f, 65520.0f, -1e6f, 0x1p-24f, 0x1.8p-25f, 0x1p-25f, -0x1p-26f, 0x1.002p0f,
                                   0x1.006p0f, -0.0f, INFINITY, 0x1.ffcp-15f};
    const struct step_limits limits = {.max_rows = MAX_ROWS, .max_seqs = N_SEQS, .max_logits = 1, .max_pages = MAX_PAGES};
    struct kv_world w;
    kv_open(&w, 2, 2, 32, limits, false);
    struct tables t = make_tables(&w);
    kv_begin_step(&w);
    kv_add_sequence(&w, 0, 3);
    for (int c = 4 * 32; c < 6 * 32; c++)
        w.rows[w.ld + c] = values[c % 12];
    for (int j = 0; j < 2 * 16; j++) /* one element of a pair is 0, so that no infinity meets another */
        w.rows[w.ld + 2 * 32 + j / 16 * 32 + j % 16] = j % 12 == 10 ? 1.0f : values[j % 12];
    for (int j = 0; j < 2 * 16; j++)
        w.rows[w.ld + 2 * 32 + j / 16 * 32 + 16 + j % 16] = 0.0f;
    run_step(&w, &t, false, false);
    kv_close(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rope_kv");
    TCase *tests = tcase_create("rope_kv");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, equals_the_cpu, 0, N_SHAPES);
    tcase_add_test(tests, rounds_to_half);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
