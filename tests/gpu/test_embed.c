/* Embedding on the GPU equals the CPU's, for every type of weights, byte for byte; padding is 0, other rows stay. */
#include "tests/gpu/products.h"

static void check_embed(struct pair *p, enum dtype t, int64_t vocab, int64_t cols, int rows, int bucket_rows)
{
    if (cols % dtype_info(t)->block)
        return;
    struct weight_part part = product_tensor(t, vocab, cols, (uint64_t)(cols + t));
    struct weight *w[2];
    int64_t ldy = pad_cols(cols) + 16;
    size_t bytes = (size_t)(bucket_rows * ldy) * sizeof(float);
    struct both y = pair_alloc(p, bytes);
    struct step *host = product_step(bucket_rows, 0), *there = product_step(rows, 0);
    uint64_t seed = (uint64_t)rows;
    for (int i = 0; i < rows; i++) /* first and last rows of the table among them */
        step_token(there)[i] = i == 0 ? 0 : i == 1 ? (int32_t)vocab - 1 : (int32_t)(product_random(&seed) % vocab);
    product_load(p, &part, 1, w);
    for (int d = 0; d < 2; d++) {
        p->ops[d]->begin(p->stream[d], host, false);
        p->ops[d]->copy_in(p->stream[d], p->step.at[d], there, step_layout(&there->limits).bytes);
        p->ops[d]->embed(p->stream[d], &(struct op_embed){.y = y.at[d], .ldy = ldy, .w = w[d], .step = p->step.at[d]});
        pair_finish(p, d);
    }
    pair_equal(p, y, bytes, dtype_info(t)->name);
    product_unload(p, w);
    free(host);
    free(there);
    free((void *)(uintptr_t)part.data);
}

START_TEST(every_type)
{
    static const int64_t cols[] = {32, 96, 256, 576, 1536, 7, 1, 131};
    struct pair p;
    pair_open(&p);
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++)
        check_embed(&p, (enum dtype)_i, 70, cols[i], 40, 40);
    check_embed(&p, (enum dtype)_i, 3, 512, 5, 16);
    check_embed(&p, (enum dtype)_i, 1, 256, 0, 1);
    pair_close(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gpu embed");
    TCase *t = tcase_create("embed");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, every_type, 0, DTYPE_COUNT);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
