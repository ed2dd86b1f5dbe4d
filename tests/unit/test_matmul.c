/* One table of shapes drives every weight type, instruction set and number of threads: bit-equal to the reference;
 * the reference against double precision; rows stacked, permuted and embedded as ops.h says. */
#include "kernels/cpu/pack.h"
#include "kernels/cpu/cpu.h"
#include "weights.h"

#include <check.h>
#include <stdio.h>
#include <time.h>

static const struct { int n, k; } shapes[] = {
    {1, 256}, {17, 512}, {33, 32}, {40, 96}, {48, 7}, {100, 1}, {31, 65}, {130, 768}, {16, 2304},
};
static const int row_counts[] = {1, 2, 3, 7, 8, 13, 64, 130};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_ROW_COUNTS = sizeof row_counts / sizeof *row_counts, MAX_M = 130 };

static const struct { const char *isa; int threads; } variants[] = {
    {"ref", 1}, {"ref", 2}, {"avx2", 1}, {"avx2", 2}, {"avx512", 1}, {"avx512", 2},
};
enum { N_VARIANTS = sizeof variants / sizeof *variants, GUARD = 16 };

static const float SENTINEL = -12345.0f;
static uint64_t seed;

/* One product on one device, its matrices included. */
struct run {
    const struct device_ops *ops;
    struct device *device;
    struct stream *stream;
    struct weight *w;
    dptr step, x, q8, bias, y;
    int64_t ldy, y_rows;
};

static bool open_device(struct run *r, const char *isa, int threads)
{
    struct err e;
    const struct device_config config = {.isa = isa, .threads = threads};
    r->ops = device_cpu();
    if ((strcmp(isa, "avx2") == 0 && !cpu_has_avx2()) || (strcmp(isa, "avx512") == 0 && !cpu_has_avx512()))
        return false;
    int rc = r->ops->open(&config, &r->device, &e);
    ck_assert_msg(rc == 0, "%s", e.message);
    ck_assert_int_eq(r->ops->stream_open(r->device, &r->stream, &e), 0);
    return true;
}

static dptr upload(struct run *r, const void *src, size_t bytes)
{
    struct err e;
    dptr p;
    ck_assert_int_eq(r->ops->alloc(r->device, bytes, &p, &e), 0);
    ck_assert_int_eq(r->ops->upload(r->device, p, src, bytes, &e), 0);
    return p;
}

/* A step in which token i is row i; set_rows says how many rows it has. */
static void make_step(struct run *r)
{
    const struct step_limits limits = {.max_rows = MAX_M, .max_logits = 1};
    size_t bytes = step_layout(&limits).bytes;
    struct step *s = calloc(1, bytes);
    s->limits = limits;
    for (int i = 0; i < MAX_M; i++)
        step_token(s)[i] = i;
    r->step = upload(r, s, bytes);
    free(s);
}

static void set_rows(struct run *r, int32_t rows)
{
    struct err e;
    dptr at = r->step + offsetof(struct step, n_rows);
    ck_assert_int_eq(r->ops->upload(r->device, at, &rows, sizeof rows, &e), 0);
}

static void finish(struct run *r)
{
    struct err e;
    uint64_t ticket;
    int rc = r->ops->submit(r->stream, &ticket, &e);
    ck_assert_msg(rc == 0, "%s", e.message);
    ck_assert_int_eq(r->ops->wait(r->stream, ticket, &e), 0);
}

static void close_device(struct run *r)
{
    r->ops->weight_free(r->device, r->w);
    r->ops->stream_close(r->stream);
    r->ops->close(r->device); /* frees the buffers too */
}

/* Inputs of one (type, shape). */
struct problem {
    enum dtype type;
    int n, k;
    uint8_t *weights;
    float *x, *bias;
    char *q8; /* NULL where k does not allow it */
};

static struct problem make_problem(uint64_t *state, enum dtype t, int n, int k)
{
    struct problem p = {.type = t, .n = n, .k = k, .weights = random_weights(state, t, n, k)};
    int64_t ldx = pad_cols(k);
    p.x = calloc((size_t)(MAX_M * ldx), sizeof(float));
    p.bias = calloc((size_t)n, sizeof(float));
    for (int i = 0; i < n; i++)
        p.bias[i] = random_float(state);
    for (int m = 0; m < MAX_M; m++)
        for (int i = 0; i < k; i++)
            p.x[m * ldx + i] = random_float(state) * (m == 5 ? 0 : 1);
    if (q8_row_bytes(k)) {
        p.q8 = malloc(MAX_M * q8_row_bytes(k));
        for (int m = 0; m < MAX_M; m++)
            quantize_row(p.x + m * ldx, k, p.q8 + (size_t)m * q8_row_bytes(k));
    }
    return p;
}

static void free_problem(struct problem *p)
{
    free(p->weights);
    free(p->x);
    free(p->bias);
    free(p->q8);
}

static void load_problem(struct run *r, const struct problem *p)
{
    struct err e;
    size_t bytes = (size_t)p->n * dtype_row_bytes(p->type, p->k);
    const struct weight_part part = {"w", p->type, p->n, p->k, p->weights, bytes, 0};
    int rc = r->ops->weight_load(r->device, &part, 1, &r->w, &e);
    ck_assert_msg(rc == 0, "%s", e.message);
    r->x = upload(r, p->x, (size_t)(MAX_M * pad_cols(p->k)) * sizeof(float));
    r->q8 = p->q8 ? upload(r, p->q8, MAX_M * q8_row_bytes(p->k)) : 0;
    r->bias = upload(r, p->bias, (size_t)p->n * sizeof(float));
    r->ldy = pad_cols(p->n) + GUARD;
    r->y_rows = MAX_M + 1;
    ck_assert_int_eq(r->ops->alloc(r->device, (size_t)(r->y_rows * r->ldy) * sizeof(float), &r->y, &e), 0);
    make_step(r);
}

/* y of m rows; everything else in y keeps the sentinel. */
static void multiply(struct run *r, int m, bool bias, float *y)
{
    size_t bytes = (size_t)(r->y_rows * r->ldy) * sizeof(float);
    for (int64_t i = 0; i < r->y_rows * r->ldy; i++)
        y[i] = SENTINEL;
    set_rows(r, m);
    const struct op_matmul op = {
        .y = r->y, .ldy = r->ldy, .a = {r->x, r->q8}, .w = r->w, .bias = bias ? r->bias : 0, .step = r->step,
    };
    r->ops->copy_in(r->stream, r->y, y, bytes);
    r->ops->matmul(r->stream, &op);
    r->ops->copy_out(r->stream, y, r->y, bytes);
    finish(r);
}

static void check_sentinels(const struct run *r, const struct problem *p, int m, const float *y)
{
    for (int64_t i = 0; i < r->y_rows; i++)
        for (int64_t j = 0; j < r->ldy; j++)
            if (!(i < m && j < p->n) && y[i * r->ldy + j] != SENTINEL)
                ck_abort_msg("written outside: row %lld, column %lld", (long long)i, (long long)j);
}

/* |y − exact| ≤ rounding of 3 operations per block (or one per column) on a sum of magnitudes. */
static void check_against_double(const struct problem *p, const float *y, int64_t ldy, int m)
{
    bool quantized = dtype_is_quantized(p->type);
    float *w = malloc((size_t)p->k * sizeof(float));
    for (int n = 0; n < p->n; n++) {
        dequantize_row(p->type, p->weights + (size_t)n * dtype_row_bytes(p->type, p->k), w, p->k);
        for (int i = 0; i < m; i++) {
            const char *q = p->q8 ? p->q8 + (size_t)i * q8_row_bytes(p->k) : NULL;
            double sum = p->bias[n], magnitude = fabs(sum);
            for (int k = 0; k < p->k; k++) {
                double a = quantized ? ((const struct q8_meta *)(q + p->k))[k / 32].d * (double)((const int8_t *)q)[k]
                                     : p->x[i * pad_cols(p->k) + k];
                sum += w[k] * a;
                magnitude += weight_bound(p->type) * fabs(a);
            }
            double operations = quantized ? 3 * p->k / 32. + 8 : p->k + 2;
            double bound = operations * magnitude * 0x1p-24, difference = fabs(sum - y[i * ldy + n]);
            if (!(difference <= bound)) /* asserting is too slow to do a million times */
                ck_abort_msg("%s n %d m %d k %d: off by %g, bound %g", dtype_info(p->type)->name, n, i, p->k,
                             difference, bound);
        }
    }
    free(w);
}

static bool shape_suits(enum dtype t, int shape) { return shapes[shape].k % dtype_info(t)->block == 0; }

START_TEST(products_equal_the_reference)
{
    enum dtype t = (enum dtype)_i;
    uint64_t state = seed + (uint64_t)t;
    for (int s = 0; s < N_SHAPES; s++) {
        if (!shape_suits(t, s))
            continue;
        struct problem p = make_problem(&state, t, shapes[s].n, shapes[s].k);
        size_t y_floats = (size_t)((MAX_M + 1) * (pad_cols(p.n) + GUARD));
        float *expected[N_ROW_COUNTS], *y = malloc(y_floats * sizeof(float));
        for (int v = 0; v < N_VARIANTS; v++) {
            struct run r = {0};
            if (!open_device(&r, variants[v].isa, variants[v].threads))
                continue;
            load_problem(&r, &p);
            for (int i = 0; i < N_ROW_COUNTS; i++) {
                if (v == 0)
                    expected[i] = malloc(y_floats * sizeof(float));
                float *into = v ? y : expected[i];
                multiply(&r, row_counts[i], i % 2 == 0, into);
                check_sentinels(&r, &p, row_counts[i], into);
                if (v == 0 && i % 2 == 0)
                    check_against_double(&p, into, r.ldy, row_counts[i]);
                ck_assert_msg(memcmp(into, expected[i], y_floats * sizeof(float)) == 0,
                              "%s, %d x %d, %d rows: %s with %d threads differs", dtype_info(t)->name, p.n, p.k,
                              row_counts[i], variants[v].isa, variants[v].threads);
            }
            close_device(&r);
        }
        for (int i = 0; i < N_ROW_COUNTS; i++)
            free(expected[i]);
        free(y);
        free_problem(&p);
    }
}
END_TEST

/* Three tensors stacked, the first with two heads of interleaved pairs: rows come back in the promised order, and
 * bit for bit as dequantize_row makes them. */
START_TEST(embedding_returns_stacked_rows)
{
    enum { HEAD = 10, ROWS0 = 2 * HEAD, ROWS1 = 7, ROWS2 = 19, ROWS = ROWS0 + ROWS1 + ROWS2, COLS = 512 };
    enum dtype t = (enum dtype)_i;
    uint64_t state = seed;
    size_t row_bytes = dtype_row_bytes(t, COLS);
    uint8_t *data = random_weights(&state, t, ROWS, COLS);
    const struct weight_part parts[3] = {
        {"q", t, ROWS0, COLS, data, ROWS0 * row_bytes, 2},
        {"k", t, ROWS1, COLS, data + ROWS0 * row_bytes, ROWS1 * row_bytes, 0},
        {"v", t, ROWS2, COLS, data + (ROWS0 + ROWS1) * row_bytes, ROWS2 * row_bytes, 0},
    };
    struct run r = {0};
    struct err e;
    ck_assert(open_device(&r, "auto", 2));
    ck_assert_int_eq(r.ops->weight_load(r.device, parts, 3, &r.w, &e), 0);
    ck_assert_int_eq(weight_rows(r.w), ROWS);
    ck_assert_int_eq(weight_cols(r.w), COLS);
    ck_assert_int_eq(weight_dtype(r.w), t);
    static float y[ROWS][COLS];
    dptr dy;
    ck_assert_int_eq(r.ops->alloc(r.device, sizeof y, &dy, &e), 0);
    make_step(&r);
    set_rows(&r, ROWS);
    const struct op_embed op = {.y = dy, .ldy = COLS, .w = r.w, .step = r.step};
    r.ops->embed(r.stream, &op);
    r.ops->copy_out(r.stream, y, dy, sizeof y);
    finish(&r);
    for (int i = 0; i < ROWS; i++) {
        int in_head = i % HEAD, half = HEAD / 2;
        int stored = i < ROWS0 ? i - in_head + 2 * (in_head % half) + in_head / half : i;
        float row[COLS];
        dequantize_row(t, data + (size_t)stored * row_bytes, row, COLS);
        ck_assert_msg(memcmp(row, y[i], sizeof row) == 0, "%s: row %d", dtype_info(t)->name, i);
    }
    close_device(&r);
    free(data);
}
END_TEST

START_TEST(bad_tensors_are_refused)
{
    static const uint8_t data[4096];
    const struct weight_part good = {"blk.0.x", DTYPE_Q8_0, 8, 64, data, 8 * 68, 0};
    struct weight_part bad[6] = {good, good, good, good, good, good};
    bad[0].bytes -= 1;
    bad[1].cols = 63;
    bad[2].rows = INT64_MAX / 2;
    bad[3].unpermute_heads = 3;
    bad[4].data = NULL;
    bad[5].dtype = DTYPE_COUNT;
    struct run r = {0};
    struct err e;
    ck_assert(open_device(&r, "ref", 1));
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(r.ops->weight_load(r.device, &bad[i], 1, &r.w, &e), OL_EFORMAT);
        ck_assert_ptr_nonnull(strstr(e.message, "blk.0.x"));
        const struct weight_part both[2] = {good, bad[i]};
        ck_assert_int_eq(r.ops->weight_load(r.device, both, 2, &r.w, &e), OL_EFORMAT);
        ck_assert_ptr_null(r.w);
    }
    ck_assert_int_eq(r.ops->weight_load(r.device, &good, 1, &r.w, &e), 0);
    close_device(&r);
}
END_TEST

int main(void)
{
    const char *given = getenv("TEST_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("TEST_SEED=%llu\n", (unsigned long long)seed);
    seed = seed * 2654435761u + 1;
    TCase *c = tcase_create("matmul");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, products_equal_the_reference, 0, DTYPE_COUNT);
    tcase_add_loop_test(c, embedding_returns_stacked_rows, 0, DTYPE_COUNT);
    tcase_add_test(c, bad_tensors_are_refused);
    Suite *s = suite_create("matmul");
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
