/* A model for testing the engine without a device: its KV "memory" stores what each row wrote, and the next token is
 * a hash of everything the sequence's page list leads to. Any fault of paging, sharing, copying, batching, adapter
 * placement or sampling state changes the output, which fake_expected computes without pages.
 *
 * A row writes mix(token, position, adapter); the adapter's value is read back from the pages of its image. The
 * token also depends on seed, choice, position and the penalty lists, as a real sampler's would. */
#ifndef OPENLORA_TESTS_FAKE_MODEL_H
#define OPENLORA_TESTS_FAKE_MODEL_H

#include "base/err.h"
#include "engine/engine_internal.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FAKE_VOCAB = 1000, FAKE_PAGE_BYTES = 256 };

struct fake_model {
    struct step *step;
    int32_t n_pages;
    uint64_t (*kv)[STEP_PAGE_TOKENS];          /* (n_pages) */
    unsigned char (*bytes)[FAKE_PAGE_BYTES];   /* (n_pages) adapter images */
    atomic_ulong steps;
    uint64_t rows, lora_steps, copies;
    int32_t max_rows_seen;
    long step_ns;                              /* pretended compute time */
    atomic_int fail_after;                     /* > 0: steps until the device is lost */
    bool can_restart;
    atomic_int fail_restarts;                  /* attempts that will fail */
    atomic_int busy;                           /* of an attempt: answers "not yet" so often */
};

static inline uint64_t fake_mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9fb21c651e98df25u;
    return h ^ (h >> 29);
}

static inline uint64_t fake_kv(int32_t token, int32_t pos, uint64_t adapter)
{
    return fake_mix(fake_mix(fake_mix(7, (uint32_t)token), (uint32_t)pos), adapter);
}

/* What the sampler adds to the hash of the KV. Penalty lists enter as a sum: their order does not matter. */
static inline uint64_t fake_sample(uint64_t h, uint64_t seed, uint32_t choice, uint32_t position, uint64_t history,
                                   uint64_t bias)
{
    return fake_mix(fake_mix(fake_mix(fake_mix(fake_mix(h, seed), choice), position), history), bias);
}

static inline uint64_t fake_history_term(int32_t token, int32_t count)
{
    return fake_mix(fake_mix(11, (uint32_t)token), (uint32_t)count);
}

/* The tokens that a request must get: out[0 .. n). */
static inline void fake_expected(const struct engine_request *r, uint64_t adapter, int32_t *out, int32_t n)
{
    bool penalties = r->sampling.repetition != 1 || r->sampling.frequency != 0 || r->sampling.presence != 0;
    static _Thread_local int32_t count[FAKE_VOCAB]; /* −1: never seen */
    uint64_t h = 3, bias = 0;
    for (int32_t i = 0; i < r->n_prompt; i++)
        h = fake_mix(h, fake_kv(r->prompt[i], i, adapter));
    for (int i = 0; i < FAKE_VOCAB; i++)
        count[i] = -1;
    for (int32_t i = 0; penalties && r->sampling.repetition != 1 && i < r->n_prompt; i++)
        count[r->prompt[i]] = 0;
    for (int32_t i = 0; i < r->sampling.n_bias; i++)
        bias += fake_mix((uint32_t)r->sampling.bias[i].token, (uint64_t)(int64_t)(r->sampling.bias[i].add * 100));
    for (int32_t k = 0; k < n; k++) {
        uint64_t history = 0;
        for (int i = 0; penalties && i < FAKE_VOCAB; i++)
            if (count[i] >= 0)
                history += fake_history_term(i, count[i]);
        uint64_t s = fake_sample(h, r->sampling.seed, (uint32_t)r->choice, (uint32_t)k, history, bias);
        out[k] = (int32_t)(s % FAKE_VOCAB);
        count[out[k]] = count[out[k]] < 0 ? 1 : count[out[k]] + 1;
        h = fake_mix(h, fake_kv(out[k], r->n_prompt + k, adapter));
    }
}

/* ---- Backend ---- */

static inline uint64_t fake_segment_adapter(const struct fake_model *m, const struct step *s,
                                            const struct step_segment *g)
{
    uint64_t value, first = 0;
    for (int32_t i = 0; i < g->n_pages; i++) { /* every page of the image carries value + its ordinal */
        int32_t page = step_pages(s)[g->page0 + i];
        memcpy(&value, m->bytes[page], sizeof value);
        CHECK(i == 0 || value == first + (uint64_t)i);
        if (i == 0)
            first = value;
    }
    return first;
}

/* The promises of step.h. */
static inline void fake_check_step(const struct fake_model *m, const struct step *s)
{
    const struct step_limits *l = &s->limits;
    CHECK(s->n_rows >= 1 && s->n_rows <= l->max_rows && s->n_seqs >= 1 && s->n_seqs <= l->max_seqs);
    CHECK(s->n_segments <= s->n_seqs && s->n_copies <= l->max_seqs && s->n_logits <= l->max_logits);
    CHECK(s->n_pages <= l->max_pages && s->n_history <= l->max_history && s->n_bias <= l->max_bias);
    int32_t row = 0;
    uint8_t *use = calloc((size_t)m->n_pages, 1); /* 1 read, 2 written */
    for (int32_t i = 0; i < s->n_seqs; i++) {
        const struct step_seq *q = &step_seqs(s)[i];
        CHECK(q->row0 == row && q->n_rows >= 1 && q->n_pages == (q->pos0 + q->n_rows + 15) / 16);
        for (int32_t r = 0; r < q->n_rows; r++, row++)
            CHECK(step_pos(s)[row] == q->pos0 + r && step_row_seq(s)[row] == i);
        for (int32_t k = 0; k < q->n_pages; k++) {
            int32_t page = step_pages(s)[q->page0 + k];
            bool written = k >= q->pos0 / 16;
            CHECK(page >= 0 && page < m->n_pages);
            CHECK(use[page] == 0 || (use[page] == 1 && !written)); /* a written page belongs to one sequence */
            use[page] = written ? 2 : 1;
        }
    }
    CHECK(row == s->n_rows);
    for (int32_t g = 0, end = 0; g < s->n_segments; g++) {
        const struct step_segment *a = &step_segments(s)[g];
        CHECK((g == 0 ? a->row0 >= 0 : a->row0 == end) && a->n_rows >= 1);
        end = a->row0 + a->n_rows;
        CHECK(g + 1 < s->n_segments || end == s->n_rows); /* base rows first, then segments without gaps */
        for (int32_t k = 0; k < a->n_pages; k++) {
            CHECK(use[step_pages(s)[a->page0 + k]] == 0); /* neither KV nor another segment's */
            use[step_pages(s)[a->page0 + k]] = 3;
        }
    }
    free(use);
}

static inline int fake_run(void *ctx, struct step_result *results, struct err *e)
{
    struct fake_model *m = ctx;
    const struct step *s = m->step;
    int left = atomic_load(&m->fail_after);
    if (left && atomic_fetch_sub(&m->fail_after, 1) == 1)
        return err_set(e, OL_EDEVICE, "fake", "the fake device was told to fail");
    fake_check_step(m, s);
    for (int32_t i = 0; i < s->n_copies; i++)
        memcpy(m->kv[step_copies(s)[i].dst_page], m->kv[step_copies(s)[i].src_page], sizeof *m->kv);
    uint64_t *adapter = calloc((size_t)s->n_rows, sizeof *adapter);
    for (int32_t g = 0; g < s->n_segments; g++) {
        const struct step_segment *a = &step_segments(s)[g];
        for (int32_t r = 0; r < a->n_rows; r++)
            adapter[a->row0 + r] = fake_segment_adapter(m, s, a);
    }
    for (int32_t r = 0; r < s->n_rows; r++) {
        const struct step_seq *q = &step_seqs(s)[step_row_seq(s)[r]];
        int32_t pos = step_pos(s)[r], page = step_pages(s)[q->page0 + pos / 16];
        m->kv[page][pos % 16] = fake_kv(step_token(s)[r], pos, adapter[r]);
    }
    for (int32_t i = 0; i < s->n_logits; i++) {
        int32_t r = step_logit_row(s)[i];
        const struct step_seq *q = &step_seqs(s)[step_row_seq(s)[r]];
        const struct step_sample *p = &step_samples(s)[i];
        uint64_t h = 3, history = 0, bias = 0;
        for (int32_t pos = 0; pos <= step_pos(s)[r]; pos++)
            h = fake_mix(h, m->kv[step_pages(s)[q->page0 + pos / 16]][pos % 16]);
        for (int32_t k = 0; k < p->n_history; k++)
            history += fake_history_term(step_history(s)[p->history0 + k].token,
                                         step_history(s)[p->history0 + k].output_count);
        for (int32_t k = 0; k < p->n_bias; k++)
            bias += fake_mix((uint32_t)step_bias(s)[p->bias0 + k].token,
                             (uint64_t)(int64_t)(step_bias(s)[p->bias0 + k].add * 100));
        h = fake_sample(h, (uint64_t)p->seed_hi << 32 | p->seed_lo, p->choice, p->position, history, bias);
        results[i] = (struct step_result){.token = (int32_t)(h % FAKE_VOCAB), .logprob = -1};
    }
    free(adapter);
    m->steps++;
    m->rows += (uint64_t)s->n_rows;
    m->lora_steps += s->n_segments > 0;
    m->copies += (uint64_t)s->n_copies;
    if (s->n_rows > m->max_rows_seen)
        m->max_rows_seen = s->n_rows;
    if (m->step_ns)
        nanosleep(&(struct timespec){.tv_nsec = m->step_ns}, NULL);
    return 0;
}

/* What a restarted device remembers: nothing. */
static inline int fake_restart(void *ctx, struct err *e)
{
    struct fake_model *m = ctx;
    int busy = atomic_load(&m->busy), failing = atomic_load(&m->fail_restarts);
    if (busy) {
        atomic_store(&m->busy, busy - 1);
        return err_set(e, OL_EBUSY, "fake", "loading");
    }
    if (failing) {
        atomic_store(&m->fail_restarts, failing - 1);
        return err_set(e, OL_EDEVICE, "fake", "the fake device was told not to start");
    }
    memset(m->kv, 0xa5, (size_t)m->n_pages * sizeof *m->kv);
    memset(m->bytes, 0xa5, (size_t)m->n_pages * sizeof *m->bytes);
    return 0;
}

static inline struct step *fake_step(void *ctx) { return ((struct fake_model *)ctx)->step; }
static inline int fake_upload(void *ctx, int32_t page, const void *data, size_t bytes, struct err *e)
{
    (void)e;
    CHECK(bytes == FAKE_PAGE_BYTES);
    memcpy(((struct fake_model *)ctx)->bytes[page], data, bytes);
    return 0;
}
static inline uint64_t fake_lora_ops(void *ctx) { return ((struct fake_model *)ctx)->lora_steps; }
static inline void fake_info(void *ctx, struct device_info *out)
{
    (void)ctx;
    *out = (struct device_info){.backend = "fake", .isa = "none", .numerics = "fake", .threads = 1};
}
static inline void fake_close(void *ctx) { (void)ctx; } /* the test looks at the model afterwards */

/* ---- Adapters ---- */

/* "Reads" an adapter: the file holds "VALUE PAGES [bad]". */
static inline int fake_read_adapter(void *ctx, const char *path, const struct model_config *model, size_t page_bytes,
                                    struct adapter_image *out, struct err *e)
{
    unsigned long long value;
    int pages;
    char word[8] = "";
    (void)ctx, (void)model;
    FILE *f = fopen(path, "r");
    int n = f ? fscanf(f, "%llu %d %7s", &value, &pages, word) : 0;
    if (f)
        fclose(f);
    if (n < 2 || word[0])
        return err_set(e, OL_EFORMAT, "fake", "not an adapter: %.100s", path);
    *out = (struct adapter_image){
        .n_pages = pages, .page_bytes = page_bytes, .bytes = 100, .max_rank = 8, .parameters = 5};
    out->pages = calloc((size_t)pages, page_bytes);
    for (int i = 0; i < pages; i++) {
        uint64_t v = value + (uint64_t)i;
        memcpy(out->pages + (size_t)i * page_bytes, &v, sizeof v);
    }
    snprintf(out->hash, sizeof out->hash, "%064llu", value);
    return 0;
}

static inline void fake_write_adapter(const char *dir, const char *name, uint64_t value, int pages, const char *word)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fprintf(f, "%llu %d %s\n", (unsigned long long)value, pages, word) > 0 && fclose(f) == 0);
}

/* Removes a folder and the files in it. */
static inline void fake_remove_adapters(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(d), entry->d_name, 0);
    if (d)
        closedir(d);
    (void)rmdir(dir);
}

/* ---- Opening ---- */

static const struct model_config fake_config = {.arch = "fake", .vocab = FAKE_VOCAB, .context = 4096, .n_layers = 1};

static inline struct engine *fake_open(struct fake_model *m, struct engine_config c, int32_t n_pages)
{
    struct engine *e = NULL;
    struct err err;
    m->n_pages = n_pages;
    CHECK(engine_config_resolve(&c, &fake_config, &err) == 0);
    struct step_limits limits = engine_step_limits(&c, n_pages);
    m->step = calloc(1, step_layout(&limits).bytes);
    m->step->limits = limits;
    m->kv = calloc((size_t)n_pages, sizeof *m->kv);
    m->bytes = calloc((size_t)n_pages, sizeof *m->bytes);
    struct engine_backend b = {.ctx = m, .step = fake_step, .run = fake_run, .upload = fake_upload,
                               .lora_ops = fake_lora_ops, .info = fake_info, .close = fake_close,
                               .restart = m->can_restart ? fake_restart : NULL};
    struct adapter_reader reader = {.load = fake_read_adapter};
    struct memory_plan plan = {.n_pages = n_pages, .page_bytes = FAKE_PAGE_BYTES};
    int rc = engine_start(&c, &b, &fake_config, "fake-version", &plan, &reader, &e, &err);
    if (rc)
        fprintf(stderr, "engine_start: %s\n", err.message);
    CHECK(rc == 0);
    return e;
}

static inline void fake_model_free(struct fake_model *m)
{
    free(m->step);
    free(m->kv);
    free(m->bytes);
}

#endif
