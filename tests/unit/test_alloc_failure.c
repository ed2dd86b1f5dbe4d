/* Loading with memory refused at every single request in turn: each refusal must come back as an error that says
 * something, and leave nothing behind. The linker puts the wrappers below in place of malloc and its family
 * (tests/CMakeLists.txt). Shared libraries keep their own malloc: jansson 2.14, given ours, drops single characters
 * of strings when an allocation is refused and goes on. */
#include "attribution/span_rule.h"
#include "base/log.h"
#include "engine/forward.h"
#include "engine/sequence.h"
#include "kernels/ops.h"
#include "model/adapter_file.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "tiny_model.h"
#include "training/lora_model.h"

#include <errno.h>
#include <sys/mman.h>

static long countdown = -1; /* requests until one is refused; −1: never */
static bool counting, refused;

/* Blocks handed out and not freed: a hash set of addresses. What libc allocates inside is not seen and not counted. */
enum { LIVE_SLOTS = 1 << 16 };
static void *live_at[LIVE_SLOTS];
static long live;

static void **live_slot(const void *p)
{
    size_t i = (uintptr_t)p / 16 * 2654435761u % LIVE_SLOTS;
    while (live_at[i] && live_at[i] != p)
        i = (i + 1) % LIVE_SLOTS;
    return &live_at[i];
}

static bool refuse(void)
{
    if (!counting || countdown < 0 || countdown-- > 0)
        return false;
    refused = true;
    return true;
}

static void *count(void *p)
{
    if (counting && p) {
        CHECK(live < LIVE_SLOTS / 2);
        *live_slot(p) = p;
        live++;
    }
    return p;
}

static void uncount(void *p)
{
    void **slot = p && counting ? live_slot(p) : NULL;
    if (!slot || !*slot)
        return;
    live--;
    *slot = NULL;
    for (size_t i = (size_t)(slot - live_at + 1) % LIVE_SLOTS; live_at[i]; i = (i + 1) % LIVE_SLOTS) {
        void *moved = live_at[i]; /* what follows a gap may have its home before it */
        live_at[i] = NULL;
        *live_slot(moved) = moved;
    }
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
int __real_posix_memalign(void **out, size_t alignment, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void __real_free(void *p);
void *__real_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t n) { return refuse() ? NULL : count(__real_malloc(n)); }
void *__wrap_calloc(size_t n, size_t size) { return refuse() ? NULL : count(__real_calloc(n, size)); }
void *__wrap_aligned_alloc(size_t alignment, size_t n) { return refuse() ? NULL : count(__real_aligned_alloc(alignment, n)); }
char *__wrap_strdup(const char *s) { return refuse() ? NULL : count(__real_strdup(s)); }
char *__wrap_strndup(const char *s, size_t n) { return refuse() ? NULL : count(__real_strndup(s, n)); }

int __wrap_posix_memalign(void **out, size_t alignment, size_t n)
{
    if (refuse())
        return ENOMEM;
    int rc = __real_posix_memalign(out, alignment, n);
    if (!rc)
        count(*out);
    return rc;
}

void *__wrap_realloc(void *p, size_t n)
{
    if (refuse())
        return NULL;
    uncount(p);
    return count(__real_realloc(p, n)); /* a refusal by the system itself ends the test anyway */
}

void __wrap_free(void *p)
{
    uncount(p);
    __real_free(p);
}

void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    if (refuse()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap(at, n, protection, flags, fd, offset);
}

/* Runs load() with the n-th request refused, n = 0, 1, 2, …, until it makes fewer requests than that. */
static void sweep(int (*load)(const char *path, struct err *e), const char *path)
{
    for (long n = 0;; n++) {
        struct err e = {0};
        ck_assert_int_eq(load(path, &e), OL_OK); /* warms what is made once per process */
        live = 0;
        memset(live_at, 0, sizeof live_at);
        countdown = n;
        refused = false;
        counting = true;
        int rc = load(path, &e);
        counting = false;
        ck_assert_msg(live == 0, "refusing request %ld left %ld blocks", n, live);
        if (!refused) {
            ck_assert_msg(n > 4 && !rc, "after %ld requests: %s", n, e.message);
            return;
        }
        ck_assert_msg(rc == OL_ENOMEM, "refusing request %ld gave %d: %s", n, rc, e.message);
        ck_assert_msg(e.code == rc && strlen(e.message) > 8, "refusing request %ld says '%s'", n, e.message);
    }
}

static int load_model(const char *path, struct err *e)
{
    static const struct step_limits limits = {16, 4, 4, 64, 64, 16};
    const struct device_ops *ops = device_cpu();
    struct model_file *file = NULL;
    struct device *device = NULL;
    struct model *model = NULL;
    struct forward *forward = NULL;
    dptr pool = 0;
    int rc;
    if ((rc = model_file_open(path, &file, e)) < 0 ||
        (rc = ops->open(&(struct device_config){.threads = 1, .isa = "ref"}, &device, e)) < 0 ||
        (rc = model_load(file, ops, device, &model, e)) < 0 ||
        (rc = ops->alloc(device, 4 * model_kv_shape(model).page_bytes, &pool, e)) < 0)
        goto out;
    rc = forward_open(model, pool, &limits, &forward, e);
out:
    forward_close(forward);
    if (pool)
        ops->free(device, pool);
    model_unload(model);
    if (device)
        ops->close(device);
    model_file_close(file);
    return rc;
}

START_TEST(gguf_model)
{
    char *folder = scratch_make(), *path = scratch_path(folder, "m.gguf");
    struct buf file;
    tiny_gguf("llama", &(struct tiny_edit){0}, &file);
    scratch_write(folder, "m.gguf", file.data, file.len);
    buf_deinit(&file);
    sweep(load_model, path);
    free(path);
    scratch_remove(folder, (const char *const[]){"m.gguf"}, 1);
}
END_TEST

START_TEST(safetensors_model)
{
    char *folder = scratch_make();
    tiny_directory(folder, &(struct tiny_edit){0});
    sweep(load_model, folder);
    scratch_remove(folder, (const char *const[]){"config.json", "model.safetensors"}, 2);
}
END_TEST

/* With an adapter, and a gradient, which must need no memory of its own. */
static int load_lora_model(const char *path, struct err *e)
{
    static const struct train_config config = {.threads = 1, .targets = 1u << LORA_Q | 1u << LORA_DOWN, .rank = 2,
                                               .alpha = 1, .max_rows = 64};
    static float gradient[4096];
    const struct train_example example = {.tokens = (uint32_t[]){1, 2, 3}, .weight = (float[]){0, 1, 1}, .n = 3};
    struct model_file *file = NULL;
    struct lora_model *m = NULL;
    struct train_loss loss;
    int rc = model_file_open(path, &file, e);
    if (!rc)
        rc = lora_model_open(file, &config, &m, e);
    model_file_close(file);
    if (!rc)
        rc = lora_model_gradient(m, &example, gradient, &loss, e);
    lora_model_close(m);
    return rc;
}

START_TEST(lora_model)
{
    char *folder = scratch_make(), *path = scratch_path(folder, "m.gguf");
    struct buf file;
    tiny_gguf("llama", &(struct tiny_edit){0}, &file);
    scratch_write(folder, "m.gguf", file.data, file.len);
    buf_deinit(&file);
    sweep(load_lora_model, path);
    free(path);
    scratch_remove(folder, (const char *const[]){"m.gguf"}, 1);
}
END_TEST

/* The whole engine: its two threads allocate nothing by themselves, so the counting above need not be atomic. */
static int load_engine(const char *path, struct err *e)
{
    static const int32_t prompt[] = {1, 2, 3};
    static const struct step_bias bias = {.token = 1, .add = 1};
    struct engine_config config = {.model_path = path, .device = {.threads = 1, .isa = "ref"}, .pool_bytes = 1 << 20,
                                   .max_context = 64, .max_seqs = 2, .max_rows = 8};
    struct engine_request request = {.prompt = prompt, .n_prompt = 3, .max_tokens = 5, .tenant = "t",
                                     .sampling = {.top_p = 1, .repetition = 1.5f, .bias = &bias, .n_bias = 1}};
    struct engine *engine = NULL;
    struct sequence *sequence = NULL;
    int rc = engine_open(&config, &engine, e);
    if (!rc)
        rc = sequence_create(&request, engine_model(engine)->vocab, 8, &sequence, e);
    sequence_free(sequence);
    engine_close(engine);
    /* The cache of file hashes is a convenience: without memory for it the engine serves all the same. */
    return !rc && counting && refused ? err_set(e, OL_ENOMEM, "test", "went on without it") : rc;
}

START_TEST(engine)
{
    char *folder = scratch_make(), *path = scratch_path(folder, "m.gguf");
    struct buf file;
    log_set_level(LOG_QUIET);
    tiny_gguf("llama", &(struct tiny_edit){0}, &file);
    scratch_write(folder, "m.gguf", file.data, file.len);
    buf_deinit(&file);
    sweep(load_engine, path);
    free(path);
    scratch_remove(folder, (const char *const[]){"m.gguf"}, 1);
}
END_TEST

static int load_adapter(const char *path, struct err *e)
{
    static const struct model_config model = {
        .arch = "llama", .n_layers = 2, .hidden = 32, .n_heads = 4, .n_kv_heads = 2, .head_dim = 8, .ffn = 64, .vocab = 48,
        .context = 128,
    };
    struct adapter_image image = {0};
    int rc = adapter_file_load(path, &model, adapter_min_page_bytes(&model), &image, e);
    if (!rc)
        adapter_image_deinit(&image);
    return rc;
}

START_TEST(peft_adapter)
{
    static const char config[] = "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"bias\":\"none\"}";
    static const float values[4 * 32];
    char *folder = scratch_make();
    struct st_file s;
    struct buf file;
    st_file_begin(&s);
    st_file_tensor(&s, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "F32", "4,32", values, sizeof values);
    st_file_tensor(&s, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", "F32", "32,4", values, sizeof values);
    st_file_end(&s, &file);
    scratch_write(folder, "adapter_config.json", config, sizeof config - 1);
    scratch_write(folder, "adapter_model.safetensors", file.data, file.len);
    buf_deinit(&file);
    sweep(load_adapter, folder);
    scratch_remove(folder, (const char *const[]){"adapter_config.json", "adapter_model.safetensors"}, 2);
}
END_TEST

static int load_tokenizer(const char *path, struct err *e)
{
    struct tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n = 0, cap = 0;
    int rc = tokenizer_open_dir(path, &t, e);
    if (!rc)
        rc = tokenizer_encode(t, "ab ba<|end|>b", 13, true, 100, &ids, &n, &cap, e);
    free(ids);
    tokenizer_close(t);
    return rc;
}

START_TEST(tokenizer)
{
    static const char json[] =
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"\\u0120\":2,\"ab\":3,\"<|end|>\":4},"
        "\"merges\":[\"a b\"]},\"added_tokens\":[{\"id\":4,\"content\":\"<|end|>\",\"special\":true,\"lstrip\":false,"
        "\"rstrip\":false,\"single_word\":false,\"normalized\":false}],\"normalizer\":{\"type\":\"NFC\"},"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
        "\"decoder\":{\"type\":\"ByteLevel\"}}";
    char *folder = scratch_make();
    scratch_write(folder, "tokenizer.json", json, sizeof json - 1);
    sweep(load_tokenizer, folder);
    scratch_remove(folder, (const char *const[]){"tokenizer.json"}, 1);
}
END_TEST

static int render_template(const char *source, struct err *e)
{
    struct chat_template *t = NULL;
    struct buf out;
    buf_init(&out, 4096);
    json_t *variables = json_pack("{s[{s:s,s:s}]}", "messages", "role", "user", "content", "hello");
    int rc = variables ? chat_template_compile(source, &t, e) : err_set(e, OL_ENOMEM, "test", "no memory for variables");
    if (!rc)
        rc = chat_template_render(t, variables, &out, e);
    chat_template_free(t);
    json_decref(variables);
    buf_deinit(&out);
    return rc;
}

START_TEST(chat_template)
{
    sweep(render_template, "{% for m in messages %}{% set x = [m.role, {'k': m['content']|upper}] %}"
                           "{{ x[1].k ~ '!' }}{{ m | tojson }}{% endfor %}{% macro f(a, b=2) %}{{ a }}{% endmacro %}{{ f(1) }}");
}
END_TEST

/* Builds an index and a table of surprisal, opens both and asks for the spans of an answer. */
static int load_spans(const char *folder, struct err *e)
{
    static const int32_t said[] = {1, 2, 3, 1, 2, 3, 1, 2};
    static uint16_t millibits[5] = {1000, 1000, 1000, 1000, 1000};
    const struct surprisal made = {5, millibits};
    struct span_query q = {.answer = said, .answer_tokens = 8, .prompt = said, .prompt_tokens = 4};
    struct span_builder *b = NULL;
    struct span_index *x = NULL;
    struct surprisal s = {0};
    struct span_scratch scratch = {0};
    struct span_calibration c;
    struct span spans[8];
    char index[128], table[128];
    size_t n;
    uint32_t open;
    snprintf(index, sizeof index, "%s/index", folder);
    snprintf(table, sizeof table, "%s/table", folder);
    int rc = span_builder_open(5, &b, e);
    for (int d = 0; d < 8 && !rc; d++)
        rc = span_builder_add(b, said, 8, e);
    if (!rc)
        rc = span_builder_write(b, index, NULL, NULL, NULL, e);
    if (!rc)
        rc = surprisal_save(&made, table, NULL, e);
    if (!rc)
        rc = surprisal_load(table, NULL, &s, e);
    if (!rc)
        rc = span_index_open(index, NULL, &x, e);
    if (!rc)
        rc = span_attribute(x, &s, &q, &scratch, spans, 8, &n, &open, e);
    if (!rc)
        rc = span_calibrate_tau(x, &s, &q, 1, 4000, &c, e);
    span_scratch_deinit(&scratch);
    surprisal_deinit(&s);
    span_index_close(x);
    span_builder_close(b);
    return rc;
}

START_TEST(spans)
{
    char *folder = scratch_make();
    sweep(load_spans, folder);
    scratch_remove(folder, (const char *const[]){"index", "table"}, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("alloc_failure");
    TCase *t = tcase_create("sweep");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, gguf_model);
    tcase_add_test(t, safetensors_model);
    tcase_add_test(t, lora_model);
    tcase_add_test(t, engine);
    tcase_add_test(t, peft_adapter);
    tcase_add_test(t, tokenizer);
    tcase_add_test(t, chat_template);
    tcase_add_test(t, spans);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
