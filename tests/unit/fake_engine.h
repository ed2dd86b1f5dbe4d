/* An engine without a model, for tests of the API: every token is one byte, the answer is fake.reply, and
 * after it comes the end-of-generation token. It defines what the API calls of engine, adapter store, tokenizer and
 * chat template, so the linker leaves the real ones out. */
#ifndef OPENLORA_TESTS_FAKE_ENGINE_H
#define OPENLORA_TESTS_FAKE_ENGINE_H

#include "api/app.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FAKE_EOG = 256, FAKE_VOCAB = 257, FAKE_CONTEXT = 1000, FAKE_MAX = 64, FAKE_ADAPTERS = 8 };

static struct {
    const char *reply;
    atomic_long step_us;
    atomic_int max_live;   /* more is OL_EBUSY */
    atomic_int fail_after; /* tokens until END_ERROR; −1: never */
    atomic_int live, cancelled, acquired; /* what happened */
} fake = {.reply = "Hello", .step_us = 0, .max_live = FAKE_MAX, .fail_after = -1};

struct fake_sequence {
    struct engine_request r;
    uint64_t id;
    bool cancelled;
    int made;
};

struct engine {
    pthread_t thread;
    pthread_mutex_t lock;
    bool stop, draining;
    uint64_t last_id;
    struct fake_sequence *live[FAKE_MAX];
};

struct adapter_store { int unused; };
struct adapter { int unused; };
struct tokenizer { int unused; };
struct chat_template { int unused; };

static struct engine fake_engine;
static struct adapter_store fake_store;
static struct adapter fake_adapter;
static struct tokenizer fake_tokenizer;
static struct chat_template fake_template;
static struct adapter_info fake_adapters[FAKE_ADAPTERS]; /* sorted by arrival; name empty: free */

/* ---- engine */

const double engine_time_bounds_s[ENGINE_BUCKETS - 1] = {0.1}, engine_token_bounds[ENGINE_BUCKETS - 1] = {1};

static void fake_end(struct fake_sequence *q, enum engine_end end, const struct err *why)
{
    struct usage usage = {.prompt_tokens = q->r.n_prompt, .output_tokens = q->made};
    if (end == END_CANCELLED)
        atomic_fetch_add(&fake.cancelled, 1);
    if (q->r.adapter)
        atomic_fetch_sub(&fake.acquired, 1);
    atomic_fetch_sub(&fake.live, 1); /* before on_end: a test may look as soon as the answer is there */
    q->r.on_end(q->r.user, end, &usage, why);
    free(q);
}

/* One step of one sequence; true when it has ended. */
static bool fake_step(struct fake_sequence *q, bool cancelled)
{
    struct step_result t = {.logprob = -0.5f, .n_top = q->r.sampling.n_top};
    size_t n = strlen(fake.reply);
    t.token = (size_t)q->made < n ? (unsigned char)fake.reply[q->made] : FAKE_EOG;
    for (int i = 0; i < t.n_top; i++) {
        t.top_token[i] = (t.token + i) % 256;
        t.top_logprob[i] = -0.5f - (float)i;
    }
    if (cancelled) {
        fake_end(q, END_CANCELLED, NULL);
        return true;
    }
    if (q->made == atomic_load(&fake.fail_after)) {
        struct err why = {.code = OL_EFORMAT, .module = "fake", .message = "the adapter is broken"};
        fake_end(q, END_ERROR, &why);
        return true;
    }
    q->made++;
    bool more = q->r.on_token(q->r.user, &t);
    if (!more || q->made == q->r.max_tokens) {
        fake_end(q, more ? END_LENGTH : END_STOP, NULL);
        return true;
    }
    return false;
}

static void *fake_main(void *user)
{
    struct engine *e = user;
    for (bool stop = false; !stop;) {
        for (int i = 0; i < FAKE_MAX; i++) {
            pthread_mutex_lock(&e->lock);
            struct fake_sequence *q = e->live[i];
            bool cancelled = q && (q->cancelled || e->stop);
            pthread_mutex_unlock(&e->lock);
            if (!q || !fake_step(q, cancelled))
                continue;
            pthread_mutex_lock(&e->lock);
            e->live[i] = NULL;
            pthread_mutex_unlock(&e->lock);
        }
        long us = atomic_load(&fake.step_us);
        nanosleep(&(struct timespec){.tv_nsec = (us ? us : 20) * 1000}, NULL);
        pthread_mutex_lock(&e->lock);
        stop = e->stop;
        pthread_mutex_unlock(&e->lock);
    }
    return NULL;
}

int engine_open(const struct engine_config *c, struct engine **out, struct err *e)
{
    (void)c, (void)e;
    pthread_mutex_init(&fake_engine.lock, NULL);
    *out = &fake_engine;
    return pthread_create(&fake_engine.thread, NULL, fake_main, &fake_engine);
}

void engine_close(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    for (int i = 0; i < FAKE_MAX; i++)
        if (e->live[i])
            fake_end(e->live[i], END_CANCELLED, NULL);
}

int engine_submit(struct engine *e, const struct engine_request *r, uint64_t *id, struct err *why)
{
    struct fake_sequence *q = calloc(1, sizeof *q);
    q->r = *r;
    pthread_mutex_lock(&e->lock);
    int at = -1;
    for (int i = 0; i < FAKE_MAX && at < 0; i++)
        at = e->live[i] ? -1 : i;
    bool full = atomic_load(&fake.live) >= atomic_load(&fake.max_live) || at < 0 || e->draining;
    if (!full) {
        atomic_fetch_add(&fake.live, 1);
        *id = q->id = ++e->last_id;
        e->live[at] = q;
    }
    pthread_mutex_unlock(&e->lock);
    if (full)
        free(q);
    return full ? err_set(why, OL_EBUSY, "fake", "full") : 0;
}

void engine_cancel(struct engine *e, uint64_t id)
{
    pthread_mutex_lock(&e->lock);
    for (int i = 0; i < FAKE_MAX; i++)
        if (e->live[i] && e->live[i]->id == id)
            e->live[i]->cancelled = true;
    pthread_mutex_unlock(&e->lock);
}

void engine_stop_admission(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->draining = true;
    pthread_mutex_unlock(&e->lock);
}

const struct model_config *engine_model(const struct engine *e)
{
    static const struct model_config model = {.vocab = FAKE_VOCAB};
    (void)e;
    return &model;
}

const char *engine_version(const struct engine *e) { (void)e; return "0123456789abcdef"; }
const struct model_file *engine_model_file(const struct engine *e) { (void)e; return NULL; }
struct adapter_store *engine_adapters(struct engine *e) { (void)e; return &fake_store; }
int32_t engine_max_context(const struct engine *e) { (void)e; return FAKE_CONTEXT; }

void engine_stats(struct engine *e, struct engine_stats *out)
{
    (void)e;
    *out = (struct engine_stats){.device = {.backend = "fake", .isa = "none", .numerics = "fake-1", .threads = 1},
                                 .running = atomic_load(&fake.live), .pages_total = 10};
}

const struct gguf *model_file_gguf(const struct model_file *f) { (void)f; return NULL; }
const char *model_file_dir(const struct model_file *f) { (void)f; return "."; }

/* ---- adapters: a path with "bad" in it fails to load, one with "cold" is not in memory yet */

static struct adapter_info *fake_find(const char *name)
{
    for (int i = 0; i < FAKE_ADAPTERS; i++)
        if (fake_adapters[i].name[0] && strcmp(fake_adapters[i].name, name) == 0)
            return &fake_adapters[i];
    return NULL;
}

int adapter_load(struct adapter_store *s, const char *name, const char *path, bool replace, bool pinned, struct err *e)
{
    (void)s;
    struct adapter_info *a = fake_find(name);
    if (a && !replace)
        return err_set(e, OL_EEXIST, "fake", "adapter '%s' exists", name);
    if (strstr(path, "bad"))
        return err_set(e, OL_EIO, "fake", "reading %s: no such file", path);
    for (int i = 0; i < FAKE_ADAPTERS && !a; i++)
        a = fake_adapters[i].name[0] ? NULL : &fake_adapters[i];
    if (!a)
        return err_set(e, OL_EBUSY, "fake", "no place for more adapters");
    snprintf(a->name, sizeof a->name, "%s", name);
    snprintf(a->path, sizeof a->path, "%s", path);
    a->pinned = pinned;
    a->in_host = !strstr(path, "cold");
    a->rank = 8;
    return 0;
}

int adapter_register(struct adapter_store *s, const char *name, const char *path, bool pinned, struct err *e)
{
    return adapter_load(s, name, path, false, pinned, e);
}

static int fake_missing(const char *name, struct err *e)
{
    return err_set(e, OL_ENOTFOUND, "fake", "no adapter '%s'", name);
}

int adapter_unload(struct adapter_store *s, const char *name, bool force, struct err *e)
{
    (void)s, (void)force;
    struct adapter_info *a = fake_find(name);
    if (!a)
        return fake_missing(name, e);
    *a = (struct adapter_info){0};
    return 0;
}

int adapter_pin(struct adapter_store *s, const char *name, bool pinned, struct err *e)
{
    (void)s;
    struct adapter_info *a = fake_find(name);
    if (!a)
        return fake_missing(name, e);
    a->pinned = pinned;
    return 0;
}

int adapter_store_count(struct adapter_store *s)
{
    int n = 0;
    (void)s;
    for (int i = 0; i < FAKE_ADAPTERS; i++)
        n += fake_adapters[i].name[0] != 0;
    return n;
}

int adapter_store_list(struct adapter_store *s, int from, struct adapter_info *out, int max)
{
    int seen = 0, n = 0;
    (void)s;
    for (int i = 0; i < FAKE_ADAPTERS && n < max; i++)
        if (fake_adapters[i].name[0] && seen++ >= from)
            out[n++] = fake_adapters[i];
    return n;
}

bool adapter_store_info(struct adapter_store *s, const char *name, struct adapter_info *out)
{
    (void)s;
    struct adapter_info *a = fake_find(name);
    if (a)
        *out = *a;
    return a != NULL;
}

int adapter_acquire(struct adapter_store *s, const char *name, struct adapter **out, struct err *e)
{
    (void)s;
    if (!fake_find(name))
        return fake_missing(name, e);
    atomic_fetch_add(&fake.acquired, 1);
    *out = &fake_adapter;
    return 0;
}

struct adapter *adapter_ref(struct adapter *a) { atomic_fetch_add(&fake.acquired, 1); return a; }
void adapter_hash(struct adapter *a, char out[65]) { (void)a; snprintf(out, 65, "%064d", 1); }
int adapter_identify(struct adapter *a, struct err *e) { (void)a, (void)e; return 0; }
void adapter_release(struct adapter *a) { atomic_fetch_sub(&fake.acquired, a != NULL); }

/* ---- tokenizer: a byte is a token */

int tokenizer_open_gguf(const struct gguf *g, struct tokenizer **out, struct err *e)
{
    (void)g, (void)e;
    *out = &fake_tokenizer;
    return 0;
}
int tokenizer_open_dir(const char *dir, struct tokenizer **out, struct err *e)
{
    (void)dir, (void)e;
    *out = &fake_tokenizer;
    return 0;
}
void tokenizer_close(struct tokenizer *t) { (void)t; }
int32_t tokenizer_vocab(const struct tokenizer *t) { (void)t; return FAKE_VOCAB; }
bool tokenizer_is_eog(const struct tokenizer *t, int32_t id) { (void)t; return id == FAKE_EOG; }
bool tokenizer_is_special(const struct tokenizer *t, int32_t id) { (void)t; return id == FAKE_EOG; }
int32_t tokenizer_bos(const struct tokenizer *t) { (void)t; return -1; }
int32_t tokenizer_eos(const struct tokenizer *t) { (void)t; return FAKE_EOG; }
bool tokenizer_adds_bos(const struct tokenizer *t) { (void)t; return false; }
const char *tokenizer_chat_template(const struct tokenizer *t) { (void)t; return "fake"; }

struct text tokenizer_bytes(const struct tokenizer *t, int32_t id)
{
    static char bytes[256];
    (void)t;
    if (id < 0 || id > 255)
        return (struct text){"<end>", id == FAKE_EOG ? 5 : 0};
    bytes[id] = (char)id;
    return (struct text){&bytes[id], 1};
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool special, size_t max, int32_t **ids,
                     size_t *n, size_t *cap, struct err *e)
{
    (void)t, (void)special;
    if (len > max)
        return err_set(e, OL_ELIMIT, "fake", "too long");
    *ids = realloc(*ids, (*n + len + 1) * sizeof **ids);
    for (size_t i = 0; i < len; i++)
        (*ids)[(*n)++] = (unsigned char)text[i];
    *cap = *n + 1;
    return 0;
}

void detokenizer_push(struct detokenizer *d, const struct tokenizer *t, int32_t id, bool special, struct buf *out)
{
    (void)t, (void)special;
    d->pending[d->n_pending++] = (unsigned char)id;
    unsigned char lead = d->pending[0];
    int want = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (d->n_pending < want)
        return;
    buf_add(out, d->pending, (size_t)want);
    d->n_pending = 0;
}

void detokenizer_finish(struct detokenizer *d, struct buf *out)
{
    if (d->n_pending)
        buf_add_str(out, "\xEF\xBF\xBD");
    d->n_pending = 0;
}

/* ---- chat template: "role:content\n" for each message */

int chat_template_compile(const char *source, struct chat_template **out, struct err *e)
{
    (void)source, (void)e;
    *out = &fake_template;
    return 0;
}
void chat_template_free(struct chat_template *t) { (void)t; }

int chat_template_render(const struct chat_template *t, const json_t *v, struct buf *out, struct err *e)
{
    size_t i;
    json_t *m;
    (void)t;
    json_array_foreach(json_object_get(v, "messages"), i, m) {
        const char *content = json_string_value(json_object_get(m, "content"));
        if (strcmp(content, "raise") == 0)
            return err_set(e, OL_EINVAL, "fake", "the template says no");
        buf_printf(out, "%s:%s\n", json_string_value(json_object_get(m, "role")), content);
    }
    return 0;
}

/* ---- no attribution: the real one would bring the model's files along */

int attributor_open(const struct attributor_config *c, struct attributor **out, struct err *e)
{
    (void)c;
    *out = NULL;
    return err_set(e, OL_EUNSUPPORTED, "test", "no attribution here");
}
void attributor_stop(struct attributor *a) { (void)a; }
void attributor_close(struct attributor *a) { (void)a; }
int attributor_answer(struct attributor *a, const struct attributor_answer *q, struct evidence *out, bool *covered,
                      struct err *e)
{
    (void)a, (void)q, (void)out, (void)e;
    *covered = false;
    return 0;
}
bool attributor_awaits(const struct attributor *a, const struct evidence *v)
{
    (void)a, (void)v;
    return false;
}
void attributor_recorded(struct attributor *a, const struct evidence *v, const uint8_t signature[SIGNATURE_BYTES],
                         bool first)
{
    (void)a, (void)v, (void)signature, (void)first;
}
void attributor_stats(struct attributor *a, struct attributor_stats *out)
{
    (void)a;
    *out = (struct attributor_stats){0};
}
const struct policy *attributor_policy(const struct attributor *a, const uint8_t id[32])
{
    (void)a, (void)id;
    return NULL;
}

#endif
