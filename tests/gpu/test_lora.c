/* LoRA on the GPU: t and y are the reference's, byte for byte, for any rank, any mix of adapters and rows in a step. */
#include "kernels/cpu/math.h"
#include "pair.h"
#include "tests/unit/ops_fixture.h"

#include <math.h>

enum { N_LAYERS = 2, LAYER = 1, PAGE_BYTES = 1 << 17, POOL_PAGES = 160 };
enum { MOST_PAGES = 2048, MOST_ROWS = 320, MOST_SEGMENTS = 64, T_BYTES = MOST_ROWS * 3 * LORA_MAX_RANK * 4 };

static const struct { int rank, dtype; } adapters[] = {
    {1, DTYPE_F16}, {3, DTYPE_F32}, {4, DTYPE_F32}, {8, DTYPE_F16}, {16, DTYPE_F16}, {17, DTYPE_F32},
    {40, DTYPE_F16}, {64, DTYPE_F16}, {256, DTYPE_F16}, {8, DTYPE_F16},
};
enum { N_ADAPTERS = sizeof adapters / sizeof *adapters, PARTIAL = N_ADAPTERS - 1 /* leaves target 1 alone */ };

/* Widths of the input and of the outputs, side by side in y. Chunks of shrink are 64, 128 or 256 columns; blocks of
 * expand 512. */
static const struct shape { int in, n_targets, out[3]; } shapes[] = {
    {576, 3, {576, 192, 192}}, {48, 3, {40, 7, 1}}, {33, 2, {130, 16}}, {128, 3, {700, 512, 513}}, {1536, 1, {576}},
    {256, 1, {32}}, {257, 2, {64, 64}},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

struct world {
    const struct shape *shape;
    struct blocks blocks;
    struct step *step;
    char *pool; /* the host's copy of what lies at d_pool */
    int32_t pages[N_ADAPTERS][POOL_PAGES], n_pages[N_ADAPTERS];
    int next_page;
    int64_t ldx, ldy;
    struct both d_pool, x, y, workspace;
    float *start; /* y before */
};

static uint64_t seed;
static struct pair pair;

static void setup(void)
{
    seed = test_seed();
    pair_open(&pair);
}

static void teardown(void) { pair_close(&pair); }

/* --- Images in shuffled pages. --- */

static char *page_at(const struct world *w, int adapter, int ordinal)
{
    return w->pool + (size_t)w->pages[adapter][ordinal] * PAGE_BYTES;
}

static void add_page(struct world *w, int adapter)
{
    ck_assert_int_lt(w->next_page, POOL_PAGES);
    w->pages[adapter][w->n_pages[adapter]++] = w->next_page++ * 77 % POOL_PAGES;
}

/* One slab of random numbers: `ranks` rows of n. Padding is NaN, stricter than lora_image.h: then a column too many
 * shows. */
static struct lora_slab add_slab(struct world *w, int adapter, int *used, int ranks, int n)
{
    bool f16 = adapters[adapter].dtype == DTYPE_F16;
    size_t bytes = (size_t)ranks * (size_t)pad_cols(n) * (f16 ? 2 : 4);
    if ((size_t)*used + bytes > PAGE_BYTES) {
        add_page(w, adapter);
        *used = 0;
    }
    struct lora_slab slab = {w->n_pages[adapter] - 1, *used};
    char *data = page_at(w, adapter, slab.page) + slab.offset;
    for (int i = 0; i < ranks * pad_cols(n); i++) {
        float v = i % pad_cols(n) < n ? random_float(&seed) : NAN;
        if (f16)
            ((uint16_t *)data)[i] = f32_to_f16(v);
        else
            ((float *)data)[i] = v;
    }
    *used = (int)(((size_t)*used + bytes + 63) / 64 * 64);
    return slab;
}

static void add_image(struct world *w, int adapter)
{
    int n_slabs = 0, rank = adapters[adapter].rank, per_side = (rank + 15) / 16;
    add_page(w, adapter);
    struct lora_site *sites = (struct lora_site *)page_at(w, adapter, 0);
    struct lora_slab *slabs = (struct lora_slab *)(sites + N_LAYERS * LORA_TARGETS);
    memset(sites, 0, N_LAYERS * LORA_TARGETS * sizeof *sites);
    int used = (int)((N_LAYERS * LORA_TARGETS * sizeof *sites + 6 * 16 * sizeof *slabs + 63) / 64 * 64);
    for (int i = 0; i < w->shape->n_targets; i++) {
        if (adapter == PARTIAL && i == 1)
            continue;
        sites[lora_site_index(LAYER, LORA_Q + i)] =
            (struct lora_site){rank, adapters[adapter].dtype, 0.25f + (float)i, n_slabs};
        for (int side = 0; side < 2; side++)
            for (int s = 0; s < per_side; s++)
                slabs[n_slabs++] = add_slab(w, adapter, &used, rank - 16 * s < 16 ? rank - 16 * s : 16,
                                            side ? w->shape->out[i] : w->shape->in);
    }
}

/* --- Steps. --- */

/* A sequence of n_rows rows, on adapter `adapter` or on none (−1). */
static void add_rows(struct world *w, int adapter, int n_rows)
{
    struct step *s = w->step;
    if (adapter >= 0) {
        step_segments(s)[s->n_segments++] = (struct step_segment){s->n_rows, n_rows, s->n_pages, w->n_pages[adapter]};
        memcpy(step_pages(s) + s->n_pages, w->pages[adapter], (size_t)w->n_pages[adapter] * sizeof(int32_t));
        s->n_pages += w->n_pages[adapter];
    }
    ck_assert_int_le(s->n_pages, MOST_PAGES);
    ck_assert_int_le(s->n_rows + n_rows, MOST_ROWS);
    add_sequence(s, 0, n_rows, (int32_t[]){0}, 0);
}

static struct both random_rows(int64_t ld, int64_t cols, float **host) /* padding is NaN */
{
    size_t bytes = (size_t)(MOST_ROWS * ld) * sizeof(float);
    float *rows = malloc(bytes);
    memset(rows, 0xff, bytes);
    for (int i = 0; i < MOST_ROWS; i++)
        fill_random(&seed, rows + i * ld, cols);
    struct both to = pair_alloc(&pair, bytes);
    pair_fill(&pair, to, rows, bytes);
    *host = rows;
    return to;
}

static void open_world(struct world *w, int shape)
{
    memset(w, 0, sizeof *w);
    w->shape = &shapes[shape];
    w->pool = malloc((size_t)POOL_PAGES * PAGE_BYTES);
    memset(w->pool, 0xff, (size_t)POOL_PAGES * PAGE_BYTES);
    for (int a = 0; a < N_ADAPTERS; a++)
        add_image(w, a);
    w->d_pool = pair_alloc(&pair, (size_t)POOL_PAGES * PAGE_BYTES);
    pair_fill(&pair, w->d_pool, w->pool, (size_t)POOL_PAGES * PAGE_BYTES);
    w->step = new_step(&w->blocks, (struct step_limits){.max_rows = MOST_ROWS, .max_seqs = MOST_SEGMENTS + 8,
                                                        .max_pages = MOST_PAGES});
    int cols = 0;
    for (int i = 0; i < w->shape->n_targets; i++)
        cols += w->shape->out[i];
    w->ldx = pad_cols(w->shape->in) + 16;
    w->ldy = pad_cols(cols);
    float *x;
    w->x = random_rows(w->ldx, w->shape->in, &x);
    free(x);
    w->y = random_rows(w->ldy, cols, &w->start);
    w->workspace = pair_alloc(&pair, T_BYTES);
}

static void close_world(struct world *w)
{
    free(w->pool);
    free(w->start);
    pair_release(&pair);
    release(&w->blocks);
}

/* Runs the step on both devices and compares t, y and what was not to be touched. */
static void check_step(struct world *w)
{
    size_t y_bytes = (size_t)(MOST_ROWS * w->ldy) * sizeof(float);
    void *nan = malloc(T_BYTES);
    memset(nan, 0xff, T_BYTES);
    pair_fill(&pair, w->workspace, nan, T_BYTES);
    pair_fill(&pair, w->y, w->start, y_bytes);
    free(nan);
    for (int d = 0; d < 2; d++) {
        struct op_lora op = {.y = w->y.at[d], .ldy = w->ldy, .x = w->x.at[d], .ldx = w->ldx, .layer = LAYER,
                             .n_layers = N_LAYERS, .n_targets = w->shape->n_targets, .page_bytes = PAGE_BYTES,
                             .pool = w->d_pool.at[d], .step = pair.step.at[d], .workspace = w->workspace.at[d]};
        for (int i = 0, col = 0; i < op.n_targets; col += w->shape->out[i++]) {
            op.targets[i].target = LORA_Q + i;
            op.targets[i].col0 = col;
            op.targets[i].in = w->shape->in;
            op.targets[i].out = w->shape->out[i];
        }
        pair_begin(&pair, d, w->step);
        pair.ops[d]->lora(pair.stream[d], &op);
        pair_finish(&pair, d);
    }
    pair_equal(&pair, w->workspace, T_BYTES, "t");
    pair_equal(&pair, w->y, y_bytes, "y");
}

/* All adapters at once, 1 to 37 rows of each and rows of none between them; adapter 0 comes twice. */
START_TEST(mixed_step)
{
    static const int counts[N_ADAPTERS] = {1, 2, 3, 4, 5, 16, 17, 8, 9, 37};
    struct world w;
    open_world(&w, _i);
    for (int a = 0; a < N_ADAPTERS; a++) {
        add_rows(&w, a, counts[(a + _i) % N_ADAPTERS]);
        if (a % 3 == 0)
            add_rows(&w, -1, 2);
    }
    add_rows(&w, 0, 2);
    check_step(&w);
    close_world(&w);
}
END_TEST

/* Decode: as many sequences as a step holds, each on an adapter of its own turn. */
START_TEST(one_row_each)
{
    struct world w;
    open_world(&w, _i);
    for (int i = 0; i < MOST_SEGMENTS; i++)
        add_rows(&w, i % N_ADAPTERS, 1);
    check_step(&w);
    close_world(&w);
}
END_TEST

/* Each adapter alone with one row: the grid walks over ranks the most. */
START_TEST(one_row)
{
    struct world w;
    open_world(&w, 0);
    add_rows(&w, _i, 1);
    check_step(&w);
    close_world(&w);
}
END_TEST

START_TEST(long_prompt)
{
    struct world w;
    open_world(&w, 0);
    add_rows(&w, -1, 1);
    add_rows(&w, 5, 300);
    add_rows(&w, 3, 1);
    check_step(&w);
    close_world(&w);
}
END_TEST

/* Sequences without adapters in a step that has one; then a warm-up's step, which has rows of nobody. */
START_TEST(nothing_to_do)
{
    struct world w;
    open_world(&w, 0);
    for (int i = 0; i < 40; i++)
        add_rows(&w, -1, 1);
    add_rows(&w, 4, 1);
    check_step(&w);
    w.step->n_segments = 0;
    check_step(&w);
    close_world(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lora");
    TCase *tests = tcase_create("lora");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, mixed_step, 0, N_SHAPES);
    tcase_add_loop_test(tests, one_row_each, 0, N_SHAPES);
    tcase_add_loop_test(tests, one_row, 0, N_ADAPTERS);
    tcase_add_test(tests, long_prompt);
    tcase_add_test(tests, nothing_to_do);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
