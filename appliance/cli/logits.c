/* openlora logits: every position's logits as raw float32, written chunk by chunk. */
#include "cli/commands.h"
#include "cli/local_model.h"
#include "cli/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 1 << 20 };

struct logits_args {
    const char *model, *adapter, *tokens, *out, *device, *isa;
    int64_t chunk, threads;
    bool fast;
};

/* Ids separated by blanks. *ids is owned by the caller; returns their number or −1 after a message. */
static int64_t read_tokens(const struct command *command, const char *path, int32_t vocab, int32_t **ids)
{
    FILE *in = strcmp(path, "-") ? fopen(path, "r") : stdin;
    if (!in)
        return fail(command, EXIT_FAILED, "%s: %s", path, strerror(errno)), -1;
    int64_t n = 0, cap = 0;
    long id;
    int got;
    while ((got = fscanf(in, "%9ld", &id)) == 1) {
        if (id < 0 || id >= vocab) {
            fail(command, EXIT_FAILED, "%s: token %ld is not in the vocabulary of %d", path, id, vocab);
            break;
        }
        if (n == cap) {
            cap = cap ? 2 * cap : 1024;
            int32_t *grown = cap <= MAX_TOKENS ? realloc(*ids, (size_t)cap * sizeof **ids) : NULL;
            if (!grown) {
                fail(command, EXIT_FAILED, "%s: more than %d tokens", path, MAX_TOKENS);
                break;
            }
            *ids = grown;
        }
        (*ids)[n++] = (int32_t)id;
    }
    if (in != stdin)
        fclose(in);
    if (got == 1)
        return -1;
    if (got != EOF || !n)
        return fail(command, EXIT_FAILED, "%s: %s", path, n ? "only token ids and blanks are allowed" : "no tokens"), -1;
    return n;
}

static int write_chunks(struct local_model *m, const struct logits_args *a, const int32_t *ids, int64_t n, FILE *out,
                        struct err *e)
{
    size_t vocab = (size_t)local_model_config(m)->vocab;
    float *logits = malloc((size_t)a->chunk * vocab * sizeof *logits);
    struct step_result *results = malloc((size_t)a->chunk * sizeof *results);
    int rc = logits && results ? OL_OK : err_set(e, OL_ENOMEM, "logits", "no memory; try a smaller --chunk");
    for (int64_t at = 0; !rc && at < n; at += a->chunk) {
        int32_t rows = (int32_t)(n - at < a->chunk ? n - at : a->chunk);
        struct step *step = forward_step(m->forward);
        local_step_add(m, step, 0, a->adapter ? 0 : -1, ids + at, rows, (int32_t)at, LOGITS_EVERY);
        rc = forward_run(m->forward, results, logits, e);
        if (!rc && fwrite(logits, vocab * sizeof *logits, (size_t)rows, out) != (size_t)rows)
            rc = err_set(e, OL_EIO, "logits", "%s: %s", a->out, strerror(errno));
        progress_show("logits", at + rows, n, "tokens");
    }
    progress_done();
    free(logits);
    free(results);
    return rc;
}

static int write_file(struct local_model *m, const struct logits_args *a, const int32_t *ids, int64_t n, struct err *e)
{
    FILE *out = fopen(a->out, "wb");
    if (!out)
        return err_set(e, OL_EIO, "logits", "%s: %s", a->out, strerror(errno));
    int rc = write_chunks(m, a, ids, n, out, e);
    if (fclose(out) && !rc)
        rc = err_set(e, OL_EIO, "logits", "%s: %s", a->out, strerror(errno));
    return rc;
}

/* The vocabulary bounds the ids, so the configuration is read before the weights. */
static int vocabulary(const char *path, int32_t *vocab, struct err *e)
{
    struct model_file *file;
    int rc = model_file_open(path, &file, e);
    if (rc)
        return rc;
    *vocab = model_file_config(file)->vocab;
    model_file_close(file);
    return OL_OK;
}

int command_logits(const struct command *command, int argc, char **argv)
{
    struct logits_args a = {.chunk = 128, .device = "auto", .isa = "auto"};
    const struct option options[] = {
        REQUIRED("model", &a.model, "PATH", "GGUF file or safetensors directory"),
        TEXT("adapter", &a.adapter, "PATH", "LoRA adapter: PEFT directory or GGUF file"),
        REQUIRED("tokens", &a.tokens, "FILE", "token ids separated by blanks; - for standard input"),
        REQUIRED("out", &a.out, "FILE", "where to write float32 (n_tokens, n_vocab)"),
        INT("chunk", &a.chunk, "N", "tokens per step: changes speed and memory, never the result", 1, 4096),
        INT("threads", &a.threads, "N", "compute threads, 0: every core", 0, MAX_DEVICE_THREADS),
        TEXT("device", &a.device, "NAME", DEVICE_HELP),
        FLAG("fast", &a.fast, FAST_HELP),
        TEXT("isa", &a.isa, "NAME", "auto, ref, avx2 or avx512"),
        OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 0);
    if (words < 0)
        return options_exit(words);
    struct err e = {0};
    int32_t vocab, *ids = NULL;
    if (vocabulary(a.model, &vocab, &e))
        return fail(command, EXIT_FAILED, "%s", e.message);
    int64_t n = read_tokens(command, a.tokens, vocab, &ids);
    int code = EXIT_FAILED;
    struct local_model m;
    if (n > 0) {
        struct local_config config = {.model_path = a.model, .device = a.device, .isa = a.isa, .fast = a.fast,
                                      .threads = (int)a.threads,
                                      .adapters = &a.adapter, .n_adapters = a.adapter ? 1 : 0,
                                      .max_rows = (int32_t)a.chunk, .max_logits = (int32_t)a.chunk, .n_seqs = 1,
                                      .seq_tokens = (int32_t)n};
        int rc = local_model_open(&config, &m, &e);
        if (!rc) {
            rc = write_file(&m, &a, ids, n, &e);
            local_model_close(&m);
        }
        code = rc ? fail(command, EXIT_FAILED, "%s", e.message) : EXIT_OK;
    }
    free(ids);
    return code;
}
