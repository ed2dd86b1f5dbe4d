/* The engine on a real forward pass: a tiny random model, quantized, with two adapters. Tokens and the bits of their
 * log-probabilities are those of each request alone, whatever the pool, the step size, the cache and the threads. */
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
};

struct run {
    struct answer answers[REQUESTS];
    struct engine_stats stats;
};

static char *folder, *model_path;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static int n_ended;

/* ---- Files ---- */

/* Random weights: matrices as Q8_0 (blocks of 32: an F16 scale, then int8), vectors as F32 around 1. */
static void add_random(void *file, const char *name, int rows, int cols, const float *data)
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

static void write_adapter(int index)
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

static void setup(void)
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

static void teardown(void)
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

static bool on_token(void *user, const struct step_result *r)
{
    struct answer *a = user;
    a->tokens[a->n] = r->token;
    a->logprobs[a->n++] = r->logprob;
    return true;
}

static void on_end(void *user, enum engine_end end, const struct usage *usage, const struct err *why)
{
    (void)user, (void)usage, (void)why;
    CHECK(end == END_LENGTH);
    pthread_mutex_lock(&mutex);
    n_ended++;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&mutex);
}

static void wait_ended(int n)
{
    pthread_mutex_lock(&mutex);
    while (n_ended < n)
        pthread_cond_wait(&ended, &mutex);
    pthread_mutex_unlock(&mutex);
}

/* Request i is the same in every run. Prompts share beginnings of several lengths. */
static void submit(struct engine *e, int i, struct answer *out)
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

static void run(struct engine_config c, bool together, struct run *out)
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
    for (int i = 0; i < REQUESTS; i++) {
        submit(e, i, &out->answers[i]);
        if (!together)
            wait_ended(i + 1);
    }
    wait_ended(REQUESTS);
    engine_stats(e, &out->stats);
    engine_close(e);
}

static void compare(const struct run *alone, const struct run *other)
{
    for (int i = 0; i < REQUESTS; i++) {
        ck_assert_int_eq(other->answers[i].n, OUTPUT);
        for (int k = 0; k < OUTPUT; k++) {
            ck_assert_msg(alone->answers[i].tokens[k] == other->answers[i].tokens[k], "request %d, token %d", i, k);
            ck_assert_msg(!memcmp(&alone->answers[i].logprobs[k], &other->answers[i].logprobs[k], sizeof(float)),
                          "request %d, log-probability %d", i, k);
        }
    }
}

START_TEST(bits_do_not_depend_on_company)
{
    static struct run alone, other;
    const size_t page = 4096; /* of this model */
    run((struct engine_config){.pool_bytes = 500 * page, .no_prefix_cache = true, .device = {.threads = 1}}, false,
        &alone);
    ck_assert_int_eq(alone.stats.pages_total, 500);
    int different = 0; /* the model says something, and adapters change it */
    for (int i = 1; i < REQUESTS; i++)
        different += alone.answers[i].tokens[3] != alone.answers[i - 1].tokens[3];
    ck_assert_int_gt(different, REQUESTS / 2);

    run((struct engine_config){.pool_bytes = 500 * page, .device = {.threads = 2}}, true, &other);
    compare(&alone, &other);

    run((struct engine_config){.pool_bytes = 14 * page, .max_seqs = 6, .max_rows = 7, .device = {.threads = 2}}, true,
        &other);
    compare(&alone, &other);
    ck_assert_uint_gt(other.stats.preemptions, 0);
    ck_assert_uint_gt(other.stats.prefix_hits, 0);
    ck_assert_uint_gt(other.stats.lora_ops, 0);

    run((struct engine_config){.pool_bytes = 500 * page, .max_seqs = 1, .max_rows = 1, .device = {.threads = 1}}, true,
        &other);
    compare(&alone, &other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_model");
    TCase *t = tcase_create("engine_model");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, bits_do_not_depend_on_company);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
