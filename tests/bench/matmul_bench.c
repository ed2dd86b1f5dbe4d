/* The products of one step of SmolLM2-135M alone: 30 layers of Q4_1, a Q8_0 head of 49,152 rows. No attention, norms
 * or sampling, so this is what a step could reach at best. Prints a Markdown table.
 *
 *   matmul_bench [THREADS [ISA [LAYER_TYPE [HEAD_TYPE [REPEATS]]]]]     types as GGUF names them, e.g. Q4_1 */
#include "kernels/cpu/pack.h"
#include "kernels/ops.h"
#include "weights.h"

#include <stdio.h>
#include <time.h>

enum { LAYERS = 30, HIDDEN = 576, FFN = 1536, QKV = 960, VOCAB = 49152, WIDEST = 2 * FFN, MAX_M = 512 };

static const struct { int rows, cols; } products[] = {
    {QKV, HIDDEN}, {HIDDEN, HIDDEN}, {2 * FFN, HIDDEN}, {HIDDEN, FFN},
};
enum { PRODUCTS = sizeof products / sizeof *products };

struct bench {
    const struct device_ops *ops;
    struct device *device;
    struct stream *stream;
    struct weight *layers[LAYERS][PRODUCTS], *head;
    struct act act;
    dptr step, y;
    size_t weight_bytes;
    uint64_t random;
};

static void must(int rc, const struct err *e)
{
    if (rc) {
        fprintf(stderr, "%s\n", e->message);
        exit(1);
    }
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static enum dtype type_named(const char *name)
{
    for (enum dtype t = 0; t < DTYPE_COUNT; t++)
        if (strcmp(dtype_info(t)->name, name) == 0)
            return t;
    fprintf(stderr, "unknown type %s\n", name);
    exit(1);
}

static struct weight *load(struct bench *b, enum dtype t, int rows, int cols, double *seconds)
{
    struct err e;
    struct weight *w;
    struct weight_part part = {"w", t, rows, cols, random_weights(&b->random, t, rows, cols), 0, 0};
    part.bytes = (size_t)rows * dtype_row_bytes(t, cols);
    double start = now_s();
    must(b->ops->weight_load(b->device, &part, 1, &w, &e), &e);
    *seconds += now_s() - start;
    b->weight_bytes += part.bytes;
    free((void *)(uintptr_t)part.data);
    return w;
}

static dptr alloc(struct bench *b, size_t bytes)
{
    struct err e;
    dptr p;
    must(b->ops->alloc(b->device, bytes, &p, &e), &e);
    return p;
}

static void set_step(struct bench *b, int rows, int logits)
{
    struct err e;
    struct step s = {.limits = {.max_rows = MAX_M, .max_logits = MAX_M}, .n_rows = rows, .n_logits = logits};
    must(b->ops->upload(b->device, b->step, &s, sizeof s, &e), &e);
}

static void fill_activations(struct bench *b)
{
    struct err e;
    size_t row_bytes = q8_row_bytes(WIDEST);
    char *rows = malloc(MAX_M * row_bytes);
    float x[WIDEST];
    for (int m = 0; m < MAX_M; m++) {
        for (int i = 0; i < WIDEST; i++)
            x[i] = random_float(&b->random);
        quantize_row(x, WIDEST, rows + (size_t)m * row_bytes);
    }
    b->act.q8 = alloc(b, MAX_M * row_bytes);
    b->act.f32 = alloc(b, (size_t)MAX_M * WIDEST * sizeof(float));
    must(b->ops->upload(b->device, b->act.q8, rows, MAX_M * row_bytes, &e), &e);
    free(rows);
}

static void multiply(struct bench *b, const struct weight *w, enum op_rows rows)
{
    const struct op_matmul op = {
        .y = b->y, .ldy = pad_cols(weight_rows(w)), .a = b->act, .w = w, .step = b->step, .rows = rows,
    };
    b->ops->matmul(b->stream, &op);
}

static double one_step(struct bench *b)
{
    struct err e;
    uint64_t ticket;
    double start = now_s();
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i < PRODUCTS; i++)
            multiply(b, b->layers[l][i], ROWS_ALL);
    multiply(b, b->head, ROWS_LOGITS);
    must(b->ops->submit(b->stream, &ticket, &e), &e);
    must(b->ops->wait(b->stream, ticket, &e), &e);
    return now_s() - start;
}

static void measure(struct bench *b, int rows, int repeats)
{
    int logits = rows > 64 ? 1 : rows; /* a long prefill wants one */
    double best = 1e9, layer_weights = 0;
    set_step(b, rows, logits);
    for (int i = 0; i < repeats; i++) {
        double s = one_step(b);
        best = s < best ? s : best;
    }
    for (int i = 0; i < PRODUCTS; i++)
        layer_weights += (double)products[i].rows * products[i].cols;
    double operations = 2 * (LAYERS * layer_weights * rows + (double)VOCAB * HIDDEN * logits);
    printf("| %d | %.3f | %.0f | %.1f | %.0f |\n", rows, best * 1e3, rows / best, (double)b->weight_bytes / best / 1e9,
           operations / best / 1e9);
    fflush(stdout);
}

static void open_device(struct bench *b, int argc, char **argv)
{
    struct err e;
    const struct device_config config = {
        .threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0, .isa = argc > 2 ? argv[2] : "auto",
    };
    b->ops = device_cpu();
    must(b->ops->open(&config, &b->device, &e), &e);
    must(b->ops->stream_open(b->device, &b->stream, &e), &e);
}

int main(int argc, char **argv)
{
    static struct bench b = {.random = 88172645463325252ull};
    struct device_info info;
    enum dtype layer_type = type_named(argc > 3 ? argv[3] : "Q4_1");
    enum dtype head_type = type_named(argc > 4 ? argv[4] : "Q8_0");
    int repeats = argc > 5 ? (int)strtol(argv[5], NULL, 10) : 1;
    double load_s = 0;
    open_device(&b, argc, argv);
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i < PRODUCTS; i++)
            b.layers[l][i] = load(&b, layer_type, products[i].rows, products[i].cols, &load_s);
    b.head = load(&b, head_type, VOCAB, HIDDEN, &load_s);
    fill_activations(&b);
    b.step = alloc(&b, sizeof(struct step));
    b.y = alloc(&b, (size_t)VOCAB * 64 * sizeof(float));
    b.ops->info(b.device, &info);
    printf("%s, %d threads, %s layers, %s head; %.0f MB packed in %.3f s\n\n", info.isa, info.threads,
           dtype_info(layer_type)->name, dtype_info(head_type)->name, (double)b.weight_bytes / 1e6, load_s);
    printf("| rows | ms/step | tok/s | GB/s of weights | GOP/s |\n|---|---|---|---|---|\n");
    measure(&b, 1, 300 * repeats); /* best of so many; about two seconds in all */
    measure(&b, 8, 100 * repeats);
    measure(&b, 64, 12 * repeats);
    measure(&b, 512, 3 * repeats);
    b.ops->stream_close(b.stream);
    b.ops->close(b.device);
    return 0;
}
