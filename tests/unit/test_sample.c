/* sample: bit-equal in every instruction set, draws from the right distribution, filters as a sort would. */
#include "kernels/cpu/sample.h"
#include "kernels/cpu/workspace.h"
#include "ops_fixture.h"

enum { MAX_ROWS = 64, MAX_LIST = 256 };

static uint64_t seed;
static void setup(void) { seed = test_seed(); }

struct world {
    struct blocks blocks;
    struct op_sample op;
    struct step *step;
    float *logits;
    struct step_result *results;
};

static void open_world(struct world *w, int vocab)
{
    memset(w, 0, sizeof *w);
    const struct step_limits limits = {
        .max_rows = 1, .max_seqs = 1, .max_logits = MAX_ROWS, .max_history = MAX_LIST, .max_bias = MAX_LIST};
    w->step = new_step(&w->blocks, limits);
    w->op = (struct op_sample){.ld = pad_cols(vocab), .vocab = vocab, .step = at(w->step)};
    w->logits = take_floats(&w->blocks, MAX_ROWS * w->op.ld);
    w->results = take(&w->blocks, MAX_ROWS * sizeof *w->results);
    w->op.logits = at(w->logits);
    w->op.results = at(w->results);
    w->op.workspace = at(take(&w->blocks, cpu_sample_workspace(vocab, &limits, 4)));
}

static float *row_logits(struct world *w, int row) { return w->logits + row * w->op.ld; }

/* One more row that wants a token: greedy, nothing else, until its fields are set. */
static struct step_sample *add_row(struct world *w)
{
    struct step_sample *p = &step_samples(w->step)[w->step->n_logits++];
    *p = (struct step_sample){
        .top_p = 1.0f, .repetition = 1.0f, .history0 = w->step->n_history, .bias0 = w->step->n_bias};
    return p;
}

static void add_history(struct world *w, struct step_sample *p, int token, int output_count)
{
    step_history(w->step)[w->step->n_history++] = (struct step_history){token, output_count};
    p->n_history++;
}

static void add_bias(struct world *w, struct step_sample *p, int token, float add)
{
    step_bias(w->step)[w->step->n_bias++] = (struct step_bias){token, add};
    p->n_bias++;
}

static void run_variant(struct world *w, int v)
{
    struct variant variants[] = VARIANTS(sample);
    run_phase(variants[v].phase, &w->op, 1 + v);
}

/* Runs every variant; the results are those of all of them. */
static void run_all(struct world *w)
{
    struct variant variants[] = VARIANTS(sample);
    size_t bytes = (size_t)w->step->n_logits * sizeof *w->results;
    struct step_result *first = malloc(bytes);
    for (int v = 0; v < N_VARIANTS; v++) {
        if (!variants[v].usable)
            continue;
        memset(w->results, 0xff, bytes);
        run_variant(w, v);
        for (int i = 0; v && i < w->step->n_logits; i++) {
            ck_assert_msg(first[i].token == w->results[i].token, "%s: row %d: token %d, reference %d",
                          variants[v].isa, i, w->results[i].token, first[i].token);
            ck_assert_msg(!memcmp(&first[i], &w->results[i], sizeof *first), "%s: row %d differs", variants[v].isa, i);
        }
        memcpy(first, w->results, bytes);
    }
    free(first);
}

START_TEST(philox_known_answers)
{
    static const struct { uint32_t counter[4], key[2], out[4]; } known[] = { /* Random123, kat_vectors */
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t counter[4];
        memcpy(counter, known[i].counter, sizeof counter);
        philox4x32(counter, known[i].key[0], known[i].key[1]);
        ck_assert_mem_eq(counter, known[i].out, sizeof counter);
    }
}
END_TEST

/* In ulps of a double: what is added up afterwards is rounded to a float. */
START_TEST(log_is_close)
{
    for (int i = 0; i < 200000; i++) {
        double x = ldexp(1.0 + random_u32(&seed) * 0x1p-32, i % 40 - 10), exact = log(x);
        ck_assert_double_le(fabs(sample_log(x) - exact), 4 * 0x1p-53 * fmax(fabs(exact), 0.5));
    }
    ck_assert(sample_log(1.0) == 0.0);
}
END_TEST

/* Random settings on random logits, ties and strange values included. */
START_TEST(equals_the_reference)
{
    static const int vocabs[] = {1, 15, 16, 17, 300, 1000, 5003};
    for (size_t k = 0; k < sizeof vocabs / sizeof *vocabs; k++) {
        struct world w;
        open_world(&w, vocabs[k]);
        for (int row = 0; row < MAX_ROWS; row++) {
            struct step_sample *p = add_row(&w);
            uint32_t r = random_u32(&seed);
            float spread = r & 1 ? 12.0f : 0.5f;
            for (int i = 0; i < vocabs[k]; i++) {
                float z = spread * random_float(&seed);
                row_logits(&w, row)[i] = r & 2 ? rintf(z) : z; /* every other row is full of ties */
            }
            if (row % 8 == 7) {
                static const float strange[] = {NAN, INFINITY, -INFINITY, -NAN, 1e38f};
                for (int i = 0; i < 5; i++)
                    row_logits(&w, row)[random_u32(&seed) % (uint32_t)vocabs[k]] = strange[i];
            }
            p->temperature = (float[]){0.0f, 0.7f, 1.0f, 3.0f}[r >> 2 & 3];
            p->top_k = (int[]){0, 1, 40, 1000}[r >> 4 & 3];
            p->top_p = (float[]){1.0f, 0.9f, 0.3f, 1e-9f}[r >> 6 & 3];
            p->min_p = (float[]){0.0f, 0.0f, 0.05f, 1.0f}[r >> 8 & 3];
            p->n_top = (int[]){0, 1, 5, STEP_TOP_LOGPROBS}[r >> 10 & 3];
            p->repetition = r & 4096 ? 1.3f : 1.0f;
            p->frequency = r & 8192 ? 0.4f : 0.0f;
            p->presence = r & 8192 ? -0.2f : 0.0f;
            p->seed_lo = random_u32(&seed);
            p->position = (uint32_t)row;
            int token = (int)(random_u32(&seed) % (uint32_t)vocabs[k]);
            for (int i = 0; i < 3 && i < vocabs[k] && r & 16384; i++) { /* different tokens */
                add_history(&w, p, (token + i) % vocabs[k], i);
                add_bias(&w, p, (token + 2 * i) % vocabs[k], 5.0f * random_float(&seed));
            }
        }
        run_all(&w);
        release(&w.blocks);
    }
}
END_TEST

START_TEST(greedy_takes_the_lowest_id_of_a_tie)
{
    struct world w;
    open_world(&w, 100);
    for (int row = 0; row < 5; row++) {
        add_row(&w)->n_top = 3;
        for (int i = 0; i < 100; i++)
            row_logits(&w, row)[i] = i == 41 || i == 17 || i == 99 ? 2.0f : 1.0f;
    }
    for (int i = 0; i < 100; i++) {
        row_logits(&w, 1)[i] = -INFINITY;
        row_logits(&w, 2)[i] = NAN;
        row_logits(&w, 3)[i] = i == 3 ? -5.0f : NAN;
        row_logits(&w, 4)[i] = i == 20 || i == 60 ? INFINITY : 0.0f;
    }
    run_all(&w);
    ck_assert_int_eq(w.results[0].token, 17);
    ck_assert_int_eq(w.results[0].n_top, 3);
    ck_assert_int_eq(w.results[0].top_token[0], 17);
    ck_assert_int_eq(w.results[0].top_token[1], 41);
    ck_assert_int_eq(w.results[0].top_token[2], 99);
    for (int row = 1; row <= 2; row++) { /* nothing to choose from */
        ck_assert_int_eq(w.results[row].token, 0);
        ck_assert(w.results[row].logprob == -INFINITY && w.results[row].n_top == 0);
    }
    ck_assert_int_eq(w.results[3].token, 3);
    ck_assert(w.results[3].logprob == 0.0f && w.results[3].n_top == 1);
    ck_assert_int_eq(w.results[4].token, 20);
    ck_assert(fabsf(w.results[4].logprob + logf(2.0f)) < 1e-6f);
    release(&w.blocks);
}
END_TEST

START_TEST(logprobs_are_the_models_own)
{
    enum { VOCAB = 3001 };
    struct world w;
    open_world(&w, VOCAB);
    struct step_sample *p = add_row(&w);
    p->n_top = STEP_TOP_LOGPROBS;
    p->temperature = 2.0f;
    add_bias(&w, p, 1234, 100.0f); /* chosen for certain; its log probability knows nothing of it */
    double sum = 0;
    for (int i = 0; i < VOCAB; i++)
        sum += exp((double)(row_logits(&w, 0)[i] = 10.0f * random_float(&seed)));
    run_all(&w);
    const struct step_result *r = &w.results[0];
    ck_assert_int_eq(r->token, 1234);
    ck_assert_double_le(fabs((double)r->logprob - ((double)row_logits(&w, 0)[1234] - log(sum))), 2e-5);
    ck_assert_int_eq(r->n_top, STEP_TOP_LOGPROBS);
    for (int i = 0; i < r->n_top; i++) {
        float z = row_logits(&w, 0)[r->top_token[i]];
        int above = 0;
        for (int j = 0; j < VOCAB; j++)
            above += row_logits(&w, 0)[j] > z;
        ck_assert_int_le(above, i);
        ck_assert_double_le(fabs((double)r->top_logprob[i] - ((double)z - log(sum))), 2e-5);
    }
    release(&w.blocks);
}
END_TEST

/* Penalties decide between two tokens a hair apart: the formula is met from both sides. */
START_TEST(penalties_follow_their_formulas)
{
    static const struct { float z, repetition, frequency, presence; int count; float bias; } cases[] = {
        {2.0f, 1.5f, 0, 0, 0, 0},           {-2.0f, 1.5f, 0, 0, 0, 0},      {2.0f, 1.0f, 0.25f, 0, 3, 0},
        {2.0f, 1.0f, 0, 0.75f, 3, 0},       {2.0f, 1.0f, 0.5f, 0.5f, 0, 0}, {1.0f, 1.0f, 0, 0, 0, -1.5f},
        {3.0f, 2.0f, 0.25f, 0.5f, 2, 1.0f}, {-1.0f, 2.0f, -0.5f, 0, 4, 0},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double v = (double)cases[k].z;
        v = v > 0 ? v / (double)cases[k].repetition : v * (double)cases[k].repetition;
        if (cases[k].count)
            v -= (double)cases[k].frequency * cases[k].count + (double)cases[k].presence;
        v += (double)cases[k].bias;
        struct world w;
        open_world(&w, 40);
        for (int row = 0; row < 2; row++) {
            struct step_sample *p = add_row(&w);
            p->repetition = cases[k].repetition;
            p->frequency = cases[k].frequency;
            p->presence = cases[k].presence;
            add_history(&w, p, 30, cases[k].count);
            if (cases[k].bias != 0.0f)
                add_bias(&w, p, 30, cases[k].bias);
            for (int i = 0; i < 40; i++)
                row_logits(&w, row)[i] = -50.0f;
            row_logits(&w, row)[30] = cases[k].z;
            row_logits(&w, row)[10] = (float)v + (row ? 1e-5f : -1e-5f);
        }
        run_all(&w);
        ck_assert_int_eq(w.results[0].token, 30);
        ck_assert_int_eq(w.results[1].token, 10);
        release(&w.blocks);
    }
}
END_TEST

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* What each token should be drawn with, from a full sort in double. Logits have no near ties. */
static void exact_distribution(const float *z, int n, const struct step_sample *p, double *out)
{
    double sorted[512], total = 0, sum = 0, cut = 0, largest = -INFINITY;
    for (int i = 0; i < n; i++)
        largest = fmax(largest, (double)z[i]);
    for (int i = 0; i < n; i++)
        sorted[i] = out[i] = exp(((double)z[i] - largest) / (double)p->temperature);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    int kept = p->top_k > 0 && p->top_k < n ? p->top_k : n, last = 0;
    for (int i = 0; i < kept; i++)
        total += sorted[i];
    for (sum = sorted[0]; sum < (double)p->top_p * total && last < kept - 1; sum += sorted[++last])
        ;
    cut = fmax(sorted[last], (double)p->min_p) * (1 - 1e-7);
    total = 0;
    for (int i = 0; i < n; i++)
        total += out[i] = out[i] >= cut ? out[i] : 0;
    for (int i = 0; i < n; i++)
        out[i] /= total;
}

enum { DRAW_VOCAB = 60, DRAWS = 40000 };

/* Chi-square of many draws; tokens that were filtered out must never come. */
START_TEST(draws_follow_the_distribution)
{
    static const struct step_sample settings[] = {
        {.temperature = 1.0f, .top_p = 1.0f},
        {.temperature = 0.6f, .top_p = 1.0f},
        {.temperature = 1.0f, .top_p = 1.0f, .top_k = 7},
        {.temperature = 1.0f, .top_p = 0.8f},
        {.temperature = 1.5f, .top_p = 1.0f, .min_p = 0.1f},
        {.temperature = 0.9f, .top_p = 0.7f, .min_p = 0.02f, .top_k = 20},
    };
    struct world w;
    double p[512], chi2 = 0;
    int counts[DRAW_VOCAB] = {0}, cells = 0;
    uint64_t fixed = 12345;
    open_world(&w, DRAW_VOCAB);
    for (int row = 0; row < MAX_ROWS; row++)
        add_row(&w);
    for (int row = 0; row < MAX_ROWS; row++)
        for (int i = 0; i < DRAW_VOCAB; i++)
            row_logits(&w, row)[i] = row ? row_logits(&w, 0)[i] : 3.0f * random_float(&fixed);
    exact_distribution(row_logits(&w, 0), DRAW_VOCAB, &settings[_i], p);
    for (int done = 0; done < DRAWS; done += MAX_ROWS) {
        for (int row = 0; row < MAX_ROWS; row++) {
            struct step_sample *s = &step_samples(w.step)[row];
            *s = settings[_i];
            s->repetition = 1.0f;
            s->seed_lo = 7; /* positions and choices run, the seed stays: independent all the same */
            s->position = (uint32_t)done;
            s->choice = (uint32_t)row;
        }
        run_variant(&w, 0);
        for (int row = 0; row < MAX_ROWS; row++)
            counts[w.results[row].token]++;
    }
    for (int i = 0; i < DRAW_VOCAB; i++) {
        if (p[i] == 0)
            ck_assert_msg(counts[i] == 0, "token %d was filtered out and drawn %d times", i, counts[i]);
        else if (p[i] * DRAWS >= 5) {
            double d = counts[i] - p[i] * DRAWS;
            chi2 += d * d / (p[i] * DRAWS);
            cells++;
        }
    }
    double deviation = (chi2 - (cells - 1)) / sqrt(2.0 * (cells - 1));
    ck_assert_msg(deviation < 4, "chi-square %.1f of %d cells", chi2, cells);
    release(&w.blocks);
}
END_TEST

/* Which tokens pass the filters, on random distributions: drawn tokens are among a sort's, and all likely ones come. */
START_TEST(filters_keep_what_a_sort_keeps)
{
    enum { VOCAB = 400 };
    for (int round = 0; round < 40; round++) {
        struct world w;
        double p[512];
        bool seen[VOCAB] = {false};
        open_world(&w, VOCAB);
        struct step_sample set = {.temperature = 0.5f + 0.05f * (float)(round % 10), .top_p = 1.0f, .repetition = 1.0f};
        set.top_k = round & 1 ? 1 + (int)(random_u32(&seed) % 12) : 0;
        set.top_p = round & 2 ? 0.2f + 0.35f * (1.0f + random_float(&seed)) : 1.0f;
        set.min_p = round & 4 ? 0.2f * (1.0f + random_float(&seed)) : 0.0f;
        for (int row = 0; row < MAX_ROWS; row++) {
            *add_row(&w) = set;
            step_samples(w.step)[row].choice = (uint32_t)row;
            for (int i = 0; i < VOCAB; i++)
                row_logits(&w, row)[i] = row ? row_logits(&w, 0)[i] : 4.0f * random_float(&seed);
        }
        exact_distribution(row_logits(&w, 0), VOCAB, &set, p);
        for (int position = 0; position < 20; position++) {
            for (int row = 0; row < MAX_ROWS; row++)
                step_samples(w.step)[row].position = (uint32_t)position;
            run_all(&w);
            for (int row = 0; row < MAX_ROWS; row++)
                seen[w.results[row].token] = true;
        }
        for (int i = 0; i < VOCAB; i++) {
            ck_assert_msg(!seen[i] || p[i] > 0, "token %d should not pass", i);
            ck_assert_msg(seen[i] || p[i] < 0.02, "token %d of probability %.3f never came in 1280 draws", i, p[i]);
        }
        release(&w.blocks);
    }
}
END_TEST

/* Weights 2, 1, 1, 1, less: top-k 2 keeps the ties too, 5 in all, of which top-p 0.5 needs more than the first. */
START_TEST(ties_with_the_last_one_kept_are_kept)
{
    struct world w;
    int counts[20] = {0};
    open_world(&w, 20);
    for (int row = 0; row < MAX_ROWS; row++) {
        struct step_sample *p = add_row(&w);
        p->temperature = 1.0f;
        p->top_k = 2;
        p->top_p = 0.5f;
        p->choice = (uint32_t)row;
        for (int i = 0; i < 20; i++)
            row_logits(&w, row)[i] = i == 3 ? logf(2.0f) : i == 4 || i == 9 || i == 17 ? 0.0f : -0.5f;
    }
    run_all(&w);
    for (int row = 0; row < MAX_ROWS; row++)
        counts[w.results[row].token]++;
    ck_assert(counts[3] && counts[4] && counts[9] && counts[17]);
    ck_assert_int_eq(counts[3] + counts[4] + counts[9] + counts[17], MAX_ROWS);
    release(&w.blocks);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sample");
    TCase *tests = tcase_create("sample");
    tcase_add_unchecked_fixture(tests, setup, NULL);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, philox_known_answers);
    tcase_add_test(tests, log_is_close);
    tcase_add_test(tests, equals_the_reference);
    tcase_add_test(tests, greedy_takes_the_lowest_id_of_a_tie);
    tcase_add_test(tests, logprobs_are_the_models_own);
    tcase_add_test(tests, penalties_follow_their_formulas);
    tcase_add_loop_test(tests, draws_follow_the_distribution, 0, 6);
    tcase_add_test(tests, filters_keep_what_a_sort_keeps);
    tcase_add_test(tests, ties_with_the_last_one_kept_are_kept);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
