/* Products on the GPU equal the CPU's reference bit for bit, for every type of weights: shapes that fill no tile, any
 * number of rows, bias, results in columns of a wider matrix, stacked and reordered tensors, and counts that only the
 * step in device memory knows. What they shall not write stays 0xff. */
#include "tests/gpu/products.h"

/* ThreadSanitizer's emulator takes ten times as long and looks at order alone: it runs every so-many-th case. */
#ifdef __SANITIZE_THREAD__
enum { EVERY = 5 };
#else
enum { EVERY = 1 };
#endif

struct product_case {
    int64_t out, cols;
    int rows;          /* of the step that begin sees */
    int device_rows;   /* of the step in device memory; −1: the same */
    bool bias, logits; /* logits: `rows` of them, one row of the step each, ROWS_LOGITS */
    int64_t col0, ldy; /* ldy 0: just wide enough */
};

/* Loads w, runs one product on both devices, compares all of y. */
static void check_product(struct pair *p, const struct product_case *c, const struct weight_part *parts, int n_parts)
{
    struct weight *w[2];
    int64_t ldy = c->ldy ? c->ldy : pad_cols(c->out);
    size_t y_bytes = (size_t)(c->rows * ldy) * sizeof(float);
    int rows = c->device_rows >= 0 ? c->device_rows : c->rows;
    /* as many rows as the step has, not as the bucket: more may not be read */
    struct both a = dtype_is_quantized(parts->dtype) ? product_q8(p, rows > 0 ? rows : 1, c->cols, 7)
                                                     : product_f32(p, rows > 0 ? rows : 1, c->cols, 7);
    struct both y = pair_alloc(p, y_bytes), bias = product_f32(p, 1, c->out, 9);
    struct step *host = product_step(c->logits ? 128 : c->rows, c->logits ? c->rows : 0);
    struct step *there = product_step(c->logits ? 128 : rows, c->logits ? rows : 0);
    char what[120];
    snprintf(what, sizeof what, "%s (%lld, %lld), %d rows", dtype_info(parts->dtype)->name, (long long)c->out,
             (long long)c->cols, rows);
    product_load(p, parts, n_parts, w);
    for (int d = 0; d < 2; d++) {
        p->ops[d]->begin(p->stream[d], host, false);
        p->ops[d]->copy_in(p->stream[d], p->step.at[d], there, step_layout(&there->limits).bytes);
        struct op_matmul op = {.y = y.at[d] + (dptr)c->col0 * 4, .ldy = ldy, .w = w[d], .step = p->step.at[d],
                               .bias = c->bias ? bias.at[d] : 0, .rows = c->logits ? ROWS_LOGITS : ROWS_ALL};
        op.a.f32 = op.a.q8 = a.at[d];
        p->ops[d]->matmul(p->stream[d], &op);
        pair_finish(p, d);
    }
    pair_equal(p, y, y_bytes, what);
    product_unload(p, w);
    free(host);
    free(there);
}

/* One tensor, and buffers of its own. */
static void check_tensor(struct pair *p, enum dtype t, struct product_case c)
{
    int kept = p->n_buffers;
    if (c.cols % dtype_info(t)->block)
        return;
    struct weight_part part = product_tensor(t, c.out, c.cols, (uint64_t)(c.out * 131 + c.cols * 17 + t));
    check_product(p, &c, &part, 1);
    free((void *)(uintptr_t)part.data);
    ck_assert_int_ge(p->n_buffers, kept);
    if (p->n_buffers > PAIR_MAX_BUFFERS - 4) { /* also looks at the guards */
        pair_release(p);
        p->step = pair_alloc(p, PAIR_MAX_STEP_BYTES);
    }
}

START_TEST(few_rows)
{
    static const int64_t shape[][2] = {{16, 32}, {40, 64}, {33, 96}, {70, 576}, {17, 256}, {48, 512}, {23, 1536}};
    static const int rows[] = {1, 2, 3, 7, 8, 9, 15, 16};
    struct pair p;
    pair_open(&p);
    const size_t n_rows = sizeof rows / sizeof *rows;
    for (size_t i = 0; i < sizeof shape / sizeof *shape * n_rows; i += EVERY) {
        size_t s = i / n_rows, r = i % n_rows;
        check_tensor(&p, (enum dtype)_i, (struct product_case){shape[s][0], shape[s][1], rows[r], -1, .bias = r % 2});
    }
    pair_close(&p);
}
END_TEST

/* Long rows: every stage is filled again and again, and accumulators go around the ring of warps. */
START_TEST(long_rows)
{
    struct pair p;
    pair_open(&p);
    int64_t cols = dtype_info((enum dtype)_i)->block == 256 ? 10240 : 10272;
    for (int rows = 1; rows <= 16; rows += 5)
        check_tensor(&p, (enum dtype)_i, (struct product_case){24, cols, rows, -1, .bias = false});
    pair_close(&p);
}
END_TEST

/* Tall matrices: as many blocks as a GPU takes at once, and then fewer warps in each. */
START_TEST(tall_weights)
{
    struct pair p;
    pair_open(&p);
    check_tensor(&p, (enum dtype)_i, (struct product_case){4300, 256, 1, -1, .bias = false});
    check_tensor(&p, (enum dtype)_i, (struct product_case){4300, 512, 2, -1, .bias = true});
    pair_close(&p);
}
END_TEST

START_TEST(many_rows)
{
    static const int64_t shape[][2] = {{16, 32}, {130, 96}, {70, 576}, {200, 256}, {64, 64}, {129, 512}};
    static const int rows[] = {17, 33, 64, 100};
    struct pair p;
    pair_open(&p);
    const size_t n_rows = sizeof rows / sizeof *rows;
    for (size_t i = 0; i < sizeof shape / sizeof *shape * n_rows; i += EVERY) {
        size_t s = i / n_rows, r = i % n_rows;
        check_tensor(&p, (enum dtype)_i, (struct product_case){shape[s][0], shape[s][1], rows[r], -1, .bias = r % 2});
    }
    pair_close(&p);
}
END_TEST

/* As many blocks as fill a GPU: the larger tiles. */
START_TEST(many_rows_of_tall_weights)
{
    struct pair p;
    pair_open(&p);
    int64_t cols = dtype_info((enum dtype)_i)->block == 256 ? 256 : 96;
    check_tensor(&p, (enum dtype)_i, (struct product_case){8300, cols, 128, 121, .bias = true});
    pair_close(&p);
}
END_TEST

/* How many rows there are, only the device knows; and what other columns hold is not ours. */
START_TEST(counts_and_slices)
{
    static const int rows[][2] = {{4, 3}, {16, 9}, {16, 0}, {1, 1}, {64, 17}, {64, 33}, {128, 0}, {128, 65}};
    struct pair p;
    pair_open(&p);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct product_case c = {50, 256, rows[r][0], rows[r][1], .bias = true, .logits = r % 2, .col0 = 5, .ldy = 80};
        check_tensor(&p, (enum dtype)_i, c);
    }
    pair_close(&p);
}
END_TEST

/* q, k and v of a model: three tensors in one, two of them with their rows in pairs. */
START_TEST(stacked_and_reordered)
{
    struct pair p;
    pair_open(&p);
    for (int rows = 5; rows <= 40; rows += 35) {
        struct weight_part parts[3];
        int64_t of[3] = {48, 24, 10};
        for (int i = 0; i < 3; i++)
            parts[i] = product_tensor((enum dtype)_i, of[i], 256, (uint64_t)i + 77);
        parts[0].unpermute_heads = 4;
        parts[1].unpermute_heads = 2;
        check_product(&p, &(struct product_case){82, 256, rows, -1, .bias = false}, parts, 3);
        for (int i = 0; i < 3; i++)
            free((void *)(uintptr_t)parts[i].data);
    }
    pair_close(&p);
}
END_TEST

/* Rows of floats that are no multiple of anything. */
START_TEST(odd_floats)
{
    struct pair p;
    pair_open(&p);
    for (int64_t cols = 1; cols < 600; cols += 133)
        for (int rows = 1; rows < 40; rows = rows * 3 + 1)
            check_tensor(&p, (enum dtype)_i, (struct product_case){cols + 3, cols, rows, -1, .bias = rows == 4});
    pair_close(&p);
}
END_TEST

START_TEST(refused_tensors)
{
    struct pair p;
    struct err e;
    struct weight *w;
    pair_open(&p);
    struct weight_part part = product_tensor(DTYPE_Q4_1, 8, 64, 1), bad[2] = {part, part};
    bad[1].cols = 32;
    ck_assert_int_eq(p.ops[GPU]->weight_load(p.device[GPU], bad, 2, &w, &e), OL_EFORMAT);
    ck_assert_msg(strstr(e.message, "differs from the tensor"), "%s", e.message);
    bad[0].bytes--;
    ck_assert_int_eq(p.ops[GPU]->weight_load(p.device[GPU], bad, 1, &w, &e), OL_EFORMAT);
    bad[0] = part;
    bad[0].unpermute_heads = 3;
    ck_assert_int_eq(p.ops[GPU]->weight_load(p.device[GPU], bad, 1, &w, &e), OL_EFORMAT);
    bad[0] = part;
    bad[0].cols = 40;
    ck_assert_int_eq(p.ops[GPU]->weight_load(p.device[GPU], bad, 1, &w, &e), OL_EFORMAT);
    ck_assert_int_eq(p.ops[GPU]->weight_load(p.device[GPU], bad, 0, &w, &e), OL_EINVAL);
    ck_assert_ptr_null(w);
    free((void *)(uintptr_t)part.data);
    pair_close(&p);
}
END_TEST

static TCase *add_case(Suite *s, const char *name)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    return t;
}

int main(void)
{
    Suite *s = suite_create("gpu matmul");
    TCase *t = add_case(s, "decode");
    tcase_add_loop_test(t, few_rows, DTYPE_Q4_0, DTYPE_COUNT);
    tcase_add_loop_test(t, long_rows, DTYPE_Q4_0, DTYPE_COUNT);
    tcase_add_loop_test(t, tall_weights, DTYPE_Q4_0, DTYPE_COUNT);
    t = add_case(s, "prefill");
    tcase_add_loop_test(t, many_rows, DTYPE_Q4_0, DTYPE_COUNT);
    tcase_add_loop_test(t, many_rows_of_tall_weights, DTYPE_Q4_0, DTYPE_COUNT);
    t = add_case(s, "float");
    tcase_add_loop_test(t, few_rows, 0, DTYPE_Q4_0);
    tcase_add_loop_test(t, long_rows, 0, DTYPE_Q4_0);
    tcase_add_loop_test(t, many_rows, 0, DTYPE_Q4_0);
    tcase_add_loop_test(t, odd_floats, 0, DTYPE_Q4_0);
    t = add_case(s, "all");
    tcase_add_loop_test(t, counts_and_slices, 0, DTYPE_COUNT);
    tcase_add_loop_test(t, stacked_and_reordered, 0, DTYPE_COUNT);
    tcase_add_test(t, refused_tensors);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
