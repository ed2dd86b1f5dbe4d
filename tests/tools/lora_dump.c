/* For tests/golden/test_lora_gradient.py and tests/bench/backward.py: losses, gradients and logits of examples.
 *
 *   lora_dump MODEL ADAPTER OUT [threads=N] [rows=N] [dropout=P] [isa=NAME] [sum=1] [repeat=N] [logits=FILE] < lines
 *
 * An example is a line: its dropout seed, then "token weight" pairs. OUT gets float32 gradients in PEFT's order, of
 * each example or (sum) of all; standard output a JSON object: names and shapes, losses, seconds and the processor's seconds of
 * each repetition. repeat=0: losses by forward passes alone. logits: of the first example, at all its positions. */
#include "base/clock.h"
#include "training/lora_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_EXAMPLES = 256, MAX_TOKENS = 1 << 16, LINE_BYTES = 1 << 20, MAX_REPEAT = 64 };

static struct train_example examples[MAX_EXAMPLES];
static struct train_loss losses[MAX_EXAMPLES];
static uint32_t tokens[MAX_TOKENS];
static float weights[MAX_TOKENS];

struct options {
    struct train_config train;
    int sum, repeat;
    const char *logits;
};

static const char *value_of(const char *text, const char *key)
{
    size_t n = strlen(key);
    return !strncmp(text, key, n) && text[n] == '=' ? text + n + 1 : NULL;
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.repeat = 1};
    for (int i = 4; i < argc; i++) {
        const char *v;
        if ((v = value_of(argv[i], "threads")))
            o.train.threads = (int)strtol(v, NULL, 10);
        else if ((v = value_of(argv[i], "rows")))
            o.train.max_rows = (int32_t)strtol(v, NULL, 10);
        else if ((v = value_of(argv[i], "dropout")))
            o.train.dropout = strtof(v, NULL);
        else if ((v = value_of(argv[i], "isa")))
            o.train.isa = v;
        else if ((v = value_of(argv[i], "sum")))
            o.sum = (int)strtol(v, NULL, 10);
        else if ((v = value_of(argv[i], "repeat")))
            o.repeat = (int)strtol(v, NULL, 10);
        else if ((v = value_of(argv[i], "logits")))
            o.logits = v;
    }
    CHECK(o.repeat >= 0 && o.repeat <= MAX_REPEAT);
    return o;
}

static int read_examples(void)
{
    static char line[LINE_BYTES];
    int n = 0, used = 0;
    while (n < MAX_EXAMPLES && fgets(line, sizeof line, stdin)) {
        char *at = line;
        struct train_example *x = &examples[n++];
        *x = (struct train_example){.tokens = tokens + used, .weight = weights + used,
                                    .dropout_seed = strtoull(at, &at, 10)};
        while (*at && *at != '\n' && used < MAX_TOKENS) {
            tokens[used] = (uint32_t)strtoul(at, &at, 10);
            weights[used++] = strtof(at, &at);
            x->n++;
        }
    }
    return n;
}

static void print_layout(const struct lora_layout *l)
{
    char name[LORA_NAME_BYTES];
    printf("{\"tensors\":[");
    for (int32_t i = 0; i < l->n_places; i++) {
        const struct lora_place *p = &l->places[i];
        lora_place_name(p, 'A', name);
        printf("%s[\"%s\",%lld,%d,%d]", i ? "," : "", name, (long long)p->a, p->rank, p->in);
        lora_place_name(p, 'B', name);
        printf(",[\"%s\",%lld,%d,%d]", name, (long long)p->b, p->out, p->rank);
    }
    printf("],\"losses\":[");
}

static int write_floats(const char *path, const float *x, size_t n, struct err *e)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(x, sizeof *x, n, f) == n;
    ok = f && !fclose(f) && ok;
    return ok ? 0 : err_set(e, OL_EIO, "lora_dump", "cannot write %s", path);
}

static int dump_logits(struct lora_model *m, const char *path, struct err *e)
{
    int32_t n = examples[0].n;
    size_t values = (size_t)n * (size_t)lora_model_config(m)->vocab;
    int32_t *rows = calloc((size_t)n, sizeof *rows);
    float *logits = calloc(values, sizeof *logits);
    CHECK(rows && logits);
    for (int32_t i = 0; i < n; i++)
        rows[i] = i;
    int rc = lora_model_logits(m, examples[0].tokens, n, rows, n, logits, e);
    if (!rc)
        rc = write_floats(path, logits, values, e);
    free(rows);
    free(logits);
    return rc;
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void print_seconds(const char *key, const double *seconds, int n)
{
    printf("],\"%s\":[", key);
    for (int i = 0; i < n; i++)
        printf("%s%.6f", i ? "," : "", seconds[i]);
}

static int dump(struct lora_model *m, const char *out, const struct options *o, int n, struct err *e)
{
    size_t params = (size_t)lora_model_layout(m)->n_params, values = params * (o->sum ? 1 : (size_t)n);
    float *gradient = malloc(values * sizeof *gradient);
    CHECK(gradient);
    int rc = o->logits ? dump_logits(m, o->logits, e) : 0;
    double seconds[MAX_REPEAT] = {0}, cpu_seconds[MAX_REPEAT] = {0};
    if (!rc && !o->repeat)
        rc = lora_model_loss_batch(m, examples, n, losses, e);
    for (int i = 0; !rc && i < o->repeat; i++) {
        memset(gradient, 0, values * sizeof *gradient);
        double start = clock_mono_s(), cpu_start = cpu_s();
        rc = lora_model_gradient_batch(m, examples, n, gradient, o->sum ? 0 : (int64_t)params, losses, e);
        seconds[i] = clock_mono_s() - start;
        cpu_seconds[i] = cpu_s() - cpu_start;
    }
    if (!rc)
        rc = write_floats(out, gradient, o->repeat ? values : 0, e);
    free(gradient);
    if (rc)
        return rc;
    print_layout(lora_model_layout(m));
    for (int i = 0; i < n; i++)
        printf("%s[%.17g,%.17g]", i ? "," : "", losses[i].loss, losses[i].weight_sum);
    print_seconds("seconds", seconds, o->repeat);
    print_seconds("cpu_seconds", cpu_seconds, o->repeat);
    printf("]}\n");
    return 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct model_file *file = NULL;
    struct lora_model *m = NULL;
    if (argc < 4)
        return 2;
    struct options o = parse(argc, argv);
    int n = read_examples(), rc = model_file_open(argv[1], &file, &e);
    if (!rc)
        rc = lora_model_open(file, &o.train, &m, &e);
    if (!rc)
        rc = lora_model_load_adapter(m, argv[2], &e);
    model_file_close(file);
    if (!rc)
        rc = dump(m, argv[3], &o, n, &e);
    if (rc)
        fprintf(stderr, "lora_dump: %s\n", e.message);
    lora_model_close(m);
    return rc ? 1 : 0;
}
