#include "cli/local_model.h"

#include "base/clock.h"
#include "kernels/device.h"
#include "model/adapter_file.h"

#include <stdlib.h>
#include <string.h>

#define MODULE "local_model"

const struct model_config *local_model_config(const struct local_model *m) { return model_file_config(m->file); }

const char *local_model_isa(const struct local_model *m)
{
    struct device_info info;
    m->ops->info(m->device, &info);
    return info.isa;
}

/* Reads every adapter into host memory and counts the pages they need. */
static int read_adapters(struct local_model *m, const struct local_config *c, size_t page_bytes, int32_t page0,
                         struct adapter_image *images, int32_t *n_pages, struct err *e)
{
    for (int i = 0; i < c->n_adapters; i++) {
        int rc = adapter_file_load(c->adapters[i], local_model_config(m), page_bytes, &images[i], e);
        if (rc)
            return rc;
        m->adapters[i] = (struct local_adapter){page0 + *n_pages, images[i].n_pages};
        *n_pages += images[i].n_pages;
    }
    return OL_OK;
}

static int fill_pool(struct local_model *m, struct adapter_image *images, int n, size_t page_bytes, int32_t n_pages,
                     struct err *e)
{
    if (__builtin_mul_overflow((size_t)n_pages, page_bytes, &m->pool_bytes))
        return err_set(e, OL_ELIMIT, MODULE, "%d pages of %zu bytes are more than memory", n_pages, page_bytes);
    int rc = m->ops->alloc(m->device, m->pool_bytes, &m->pool, e);
    for (int i = 0; !rc && i < n; i++)
        rc = m->ops->upload(m->device, m->pool + (size_t)m->adapters[i].page0 * page_bytes, images[i].pages,
                            (size_t)images[i].n_pages * page_bytes, e);
    return rc;
}

/* The pool: KV of every sequence, then the adapters. */
static int open_pool(struct local_model *m, const struct local_config *c, struct err *e)
{
    size_t page_bytes = model_kv_shape(m->model).page_bytes;
    m->pages_per_seq = (c->seq_tokens + STEP_PAGE_TOKENS - 1) / STEP_PAGE_TOKENS;
    int32_t kv_pages, adapter_pages = 0;
    if (__builtin_mul_overflow(m->pages_per_seq, c->n_seqs, &kv_pages))
        return err_set(e, OL_ELIMIT, MODULE, "%d sequences of %d tokens are too many", c->n_seqs, c->seq_tokens);
    m->n_adapters = c->n_adapters;
    m->adapters = calloc((size_t)c->n_adapters + 1, sizeof *m->adapters);
    struct adapter_image *images = calloc((size_t)c->n_adapters + 1, sizeof *images);
    int rc = m->adapters && images ? OL_OK : err_set(e, OL_ENOMEM, MODULE, "no memory for %d adapters", c->n_adapters);
    if (!rc)
        rc = read_adapters(m, c, page_bytes, kv_pages, images, &adapter_pages, e);
    if (!rc)
        rc = fill_pool(m, images, c->n_adapters, page_bytes, kv_pages + adapter_pages, e);
    for (int i = 0; images && i < c->n_adapters; i++)
        adapter_image_deinit(&images[i]);
    free(images);
    return rc;
}

/* Page lists of a step: every sequence's, and every segment's. */
static int32_t step_page_entries(const struct local_model *m, const struct local_config *c)
{
    int32_t largest = 0;
    for (int i = 0; i < m->n_adapters; i++)
        if (m->adapters[i].n_pages > largest)
            largest = m->adapters[i].n_pages;
    return c->n_seqs * (m->pages_per_seq + largest);
}

int local_model_open(const struct local_config *c, struct local_model *m, struct err *e)
{
    memset(m, 0, sizeof *m);
    double start = clock_mono_s();
    struct device_choice choice;
    int rc = device_choose(c->device, &choice, e);
    m->ops = choice.ops;
    if (!rc)
        rc = model_file_open(c->model_path, &m->file, e);
    if (!rc)
        rc = m->ops->open(&(struct device_config){.index = choice.index, .threads = c->threads, .isa = c->isa, .fast = c->fast},
                          &m->device, e);
    if (!rc)
        rc = model_load(m->file, m->ops, m->device, &m->model, e);
    if (!rc) {
        model_file_drop_pages(m->file);
        rc = open_pool(m, c, e);
    }
    if (!rc) {
        struct step_limits limits = {.max_rows = c->max_rows, .max_seqs = c->n_seqs, .max_logits = c->max_logits,
                                     .max_pages = step_page_entries(m, c), .max_history = 1, .max_bias = 1};
        rc = forward_open(m->model, m->pool, &limits, &m->forward, e);
        if (!rc)
            rc = forward_warm(m->forward, c->n_seqs, c->seq_tokens, e);
    }
    m->load_s = clock_mono_s() - start;
    if (rc)
        local_model_close(m);
    return rc;
}

void local_model_close(struct local_model *m)
{
    forward_close(m->forward);
    if (m->pool)
        m->ops->free(m->device, m->pool);
    model_unload(m->model);
    if (m->device)
        m->ops->close(m->device);
    model_file_close(m->file);
    free(m->adapters);
    memset(m, 0, sizeof *m);
}

static int32_t add_page_range(struct step *s, int32_t first, int32_t n)
{
    int32_t at = s->n_pages;
    for (int32_t i = 0; i < n; i++)
        step_pages(s)[s->n_pages++] = first + i;
    return at;
}

/* The adapter's rows join the segment before when it is the same adapter's. */
static void add_to_segment(const struct local_adapter *a, struct step *s, int32_t n)
{
    struct step_segment *last = s->n_segments ? &step_segments(s)[s->n_segments - 1] : NULL;
    if (last && step_pages(s)[last->page0] == a->page0 && last->row0 + last->n_rows == s->n_rows) {
        last->n_rows += n;
        return;
    }
    step_segments(s)[s->n_segments++] =
        (struct step_segment){s->n_rows, n, add_page_range(s, a->page0, a->n_pages), a->n_pages};
}

void local_step_add(struct local_model *m, struct step *s, int32_t seq, int adapter, const int32_t *tokens, int32_t n,
                    int32_t pos0, enum local_logits want)
{
    int32_t n_pages = (pos0 + n + STEP_PAGE_TOKENS - 1) / STEP_PAGE_TOKENS;
    CHECK(s->n_seqs < s->limits.max_seqs && s->n_rows + n <= s->limits.max_rows && n_pages <= m->pages_per_seq);
    if (adapter >= 0)
        add_to_segment(&m->adapters[adapter], s, n);
    step_seqs(s)[s->n_seqs] =
        (struct step_seq){s->n_rows, n, pos0, add_page_range(s, seq * m->pages_per_seq, n_pages), n_pages};
    for (int32_t i = 0; i < n; i++) {
        int32_t row = s->n_rows++;
        step_token(s)[row] = tokens[i];
        step_pos(s)[row] = pos0 + i;
        step_row_seq(s)[row] = s->n_seqs;
        if (want == LOGITS_EVERY || (want == LOGITS_LAST && i == n - 1)) {
            CHECK(s->n_logits < s->limits.max_logits);
            step_logit_row(s)[s->n_logits] = row;
            step_samples(s)[s->n_logits++] = (struct step_sample){.top_p = 1, .repetition = 1};
        }
    }
    s->n_seqs++;
}
