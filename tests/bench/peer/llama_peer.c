/* llama_peer: llama.cpp doing what `openlora bench` and `openlora logits` do, for comparison side by side.
 *
 *   llama_peer bench    MODEL THREADS PROMPT GEN SEQS CONTEXT [LORA.gguf …]
 *   llama_peer logits   MODEL THREADS TOKENS_FILE OUT.f32        at most 2,048 tokens
 *   llama_peer quantize MODEL OUT q4_0|q4_1|q8_0
 *
 * bench prints {"prefill_tok_s": …, "decode_tok_s": …}. Prefill: one prompt of random tokens, best of 4. Decode:
 * SEQS sequences that hold CONTEXT random tokens each advance together, best of 3. With adapters each sequence wants
 * its own; llama.cpp applies adapters to a whole batch, so such a step is one llama_decode per sequence. */
#include <llama.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 2048, CHUNK = 512, MAX_ADAPTERS = 64, PREFILL_REPEATS = 4, DECODE_REPEATS = 3 };

struct bench {
    struct llama_context *context;
    struct llama_batch batch;
    struct llama_adapter_lora *adapters[MAX_ADAPTERS];
    int n_adapters;
    int prompt, gen, seqs, held; /* held: tokens a sequence has before it decodes */
};

static _Noreturn void die(const char *message)
{
    fprintf(stderr, "llama_peer: %s\n", message);
    exit(EXIT_FAILURE);
}

static void log_errors(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int number(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 0 || n > 1 << 24)
        die("a number is wrong");
    return (int)n;
}

static struct llama_context *open_context(struct llama_model *model, int threads, int tokens, int seqs)
{
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = (uint32_t)tokens;
    p.n_batch = BATCH;
    p.n_ubatch = CHUNK;
    p.n_seq_max = (uint32_t)seqs;
    p.n_threads = p.n_threads_batch = threads;
    p.no_perf = true;
    struct llama_context *c = llama_init_from_model(model, p);
    if (!c)
        die("cannot create a context");
    return c;
}

static void add(struct llama_batch *b, int token, int pos, int seq, bool logits)
{
    int i = b->n_tokens++;
    b->token[i] = token;
    b->pos[i] = pos;
    b->n_seq_id[i] = 1;
    b->seq_id[i][0] = seq;
    b->logits[i] = logits;
}

static void decode(struct bench *b)
{
    if (llama_decode(b->context, b->batch))
        die("llama_decode failed");
    b->batch.n_tokens = 0;
}

static int random_token(void) { return 100 + rand() % 40000; }

static void use_adapter(struct bench *b, int seq)
{
    float one = 1;
    if (b->n_adapters)
        llama_set_adapters_lora(b->context, &b->adapters[seq % b->n_adapters], 1, &one);
}

static void run_prompt(struct bench *b, int seq, int n)
{
    use_adapter(b, seq);
    for (int i = 0; i < n; i++) {
        add(&b->batch, random_token(), i, seq, i == n - 1);
        if (b->batch.n_tokens == CHUNK || i == n - 1)
            decode(b);
    }
}

static double prefill_s(struct bench *b)
{
    double best = 1e9;
    for (int i = 0; i < PREFILL_REPEATS; i++) {
        llama_memory_clear(llama_get_memory(b->context), true);
        double start = now_s();
        run_prompt(b, 0, b->prompt);
        llama_synchronize(b->context);
        double seconds = now_s() - start;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static void decode_step(struct bench *b, int pos)
{
    for (int seq = 0; seq < b->seqs; seq++) {
        add(&b->batch, random_token(), pos, seq, true);
        if (b->n_adapters) {
            use_adapter(b, seq);
            decode(b);
        }
    }
    if (!b->n_adapters)
        decode(b);
}

static double decode_s(struct bench *b)
{
    double best = 1e9;
    for (int i = 0; i < DECODE_REPEATS; i++) {
        llama_memory_clear(llama_get_memory(b->context), true);
        for (int seq = 0; seq < b->seqs; seq++)
            run_prompt(b, seq, b->held);
        llama_synchronize(b->context);
        double start = now_s();
        for (int k = 0; k < b->gen; k++)
            decode_step(b, b->held + k);
        llama_synchronize(b->context);
        double seconds = now_s() - start;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static void bench(struct llama_model *model, int threads, char **arg, int n_adapters)
{
    struct bench b = {.prompt = number(arg[0]), .gen = number(arg[1]), .seqs = number(arg[2]), .held = number(arg[3])};
    int longest = b.prompt > b.held + b.gen ? b.prompt : b.held + b.gen;
    b.context = open_context(model, threads, (longest + 64) * b.seqs, b.seqs);
    b.batch = llama_batch_init(BATCH, 0, 1);
    for (; b.n_adapters < n_adapters && b.n_adapters < MAX_ADAPTERS; b.n_adapters++)
        if (!(b.adapters[b.n_adapters] = llama_adapter_lora_init(model, arg[4 + b.n_adapters])))
            die("cannot load an adapter");
    srand(1);
    double prefill = b.prompt ? b.prompt / prefill_s(&b) : 0, decoded = b.gen ? b.seqs * b.gen / decode_s(&b) : 0;
    printf("{\"prefill_tok_s\": %.2f, \"decode_tok_s\": %.2f}\n", prefill, decoded);
    llama_batch_free(b.batch);
    llama_free(b.context);
}

static void logits(struct llama_model *model, int threads, const char *tokens, const char *out_path)
{
    FILE *in = fopen(tokens, "r"), *out = fopen(out_path, "wb");
    if (!in || !out)
        die("cannot open the tokens or the output");
    struct bench b = {.context = open_context(model, threads, BATCH + 64, 1), .batch = llama_batch_init(BATCH, 0, 1)};
    size_t vocab = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    int token, n = 0;
    for (; fscanf(in, "%9d", &token) == 1; n++) {
        if (n == BATCH)
            die("at most 2,048 tokens");
        add(&b.batch, token, n, 0, true);
    }
    decode(&b);
    for (int i = 0; i < n; i++)
        if (fwrite(llama_get_logits_ith(b.context, i), sizeof(float), vocab, out) != vocab)
            die("cannot write the output");
    if (fclose(out))
        die("cannot write the output");
    fclose(in);
    llama_batch_free(b.batch);
    llama_free(b.context);
}

static void quantize(const char *in, const char *out, const char *type)
{
    static const struct {
        const char *name;
        enum llama_ftype type;
    } types[] = {{"q4_0", LLAMA_FTYPE_MOSTLY_Q4_0}, {"q4_1", LLAMA_FTYPE_MOSTLY_Q4_1}, {"q8_0", LLAMA_FTYPE_MOSTLY_Q8_0}};
    struct llama_model_quantize_params p = llama_model_quantize_default_params();
    p.allow_requantize = true;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(type, types[i].name))
            continue;
        p.ftype = types[i].type;
        if (llama_model_quantize(in, out, &p))
            die("cannot quantize");
        return;
    }
    die("unknown type");
}

int main(int argc, char **argv)
{
    if (argc < 5)
        die("usage: llama_peer bench|logits|quantize MODEL …");
    llama_log_set(log_errors, NULL);
    llama_backend_init();
    if (!strcmp(argv[1], "quantize")) {
        quantize(argv[2], argv[3], argv[4]);
        return EXIT_SUCCESS;
    }
    struct llama_model *model = llama_model_load_from_file(argv[2], llama_model_default_params());
    if (!model)
        die("cannot load the model");
    if (!strcmp(argv[1], "bench") && argc >= 8)
        bench(model, number(argv[3]), argv + 4, argc - 8);
    else if (!strcmp(argv[1], "logits") && argc == 6)
        logits(model, number(argv[3]), argv[4], argv[5]);
    else
        die("usage: llama_peer bench|logits|quantize MODEL …");
    llama_model_free(model);
    return EXIT_SUCCESS;
}
