/* The load of tests/bench/spans: builds one index and asks it answers of 450 tokens; one line of JSON.
 *
 *   span_load FOLDER synthetic TOKENS        documents of 500 tokens with frequencies by Zipf's law
 *   span_load FOLDER text MODEL FILE…        one document per file, in the model's tokens
 *
 * A third of the answers is taken from one place of the documents, a third is put together from pieces of 5 to 40
 * tokens, a third is drawn token by token. Prompts have 1,000 tokens. */
#include "attribution/span_rule.h"
#include "base/clock.h"
#include "base/file_map.h"
#include "model/model_file.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { ANSWERS = 600, ANSWER_TOKENS = 450, PROMPT_TOKENS = 1000, DOCUMENT_TOKENS = 500, SYNTHETIC_VOCAB = 49152,
       MAX_TEXT_TOKENS = 1 << 28 };

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static int32_t draw_zipf(uint32_t vocab)
{
    return (int32_t)(exp((double)draw(1u << 30) / (1u << 30) * log(vocab)) - 1);
}

static void stop(const struct err *e)
{
    fprintf(stderr, "span_load: %s\n", e->message);
    exit(1);
}

static void add_synthetic(struct span_builder *b, uint64_t tokens)
{
    int32_t ids[DOCUMENT_TOKENS];
    struct err e;
    for (uint64_t done = 0; done < tokens; done += DOCUMENT_TOKENS) {
        for (int i = 0; i < DOCUMENT_TOKENS; i++)
            ids[i] = draw_zipf(SYNTHETIC_VOCAB);
        if (span_builder_add(b, ids, DOCUMENT_TOKENS, &e))
            stop(&e);
    }
}

static uint64_t add_text(struct span_builder *b, const struct tokenizer *t, char **files, int n)
{
    int32_t *ids = NULL;
    size_t cap = 0;
    uint64_t bytes = 0;
    struct err e;
    for (int i = 0; i < n; i++) {
        struct file_map file;
        size_t tokens = 0;
        if (file_map_init(&file, files[i], &e))
            continue;
        if (tokenizer_encode(t, (const char *)file.data, file.len, false, MAX_TEXT_TOKENS, &ids, &tokens, &cap, &e) ||
            span_builder_add(b, ids, tokens, &e))
            stop(&e);
        bytes += file.len;
        file_map_deinit(&file);
    }
    free(ids);
    return bytes;
}

/* n tokens from some place of some document; fewer where it ends. */
static uint32_t piece(const struct span_index *x, int32_t *ids, uint32_t n)
{
    for (;;) {
        uint32_t document = (uint32_t)draw(span_index_documents(x)), tokens = span_index_document_tokens(x, document);
        if (tokens)
            return span_index_read(x, document, (uint32_t)draw(tokens), ids, n);
    }
}

static void make_answer(const struct span_index *x, int kind, int32_t *ids)
{
    for (uint32_t n = 0; n < ANSWER_TOKENS;) {
        uint32_t left = ANSWER_TOKENS - n, want = kind == 0 ? left : 5 + (uint32_t)draw(36);
        if (kind == 2)
            ids[n++] = draw_zipf(span_index_vocab(x));
        else
            n += piece(x, ids + n, want < left ? want : left);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of this thread: what others do on the machine is not ours. */
static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void ask(const struct span_index *x, const struct surprisal *s, double cpu[ANSWERS], double wall[ANSWERS])
{
    static int32_t prompt[PROMPT_TOKENS], answer[ANSWER_TOKENS];
    static struct span spans[ANSWER_TOKENS];
    struct span_scratch scratch = {0};
    for (int i = 0; i < ANSWERS; i++) {
        for (int k = 0; k < PROMPT_TOKENS; k++)
            prompt[k] = draw_zipf(span_index_vocab(x));
        make_answer(x, i % 3, answer);
        struct span_query q = {.prompt = prompt, .prompt_tokens = PROMPT_TOKENS, .answer = answer,
                               .answer_tokens = ANSWER_TOKENS, .tau_millibits = 60000};
        size_t n;
        uint32_t open;
        struct err e;
        double start = clock_mono_s(), cpu_start = cpu_ms();
        if (span_attribute(x, s, &q, &scratch, spans, ANSWER_TOKENS, &n, &open, &e))
            stop(&e);
        cpu[i] = cpu_ms() - cpu_start;
        wall[i] = (clock_mono_s() - start) * 1000;
    }
    span_scratch_deinit(&scratch);
    qsort(cpu, ANSWERS, sizeof *cpu, by_value);
    qsort(wall, ANSWERS, sizeof *wall, by_value);
}

static struct tokenizer *open_tokenizer(const char *path)
{
    struct model_file *file;
    struct tokenizer *t;
    struct err e;
    if (model_file_open(path, &file, &e))
        stop(&e);
    const struct gguf *gguf = model_file_gguf(file);
    if (gguf ? tokenizer_open_gguf(gguf, &t, &e) : tokenizer_open_dir(model_file_dir(file), &t, &e))
        stop(&e);
    model_file_close(file);
    return t;
}

int main(int argc, char **argv)
{
    if (argc < 4 || (strcmp(argv[2], "text") && strcmp(argv[2], "synthetic")))
        return fprintf(stderr, "usage: span_load FOLDER synthetic TOKENS | text MODEL FILE…\n"), 2;
    bool text = !strcmp(argv[2], "text");
    struct tokenizer *t = text ? open_tokenizer(argv[3]) : NULL;
    struct span_builder *b;
    struct span_index *x;
    struct surprisal s = {0};
    struct err e;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/spans.index", argv[1]);
    if (span_builder_open(text ? (uint32_t)tokenizer_vocab(t) : SYNTHETIC_VOCAB, &b, &e))
        stop(&e);
    uint64_t bytes = 0;
    if (text)
        bytes = add_text(b, t, argv + 4, argc - 4);
    else
        add_synthetic(b, strtoull(argv[3], NULL, 10));
    double start = clock_mono_s();
    if (span_builder_write(b, path, NULL, NULL, NULL, &e))
        stop(&e);
    double build_s = clock_mono_s() - start, cpu[ANSWERS], wall[ANSWERS];
    span_builder_close(b);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (span_index_open(path, NULL, &x, &e))
        stop(&e);
    s = (struct surprisal){span_index_vocab(x), malloc(span_index_vocab(x) * sizeof(uint16_t))};
    for (uint32_t i = 0; i < s.vocab; i++)
        s.millibits[i] = 12000;
    ask(x, &s, cpu, wall);
    printf("{\"text_bytes\":%llu,\"tokens\":%llu,\"documents\":%u,\"build_s\":%.2f,\"peak_bytes\":%llu,"
           "\"file_bytes\":%llu,\"cpu_p50_ms\":%.3f,\"cpu_p99_ms\":%.3f,\"wall_p99_ms\":%.3f}\n",
           (unsigned long long)bytes, (unsigned long long)span_index_symbols(x), span_index_documents(x), build_s,
           (unsigned long long)usage.ru_maxrss * 1024, (unsigned long long)span_index_bytes(x), cpu[ANSWERS / 2],
           cpu[ANSWERS * 99 / 100], wall[ANSWERS * 99 / 100]);
    surprisal_deinit(&s);
    span_index_close(x);
    tokenizer_close(t);
    return 0;
}
