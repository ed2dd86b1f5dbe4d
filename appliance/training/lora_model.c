/* Opening and closing, threads, and the split of products among them. */
#include "training/lora_internal.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Zero fields take their defaults. */
static int complete(struct train_config *t, struct err *e)
{
    cpu_set_t set;
    if (t->threads < 0 || t->threads > MAX_DEVICE_THREADS)
        return err_set(e, OL_EINVAL, TRAINING, "%d threads: 0 (one per core) to %d are possible", t->threads,
                       MAX_DEVICE_THREADS);
    if (!t->threads)
        t->threads = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    t->threads = t->threads < MAX_DEVICE_THREADS ? t->threads : MAX_DEVICE_THREADS;
    if (!t->max_rows)
        t->max_rows = LORA_DEFAULT_ROWS;
    if (t->max_rows < 1 || t->max_rows > LORA_MOST_ROWS)
        return err_set(e, OL_EINVAL, TRAINING, "%d rows together: 1 to %d are possible", t->max_rows, LORA_MOST_ROWS);
    if (!(t->dropout >= 0 && t->dropout < 1))
        return err_set(e, OL_EINVAL, TRAINING, "dropout %g is not from 0 up to, but not including, 1",
                       (double)t->dropout);
    return 0;
}

size_t lora_model_bytes(const struct model_file *file, const struct train_config *config)
{
    struct train_config t = *config;
    struct lora_layout layout;
    if (!t.targets) {
        t.targets = (1u << LORA_TARGETS) - 1;
        t.rank = t.rank ? t.rank : LORA_MAX_RANK;
    }
    if (complete(&t, NULL) || lora_layout_uniform(&layout, model_file_config(file), &t, NULL))
        return 0;
    size_t bytes = lora_weight_bytes(file) + lora_state_bytes(model_file_config(file), &t, &layout);
    free(layout.places);
    return bytes;
}

int lora_model_open(const struct model_file *file, const struct train_config *config, struct lora_model **out,
                    struct err *e)
{
    *out = NULL;
    struct lora_layout layout = {0};
    struct lora_model *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, OL_ENOMEM, TRAINING, "no memory for the model");
    m->config = *model_file_config(file);
    m->train = *config;
    rope_frequencies(&m->config, m->rope_freq);
    int rc = complete(&m->train, e);
    if (!rc)
        rc = f32_select(config->isa, &m->f32, e);
    if (!rc)
        rc = pool_open(m->train.threads, &m->pool, e);
    if (!rc)
        rc = lora_layout_uniform(&layout, &m->config, &m->train, e);
    if (!rc)
        rc = lora_weights_load(m, file, e);
    if (!rc)
        rc = lora_state_open(m, &layout, e);
    free(layout.places);
    if (rc) {
        lora_model_close(m);
        return rc;
    }
    *out = m;
    return 0;
}

void lora_model_close(struct lora_model *m)
{
    if (!m)
        return;
    lora_state_close(m);
    unmap_memory(m->weight_memory, m->weight_bytes);
    free(m->layers);
    pool_close(m->pool);
    free(m);
}

const struct model_config *lora_model_config(const struct lora_model *m) { return &m->config; }
const struct lora_layout *lora_model_layout(const struct lora_model *m) { return &m->layout; }
float *lora_model_params(struct lora_model *m) { return m->params; }

struct loop {
    void (*fn)(void *arg, int64_t tile, int worker);
    void *arg;
    int64_t n;
    _Atomic int64_t next;
};

static void loop_run(void *arg, int worker)
{
    struct loop *l = arg;
    for (int64_t tile; (tile = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed)) < l->n;)
        l->fn(l->arg, tile, worker);
}

void lora_parallel(struct lora_model *m, int64_t n, void (*fn)(void *arg, int64_t tile, int worker), void *arg)
{
    struct loop l = {.fn = fn, .arg = arg, .n = n};
    if (n > 1)
        pool_run(m->pool, loop_run, &l);
    else
        loop_run(&l, 0);
}

struct split_product {
    const struct f32_product *p;
    void (*run)(const struct f32_product *p, struct f32_range panels, struct f32_range blocks);
    int64_t panels, blocks, panel_step, block_step;
};

static struct f32_range part(int64_t i, int64_t step, int64_t n)
{
    return (struct f32_range){i * step, (i + 1) * step < n ? (i + 1) * step : n};
}

static void product_part(void *arg, int64_t tile, int worker)
{
    (void)worker;
    const struct split_product *s = arg;
    int64_t across = (s->panels + s->panel_step - 1) / s->panel_step;
    s->run(s->p, part(tile % across, s->panel_step, s->panels), part(tile / across, s->block_step, s->blocks));
}

/* Parts of at most 8 panels by 8 blocks fit the second-level cache; smaller ones where there would be too few. */
void lora_product(struct lora_model *m, const struct f32_product *p, bool back)
{
    enum { MOST = 8, PER_THREAD = 4 };
    struct split_product s = {.p = p, .run = back ? m->f32->product_back : m->f32->product,
                              .panels = f32_panels(back ? p->cols : p->rows), .blocks = f32_blocks(p->n),
                              .panel_step = MOST, .block_step = MOST};
    int64_t n;
    for (;;) {
        n = (s.panels + s.panel_step - 1) / s.panel_step * ((s.blocks + s.block_step - 1) / s.block_step);
        if (n >= PER_THREAD * m->train.threads || s.panel_step * s.block_step == 1)
            break;
        if (s.panel_step > 1)
            s.panel_step /= 2;
        else
            s.block_step /= 2;
    }
    lora_parallel(m, n, product_part, &s);
}
