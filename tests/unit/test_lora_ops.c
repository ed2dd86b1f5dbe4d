/* lora_shrink, lora_expand: any rank, any mix of adapters in a step, bit-equal in every instruction set. */
#include "kernels/cpu/math.h"
#include "ops_fixture.h"

enum { N_ADAPTERS = 8, N_LAYERS = 2, LAYER = 1, N_TARGETS = 3, POOL_PAGES = 600, MAX_ROWS = 80, MAX_PAGES = 640 };

static const struct { int rank, dtype; } adapters[N_ADAPTERS] = {
    {1, DTYPE_F16}, {4, DTYPE_F32}, {8, DTYPE_F16}, {16, DTYPE_F16}, {17, DTYPE_F32}, {64, DTYPE_F16}, {256, DTYPE_F16},
    {8, DTYPE_F16},
};

/* Widths of the input and of the outputs, side by side in y. */
static const struct { int in, out[N_TARGETS]; } shapes[] = {
    {576, {576, 192, 192}}, {48, {40, 7, 1}}, {33, {130, 16, 17}}, {128, {1500, 1024, 1025}},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static uint64_t seed;
static void setup(void) { seed = test_seed(); }

struct world {
    struct blocks blocks;
    struct op_lora op;
    struct step *step;
    char *pool;
    size_t page_bytes;
    int32_t pages[N_ADAPTERS][MAX_PAGES], n_pages[N_ADAPTERS];
    int next_page, shape;
    float *x, *y, *start, *workspace;
};

static char *page_at(const struct world *w, int adapter, int ordinal)
{
    return w->pool + (size_t)w->pages[adapter][ordinal] * w->page_bytes;
}

static int32_t add_page(struct world *w, int adapter)
{
    ck_assert_int_lt(w->next_page, POOL_PAGES);
    w->pages[adapter][w->n_pages[adapter]] = w->next_page++ * 77 % POOL_PAGES;
    return w->n_pages[adapter]++;
}

/* One slab of random numbers: `ranks` rows of n. Padding is NaN, stricter than lora_image.h: then a column too many
 * shows. */
static struct lora_slab add_slab(struct world *w, int adapter, int *used, int ranks, int n)
{
    bool f16 = adapters[adapter].dtype == DTYPE_F16;
    size_t bytes = (size_t)ranks * (size_t)pad_cols(n) * (f16 ? 2 : 4);
    if ((size_t)*used + bytes > w->page_bytes) {
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

/* Adapter 7 leaves target 1 alone. */
static void add_image(struct world *w, int adapter)
{
    int n_slabs = 0, used = 0, rank = adapters[adapter].rank, per_side = (rank + 15) / 16;
    add_page(w, adapter);
    struct lora_site *sites = (struct lora_site *)page_at(w, adapter, 0);
    struct lora_slab *slabs = (struct lora_slab *)(sites + N_LAYERS * LORA_TARGETS);
    memset(sites, 0, N_LAYERS * LORA_TARGETS * sizeof *sites);
    used = (int)((N_LAYERS * LORA_TARGETS * sizeof *sites + 6 * 16 * sizeof *slabs + 63) / 64 * 64);
    for (int i = 0; i < N_TARGETS; i++) {
        if (adapter == 7 && i == 1)
            continue;
        struct lora_site *site = &sites[lora_site_index(LAYER, LORA_Q + i)];
        *site = (struct lora_site){rank, adapters[adapter].dtype, 0.25f + (float)i, n_slabs};
        for (int side = 0; side < 2; side++)
            for (int s = 0; s < per_side; s++)
                slabs[n_slabs++] = add_slab(w, adapter, &used, rank - 16 * s < 16 ? rank - 16 * s : 16,
                                            side ? shapes[w->shape].out[i] : shapes[w->shape].in);
    }
}

static void add_segment(struct world *w, int adapter, int n_rows)
{
    struct step *s = w->step;
    if (adapter >= 0) {
        step_segments(s)[s->n_segments++] = (struct step_segment){s->n_rows, n_rows, s->n_pages, w->n_pages[adapter]};
        memcpy(step_pages(s) + s->n_pages, w->pages[adapter], (size_t)w->n_pages[adapter] * sizeof(int32_t));
        s->n_pages += w->n_pages[adapter];
    }
    s->n_rows += n_rows;
}

static void open_world(struct world *w, int shape)
{
    memset(w, 0, sizeof *w);
    w->shape = shape;
    w->page_bytes = 1 << 17;
    w->pool = take(&w->blocks, POOL_PAGES * w->page_bytes);
    w->step = new_step(&w->blocks, (struct step_limits){.max_rows = MAX_ROWS, .max_seqs = 16, .max_pages = MAX_PAGES});
    for (int a = 0; a < N_ADAPTERS; a++)
        add_image(w, a);
    w->op = (struct op_lora){.ldx = pad_cols(shapes[shape].in) + 16, .layer = LAYER, .n_layers = N_LAYERS,
                             .n_targets = N_TARGETS, .page_bytes = w->page_bytes, .pool = at(w->pool),
                             .step = at(w->step)};
    int col = 0;
    for (int i = 0; i < N_TARGETS; col += shapes[shape].out[i++]) {
        w->op.targets[i].target = LORA_Q + i;
        w->op.targets[i].col0 = col;
        w->op.targets[i].in = shapes[shape].in;
        w->op.targets[i].out = shapes[shape].out[i];
    }
    w->op.ldy = pad_cols(col);
    w->x = take_floats(&w->blocks, MAX_ROWS * w->op.ldx);
    w->y = take_floats(&w->blocks, MAX_ROWS * w->op.ldy);
    w->start = take_floats(&w->blocks, MAX_ROWS * w->op.ldy);
    w->workspace = take_floats(&w->blocks, MAX_ROWS * 3 * LORA_MAX_RANK);
    for (int i = 0; i < MAX_ROWS; i++)
        fill_random(&seed, w->x + i * w->op.ldx, shapes[shape].in); /* padding stays NaN */
    for (int i = 0; i < MAX_ROWS; i++)
        fill_random(&seed, w->start + i * w->op.ldy, col);
    w->op.x = at(w->x);
    w->op.y = at(w->y);
    w->op.workspace = at(w->workspace);
}

/* Rows of all adapters, 1 to 23 of each, and rows of none between them. */
static void mix_rows(struct world *w)
{
    static const int counts[N_ADAPTERS + 1] = {1, 2, 3, 1, 4, 5, 23, 9, 2};
    for (int a = 0; a < N_ADAPTERS; a++) {
        add_segment(w, a, counts[a]);
        if (a % 3 == 0)
            add_segment(w, -1, 2);
    }
    add_segment(w, 0, counts[N_ADAPTERS]); /* once more, elsewhere in the step */
    ck_assert_int_le(w->step->n_rows, MAX_ROWS);
}

static void run_lora(struct world *w, int variant, int threads)
{
    struct variant shrinks[] = VARIANTS(lora_shrink), expands[] = VARIANTS(lora_expand);
    memcpy(w->y, w->start, (size_t)(MAX_ROWS * w->op.ldy) * sizeof(float));
    memset(w->workspace, 0xff, MAX_ROWS * 3 * LORA_MAX_RANK * sizeof(float));
    run_phase(shrinks[variant].phase, &w->op, threads);
    run_phase(expands[variant].phase, &w->op, threads);
}

START_TEST(equals_the_reference)
{
    struct variant shrinks[] = VARIANTS(lora_shrink);
    struct world w;
    open_world(&w, _i);
    mix_rows(&w);
    size_t y_bytes = (size_t)(MAX_ROWS * w.op.ldy) * sizeof(float);
    size_t t_bytes = MAX_ROWS * 3 * LORA_MAX_RANK * sizeof(float);
    run_lora(&w, 0, 1);
    float *y = memcpy(take(&w.blocks, y_bytes), w.y, y_bytes);
    float *t = memcpy(take(&w.blocks, t_bytes), w.workspace, t_bytes);
    for (int v = 1; v < N_VARIANTS; v++)
        for (int threads = 1; shrinks[v].usable && threads <= 4; threads++) {
            run_lora(&w, v, threads);
            ck_assert_msg(!memcmp(t, w.workspace, t_bytes), "%s: A x differs", shrinks[v].isa);
            ck_assert_msg(!memcmp(y, w.y, y_bytes), "%s: y differs", shrinks[v].isa);
        }
    release(&w.blocks);
}
END_TEST

static double element(const struct world *w, int adapter, int slab, int64_t i)
{
    const struct lora_site *sites = (const struct lora_site *)page_at(w, adapter, 0);
    const struct lora_slab *slabs = (const struct lora_slab *)(sites + N_LAYERS * LORA_TARGETS);
    const char *data = page_at(w, adapter, slabs[slab].page) + slabs[slab].offset;
    bool f16 = adapters[adapter].dtype == DTYPE_F16;
    return (double)(f16 ? f16_to_f32(((const uint16_t *)data)[i]) : ((const float *)data)[i]);
}

/* y + scale · B (A x) in double; |A|, |B|, |x| ≤ 1, so t errs by in/16 + 16 and y by rank roundings. */
static void check_delta(const struct world *w, int adapter, int row, int target)
{
    const struct lora_site *sites = (const struct lora_site *)page_at(w, adapter, 0);
    const struct lora_site *site = &sites[lora_site_index(LAYER, LORA_Q + target)];
    int in = shapes[w->shape].in, out = shapes[w->shape].out[target], per_side = (site->rank + 15) / 16;
    double t[LORA_MAX_RANK], largest = 0;
    for (int r = 0; r < site->rank; r++) {
        t[r] = 0;
        for (int k = 0; k < in; k++)
            t[r] += element(w, adapter, site->slab0 + r / 16, r % 16 * pad_cols(in) + k) *
                    (double)w->x[row * w->op.ldx + k];
        t[r] *= (double)site->scale;
        largest = fmax(largest, fabs(t[r]));
    }
    double t_error = (double)site->scale * in * (in / 16 + 17) * 0x1p-24;
    double bound = site->rank * (t_error + (largest + 1) * (site->rank + 1) * 0x1p-24);
    for (int n = 0; n < out; n++) {
        double expected = (double)w->start[row * w->op.ldy + w->op.targets[target].col0 + n];
        for (int r = 0; r < site->rank; r++)
            expected += t[r] * element(w, adapter, site->slab0 + per_side + r / 16, r % 16 * pad_cols(out) + n);
        double got = (double)w->y[row * w->op.ldy + w->op.targets[target].col0 + n];
        ck_assert_double_le(fabs(got - expected), bound);
    }
}

START_TEST(adds_the_delta)
{
    struct world w;
    open_world(&w, _i);
    mix_rows(&w);
    run_lora(&w, 0, 1);
    static const int order[] = {0, 1, 2, 3, 4, 5, 6, 7, 0};
    int row = 0;
    for (int i = 0; i < w.step->n_segments; i++) {
        const struct step_segment *segment = &step_segments(w.step)[i];
        for (; row < segment->row0; row++) /* rows of no adapter stay as they were */
            ck_assert(!memcmp(w.y + row * w.op.ldy, w.start + row * w.op.ldy, (size_t)w.op.ldy * sizeof(float)));
        for (; row < segment->row0 + segment->n_rows; row++)
            for (int target = 0; target < N_TARGETS; target++)
                check_delta(&w, order[i], row, target);
    }
    release(&w.blocks);
}
END_TEST

/* A row's result is the same alone and among 22 others of its adapter. */
START_TEST(company_does_not_matter)
{
    struct variant shrinks[] = VARIANTS(lora_shrink);
    struct world w;
    open_world(&w, _i);
    size_t y_bytes = (size_t)(MAX_ROWS * w.op.ldy) * sizeof(float);
    float *together = take(&w.blocks, y_bytes);
    for (int v = 0; v < N_VARIANTS; v++) {
        if (!shrinks[v].usable)
            continue;
        w.step->n_rows = w.step->n_segments = w.step->n_pages = 0;
        add_segment(&w, 5, 23);
        run_lora(&w, v, 2);
        memcpy(together, w.y, y_bytes);
        w.step->n_rows = w.step->n_segments = w.step->n_pages = 0;
        add_segment(&w, 5, 1);
        for (int row = 0; row < 23; row++) {
            step_segments(w.step)[0].row0 = row;
            run_lora(&w, v, 1);
            ck_assert(!memcmp(w.y + row * w.op.ldy, together + row * w.op.ldy, (size_t)w.op.ldy * sizeof(float)));
        }
    }
    release(&w.blocks);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lora_ops");
    TCase *tests = tcase_create("lora_ops");
    tcase_add_unchecked_fixture(tests, setup, NULL);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, equals_the_reference, 0, N_SHAPES);
    tcase_add_loop_test(tests, adds_the_delta, 0, N_SHAPES);
    tcase_add_loop_test(tests, company_does_not_matter, 0, N_SHAPES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
