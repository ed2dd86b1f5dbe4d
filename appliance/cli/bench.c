/* openlora bench: prefill and decode speed, measured as llama.cpp's peer program measures it (tests/bench/peer).
 *
 * Products of one token: 2 operations per weight of every layer, plus the head where logits are wanted. */
#include "cli/commands.h"
#include "cli/local_model.h"
#include "cli/progress.h"

#include "base/clock.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK_TOKENS = 512, START_TOKENS = 32, PREFILL_REPEATS = 4, DECODE_REPEATS = 3, MAX_SEQS = 1024 };

struct bench_args {
    const char *model, *device, *isa;
    int64_t threads, prompt, gen, seqs, context;
    double zipf;
    bool unused, fast, json;
    struct option_list adapters;
};

struct bench_result {
    double prefill_s, decode_s; /* best repeat */
    uint64_t lora_ops;
};

struct bench {
    const struct bench_args *args;
    struct local_model m;
    struct step_result *results; /* (seqs) */
    int *adapter;                /* (seqs) index or −1 */
    int *order;                  /* (seqs) sequences, those of one adapter side by side */
    uint64_t random;
};

static uint32_t next_random(struct bench *b)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return (uint32_t)(b->random >> 33);
}

static int32_t random_token(struct bench *b)
{
    int32_t vocab = local_model_config(&b->m)->vocab;
    return (int32_t)(next_random(b) % (uint32_t)vocab);
}

/* One of n adapters with probability proportional to 1 / (rank + 1)^zipf. */
static int zipf_adapter(struct bench *b, int n)
{
    double total = 0, at;
    for (int i = 0; i < n; i++)
        total += pow(i + 1, -b->args->zipf);
    at = total * (next_random(b) / 2147483648.0);
    for (int i = 0; i < n; i++)
        if ((at -= pow(i + 1, -b->args->zipf)) <= 0)
            return i;
    return n - 1;
}

static bool adapter_taken(const struct bench *b, int adapter, int seqs)
{
    for (int s = 0; s < seqs; s++)
        if (b->adapter[s] == adapter)
            return true;
    return false;
}

/* Gives every sequence its adapter and sorts the sequences so that each adapter's rows form one segment. With Zipf
 * the draws are without replacement while there are enough adapters: the hardest batch such traffic can make. */
static void choose_adapters(struct bench *b)
{
    int n = b->args->unused ? 0 : b->m.n_adapters, seqs = (int)b->args->seqs, placed = 0;
    for (int s = 0; s < seqs; s++) {
        b->adapter[s] = n ? s % n : -1;
        if (n && b->args->zipf > 0)
            do
                b->adapter[s] = zipf_adapter(b, n);
            while (seqs <= n && adapter_taken(b, b->adapter[s], s));
    }
    for (int a = -1; a < n; a++)
        for (int s = 0; s < seqs; s++)
            if (b->adapter[s] == a)
                b->order[placed++] = s;
}

/* Computes n random tokens of one sequence, in chunks; logits of the last. */
static int run_prompt(struct bench *b, int seq, int adapter, int64_t n, struct err *e)
{
    int32_t tokens[CHUNK_TOKENS];
    int rc = OL_OK;
    for (int64_t at = 0; !rc && at < n; at += CHUNK_TOKENS) {
        int32_t rows = (int32_t)(n - at < CHUNK_TOKENS ? n - at : CHUNK_TOKENS);
        for (int32_t i = 0; i < rows; i++)
            tokens[i] = random_token(b);
        struct step *step = forward_step(b->m.forward);
        local_step_add(&b->m, step, seq, adapter, tokens, rows, (int32_t)at, at + rows == n ? LOGITS_LAST : LOGITS_NONE);
        rc = forward_run(b->m.forward, b->results, NULL, e);
    }
    return rc;
}

static int measure_prefill(struct bench *b, double *best_s, struct err *e)
{
    *best_s = INFINITY;
    for (int i = 0; i < PREFILL_REPEATS && b->args->prompt; i++) {
        double start = clock_mono_s();
        int rc = run_prompt(b, 0, b->adapter[0], b->args->prompt, e);
        if (rc)
            return rc;
        *best_s = fmin(*best_s, clock_mono_s() - start);
        progress_show("prefill", i + 1, PREFILL_REPEATS, "repeats");
    }
    return OL_OK;
}

/* One step: a row of every sequence at position `pos`. */
static int decode_step(struct bench *b, int64_t pos, struct err *e)
{
    struct step *step = forward_step(b->m.forward);
    for (int i = 0; i < b->args->seqs; i++) {
        int seq = b->order[i];
        int32_t token = random_token(b);
        local_step_add(&b->m, step, seq, b->adapter[seq], &token, 1, (int32_t)pos, LOGITS_LAST);
    }
    return forward_run(b->m.forward, b->results, NULL, e);
}

static int measure_decode(struct bench *b, double *best_s, struct err *e)
{
    *best_s = INFINITY;
    for (int i = 0; i < DECODE_REPEATS && b->args->gen; i++) {
        choose_adapters(b);
        for (int s = 0; s < b->args->seqs; s++) {
            int rc = run_prompt(b, s, b->adapter[s], b->args->context, e);
            if (rc)
                return rc;
        }
        double start = clock_mono_s();
        for (int64_t k = 0; k < b->args->gen; k++) {
            int rc = decode_step(b, b->args->context + k, e);
            if (rc)
                return rc;
        }
        *best_s = fmin(*best_s, clock_mono_s() - start);
        progress_show("decode", i + 1, DECODE_REPEATS, "repeats");
    }
    return OL_OK;
}

static double layer_weights(const struct model_config *c)
{
    double q = (double)c->n_heads * c->head_dim, kv = (double)c->n_kv_heads * c->head_dim;
    return c->n_layers * (c->hidden * (2 * q + 2 * kv) + 3.0 * c->hidden * c->ffn);
}

/* Bytes of all weights that one step reads, as the file stores them. */
static double product_bytes(const struct model_file *f)
{
    const struct model_config *c = model_file_config(f);
    static const enum tensor_role roles[] = {T_Q, T_K, T_V, T_O, T_GATE, T_UP, T_DOWN};
    struct weight_part part;
    double bytes = 0;
    for (int layer = 0; layer < c->n_layers; layer++)
        for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
            if (!model_file_tensor(f, roles[i], layer, &part, NULL))
                bytes += (double)part.bytes;
    if (!model_file_tensor(f, c->tied ? T_EMBED : T_HEAD, 0, &part, NULL))
        bytes += (double)part.bytes;
    return bytes;
}

static void report(const struct bench *b, const struct bench_result *r)
{
    const struct bench_args *a = b->args;
    const struct model_config *c = local_model_config(&b->m);
    struct device_info info;
    b->m.ops->info(b->m.device, &info);
    double layers = layer_weights(c), head = (double)c->hidden * c->vocab, bytes = product_bytes(b->m.file);
    double prefill = a->prompt ? (double)a->prompt / r->prefill_s : 0;
    double decode = a->gen ? (double)(a->seqs * a->gen) / r->decode_s : 0;
    double prefill_gops = a->prompt ? 2e-9 * ((double)a->prompt * layers + head) / r->prefill_s : 0;
    double decode_gops = 2e-9 * decode * (layers + head), decode_gb = 1e-9 * bytes * decode / (double)a->seqs;
    if (!a->json) {
        printf("%s %s threads %d seqs %lld adapters %d: prefill %.1f tok/s (%.0f GOP/s), "
               "decode %.1f tok/s (%.1f GB/s of weights, %.0f GOP/s)\n",
               info.name[0] ? info.name : info.backend, info.isa, info.threads, (long long)a->seqs,
               b->m.n_adapters, prefill, prefill_gops, decode, decode_gb, decode_gops);
        return;
    }
    json_t *o = json_pack("{ss ss ss ss si sI sI sI sI si sI sf sf sf sf sf sf sf sI sI si sI}", "model", a->model, "backend",
                          info.backend, "device", info.name, "isa", info.isa,
                          "threads", info.threads, "prompt", (json_int_t)a->prompt, "gen", (json_int_t)a->gen, "seqs",
                          (json_int_t)a->seqs, "context", (json_int_t)a->context, "adapters", b->m.n_adapters,
                          "weight_bytes", (json_int_t)bytes, "load_s", b->m.load_s, "prefill_tok_s", prefill,
                          "prefill_gop_s", prefill_gops, "decode_tok_s", decode, "decode_gop_s", decode_gops,
                          "decode_weights_gb_s", decode_gb, "bandwidth_gb_s",
                          1e-9 * (double)info.memory_bytes_s, "lora_ops", (json_int_t)r->lora_ops, "pool_bytes",
                          (json_int_t)b->m.pool_bytes, "graphs", info.graphs, "graph_replays",
                          (json_int_t)info.replays);
    json_dumpf(o, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
}

static int measure(struct bench *b, struct bench_result *r, struct err *e)
{
    size_t n = (size_t)b->args->seqs;
    b->results = calloc(n, sizeof *b->results);
    b->adapter = calloc(n, sizeof *b->adapter);
    b->order = calloc(n, sizeof *b->order);
    int rc = b->results && b->adapter && b->order ? OL_OK : err_set(e, OL_ENOMEM, "bench", "no memory");
    if (!rc) {
        choose_adapters(b);
        rc = measure_prefill(b, &r->prefill_s, e);
    }
    if (!rc)
        rc = measure_decode(b, &r->decode_s, e);
    progress_done();
    r->lora_ops = forward_lora_ops(b->m.forward);
    free(b->results);
    free(b->adapter);
    free(b->order);
    return rc;
}

int command_bench(const struct command *command, int argc, char **argv)
{
    struct bench_args a = {.prompt = 512, .gen = 128, .seqs = 1, .context = START_TOKENS, .device = "auto", .isa = "auto"};
    const struct option options[] = {
        REQUIRED("model", &a.model, "PATH", "GGUF file or safetensors directory"),
        INT("threads", &a.threads, "T", "compute threads, 0: every core", 0, MAX_DEVICE_THREADS),
        INT("prompt", &a.prompt, "P", "tokens to prefill, 0: no prefill", 0, 1 << 20),
        INT("gen", &a.gen, "G", "steps to decode, 0: no decode", 0, 1 << 20),
        INT("seqs", &a.seqs, "S", "sequences that decode together", 1, MAX_SEQS),
        INT("context", &a.context, "C", "tokens each sequence holds before it decodes", 1, 1 << 20),
        LIST("adapter", &a.adapters, "PATH…", "LoRA adapters: PEFT directories or GGUF files"),
        REAL("zipf", &a.zipf, "X", "draw adapters with Zipf exponent X; 0: in turn", 0, 10),
        FLAG("unused", &a.unused, "keep the adapters resident, but use none"),
        TEXT("device", &a.device, "NAME", DEVICE_HELP),
        FLAG("fast", &a.fast, FAST_HELP),
        TEXT("isa", &a.isa, "NAME", "auto, ref, avx2 or avx512"),
        FLAG("json", &a.json, "print one JSON object"),
        OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 0);
    if (words < 0) {
        free(a.adapters.items);
        return options_exit(words);
    }
    struct bench b = {.args = &a, .random = 1};
    struct bench_result r = {0};
    struct err e = {0};
    int64_t longest = a.context + a.gen > a.prompt ? a.context + a.gen : a.prompt;
    int32_t max_rows = a.seqs > CHUNK_TOKENS ? (int32_t)a.seqs : CHUNK_TOKENS;
    struct local_config config = {.model_path = a.model, .device = a.device, .isa = a.isa, .fast = a.fast,
                                  .threads = (int)a.threads,
                                  .adapters = a.adapters.items, .n_adapters = a.adapters.n, .max_rows = max_rows,
                                  .max_logits = (int32_t)a.seqs, .n_seqs = (int32_t)a.seqs,
                                  .seq_tokens = (int32_t)longest};
    int rc = local_model_open(&config, &b.m, &e);
    if (!rc) {
        rc = measure(&b, &r, &e);
        if (!rc)
            report(&b, &r);
        local_model_close(&b.m);
    }
    free(a.adapters.items);
    return rc ? fail(command, EXIT_FAILED, "%s", e.message) : EXIT_OK;
}
