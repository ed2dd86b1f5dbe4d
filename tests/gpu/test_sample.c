/* sample on the GPU: tokens, log probabilities and alternatives are the reference's, byte for byte. */
#include "kernels/sample.h"
#include "pair.h"
#include "tests/unit/ops_fixture.h"

static uint64_t seed;
static struct pair pair;

static void setup(void)
{
    seed = test_seed();
    pair_open(&pair);
}

static void teardown(void) { pair_close(&pair); }

enum { MAX_ROWS = 16, MAX_LIST = 4096 };

struct world {
    struct blocks blocks;
    struct step *step;
    int vocab;
    int64_t ld;
    float *logits; /* (MAX_ROWS, ld); what is beyond the vocabulary stays NaN */
    struct both results;
};

static void open_world(struct world *w, int vocab)
{
    memset(w, 0, sizeof *w);
    w->step = new_step(&w->blocks, (struct step_limits){.max_rows = 1, .max_seqs = 1, .max_logits = MAX_ROWS,
                                                        .max_history = MAX_LIST, .max_bias = MAX_LIST});
    w->vocab = vocab;
    w->ld = pad_cols(vocab) + 16;
    w->logits = take_floats(&w->blocks, MAX_ROWS * w->ld);
}

static float *row_logits(struct world *w, int row) { return w->logits + row * w->ld; }

static int random_token(const struct world *w) { return (int)(random_u32(&seed) % (uint32_t)w->vocab); }

/* One more row: greedy, nothing else, until its fields are set. */
static struct step_sample *add_row(struct world *w)
{
    struct step_sample *p = &step_samples(w->step)[w->step->n_logits++];
    *p = (struct step_sample){.top_p = 1.0f, .repetition = 1.0f, .history0 = w->step->n_history,
                              .bias0 = w->step->n_bias, .position = (uint32_t)w->step->n_logits};
    return p;
}

/* `n` different tokens, some of them only in the prompt. */
static void add_history(struct world *w, struct step_sample *p, int n)
{
    int first = random_token(w), stride = n * 3 < w->vocab ? 3 : 1;
    for (int i = 0; i < n && i < w->vocab; i++, p->n_history++)
        step_history(w->step)[w->step->n_history++] =
            (struct step_history){(first + i * stride) % w->vocab, (int32_t)(random_u32(&seed) % 3)};
}

static void add_bias(struct world *w, struct step_sample *p, int n)
{
    int first = random_token(w);
    for (int i = 0; i < n && i < w->vocab; i++, p->n_bias++)
        step_bias(w->step)[w->step->n_bias++] = (struct step_bias){(first + i) % w->vocab, 5.0f * random_float(&seed)};
}

static struct step_result result_of(struct world *w, int row)
{
    struct step_result all[MAX_ROWS];
    pair_read(&pair, GPU, all, w->results, sizeof all);
    return all[row];
}

/* Runs both devices and compares every byte of every result. */
static void run_world(struct world *w)
{
    size_t bytes = (size_t)(MAX_ROWS * w->ld) * sizeof(float);
    struct both logits = pair_alloc(&pair, bytes);
    w->results = pair_alloc(&pair, MAX_ROWS * sizeof(struct step_result));
    pair_fill(&pair, logits, w->logits, bytes);
    size_t workspace_bytes = 0;
    for (int d = 0; d < 2; d++) {
        size_t needs = pair.ops[d]->sample_workspace(pair.device[d], w->vocab, &w->step->limits);
        workspace_bytes = needs > workspace_bytes ? needs : workspace_bytes;
    }
    struct both workspace = pair_alloc(&pair, workspace_bytes);
    for (int d = 0; d < 2; d++) {
        pair_begin(&pair, d, w->step);
        pair.ops[d]->sample(pair.stream[d], &(struct op_sample){
            .results = w->results.at[d], .logits = logits.at[d], .ld = w->ld, .vocab = w->vocab,
            .step = pair.step.at[d], .workspace = workspace.at[d]});
        pair_finish(&pair, d);
    }
    struct step_result is[2][MAX_ROWS];
    for (int d = 0; d < 2; d++)
        pair_read(&pair, d, is[d], w->results, sizeof is[d]);
    for (int i = 0; i < w->step->n_logits; i++)
        ck_assert_msg(is[CPU][i].token == is[GPU][i].token, "vocabulary %d, row %d: token %d on the CPU, %d on the GPU",
                      w->vocab, i, is[CPU][i].token, is[GPU][i].token);
    pair_equal(&pair, w->results, MAX_ROWS * sizeof(struct step_result), "results");
}

static void close_world(struct world *w)
{
    pair_release(&pair);
    release(&w->blocks);
}

/* Logits of one row: wide or narrow, every other one full of ties, some with strange values. */
static void random_logits(struct world *w, int row)
{
    static const float strange[] = {NAN, INFINITY, -INFINITY, -NAN, 1e38f, -0.0f};
    uint32_t r = random_u32(&seed);
    float spread = r & 1 ? 12.0f : r & 8 ? 1.5f : 0.01f;
    for (int i = 0; i < w->vocab; i++) {
        float z = spread * random_float(&seed);
        row_logits(w, row)[i] = r & 2 ? rintf(z) : z;
    }
    for (int i = 0; i < 6 && row % 8 == 7; i++)
        row_logits(w, row)[random_token(w)] = strange[i];
}

static void random_settings(struct world *w, struct step_sample *p)
{
    uint32_t r = random_u32(&seed);
    p->temperature = (float[]){0.0f, 0.7f, 1.0f, 3.0f}[r >> 2 & 3];
    p->top_k = (int[]){0, 1, 40, 1000}[r >> 4 & 3];
    p->top_p = (float[]){1.0f, 0.9f, 0.3f, 1e-9f}[r >> 6 & 3];
    p->min_p = (float[]){0.0f, 0.0f, 0.05f, 1.0f}[r >> 8 & 3];
    p->n_top = (int[]){0, 1, 5, STEP_TOP_LOGPROBS}[r >> 10 & 3];
    p->repetition = r & 4096 ? 1.3f : 1.0f;
    p->frequency = r & 8192 ? 0.4f : 0.0f;
    p->presence = r & 8192 ? -0.2f : 0.0f;
    p->seed_lo = random_u32(&seed);
    p->seed_hi = random_u32(&seed);
    if (r & 16384) {
        add_history(w, p, 200);
        add_bias(w, p, 100);
    }
}

/* Races show with few parts, too, and the thread sanitizer takes its time. */
#ifdef __SANITIZE_THREAD__
enum { USUAL_VOCAB = 8300, N_SIZES = 3, ROUNDS = 1 };
#else
enum { USUAL_VOCAB = 49152, N_SIZES = 9, ROUNDS = 8 };
#endif

static const struct { int vocab, rows, rounds; } sizes[] = {
    {1, 8, 1},     {31, 16, 4},   {4097, 8, 1},  {1024, 16, 2},  {2, 16, 1},
    {4096, 13, 3}, {8200, 16, 2}, {49152, 11, 1}, {151936, 5, 1},
};

START_TEST(random_rows)
{
    for (int round = 0; round < sizes[_i].rounds; round++) {
        struct world w;
        open_world(&w, sizes[_i].vocab);
        for (int row = 0; row < sizes[_i].rows; row++) {
            random_logits(&w, row);
            random_settings(&w, add_row(&w));
        }
        run_world(&w);
        close_world(&w);
    }
}
END_TEST

/* What a model gives: a few likely tokens, many that are not; the settings that people use. */
START_TEST(usual_settings)
{
    static const struct step_sample usual[] = {
        {.temperature = 0.0f, .top_p = 1.0f},
        {.temperature = 1.0f, .top_p = 1.0f},
        {.temperature = 0.8f, .top_p = 0.95f},
        {.temperature = 0.7f, .top_p = 0.8f, .top_k = 20},
        {.temperature = 1.0f, .top_p = 1.0f, .min_p = 0.05f},
        {.temperature = 0.6f, .top_p = 0.9f, .top_k = 64, .min_p = 0.02f, .n_top = 20},
        {.temperature = 1.2f, .top_p = 0.999999f, .top_k = 30000},
    };
    struct world w;
    open_world(&w, USUAL_VOCAB);
    for (size_t i = 0; i < 2 * (sizeof usual / sizeof *usual); i++) {
        int row = w.step->n_logits;
        struct step_sample *p = add_row(&w), lists = *p;
        *p = usual[i / 2];
        p->history0 = lists.history0;
        p->bias0 = lists.bias0;
        p->repetition = 1.0f;
        p->seed_lo = random_u32(&seed);
        for (int t = 0; t < w.vocab; t++) {
            float x = random_float(&seed), y = random_float(&seed);
            row_logits(&w, row)[t] = 2.5f * (x + y + random_float(&seed)) + 9.0f * x * x * x * y * y * y;
        }
        if (i % 2) {
            p->repetition = 1.1f;
            add_history(&w, p, 500);
        }
    }
    run_world(&w);
    close_world(&w);
}
END_TEST

START_TEST(ties_and_nothing_to_choose_from)
{
    enum { VOCAB = 9000, FAR = 8191 };
    struct world w;
    open_world(&w, VOCAB);
    for (int row = 0; row < 7; row++) {
        add_row(&w)->n_top = 3;
        for (int i = 0; i < VOCAB; i++)
            row_logits(&w, row)[i] = i == 4100 || i == 17 || i == FAR ? 2.0f : 1.0f;
    }
    for (int i = 0; i < VOCAB; i++) {
        row_logits(&w, 1)[i] = -INFINITY;
        row_logits(&w, 2)[i] = NAN;
        row_logits(&w, 3)[i] = i == FAR ? -5.0f : NAN;
        row_logits(&w, 4)[i] = i == 20 || i == FAR ? INFINITY : 0.0f;
        row_logits(&w, 5)[i] = i % 2 ? 0.0f : -0.0f;
        row_logits(&w, 6)[i] = 0.5f; /* all alike, drawn: every weight is the largest */
    }
    step_samples(w.step)[1].temperature = 1.0f;
    step_samples(w.step)[6].temperature = 1.0f;
    step_samples(w.step)[6].top_p = 0.5f;
    step_samples(w.step)[6].top_k = 2;
    run_world(&w);
    ck_assert_int_eq(result_of(&w, 0).token, 17);
    ck_assert_int_eq(result_of(&w, 0).top_token[2], FAR);
    ck_assert_int_eq(result_of(&w, 1).token, 0);
    ck_assert_int_eq(result_of(&w, 1).n_top, 0);
    ck_assert_int_eq(result_of(&w, 3).token, FAR);
    ck_assert(result_of(&w, 3).logprob == 0.0f);
    ck_assert_int_eq(result_of(&w, 4).token, 20);
    ck_assert_int_eq(result_of(&w, 5).token, 0);
    close_world(&w);
}
END_TEST

START_TEST(the_last_of_a_long_history_counts)
{
    enum { VOCAB = 1024, FIRST = 600, LAST = 900, OTHER = 5 };
    struct world w;
    open_world(&w, VOCAB);
    struct step_sample *p = add_row(&w);
    p->repetition = 2.0f;
    for (int t = FIRST; t <= LAST; t++, p->n_history++)
        step_history(w.step)[w.step->n_history++] = (struct step_history){t, 1};
    for (int t = 0; t < VOCAB; t++)
        row_logits(&w, 0)[t] = t == LAST ? 3.0f : t == OTHER ? 2.5f : 0.0f;
    run_world(&w);
    ck_assert_int_eq(result_of(&w, 0).token, OTHER);
    close_world(&w);
}
END_TEST

/* Many draws from one row: every token that should come does, and each as the reference's. */
START_TEST(draws_cover_what_passes)
{
    enum { VOCAB = 5000 };
    int counts[4] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        struct world w;
        open_world(&w, VOCAB);
        for (int row = 0; row < MAX_ROWS; row++) {
            struct step_sample *p = add_row(&w);
            p->temperature = 1.0f;
            p->top_k = 3;
            p->seed_hi = (uint32_t)(round * MAX_ROWS + row);
            for (int i = 0; i < VOCAB; i++)
                row_logits(&w, row)[i] = i == 5 || i == 4095 || i == 4096 || i == 4999 ? 3.0f : 2.9f;
        }
        run_world(&w);
        for (int row = 0; row < MAX_ROWS; row++) {
            int token = result_of(&w, row).token;
            counts[token == 5 ? 0 : token == 4095 ? 1 : token == 4096 ? 2 : 3]++;
            ck_assert(token == 5 || token == 4095 || token == 4096 || token == 4999);
        }
        close_world(&w);
    }
    for (int i = 0; i < 4; i++)
        ck_assert_int_ge(counts[i], ROUNDS * MAX_ROWS / 10 - 1);
}
END_TEST

START_TEST(no_rows)
{
    struct world w;
    open_world(&w, 5000);
    run_world(&w);
    close_world(&w);
}
END_TEST

static void add_case(Suite *suite, const char *name, const TTest *test, int n)
{
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 240);
    tcase_add_loop_test(tests, test, 0, n);
    suite_add_tcase(suite, tests);
}

int main(void)
{
    Suite *suite = suite_create("gpu/sample");
    add_case(suite, "random", random_rows, N_SIZES);
    add_case(suite, "usual", usual_settings, 1);
    add_case(suite, "ties", ties_and_nothing_to_choose_from, 1);
    add_case(suite, "history", the_last_of_a_long_history_counts, 1);
    add_case(suite, "draws", draws_cover_what_passes, 1);
    add_case(suite, "none", no_rows, 1);
    return run_suite(suite);
}
