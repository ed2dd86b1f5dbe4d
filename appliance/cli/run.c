/* openlora run: a model in this process, prompted through its own chat template. */
#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/local_chat.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MODULE "run"

enum { STOP_POLL_MS = 50 };

struct run_args {
    const char *model, *adapter, *device, *isa;
    int64_t threads, max_tokens, seed;
    double temperature, top_p;
    bool fast;
};

struct runner {
    const struct run_args *args;
    struct local_chat chat;
    const char *adapter; /* name in the store, or NULL */
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
    if (tokenizer_is_eog(g->runner->chat.tokenizer, result->token))
        return false;
    detokenizer_push(&g->detokenizer, g->runner->chat.tokenizer, result->token, false, &g->piece);
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
            engine_cancel(g->runner->chat.engine, id);
    }
    pthread_mutex_unlock(&g->lock);
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
    int rc = r->adapter ? adapter_acquire(engine_adapters(r->chat.engine), r->adapter, &request.adapter, e) : OL_OK;
    if (rc)
        return rc;
    buf_init(&g.piece, 1 << 20);
    pthread_mutex_init(&g.lock, NULL);
    pthread_cond_init(&g.changed, NULL);
    rc = engine_submit(r->chat.engine, &request, &id, e);
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
    int rc = local_chat_encode(&r->chat, messages, &ids, &n, e);
    if (!rc)
        rc = generate(r, ids, n, out, stop, e);
    free(ids);
    return rc;
}

/* /adapter switches between the adapter given at start and the base model. */
static int use_adapter(void *user, const char *name, struct err *e)
{
    struct runner *r = user;
    if (name && !adapter_store_info(engine_adapters(r->chat.engine), name, &(struct adapter_info){0}))
        return err_set(e, OL_ENOTFOUND, MODULE, "no adapter %s; start with --adapter PATH", name);
    r->adapter = name ? "adapter" : NULL;
    return OL_OK;
}

int command_run(const struct command *command, int argc, char **argv)
{
    struct run_args a = {.max_tokens = 512, .temperature = 0, .top_p = 1, .device = "auto", .isa = "auto"};
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
        TEXT("device", &a.device, "NAME", DEVICE_HELP),
        FLAG("fast", &a.fast, FAST_HELP),
        INT("threads", &a.threads, "N", "compute threads, 0: every core", 0, MAX_DEVICE_THREADS),
        TEXT("isa", &a.isa, "NAME", "auto, ref, avx2 or avx512"),
        FLAG("json", &json, "print one JSON object per answer instead of a stream"),
        OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 1);
    if (words < 0)
        return options_exit(words);
    struct runner r = {.args = &a};
    struct err e = {0};
    const struct local_chat_config config = {a.model, a.adapter, a.device, a.isa, (int)a.threads, 1, a.fast};
    int rc = local_chat_open(&config, &r.chat, &e);
    r.adapter = a.adapter ? LOCAL_ADAPTER : NULL;
    struct conversation conversation = {reply, use_adapter, &r, system, json};
    int code = rc ? fail(command, EXIT_FAILED, "%s", e.message)
                  : conversation_run(command, &conversation, words ? argv[1] : NULL);
    local_chat_close(&r.chat);
    return code;
}
