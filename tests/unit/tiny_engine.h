/* A tiny random model, quantized, with two adapters, and the same requests again and again: what tests compare whose
 * engine computes for real. */
#ifndef OPENLORA_TESTS_TINY_ENGINE_H
#define OPENLORA_TESTS_TINY_ENGINE_H

#include "base/log.h"
#include "engine/engine.h"
#include "tiny_model.h"

#include <check.h>
#include <pthread.h>

enum { REQUESTS = 24, MAX_PROMPT = 70, OUTPUT = 40, ADAPTERS = 2 };

struct answer {
    int32_t tokens[OUTPUT];
    float logprobs[OUTPUT];
    int n;
    enum engine_end end;
    struct err why;
};

struct run {
    struct answer answers[REQUESTS];
    struct engine_stats stats;
};

static char *folder, *model_path;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static int n_ended;
static int n_tokens;               /* so far in this run, of all requests */
static void (*at_token)(int n);    /* called on the engine's thread at each, if set */

/* ---- Files ---- */

/* Random weights: matrices as Q8_0 (blocks of 32: an F16 scale, then int8), vectors as F32 around 1. */
static inline void add_random(void *file, const char *name, int rows, int cols, const float *data)
{
    static unsigned seed = 3;
    struct buf b;
    (void)data;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < (rows ? rows : 1) * cols; i++) {
        if (!rows) {
            float gain = 1 + (float)(rand_r(&seed) % 100) / 500;
            buf_add(&b, &gain, sizeof gain);
            continue;
        }
        if (i % 32 == 0)
            buf_add(&b, &(uint16_t){0x1800}, 2); /* 2^-9 */
        buf_add_char(&b, (char)(rand_r(&seed) % 255 - 127));
    }
    gguf_file_tensor(file, name, rows ? 8 : 0, (uint64_t)cols, (uint64_t)rows, b.data, b.len);
    buf_deinit(&b);
}

static inline void write_adapter(int index)
{
    static const char config[] = "{\"peft_type\":\"LORA\",\"r\":%d,\"lora_alpha\":%d,\"bias\":\"none\"}";
    static float values[20 * TINY_HIDDEN];
    int rank = index ? 20 : 4; /* one slab, and two */
    unsigned seed = (unsigned)index + 50;
    char name[40], text[200], shape[40];
    struct st_file s;
    struct buf file;
    for (int i = 0; i < rank * TINY_HIDDEN; i++)
        values[i] = (float)(rand_r(&seed) % 200 - 100) / 400;
    st_file_begin(&s);
    for (int side = 0; side < 2; side++) {
        snprintf(text, sizeof text, "base_model.model.model.layers.1.self_attn.q_proj.lora_%c.weight", "AB"[side]);
        snprintf(shape, sizeof shape, "%d,%d", side ? TINY_HIDDEN : rank, side ? rank : TINY_HIDDEN);
        st_file_tensor(&s, text, "F32", shape, values, (size_t)(rank * TINY_HIDDEN) * sizeof *values);
    }
    st_file_end(&s, &file);
    snprintf(name, sizeof name, "a%d", index);
    char *path = scratch_path(folder, name);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    scratch_write(path, "adapter_model.safetensors", file.data, file.len);
    snprintf(text, sizeof text, config, rank, rank);
    scratch_write(path, "adapter_config.json", text, strlen(text));
    buf_deinit(&file);
    free(path);
}

static inline void setup(void)
{
    struct buf file;
    log_set_level(LOG_QUIET);
    folder = scratch_make();
    model_path = scratch_path(folder, "m.gguf");
    tiny_gguf_with("llama", &(struct tiny_edit){0}, add_random, &file);
    scratch_write(folder, "m.gguf", file.data, file.len);
    buf_deinit(&file);
    for (int i = 0; i < ADAPTERS; i++)
        write_adapter(i);
}

static inline void teardown(void)
{
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
    for (int i = 0; i < ADAPTERS; i++) {
        char name[8];
        snprintf(name, sizeof name, "a%d", i);
        scratch_remove(scratch_path(folder, name), names, 2);
    }
    free(model_path);
    scratch_remove(folder, (const char *const[]){"m.gguf"}, 1);
}

/* ---- Requests ---- */

static inline bool on_token(void *user, const struct step_result *r)
{
    struct answer *a = user;
    a->tokens[a->n] = r->token;
    a->logprobs[a->n++] = r->logprob;
    n_tokens++;
    if (at_token)
        at_token(n_tokens);
    return true;
}

static inline void on_end(void *user, enum engine_end end, const struct usage *usage, const struct err *why)
{
    struct answer *a = user;
    (void)usage;
    a->end = end;
    if (why)
        a->why = *why;
    pthread_mutex_lock(&mutex);
    n_ended++;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&mutex);
}

static inline void wait_ended(int n)
{
    pthread_mutex_lock(&mutex);
    while (n_ended < n)
        pthread_cond_wait(&ended, &mutex);
    pthread_mutex_unlock(&mutex);
}

/* Request i is the same in every run. Prompts share beginnings of several lengths. */
static inline void submit(struct engine *e, int i, struct answer *out)
{
    int32_t prompt[MAX_PROMPT];
    unsigned seed = (unsigned)i + 9;
    struct err err;
    struct engine_request r = {.prompt = prompt, .n_prompt = 1 + rand_r(&seed) % MAX_PROMPT, .max_tokens = OUTPUT,
                               .sampling = {.temperature = 1, .top_p = 0.98f, .repetition = i % 4 ? 1 : 1.2f},
                               .choice = i, .on_token = on_token, .on_end = on_end, .user = out};
    for (int k = 0; k < r.n_prompt; k++)
        prompt[k] = k < i * 5 ? k % TINY_VOCAB : rand_r(&seed) % TINY_VOCAB;
    r.sampling.seed = (uint64_t)i;
    if (i % 3) {
        char name[8];
        snprintf(name, sizeof name, "a%d", i % 3 - 1);
        ck_assert_int_eq(adapter_acquire(engine_adapters(e), name, &r.adapter, &err), 0);
    }
    *out = (struct answer){0};
    ck_assert_int_eq(engine_submit(e, &r, NULL, &err), 0);
}

/* Opens the engine and registers the adapters. */
static inline struct engine *open_engine(struct engine_config c)
{
    const char *roots[] = {folder};
    struct engine *e;
    struct err err = {0};
    c.model_path = model_path;
    c.adapter_roots = roots;
    c.n_adapter_roots = 1;
    int rc = engine_open(&c, &e, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    for (int i = 0; i < ADAPTERS; i++) {
        char name[8];
        snprintf(name, sizeof name, "a%d", i);
        char *path = scratch_path(folder, name);
        ck_assert_int_eq(adapter_register(engine_adapters(e), name, path, false, &err), 0);
        free(path);
    }
    n_ended = 0;
    n_tokens = 0;
    return e;
}

static inline void run(struct engine_config c, bool together, struct run *out)
{
    struct engine *e = open_engine(c);
    for (int i = 0; i < REQUESTS; i++) {
        submit(e, i, &out->answers[i]);
        if (!together)
            wait_ended(i + 1);
    }
    wait_ended(REQUESTS);
    engine_stats(e, &out->stats);
    engine_close(e);
}

static inline void compare(const struct run *alone, const struct run *other)
{
    for (int i = 0; i < REQUESTS; i++) {
        ck_assert_int_eq(other->answers[i].end, END_LENGTH);
        ck_assert_int_eq(other->answers[i].n, OUTPUT);
        for (int k = 0; k < OUTPUT; k++) {
            ck_assert_msg(alone->answers[i].tokens[k] == other->answers[i].tokens[k], "request %d, token %d", i, k);
            ck_assert_msg(!memcmp(&alone->answers[i].logprobs[k], &other->answers[i].logprobs[k], sizeof(float)),
                          "request %d, log-probability %d", i, k);
        }
    }
}

#endif
