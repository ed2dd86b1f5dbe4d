/* What the products move, as the emulator counts it (tests/simt/traffic.h), is what their headers say: weights come
 * out of memory once and in the size of the file, L2 gives what the tiling needs, and no two lanes wait for a bank of
 * shared memory. On a GPU there is nothing to count, and nothing is checked. */
#include "tests/gpu/products.h"
#include "tests/simt/traffic.h"

struct counter {
    void (*start)(void), (*stop)(void);
    int (*get)(const char *kernel, struct simt_traffic *out);
};

/* From the plugin that the pair has loaded; false: a real one. */
static bool find_counter(struct pair *p, struct counter *c)
{
    Dl_info info;
    void *open;
    memcpy(&open, &p->ops[GPU]->open, sizeof open);
    ck_assert_int_ne(dladdr(open, &info), 0);
    void *plugin = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    void *symbol[3] = {dlsym(plugin, "simt_traffic_start"), dlsym(plugin, "simt_traffic_stop"),
                       dlsym(plugin, "simt_traffic_get")};
    memcpy(&c->start, &symbol[0], sizeof c->start);
    memcpy(&c->stop, &symbol[1], sizeof c->stop);
    memcpy(&c->get, &symbol[2], sizeof c->get);
    return symbol[0] && symbol[1] && symbol[2];
}

static struct simt_traffic count(struct pair *p, const struct counter *c, const char *kernel, enum dtype t, int64_t out,
                                 int64_t cols, int rows)
{
    struct weight_part part = product_tensor(t, out, cols, 5);
    struct weight *w[2];
    struct both a = dtype_is_quantized(t) ? product_q8(p, rows, cols, 7) : product_f32(p, rows, cols, 7);
    struct both y = pair_alloc(p, (size_t)(rows * out) * sizeof(float));
    struct step *step = product_step(rows, 0);
    struct simt_traffic moved;
    product_load(p, &part, 1, w);
    pair_begin(p, GPU, step);
    struct op_matmul op = {.y = y.at[GPU], .ldy = out, .w = w[GPU], .step = p->step.at[GPU]};
    op.a.f32 = op.a.q8 = a.at[GPU];
    p->ops[GPU]->matmul(p->stream[GPU], &op);
    c->start();
    pair_finish(p, GPU);
    c->stop();
    ck_assert_int_eq(c->get(kernel, &moved), 1);
    product_unload(p, w);
    free(step);
    free((void *)(uintptr_t)part.data);
    return moved;
}

/* rows, and outputs a block computes: matmul_decode.cu, start_rows. */
START_TEST(decode)
{
    static const int rows[] = {1, 2, 3, 8, 9, 16};
    enum dtype t = (enum dtype)_i;
    const int64_t out = 96, cols = 4096;
    struct pair p;
    struct counter c;
    pair_open(&p);
    for (size_t i = 0; find_counter(&p, &c) && i < sizeof rows / sizeof *rows; i++) {
        int n = rows[i], tiles = n <= 2 || (t == DTYPE_Q6_K && n > 8) ? 1 : 2;
        struct simt_traffic moved = count(&p, &c, "k_matmul_decode", t, out, cols, n);
        uint64_t weights = (uint64_t)out * dtype_row_bytes(t, cols), act = (uint64_t)n * q8_row_bytes(cols);
        uint64_t least = weights + act, l2 = weights * 106 / 100 + act * (uint64_t)(out / 16 / tiles);
        const char *name = dtype_info(t)->name;
        ck_assert_msg(moved.dram_read_bytes <= least * 11 / 10, "%s, %d rows: %llu bytes of DRAM, least is %llu", name,
                      n, (unsigned long long)moved.dram_read_bytes, (unsigned long long)least);
        ck_assert_msg(moved.l2_bytes <= l2 + 256 * moved.blocks, "%s, %d rows: %llu bytes of L2, the header says %llu",
                      name, n, (unsigned long long)moved.l2_bytes, (unsigned long long)l2);
        ck_assert_msg(moved.shared_wavefronts == moved.shared_parts, "%s, %d rows: %llu wavefronts for %llu", name, n,
                      (unsigned long long)moved.shared_wavefronts, (unsigned long long)moved.shared_parts);
    }
    pair_close(&p);
}
END_TEST

START_TEST(prefill)
{
    enum dtype t = (enum dtype)_i;
    const int64_t out = 128, cols = 512;
    const int rows = 64;
    struct pair p;
    struct counter c;
    pair_open(&p);
    if (find_counter(&p, &c)) { /* few blocks: tiles of 64 outputs and 32 rows */
        struct simt_traffic moved = count(&p, &c, "k_matmul_prefill", t, out, cols, rows);
        uint64_t weights = (uint64_t)out * dtype_row_bytes(t, cols), act = (uint64_t)rows * q8_row_bytes(cols);
        uint64_t least = weights + act, l2 = weights * 112 / 100 * (rows / 32) + act * (uint64_t)(out / 64);
        const char *name = dtype_info(t)->name;
        ck_assert_msg(moved.dram_read_bytes <= least * 11 / 10, "%s: %llu bytes of DRAM, least is %llu", name,
                      (unsigned long long)moved.dram_read_bytes, (unsigned long long)least);
        ck_assert_msg(moved.l2_bytes <= l2 + 256 * moved.blocks, "%s: %llu bytes of L2, the header says %llu", name,
                      (unsigned long long)moved.l2_bytes, (unsigned long long)l2);
        ck_assert_msg(moved.shared_wavefronts == moved.shared_parts, "%s: %llu wavefronts for %llu", name,
                      (unsigned long long)moved.shared_wavefronts, (unsigned long long)moved.shared_parts);
    }
    pair_close(&p);
}
END_TEST

START_TEST(floats)
{
    enum dtype t = (enum dtype)_i;
    struct pair p;
    struct counter c;
    pair_open(&p);
    if (find_counter(&p, &c)) {
        struct simt_traffic moved = count(&p, &c, "k_matmul_float", t, 96, 1024, 4);
        uint64_t least = 96 * dtype_row_bytes(t, 1024) + 4 * 1024 * sizeof(float);
        ck_assert_uint_le(moved.dram_read_bytes, least * 11 / 10);
        ck_assert_uint_eq(moved.shared_wavefronts, moved.shared_parts);
    }
    pair_close(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gpu matmul traffic");
    TCase *t = tcase_create("traffic");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, decode, DTYPE_Q4_0, DTYPE_COUNT);
    tcase_add_loop_test(t, prefill, DTYPE_Q4_0, DTYPE_COUNT);
    tcase_add_loop_test(t, floats, 0, DTYPE_Q4_0);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
