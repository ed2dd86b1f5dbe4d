/* For tests/golden/test_training.py: the parts of a training. Each line on standard input is a JSON object with "what";
 * each answer a JSON line, {"error": …} where it fails. Reals have 17 digits: floats come through exact. */
#include "training/adamw.h"
#include "training/dataset.h"
#include "training/random.h"
#include "training/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double real(const json_t *o, const char *key) { return json_number_value(json_object_get(o, key)); }
static int64_t whole(const json_t *o, const char *key) { return (int64_t)json_integer_value(json_object_get(o, key)); }
static const char *text(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

/* {"p": [n], "g": [steps][n], "lr": [steps], "scale": …, betas …} → {"p": [steps][n]} */
static json_t *adamw(const json_t *o)
{
    const struct adamw a = {real(o, "beta1"), real(o, "beta2"), real(o, "epsilon"), real(o, "weight_decay")};
    const json_t *start = json_object_get(o, "p"), *gradients = json_object_get(o, "g");
    const json_t *rates = json_object_get(o, "lr");
    size_t n = json_array_size(start);
    float *v = calloc(4 * n, sizeof *v), *p = v, *g = v + n, *m1 = v + 2 * n, *m2 = v + 3 * n;
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        p[i] = (float)json_number_value(json_array_get(start, i));
    for (size_t t = 0; t < json_array_size(gradients); t++) {
        json_t *now = json_array();
        for (size_t i = 0; i < n; i++)
            g[i] = (float)json_number_value(json_array_get(json_array_get(gradients, t), i));
        double scale = clip_scale(gradient_norm(g, (int64_t)n), real(o, "clip"));
        adamw_step(&a, json_number_value(json_array_get(rates, t)), (int64_t)t + 1, g, (float)scale, p, m1, m2,
                   (int64_t)n);
        for (size_t i = 0; i < n; i++)
            json_array_append_new(now, json_real((double)p[i]));
        json_array_append_new(out, now);
    }
    free(v);
    return json_pack("{so}", "p", out);
}

/* {"kind", "peak", "warmup", "steps"} → {"rates": [steps]} */
static json_t *rates(const json_t *o)
{
    const struct schedule s = {schedule_find(text(o, "kind")), real(o, "peak"), whole(o, "warmup"), whole(o, "steps")};
    json_t *out = json_array();
    for (int64_t i = 0; i < s.steps; i++)
        json_array_append_new(out, json_real(schedule_rate(&s, i)));
    return json_pack("{so}", "rates", out);
}

/* {"seed", "stream", "index", "n"} → {"order": [n], "units": [8]}: of two generators that begin alike */
static json_t *order(const json_t *o)
{
    struct random r = random_start((uint64_t)whole(o, "seed"), (enum random_stream)whole(o, "stream"),
                                   (uint64_t)whole(o, "index"));
    struct random other = r;
    uint32_t n = (uint32_t)whole(o, "n"), *list = calloc(n, sizeof *list);
    json_t *out = json_array(), *units = json_array();
    random_order(&r, list, n);
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(out, json_integer(list[i]));
    for (int i = 0; i < 8; i++)
        json_array_append_new(units, json_real((double)random_signed_unit(&other)));
    free(list);
    return json_pack("{so so}", "order", out, "units", units);
}

static json_t *examples(const struct dataset *d)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < d->n; i++) {
        const struct train_example x = dataset_example(d, i);
        json_t *tokens = json_array(), *learnt = json_array();
        for (int32_t k = 0; k < x.n; k++) {
            json_array_append_new(tokens, json_integer(x.tokens[k]));
            json_array_append_new(learnt, json_integer((json_int_t)x.weight[k]));
        }
        json_array_append_new(out, json_pack("[oo]", tokens, learnt));
    }
    return out;
}

/* {"model", "file", "max_tokens", "too_long"} → {"examples": [[tokens, learnt]…], "rows", "long_rows"} */
static json_t *rows(const json_t *o)
{
    const struct dataset_options options = {(int32_t)whole(o, "max_tokens"), too_long_find(text(o, "too_long"))};
    struct model_file *file = NULL;
    struct row_encoder *encoder = NULL;
    struct dataset d = {0};
    struct err e = {0};
    int rc = model_file_open(text(o, "model"), &file, &e);
    if (!rc)
        rc = row_encoder_open(file, &encoder, &e);
    if (!rc)
        rc = dataset_add_file(&d, text(o, "file"), encoder, &options, &e);
    if (!rc)
        rc = dataset_check(&d, &options, &e);
    json_t *out = rc ? json_pack("{ss}", "error", e.message)
                     : json_pack("{so sI sI}", "examples", examples(&d), "rows", (json_int_t)d.sources[0].rows,
                                 "long_rows", (json_int_t)d.long_rows);
    dataset_deinit(&d);
    row_encoder_close(encoder);
    model_file_close(file);
    return out;
}

/* {"model", "adapter", "tokens"} → {"logits": [tokens · vocab]}: the float32 pass that training computes */
static json_t *logits(const json_t *o)
{
    const json_t *list = json_object_get(o, "tokens");
    int32_t n = (int32_t)json_array_size(list), *rows = calloc((size_t)n, sizeof *rows);
    uint32_t *tokens = calloc((size_t)n, sizeof *tokens);
    const struct train_config config = {.threads = 1};
    struct model_file *file = NULL;
    struct lora_model *m = NULL;
    struct err e = {0};
    json_t *out = json_array();
    for (int32_t i = 0; i < n; i++) {
        rows[i] = i;
        tokens[i] = (uint32_t)json_integer_value(json_array_get(list, (size_t)i));
    }
    int rc = model_file_open(text(o, "model"), &file, &e);
    if (!rc)
        rc = lora_model_open(file, &config, &m, &e);
    if (!rc)
        rc = lora_model_load_adapter(m, text(o, "adapter"), &e);
    size_t all = rc ? 1 : (size_t)n * (size_t)lora_model_config(m)->vocab;
    float *values = calloc(all, sizeof *values);
    if (!rc)
        rc = lora_model_logits(m, tokens, n, rows, n, values, &e);
    for (size_t i = 0; i < all; i++)
        json_array_append_new(out, json_real((double)values[i]));
    free(values);
    free(rows);
    free(tokens);
    lora_model_close(m);
    model_file_close(file);
    return rc ? json_pack("{ss}", "error", e.message) : json_pack("{so}", "logits", out);
}

int main(void)
{
    static const struct {
        const char *what;
        json_t *(*answer)(const json_t *);
    } requests[] = {{"adamw", adamw}, {"rates", rates}, {"order", order}, {"rows", rows}, {"logits", logits}};
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, stdin) > 0) {
        json_t *request = json_loads(line, 0, NULL), *answer = NULL;
        const char *what = text(request, "what");
        for (size_t i = 0; what && i < sizeof requests / sizeof *requests; i++)
            if (!strcmp(what, requests[i].what))
                answer = requests[i].answer(request);
        if (answer)
            json_dumpf(answer, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
        putchar('\n');
        fflush(stdout);
        json_decref(answer);
        json_decref(request);
    }
    free(line);
    return 0;
}
