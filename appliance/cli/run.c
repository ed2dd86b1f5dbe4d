/* openlora run: a model in this process, prompted through its own chat template. */
#include "cli/commands.h"
#include "cli/conversation.h"

#include "engine/engine.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODULE "run"

enum { STOP_POLL_MS = 50 };

struct run_args {
    const char *model, *adapter, *isa;
    int64_t threads, max_tokens, seed;
    double temperature, top_p;
};

struct runner {
    const struct run_args *args;
    struct engine *engine;
    struct tokenizer *tokenizer;
    struct chat_template *template; /* NULL: prompts go in as they are */
    const char *adapter;            /* name in the store, or NULL */
};

/* One answer being generated; the engine's thread writes, the caller waits for `ended`. */
struct generation {
    const struct runner *runner;
    struct answer *answer;
    struct detokenizer detokenizer;
    struct buf piece;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended;
    enum engine_end end;
    struct err why;
};

static void flush_piece(struct generation *g)
{
    if (g->piece.len)
        answer_add(g->answer, g->piece.data, g->piece.len);
    buf_reset(&g->piece);
}

static bool on_token(void *user, const struct step_result *result)
{
    struct generation *g = user;
    if (tokenizer_is_eog(g->runner->tokenizer, result->token))
        return false;
    detokenizer_push(&g->detokenizer, g->runner->tokenizer, result->token, false, &g->piece);
    flush_piece(g);
    return true;
}

static void on_end(void *user, enum engine_end end, const struct usage *usage, const struct err *why)
{
    struct generation *g = user;
    detokenizer_finish(&g->detokenizer, &g->piece);
    flush_piece(g);
    pthread_mutex_lock(&g->lock);
    g->answer->prompt_tokens = usage->prompt_tokens;
    g->answer->tokens = usage->output_tokens;
    g->end = end;
    if (why)
        g->why = *why;
    g->ended = true;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

/* Waits for the end, and cancels when *stop becomes true. */
static void wait_end(struct generation *g, uint64_t id, const volatile bool *stop)
{
    pthread_mutex_lock(&g->lock);
    while (!g->ended) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += STOP_POLL_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&g->changed, &g->lock, &until);
        if (*stop)
            engine_cancel(g->runner->engine, id);
    }
    pthread_mutex_unlock(&g->lock);
}

static void set_token_text(json_t *variables, const char *name, const struct tokenizer *t, int32_t id)
{
    struct text text = id >= 0 ? tokenizer_bytes(t, id) : (struct text){"", 0};
    json_object_set_new(variables, name, json_stringn(text.data, text.len));
}

/* The prompt's text: through the template, or the messages' contents one after another. */
static int render(const struct runner *r, const json_t *messages, struct buf *out, struct err *e)
{
    json_t *message;
    size_t i;
    if (!r->template) {
        json_array_foreach((json_t *)(uintptr_t)messages, i, message)
            buf_add_str(out, json_string_value(json_object_get(message, "content")));
        return OL_OK;
    }
    json_t *variables = json_pack("{sO sb}", "messages", (json_t *)(uintptr_t)messages, "add_generation_prompt", 1);
    if (!variables)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the prompt");
    set_token_text(variables, "bos_token", r->tokenizer, tokenizer_bos(r->tokenizer));
    set_token_text(variables, "eos_token", r->tokenizer, tokenizer_eos(r->tokenizer));
    int rc = chat_template_render(r->template, variables, out, e);
    json_decref(variables);
    return rc;
}

static int encode(const struct runner *r, const json_t *messages, int32_t **ids, size_t *n, struct err *e)
{
    struct buf text;
    size_t cap = 0, limit = (size_t)engine_max_context(r->engine);
    buf_init(&text, 64 << 20);
    if (!r->template && tokenizer_adds_bos(r->tokenizer)) {
        struct text bos = tokenizer_bytes(r->tokenizer, tokenizer_bos(r->tokenizer));
        buf_add(&text, bos.data, bos.len);
    }
    int rc = render(r, messages, &text, e);
    if (!rc)
        rc = tokenizer_encode(r->tokenizer, buf_str(&text), text.len, true, limit, ids, n, &cap, e);
    buf_deinit(&text);
    return rc;
}

static int generate(const struct runner *r, const int32_t *ids, size_t n, struct answer *out, const volatile bool *stop,
                    struct err *e)
{
    static const char *const ends[] = {"stop", "length", "cancelled", "error"};
    struct generation g = {.runner = r, .answer = out};
    struct sampling sampling = {.temperature = (float)r->args->temperature, .top_p = (float)r->args->top_p,
                                .repetition = 1, .seed = (uint64_t)r->args->seed};
    struct engine_request request = {.prompt = ids, .n_prompt = (int32_t)n, .max_tokens = (int32_t)r->args->max_tokens,
                                     .sampling = sampling, .on_token = on_token, .on_end = on_end, .user = &g};
    uint64_t id;
    int rc = r->adapter ? adapter_acquire(engine_adapters(r->engine), r->adapter, &request.adapter, e) : OL_OK;
    if (rc)
        return rc;
    buf_init(&g.piece, 1 << 20);
    pthread_mutex_init(&g.lock, NULL);
    pthread_cond_init(&g.changed, NULL);
    rc = engine_submit(r->engine, &request, &id, e);
    if (!rc) {
        wait_end(&g, id, stop);
        snprintf(out->finish, sizeof out->finish, "%s", ends[g.end]);
        if (g.end == END_ERROR)
            rc = err_set(e, g.why.code, g.why.module, "%s", g.why.message);
    } else if (request.adapter) {
        adapter_release(request.adapter);
    }
    pthread_cond_destroy(&g.changed);
    pthread_mutex_destroy(&g.lock);
    buf_deinit(&g.piece);
    return rc;
}

static int reply(void *user, const json_t *messages, struct answer *out, const volatile bool *stop, struct err *e)
{
    struct runner *r = user;
    int32_t *ids = NULL;
    size_t n = 0;
    int rc = encode(r, messages, &ids, &n, e);
    if (!rc)
        rc = generate(r, ids, n, out, stop, e);
    free(ids);
    return rc;
}

/* /adapter switches between the adapter given at start and the base model. */
static int use_adapter(void *user, const char *name, struct err *e)
{
    struct runner *r = user;
    if (name && !adapter_store_info(engine_adapters(r->engine), name, &(struct adapter_info){0}))
        return err_set(e, OL_ENOTFOUND, MODULE, "no adapter %s; start with --adapter PATH", name);
    r->adapter = name ? "adapter" : NULL;
    return OL_OK;
}

static int open_text(struct runner *r, struct err *e)
{
    const struct model_file *file = engine_model_file(r->engine);
    const struct gguf *gguf = model_file_gguf(file);
    int rc = gguf ? tokenizer_open_gguf(gguf, &r->tokenizer, e) : tokenizer_open_dir(model_file_dir(file), &r->tokenizer, e);
    const char *source = rc ? NULL : tokenizer_chat_template(r->tokenizer);
    return source ? chat_template_compile(source, &r->template, e) : rc;
}

static int open_runner(struct runner *r, struct err *e)
{
    const struct run_args *a = r->args;
    char path[PATH_MAX] = "", root[PATH_MAX] = "";
    const char *roots[] = {root};
    if (a->adapter) {
        if (!realpath(a->adapter, path))
            return err_set(e, OL_ENOTFOUND, MODULE, "%s: no such file or directory", a->adapter);
        snprintf(root, sizeof root, "%.*s", (int)(strrchr(path, '/') - path) + 1, path);
    }
    struct engine_config config = {.model_path = a->model, .device = {.threads = (int)a->threads, .isa = a->isa},
                                   .adapter_roots = roots, .n_adapter_roots = a->adapter ? 1 : 0, .max_seqs = 1};
    int rc = engine_open(&config, &r->engine, e);
    if (!rc)
        rc = open_text(r, e);
    if (!rc && a->adapter) {
        r->adapter = "adapter";
        rc = adapter_load(engine_adapters(r->engine), r->adapter, path, false, true, e);
    }
    return rc;
}

int command_run(const struct command *command, int argc, char **argv)
{
    struct run_args a = {.max_tokens = 512, .temperature = 0, .top_p = 1, .isa = "auto"};
    const char *system = NULL;
    bool json = false;
    const struct option options[] = {
        REQUIRED("model", &a.model, "PATH", "GGUF file or safetensors directory"),
        TEXT("adapter", &a.adapter, "PATH", "LoRA adapter: PEFT directory or GGUF file"),
        TEXT("system", &system, "TEXT", "system message"),
        INT("max-tokens", &a.max_tokens, "N", "longest answer", 1, 1 << 20),
        REAL("temperature", &a.temperature, "T", "0: always the most likely token", 0, 2),
        REAL("top-p", &a.top_p, "P", "sample among the most likely tokens of this total probability", 0, 1),
        INT("seed", &a.seed, "N", "of sampling", 0, INT32_MAX),
        INT("threads", &a.threads, "N", "compute threads, 0: every core", 0, MAX_DEVICE_THREADS),
        TEXT("isa", &a.isa, "NAME", "auto, ref, avx2 or avx512"),
        FLAG("json", &json, "print one JSON object per answer instead of a stream"),
        OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 1);
    if (words < 0)
        return options_exit(words);
    struct runner r = {.args = &a};
    struct err e = {0};
    int rc = open_runner(&r, &e);
    struct conversation conversation = {reply, use_adapter, &r, system, json};
    int code = rc ? fail(command, EXIT_FAILED, "%s", e.message)
                  : conversation_run(command, &conversation, words ? argv[1] : NULL);
    chat_template_free(r.template);
    tokenizer_close(r.tokenizer);
    if (r.engine)
        engine_close(r.engine);
    return code;
}
