/* rope_kv, attention, attention_fold: bit-equal in every instruction set, however a prompt is cut, whoever shares
 * the step, however many threads; no slot that no token wrote is ever read into a result. */
#include "kernels/cpu/f16.h"
#include "kernels/cpu/kv.h"
#include "kernels/cpu/workspace.h"
#include "ops_fixture.h"

enum { LAYERS = 2, LAYER = 1, POOL_PAGES = 512, STEP_ROWS = 96, N_SEQS = 10, MAX_ATTENDED = 30 };

static const struct { int heads, kv_heads, head_dim; } shapes[] = {
    {9, 3, 64}, {4, 4, 48}, {8, 1, 128}, {4, 2, 80}, {30, 1, 16}, {2, 1, 256}, {3, 1, 10},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* Sequences: context before, and rows whose attention is checked. */
static const struct { int pos0, n_rows; } sequences[N_SEQS] = {
    {0, 1}, {0, 15}, {15, 1}, {14, 3}, {254, 1}, {255, 2}, {256, 1}, {230, 30}, {699, 1}, {510, 9},
};

struct world {
    struct blocks blocks;
    struct kv_shape kv;
    int variant;
    bool norm;
    char *pool;
    size_t pool_bytes;
    int32_t pages[N_SEQS][64];
    struct step *step;
    float *qkv, *table, *inv_freq, *gain, *out;
    unsigned char *q8;
    void *workspace;
    int64_t ld, cols;
};

static struct variant ropes(int v) { return ((struct variant[])VARIANTS(rope_kv))[v]; }
static struct variant attentions(int v) { return ((struct variant[])VARIANTS(attention))[v]; }
static struct variant folds(int v) { return ((struct variant[])VARIANTS(attention_fold))[v]; }

static int page_count(int q) { return (sequences[q].pos0 + sequences[q].n_rows + 15) / 16; }

static void open_world(struct world *w, int shape, int variant)
{
    memset(w, 0, sizeof *w);
    w->kv = (struct kv_shape){LAYERS, shapes[shape].heads, shapes[shape].kv_heads, shapes[shape].head_dim, 0};
    w->kv.page_bytes = LAYERS * kv_layer_bytes(&w->kv) + 64;
    w->variant = variant;
    w->norm = shape % 2;
    w->cols = w->kv.n_heads * w->kv.head_dim;
    w->ld = pad_cols((w->kv.n_heads + 2 * w->kv.n_kv_heads) * w->kv.head_dim);
    const struct step_limits limits = {
        .max_rows = STEP_ROWS, .max_seqs = N_SEQS, .max_logits = 1, .max_pages = POOL_PAGES};
    int next = 0;
    for (int q = 0; q < N_SEQS; q++) /* pages in no order */
        for (int i = 0; i < page_count(q); i++, next++)
            w->pages[q][i] = (next * 37 + 11) % POOL_PAGES;
    ck_assert_int_lt(next, POOL_PAGES);
    w->pool_bytes = POOL_PAGES * w->kv.page_bytes;
    w->pool = take(&w->blocks, w->pool_bytes);
    w->step = new_step(&w->blocks, limits);
    w->qkv = take_floats(&w->blocks, STEP_ROWS * w->ld);
    w->table = take_floats(&w->blocks, STEP_ROWS * w->kv.head_dim);
    w->inv_freq = take_floats(&w->blocks, w->kv.head_dim / 2);
    w->gain = take_floats(&w->blocks, w->kv.head_dim);
    w->out = take_floats(&w->blocks, STEP_ROWS * pad_cols(w->cols));
    w->q8 = q8_row_bytes(w->cols) ? take(&w->blocks, STEP_ROWS * q8_row_bytes(w->cols)) : NULL;
    w->workspace = take(&w->blocks, cpu_attention_workspace(&w->kv, &limits, 4));
    for (int j = 0; j < w->kv.head_dim / 2; j++)
        w->inv_freq[j] = powf(10000.0f, -2.0f * (float)j / (float)w->kv.head_dim);
    for (int d = 0; d < w->kv.head_dim; d++)
        w->gain[d] = 1.0f + 0.5f * hashed_float(1, 2, (uint32_t)d);
}

static void begin_step(struct world *w)
{
    w->step->n_rows = w->step->n_seqs = w->step->n_pages = 0;
    memset(w->qkv, 0xff, (size_t)(STEP_ROWS * w->ld) * sizeof(float));
    memset(w->out, 0xff, (size_t)(STEP_ROWS * pad_cols(w->cols)) * sizeof(float));
}

static void add_rows(struct world *w, int q, int pos0, int n_rows)
{
    int row = w->step->n_rows;
    add_sequence(w->step, pos0, n_rows, w->pages[q], page_count(q));
    for (int i = 0; i < n_rows; i++)
        for (int c = 0; c < (w->kv.n_heads + 2 * w->kv.n_kv_heads) * w->kv.head_dim; c++)
            w->qkv[(row + i) * w->ld + c] = 2.0f * hashed_float((uint32_t)q, (uint32_t)(pos0 + i), (uint32_t)c);
}

static void write_kv(struct world *w, int threads)
{
    struct op_rope_table table = {at(w->table), at(w->inv_freq), w->kv.head_dim / 2, 1.0f, at(w->step)};
    struct op_rope_kv op = {.qkv = at(w->qkv), .ld = w->ld, .table = at(w->table), .q_gain = w->norm ? at(w->gain) : 0,
                            .k_gain = w->norm ? at(w->gain) : 0, .eps = 1e-6f, .layer = LAYER, .kv = w->kv,
                            .step = at(w->step), .pool = at(w->pool)};
    run_phase(&rope_table_ref, &table, 1);
    run_phase(ropes(w->variant).phase, &op, threads);
}

static float scale_of(const struct world *w) { return 1.0f / sqrtf((float)w->kv.head_dim); }

static void attend(struct world *w, int threads)
{
    struct op_attention op = {.out = {at(w->out), at(w->q8)}, .qkv = at(w->qkv), .ld = w->ld, .scale = scale_of(w),
                              .layer = LAYER, .kv = w->kv, .step = at(w->step), .pool = at(w->pool),
                              .workspace = at(w->workspace)};
    run_phase(attentions(w->variant).phase, &op, threads);
    run_phase(folds(w->variant).phase, &op, threads);
}

/* Writes positions 0 .. pos0−1 of every sequence, some at a time. */
static void write_context(struct world *w, int chunk)
{
    for (int q = 0; q < N_SEQS; q++)
        for (int pos = 0; pos < sequences[q].pos0; pos += chunk) {
            int left = sequences[q].pos0 - pos;
            begin_step(w);
            add_rows(w, q, pos, left < chunk ? left : chunk);
            write_kv(w, 1 + pos % 3);
        }
}

/* All sequences' rows in one step. */
static void attend_together(struct world *w, int threads)
{
    begin_step(w);
    for (int q = 0; q < N_SEQS; q++)
        add_rows(w, q, sequences[q].pos0, sequences[q].n_rows);
    write_kv(w, threads);
    attend(w, threads);
}

static void expect_rows(const struct world *w, int row, const struct world *ref, int ref_row, int n, const char *what)
{
    ck_assert_msg(!memcmp(w->out + row * pad_cols(w->cols), ref->out + ref_row * pad_cols(w->cols),
                          (size_t)(n * pad_cols(w->cols)) * sizeof(float)), "%s: float32 differs", what);
    size_t bytes = q8_row_bytes(w->cols);
    ck_assert_msg(!w->q8 || !memcmp(w->q8 + (size_t)row * bytes, ref->q8 + (size_t)ref_row * bytes, (size_t)n * bytes),
                  "%s: int8 differs", what);
}

START_TEST(equals_the_reference)
{
    struct world ref, w;
    open_world(&ref, _i, 0);
    write_context(&ref, STEP_ROWS);
    attend_together(&ref, 1);
    for (int64_t i = 0; i < ref.step->n_rows; i++)
        for (int64_t c = 0; c < ref.cols; c++)
            ck_assert_msg(!isnan(ref.out[i * pad_cols(ref.cols) + c]), "the reference read what no token wrote");
    for (int v = 1; v < N_VARIANTS; v++) {
        if (!attentions(v).usable)
            continue;
        open_world(&w, _i, v);
        write_context(&w, 7);
        for (int threads = 1; threads <= 4; threads++) {
            attend_together(&w, threads);
            ck_assert_msg(!memcmp(w.pool, ref.pool, w.pool_bytes), "%s: pages differ", ropes(v).isa);
            ck_assert_msg(!memcmp(w.qkv, ref.qkv, (size_t)(STEP_ROWS * w.ld) * sizeof(float)), "%s: q differs",
                          ropes(v).isa);
            expect_rows(&w, 0, &ref, 0, ref.step->n_rows, attentions(v).isa);
        }
        release(&w.blocks);
    }
    release(&ref.blocks);
}
END_TEST

/* Rows of each sequence alone, `chunk` at a time, equal those computed together in one step. */
static void check_chunks(struct world *w, const struct world *together, int chunk)
{
    for (int q = 0, row = 0; q < N_SEQS; row += sequences[q++].n_rows)
        for (int first = 0; first < sequences[q].n_rows; first += chunk) {
            int n = sequences[q].n_rows - first < chunk ? sequences[q].n_rows - first : chunk;
            begin_step(w);
            add_rows(w, q, sequences[q].pos0 + first, n);
            write_kv(w, 2);
            attend(w, 2);
            expect_rows(w, 0, together, row + first, n, "in chunks");
        }
    ck_assert_msg(!memcmp(w->pool, together->pool, w->pool_bytes), "chunks of %d leave other pages", chunk);
}

START_TEST(chunks_do_not_matter)
{
    static const int chunks[] = {1, 7, MAX_ATTENDED};
    for (int v = 0; v < N_VARIANTS; v++) {
        if (!attentions(v).usable)
            continue;
        struct world together, w;
        open_world(&together, _i, v);
        write_context(&together, STEP_ROWS);
        attend_together(&together, 3);
        for (int i = 0; i < 3; i++) {
            open_world(&w, _i, v);
            write_context(&w, 31);
            check_chunks(&w, &together, chunks[i]);
            release(&w.blocks);
        }
        release(&together.blocks);
    }
}
END_TEST

/* Attention of one query over the pages, in double precision. */
static void exact_attention(const struct world *w, int q, int pos, int row, int head, double *out)
{
    int hd = w->kv.head_dim, kv_head = head / (w->kv.n_heads / w->kv.n_kv_heads);
    double weight[800], largest = -INFINITY, sum = 0;
    for (int t = 0; t <= pos; t++) {
        const uint16_t *k = (const uint16_t *)(w->pool + (size_t)w->pages[q][t / 16] * w->kv.page_bytes +
                                               kv_k_offset(&w->kv, LAYER, kv_head));
        weight[t] = 0;
        for (int d = 0; d < hd; d++)
            weight[t] += (double)w->qkv[row * w->ld + head * hd + d] * (double)f16_to_f32(k[d * 16 + t % 16]);
        weight[t] *= (double)scale_of(w);
        largest = fmax(largest, weight[t]);
    }
    for (int t = 0; t <= pos; t++)
        sum += weight[t] = exp(weight[t] - largest);
    memset(out, 0, (size_t)hd * sizeof *out);
    for (int t = 0; t <= pos; t++) {
        const uint16_t *v = (const uint16_t *)(w->pool + (size_t)w->pages[q][t / 16] * w->kv.page_bytes +
                                               kv_v_offset(&w->kv, LAYER, kv_head));
        for (int d = 0; d < hd; d++)
            out[d] += weight[t] / sum * (double)f16_to_f32(v[t % 16 * pad_cols(hd) + d]);
    }
}

/* Scores err by head_dim · eps · Σ|q·k|·scale, and weights by as much; |v| ≤ 2; sums add 256 / 16 and 256 · eps. */
START_TEST(is_attention)
{
    struct world w;
    open_world(&w, _i, 0);
    write_context(&w, STEP_ROWS);
    attend_together(&w, 1);
    double exact[MAX_HEAD_DIM];
    double score_error = w.kv.head_dim * 0x1p-24 * w.kv.head_dim * (w.norm ? 6.0 : 8.0) * (double)scale_of(&w);
    double bound = 2 * (2 * score_error + 300 * 0x1p-24);
    for (int q = 0, row = 0; q < N_SEQS; q++)
        for (int i = 0; i < sequences[q].n_rows; i++, row++)
            for (int h = 0; h < w.kv.n_heads; h++) {
                exact_attention(&w, q, sequences[q].pos0 + i, row, h, exact);
                for (int d = 0; d < w.kv.head_dim; d++) {
                    double got = (double)w.out[row * pad_cols(w.cols) + h * w.kv.head_dim + d];
                    ck_assert_double_le(fabs(got - exact[d]), bound);
                }
            }
    release(&w.blocks);
}
END_TEST

/* rope_kv of one row against double precision: norm, rotation of the halves, F16 in the right slot. */
START_TEST(rope_kv_is_right)
{
    struct world w;
    open_world(&w, _i, 0);
    int hd = w.kv.head_dim, q = 7, pos = 37, half = hd / 2;
    begin_step(&w);
    add_rows(&w, q, pos, 1);
    double x[MAX_HEAD_DIM], squares = 0;
    for (int head = 0; head < w.kv.n_heads + w.kv.n_kv_heads; head++) {
        begin_step(&w);
        add_rows(&w, q, pos, 1);
        const float *in = w.qkv + head * hd;
        squares = 0;
        for (int d = 0; d < hd; d++)
            squares += (double)in[d] * (double)in[d];
        for (int d = 0; d < hd; d++)
            x[d] = w.norm ? (double)in[d] / sqrt(squares / hd + 1e-6) * (double)w.gain[d] : (double)in[d];
        write_kv(&w, 1);
        const uint16_t *k = (const uint16_t *)(w.pool + (size_t)w.pages[q][pos / 16] * w.kv.page_bytes +
                                               kv_k_offset(&w.kv, LAYER, head - w.kv.n_heads));
        for (int d = 0; d < hd; d++) {
            int j = d % half;
            double angle = (double)((float)pos * w.inv_freq[j]), c = cos(angle), s = sin(angle);
            double expected = d < half ? x[j] * c - x[j + half] * s : x[j + half] * c + x[j] * s;
            bool is_q = head < w.kv.n_heads;
            double got = is_q ? (double)w.qkv[head * hd + d] : (double)f16_to_f32(k[d * 16 + pos % 16]);
            ck_assert_double_le(fabs(got - expected), is_q ? 2e-5 : 2e-5 + fabs(expected) * 0x1p-11 + 0x1p-24);
        }
    }
    release(&w.blocks);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attention");
    TCase *tests = tcase_create("attention");
    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, equals_the_reference, 0, N_SHAPES);
    tcase_add_loop_test(tests, chunks_do_not_matter, 0, N_SHAPES);
    tcase_add_loop_test(tests, is_attention, 0, N_SHAPES);
    tcase_add_loop_test(tests, rope_kv_is_right, 0, N_SHAPES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
