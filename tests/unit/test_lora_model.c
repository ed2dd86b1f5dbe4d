/* The LoRA pass as callers see it: an example's result is its own, to the bit, whatever shares the batch; gradients are
 * slopes of the loss, with dropout too; what cannot be computed is refused. Against PyTorch, for every architecture:
 * tests/golden/test_lora_gradient.py. */
#include "tiny_model.h"
#include "training/lora_internal.h"
#include "weights.h"

#include <check.h>

enum { EXAMPLES = 9, MOST_TOKENS = 70, RANK = 3, MAX_ROWS = 100 };

static char *folder, *path;
static uint32_t tokens[EXAMPLES][MOST_TOKENS];
static float weights[EXAMPLES][MOST_TOKENS];
static struct train_example examples[EXAMPLES];

/* Random weights: matrices of a size that keeps activations of order one, gains around 1. */
static void add_random(void *file, const char *name, int rows, int cols, const float *data)
{
    static uint64_t seed = 3;
    static float values[128 * 128];
    int n = (rows ? rows : 1) * cols;
    (void)data;
    for (int i = 0; i < n; i++)
        values[i] = rows ? random_float(&seed) * 2 / sqrtf((float)cols) : 1 + 0.3f * random_float(&seed);
    gguf_file_tensor(file, name, 0, (uint64_t)cols, (uint64_t)rows, values, (size_t)n * sizeof *values);
}

static void setup(void)
{
    static const int lengths[EXAMPLES] = {2, 17, 33, 3, 70, 5, 48, 16, 64};
    struct buf file;
    uint64_t seed = 8;
    folder = scratch_make();
    path = scratch_path(folder, "model.gguf");
    tiny_gguf_with("llama", &(struct tiny_edit){0}, add_random, &file);
    scratch_write(folder, "model.gguf", file.data, file.len);
    buf_deinit(&file);
    for (int i = 0; i < EXAMPLES; i++) {
        examples[i] = (struct train_example){.tokens = tokens[i], .weight = weights[i], .n = lengths[i],
                                             .dropout_seed = (uint64_t)i};
        for (int j = 0; j < lengths[i]; j++) {
            tokens[i][j] = random_u32(&seed) % TINY_VOCAB;
            weights[i][j] = j && (j == 1 || random_u32(&seed) % 3) ? random_float(&seed) : 0;
        }
    }
}

static void teardown(void)
{
    free(path);
    scratch_remove(folder, (const char *const[]){"model.gguf"}, 1);
}

static struct lora_model *open_with(struct train_config config)
{
    struct err e;
    struct model_file *file;
    struct lora_model *m;
    uint64_t seed = 21;
    ck_assert_int_eq(model_file_open(path, &file, &e), 0);
    size_t bytes = lora_model_bytes(file, &config);
    ck_assert_msg(lora_model_open(file, &config, &m, &e) == 0, "%s", e.message);
    if (config.targets) /* told before it is taken, to the byte */
        ck_assert_uint_eq(bytes, m->weight_bytes + m->state_bytes);
    model_file_close(file);
    for (int64_t i = 0; i < lora_model_layout(m)->n_params; i++)
        lora_model_params(m)[i] = 0.3f * random_float(&seed);
    return m;
}

static struct train_config usual(void)
{
    return (struct train_config){.threads = 2, .targets = (1u << LORA_TARGETS) - 1, .rank = RANK, .alpha = 5,
                                 .max_rows = MAX_ROWS};
}

/* Every example by itself, one after the other: what all other ways must equal. */
struct results {
    int64_t n;
    float *gradients; /* (EXAMPLES, n) */
    struct train_loss losses[EXAMPLES];
};

static struct results one_by_one(struct lora_model *m)
{
    struct results r = {.n = lora_model_layout(m)->n_params};
    r.gradients = calloc((size_t)r.n * EXAMPLES, sizeof *r.gradients);
    for (int i = 0; i < EXAMPLES; i++)
        ck_assert_int_eq(lora_model_gradient(m, &examples[i], r.gradients + i * r.n, &r.losses[i], NULL), 0);
    return r;
}

static struct results together(struct lora_model *m)
{
    struct results r = {.n = lora_model_layout(m)->n_params};
    r.gradients = calloc((size_t)r.n * EXAMPLES, sizeof *r.gradients);
    ck_assert_int_eq(lora_model_gradient_batch(m, examples, EXAMPLES, r.gradients, r.n, r.losses, NULL), 0);
    return r;
}

static void assert_same(struct results a, struct results b)
{
    ck_assert_mem_eq(a.gradients, b.gradients, (size_t)(a.n * EXAMPLES) * sizeof *a.gradients);
    ck_assert_mem_eq(a.losses, b.losses, sizeof a.losses);
}

START_TEST(batches_change_nothing)
{
    struct train_config config = usual();
    config.dropout = _i ? 0.2f : 0;
    struct lora_model *m = open_with(config);
    struct results alone = one_by_one(m), batch = together(m), again = together(m);
    assert_same(alone, batch);
    assert_same(batch, again);
    float *sum = calloc((size_t)alone.n, sizeof *sum);
    struct train_loss losses[EXAMPLES];
    ck_assert_int_eq(lora_model_gradient_batch(m, examples, EXAMPLES, sum, 0, losses, NULL), 0);
    for (int64_t i = 0; i < alone.n; i++) {
        float expected = 0;
        for (int j = 0; j < EXAMPLES; j++)
            expected += alone.gradients[j * alone.n + i];
        ck_assert(sum[i] == expected);
    }
    static const struct { int threads, rows; const char *isa; } ways[] = {
        {1, 70, NULL}, {5, 500, NULL}, {2, 96, "avx2"},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        config.threads = ways[i].threads;
        config.max_rows = ways[i].rows;
        config.isa = ways[i].isa;
        struct lora_model *other = open_with(config);
        struct results r = together(other);
        assert_same(alone, r);
        free(r.gradients);
        lora_model_close(other);
    }
    free(sum);
    free(alone.gradients);
    free(batch.gradients);
    free(again.gradients);
    lora_model_close(m);
}
END_TEST

static double loss_of(struct lora_model *m, const struct train_example *x, float *unused)
{
    struct train_loss loss;
    ck_assert_int_eq(lora_model_gradient(m, x, unused, &loss, NULL), 0);
    return loss.loss;
}

/* The slope along a random direction, central difference; loss is float32 inside, so the step cannot be tiny. */
START_TEST(gradients_are_slopes)
{
    struct train_config config = usual();
    config.targets = _i & 1 ? 1u << LORA_Q | 1u << LORA_V : config.targets;
    config.dropout = _i & 2 ? 0.3f : 0;
    struct lora_model *m = open_with(config);
    const struct lora_layout *l = lora_model_layout(m);
    float *params = lora_model_params(m), *g = calloc((size_t)l->n_params, sizeof *g);
    float *unused = calloc((size_t)l->n_params, sizeof *unused), *start = malloc((size_t)l->n_params * sizeof *start);
    uint64_t seed = 77;
    loss_of(m, &examples[4], g);
    memcpy(start, params, (size_t)l->n_params * sizeof *start);
    for (int32_t p = 0; p < l->n_places; p++)
        for (int side = 0; side < 2; side++) {
            int64_t at = side ? l->places[p].b : l->places[p].a, n = (side ? l->places[p].out : l->places[p].in) * RANK;
            double slope = 0, norm = 0, losses[2];
            for (int sign = 0; sign < 2; sign++) {
                uint64_t direction = seed + 2 * (uint64_t)(p * 2 + side);
                for (int64_t i = 0; i < n; i++) {
                    float d = random_float(&direction);
                    params[at + i] = start[at + i] + (sign ? -2e-3f : 2e-3f) * d;
                    slope += sign ? 0 : (double)g[at + i] * d;
                    norm += sign ? 0 : (double)g[at + i] * g[at + i];
                }
                losses[sign] = loss_of(m, &examples[4], unused);
            }
            memcpy(params + at, start + at, (size_t)n * sizeof *params);
            double measured = (losses[0] - losses[1]) / 4e-3;
            ck_assert_msg(norm > 0 && fabs(measured - slope) <= 0.01 * sqrt(norm), "place %d side %d: %g, measured %g",
                          p, side, slope, measured);
        }
    free(g);
    free(unused);
    free(start);
    lora_model_close(m);
}
END_TEST

/* Layers below the lowest adapted part are left out; what is above gets the same gradient as with all adapted. */
START_TEST(lowest_part)
{
    struct train_config config = usual();
    struct lora_model *all = open_with(config);
    const struct lora_layout *l = lora_model_layout(all);
    config.targets = 1u << _i;
    struct lora_model *one = open_with(config);
    const struct lora_layout *few = lora_model_layout(one);
    memset(lora_model_params(all), 0, (size_t)l->n_params * sizeof(float));
    int32_t at = 0;
    for (int32_t p = 0; p < l->n_places; p++) {
        const struct lora_place *a = &l->places[p], *b = &few->places[at];
        if (a->target != (enum lora_target)_i)
            continue;
        memcpy(lora_model_params(all) + a->a, lora_model_params(one) + b->a, (size_t)(RANK * (a->in + a->out)) * 4);
        at++;
    }
    ck_assert_int_eq(at, few->n_places);
    struct results many = together(all), single = together(one);
    ck_assert_mem_eq(many.losses, single.losses, sizeof many.losses);
    for (int e = 0; e < EXAMPLES; e++)
        for (int32_t p = at = 0; p < l->n_places; p++)
            if (l->places[p].target == (enum lora_target)_i) {
                const struct lora_place *a = &l->places[p], *b = &few->places[at++];
                const float *x = many.gradients + e * many.n + a->a, *y = single.gradients + e * single.n + b->a;
                ck_assert_mem_eq(x, y, (size_t)(RANK * (a->in + a->out)) * sizeof *x);
            }
    free(many.gradients);
    free(single.gradients);
    lora_model_close(all);
    lora_model_close(one);
}
END_TEST

START_TEST(losses_and_logits)
{
    struct lora_model *m = open_with(usual());
    struct results r = together(m);
    struct train_loss losses[EXAMPLES];
    ck_assert_int_eq(lora_model_loss_batch(m, examples, EXAMPLES, losses, NULL), 0);
    ck_assert_mem_eq(losses, r.losses, sizeof losses);
    const struct train_example *x = &examples[6];
    static float logits[MOST_TOKENS][TINY_VOCAB];
    int32_t rows[MOST_TOKENS], n = 0;
    for (int32_t i = 1; i < x->n; i++)
        if (x->weight[i] != 0)
            rows[n++] = i - 1;
    ck_assert_int_eq(lora_model_logits(m, x->tokens, x->n, rows, n, logits[0], NULL), 0);
    double loss = 0, sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double total = 0;
        for (int t = 0; t < TINY_VOCAB; t++)
            total += exp((double)logits[i][t]);
        loss += (double)x->weight[rows[i] + 1] * (log(total) - (double)logits[i][x->tokens[rows[i] + 1]]);
        sum += (double)x->weight[rows[i] + 1];
    }
    ck_assert_double_eq_tol(loss, losses[6].loss, 1e-5);
    ck_assert_double_eq_tol(sum, losses[6].weight_sum, 1e-12);
    free(r.gradients);
    lora_model_close(m);
}
END_TEST

static void refused(struct lora_model *m, const uint32_t *text, const float *weight, int32_t n, int code,
                    const char *why)
{
    struct err e;
    struct train_example x = {.tokens = text, .weight = weight, .n = n};
    struct train_loss loss;
    float *g = calloc((size_t)lora_model_layout(m)->n_params + 1, sizeof *g);
    ck_assert_int_eq(lora_model_gradient(m, &x, g, &loss, &e), code);
    ck_assert_msg(strstr(e.message, why), "%s", e.message);
    for (int64_t i = 0; i < lora_model_layout(m)->n_params; i++)
        ck_assert(g[i] == 0);
    free(g);
}

START_TEST(refusals)
{
    struct train_config config = usual();
    struct lora_model *m = open_with(config);
    static uint32_t long_tokens[200];
    static float long_weights[200], none[MOST_TOKENS], first[2] = {1, 1}, infinite[2] = {0, INFINITY};
    struct train_example x = examples[1];
    long_weights[MAX_ROWS + 1] = 1;
    refused(m, x.tokens, x.weight, 1, OL_EINVAL, "needs two");
    refused(m, x.tokens, none, 9, OL_EINVAL, "no token has");
    refused(m, x.tokens, first, 2, OL_EINVAL, "the first token");
    refused(m, x.tokens, infinite, 2, OL_EINVAL, "not finite");
    refused(m, (uint32_t[]){1, TINY_VOCAB}, weights[0], 2, OL_EINVAL, "not in the vocabulary");
    refused(m, long_tokens, long_weights, 200, OL_ELIMIT, "do not fit");
    long_weights[150] = 1;
    refused(m, long_tokens, long_weights, 200, OL_ELIMIT, "context");
    struct train_loss loss; /* without a weight, a loss is exact: nothing */
    ck_assert_int_eq(lora_model_loss_batch(m, &(struct train_example){.tokens = x.tokens, .weight = none, .n = 9}, 1,
                                           &loss, NULL), 0);
    ck_assert(loss.loss == 0 && loss.weight_sum == 0);
    int32_t backwards[] = {3, 2};
    float logits[2 * TINY_VOCAB];
    ck_assert_int_eq(lora_model_logits(m, x.tokens, x.n, backwards, 2, logits, NULL), OL_EINVAL);
    lora_model_close(m);
    config.targets = 0;
    m = open_with(config);
    refused(m, x.tokens, x.weight, x.n, OL_EINVAL, "nothing is adapted");
    ck_assert_int_eq(lora_model_loss_batch(m, &x, 1, &loss, NULL), 0);
    lora_model_close(m);
}
END_TEST

START_TEST(configurations)
{
    const struct { struct train_config c; const char *text; } wrong[] = {
        {{.targets = 1, .rank = 0}, "rank 0"},           {{.targets = 1, .rank = LORA_MAX_RANK + 1}, "rank 257"},
        {{.targets = 1u << LORA_TARGETS, .rank = 1}, "unknown bits"}, {{.dropout = 1}, "dropout"},
        {{.threads = -1}, "threads"},                    {{.max_rows = -1}, "rows"},
        {{.isa = "sse"}, "sse"},                         {{.targets = 1, .rank = 1, .alpha = NAN}, "alpha"},
    };
    struct err e;
    struct model_file *file;
    struct lora_model *m;
    uint32_t targets;
    ck_assert_int_eq(model_file_open(path, &file, &e), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_lt(lora_model_open(file, &wrong[i].c, &m, &e), 0);
        ck_assert_msg(strstr(e.message, wrong[i].text), "%s", e.message);
    }
    model_file_close(file);
    ck_assert_int_eq(lora_targets_parse("q_proj,v_proj", &targets, &e), 0);
    ck_assert_uint_eq(targets, 1u << LORA_Q | 1u << LORA_V);
    ck_assert_int_eq(lora_targets_parse("all", &targets, &e), 0);
    ck_assert_uint_eq(targets, (1u << LORA_TARGETS) - 1);
    ck_assert_int_eq(lora_targets_parse("q_proj,head", &targets, &e), OL_EINVAL);
    ck_assert(strstr(e.message, "\"head\""));
    ck_assert_int_eq(lora_targets_parse("", &targets, &e), OL_EINVAL);
}
END_TEST

START_TEST(layout)
{
    struct train_config config = usual();
    config.rslora = true;
    struct lora_model *m = open_with(config);
    const struct lora_layout *l = lora_model_layout(m);
    char name[LORA_NAME_BYTES];
    int64_t at = 0;
    ck_assert_int_eq(l->n_places, TINY_LAYERS * LORA_TARGETS);
    for (int32_t i = 0; i < l->n_places; i++) {
        ck_assert(l->places[i].a == at && l->places[i].b == at + RANK * l->places[i].in);
        ck_assert(l->places[i].scale == (float)(5 / sqrt(RANK)));
        at = l->places[i].b + RANK * l->places[i].out;
    }
    ck_assert_int_eq(l->n_params, at);
    lora_place_name(&l->places[LORA_TARGETS + LORA_UP], 'B', name);
    ck_assert_str_eq(name, "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight");
    lora_model_close(m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lora_model");
    TCase *t = tcase_create("lora_model");
    tcase_add_unchecked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, batches_change_nothing, 0, 2);
    tcase_add_loop_test(t, gradients_are_slopes, 0, 4);
    tcase_add_loop_test(t, lowest_part, 0, LORA_TARGETS);
    tcase_add_test(t, losses_and_logits);
    tcase_add_test(t, refusals);
    tcase_add_test(t, configurations);
    tcase_add_test(t, layout);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
