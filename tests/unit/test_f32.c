/* Float32 kernels: products and their transposes against sums in double, ragged shapes, and the same bits from every
 * instruction set and any split into ranges. Layers as wholes: tests/golden/test_lora_gradient.py. */
#include "kernels/f32/f32.h"
#include "weights.h"

#include <check.h>
#include <stdio.h>

static const struct f32_kernels *sets[2];
static int n_sets;
static uint64_t seed = 5;

struct shape { int64_t rows, cols, n; };
static const struct shape shapes[] = {
    {1, 1, 1}, {12, 60, 32}, {13, 61, 33}, {7, 5, 16}, {48, 240, 17}, {25, 241, 49}, {130, 300, 96}, {300, 3, 70},
};

static void setup(void)
{
    for (int i = 0; i < 2; i++)
        if (f32_select(i ? "avx512" : "avx2", &sets[n_sets], NULL) == 0)
            n_sets++;
}

static float *filled(int64_t floats)
{
    float *x = malloc((size_t)floats * sizeof *x);
    for (int64_t i = 0; i < floats; i++)
        x[i] = random_float(&seed);
    return x;
}

static float *block_at(float *x, int64_t features, int64_t row, int64_t f)
{
    return x + row / F32_ROWS * features * F32_ROWS + f * F32_ROWS + row % F32_ROWS;
}

static float *packed(const float *w, struct shape s)
{
    float *out = filled(f32_packed_floats(s.rows, s.cols));
    for (int64_t p = 0; p < f32_panels(s.rows); p++)
        f32_pack_panel(out, p, w + p * F32_PANEL * s.cols, s.rows - p * F32_PANEL, s.cols, s.cols);
    for (int64_t i = 0; i < s.rows; i++)
        for (int64_t j = 0; j < s.cols; j++)
            ck_assert(out[f32_packed_at(s.cols, i, j)] == w[i * s.cols + j]);
    return out;
}

/* Every panel and block by itself, in a scattered order. */
static void run_split(const struct f32_product *p, bool back, const struct f32_kernels *k)
{
    int64_t panels = f32_panels(back ? p->cols : p->rows), blocks = f32_blocks(p->n), n = panels * blocks;
    for (int64_t i = 0, at = 0; i < n; i++, at = (at + 1) % n) {
        struct f32_range a = {at / blocks, at / blocks + 1}, b = {at % blocks, at % blocks + 1};
        (back ? k->product_back : k->product)(p, a, b);
    }
}

static void check_product(struct shape s, bool back, bool add)
{
    int64_t in = back ? s.rows : s.cols, out = back ? s.cols : s.rows, rows = f32_blocks(s.n) * F32_ROWS;
    float *w = filled(s.rows * s.cols), *p = packed(w, s), *x = filled(rows * in), *start = filled(rows * out);
    float *bias = filled(s.rows), *first = NULL;
    for (int i = 0; i <= n_sets; i++) { /* the last time in parts */
        float *y = malloc((size_t)(rows * out) * sizeof *y);
        memcpy(y, start, (size_t)(rows * out) * sizeof *y);
        struct f32_product op = {.w = p, .rows = s.rows, .cols = s.cols, .x = x, .x_stride = in * F32_ROWS, .y = y,
                                 .y_stride = out * F32_ROWS, .bias = back ? NULL : bias, .add = add, .n = s.n};
        if (i == n_sets)
            run_split(&op, back, sets[0]);
        else
            (back ? sets[i]->product_back : sets[i]->product)(&op, (struct f32_range){0, f32_panels(out)},
                                                              (struct f32_range){0, f32_blocks(s.n)});
        for (int64_t row = 0; row < s.n; row++)
            for (int64_t f = 0; f < out; f++) {
                double sum = add ? *block_at(start, out, row, f) : back ? 0 : bias[f], size = fabs(sum);
                for (int64_t k = 0; k < in; k++) {
                    double term = (double)(back ? w[k * s.cols + f] : w[f * s.cols + k]) * *block_at(x, in, row, k);
                    sum += term;
                    size += fabs(term);
                }
                float got = *block_at(y, out, row, f);
                ck_assert_msg(fabs(got - sum) <= 1e-6 * size, "%g for %g", (double)got, sum);
                ck_assert(!first || got == *block_at(first, out, row, f));
            }
        if (first)
            free(y);
        else
            first = y;
    }
    float *all[] = {w, p, x, start, bias, first};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

START_TEST(products)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int how = 0; how < 4; how++)
            check_product(shapes[i], how & 1, how & 2);
}
END_TEST

/* Rows first … end−1 only, placed anywhere: the sum depends on the rows' values alone. */
START_TEST(outer_products)
{
    enum { FEATURES = 29, COLS = 37, LD = 48, ROWS = 77 };
    float *u = filled(4 * F32_ROWS * FEATURES + F32_SLACK), *v = filled(4 * F32_ROWS * LD), *first = NULL;
    for (int i = 0; i < 2 * n_sets; i++) {
        int64_t at = i / n_sets * 19; /* where the sequence begins */
        float *shifted = filled(4 * F32_ROWS * FEATURES + F32_SLACK), *moved = filled(4 * F32_ROWS * LD);
        float *out = calloc(FEATURES * COLS, sizeof *out);
        for (int64_t row = 0; row < ROWS; row++) {
            for (int64_t f = 0; f < FEATURES; f++)
                *block_at(shifted, FEATURES, at + row, f) = *block_at(u, FEATURES, row, f);
            memcpy(moved + (at + row) * LD, v + row * LD, LD * sizeof *v);
        }
        struct f32_outer o = {.u = shifted, .u_stride = FEATURES * F32_ROWS, .features = FEATURES, .v = moved,
                              .v_ld = LD, .cols = COLS, .out = out, .f_step = i % 2 ? 1 : COLS,
                              .r_step = i % 2 ? FEATURES : 1, .scale = 0.5f};
        sets[i % n_sets]->outer(&o, (struct f32_range){0, f32_panels(FEATURES)}, (struct f32_range){at, at + ROWS});
        for (int64_t f = 0; f < FEATURES; f++)
            for (int64_t r = 0; r < COLS; r++) {
                double sum = 0, size = 0;
                float got = out[f * o.f_step + r * o.r_step];
                for (int64_t row = 0; row < ROWS; row++) {
                    double term = 0.5 * (double)*block_at(u, FEATURES, row, f) * v[row * LD + r];
                    sum += term;
                    size += fabs(term);
                }
                ck_assert(fabs(got - sum) <= 1e-6 * size);
                ck_assert(!first || got == first[f * COLS + r]);
            }
        free(shifted);
        free(moved);
        if (first)
            free(out);
        else
            first = out;
    }
    free(u);
    free(v);
    free(first);
}
END_TEST

/* Adding a dropped strip is adding what dropping alone gives; the same for the norm's gradient. */
START_TEST(added)
{
    enum { FEATURES = 77, FLOATS = FEATURES * F32_ROWS };
    float *x = filled(FLOATS), *gain = filled(FEATURES), *start = filled(FLOATS), *d = filled(FLOATS);
    float *alone = calloc(FLOATS, sizeof *alone), *sum = malloc(FLOATS * sizeof *sum), r[F32_STRIP];
    uint64_t key[F32_STRIP] = {3, 1 << 20, 77};
    struct f32_norm norm = {.x = x, .gain = gain, .features = FEATURES, .eps = 1e-5f};
    for (int i = 0; i < F32_STRIP; i++)
        r[i] = 1 + (float)i / 7;
    for (int how = 0; how < 2 * n_sets; how++) {
        const struct f32_kernels *k = sets[how / 2];
        memcpy(sum, start, FLOATS * sizeof *sum);
        if (how % 2) {
            k->norm_back(&norm, r, d, alone, false);
            k->norm_back(&norm, r, d, sum, true);
        } else {
            k->dropout(x, alone, key, 0.3f, FEATURES, false);
            k->dropout(x, sum, key, 0.3f, FEATURES, true);
        }
        for (int f = 0; f < FEATURES; f++)
            for (int i = f * F32_ROWS; i < f * F32_ROWS + F32_STRIP; i++)
                ck_assert(sum[i] == start[i] + alone[i]);
    }
    float *all[] = {x, gain, start, d, alone, sum};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}
END_TEST

START_TEST(dropout_masks)
{
    enum { FEATURES = 5000 };
    float *x = filled(FEATURES * F32_ROWS), *first = filled(FEATURES * F32_ROWS), *out = filled(FEATURES * F32_ROWS);
    uint64_t key[F32_STRIP];
    for (int i = 0; i < F32_STRIP; i++)
        key[i] = (uint64_t)i * 0x9e3779b97f4a7c15u;
    sets[0]->dropout(x, first, key, 0.25f, FEATURES, false);
    sets[n_sets - 1]->dropout(x, out, key, 0.25f, FEATURES, false);
    for (int i = 0; i < F32_STRIP; i++) {
        int kept = 0, same = 0;
        for (int f = 0; f < FEATURES; f++) {
            float y = out[f * F32_ROWS + i], full = x[f * F32_ROWS + i] * (1 / 0.75f);
            ck_assert(y == first[f * F32_ROWS + i] && (y == 0 || y == full));
            kept += y != 0;
            same += (y != 0) == (out[f * F32_ROWS] != 0);
        }
        /* five standard deviations of 5000 draws; another row's mask agrees in 0.75² + 0.25² of the places */
        ck_assert_int_le(abs(kept - FEATURES * 3 / 4), 155);
        ck_assert(!i || abs(same - FEATURES * 5 / 8) <= 175);
    }
    free(x);
    free(first);
    free(out);
}
END_TEST

START_TEST(selection)
{
    const struct f32_kernels *k;
    struct err e;
    ck_assert_int_eq(f32_select("sse", &k, &e), OL_EUNSUPPORTED);
    ck_assert_int_eq(f32_select(NULL, &k, &e), 0);
}
END_TEST

int main(void)
{
    setup();
    if (!n_sets) {
        puts("no AVX2 here: nothing to test");
        return 0;
    }
    Suite *suite = suite_create("f32");
    TCase *t = tcase_create("f32");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, products);
    tcase_add_test(t, outer_products);
    tcase_add_test(t, added);
    tcase_add_test(t, dropout_masks);
    tcase_add_test(t, selection);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
