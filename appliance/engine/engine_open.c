/* Opening an engine on a model file: device, packed weights, page pool, forward pass. */
#include "engine/engine_internal.h"
#include "engine/forward.h"

#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

struct model_backend {
    const struct device_ops *ops;
    struct device *device;
    struct model *model;
    dptr pool;
    size_t page_bytes;
    struct forward *forward;
};

static struct step *backend_step(void *ctx) { return forward_step(((struct model_backend *)ctx)->forward); }

static int backend_run(void *ctx, struct step_result *results, struct err *e)
{
    return forward_run(((struct model_backend *)ctx)->forward, results, NULL, e);
}

static int backend_upload(void *ctx, int32_t page, const void *data, size_t bytes, struct err *e)
{
    struct model_backend *b = ctx;
    return b->ops->upload(b->device, b->pool + (size_t)page * b->page_bytes, data, bytes, e);
}

static uint64_t backend_lora_ops(void *ctx) { return forward_lora_ops(((struct model_backend *)ctx)->forward); }

static void backend_info(void *ctx, struct device_info *out)
{
    struct model_backend *b = ctx;
    b->ops->info(b->device, out);
}

static void backend_close(void *ctx)
{
    struct model_backend *b = ctx;
    if (b->forward)
        forward_close(b->forward);
    if (b->pool)
        b->ops->free(b->device, b->pool);
    if (b->model)
        model_unload(b->model);
    if (b->device)
        b->ops->close(b->device);
    free(b);
}

/* The smaller of 1 GiB and a quarter of the machine's memory. */
static size_t default_pool_bytes(void)
{
    const size_t most = (size_t)1 << 30;
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page_bytes <= 0)
        return most;
    size_t quarter = (size_t)pages / 4 * (size_t)page_bytes;
    return quarter < most ? quarter : most;
}

static int count_pages(size_t pool_bytes, size_t page_bytes, int32_t *n_pages, struct err *e)
{
    size_t n = pool_bytes / page_bytes;
    if (n < 2)
        return err_set(e, OL_EINVAL, "engine", "a pool of %zu bytes holds no two pages of %zu bytes; give it more",
                       pool_bytes, page_bytes);
    if (n > INT32_MAX / 2)
        return err_set(e, OL_ELIMIT, "engine", "a pool of %zu bytes has more pages than can be counted", pool_bytes);
    *n_pages = (int32_t)n;
    return 0;
}

static int open_backend(const struct engine_config *c, struct model_file *file, struct model_backend *b,
                        int32_t *n_pages, struct err *e)
{
    b->ops = device_cpu();
    int rc = b->ops->open(&c->device, &b->device, e);
    if (!rc)
        rc = model_load(file, b->ops, b->device, &b->model, e);
    if (rc)
        return rc;
    model_file_drop_pages(file); /* packed: memory holds one copy of the weights */
    b->page_bytes = model_kv_shape(b->model).page_bytes;
    rc = count_pages(c->pool_bytes, b->page_bytes, n_pages, e);
    if (!rc)
        rc = b->ops->alloc(b->device, (size_t)*n_pages * b->page_bytes, &b->pool, e);
    struct step_limits limits = engine_step_limits(c, *n_pages);
    if (!rc)
        rc = forward_open(b->model, b->pool, &limits, &b->forward, e);
    return rc ? rc : forward_warm(b->forward, c->max_seqs, c->max_context, e);
}

int engine_open(const struct engine_config *config, struct engine **out, struct err *e)
{
    struct engine_config c = *config;
    struct model_file *file = NULL;
    char version[65];
    int32_t n_pages = 0;
    *out = NULL;
    if (!c.pool_bytes)
        c.pool_bytes = default_pool_bytes();
    struct model_backend *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, OL_ENOMEM, "engine", "no memory for the engine");
    int rc = model_file_open(c.model_path, &file, e);
    if (!rc)
        rc = engine_config_resolve(&c, model_file_config(file), e);
    if (!rc)
        rc = model_file_version(file, version, e);
    if (!rc)
        rc = open_backend(&c, file, b, &n_pages, e);
    if (!rc) {
        struct engine_backend backend = {.ctx = b, .step = backend_step, .run = backend_run, .upload = backend_upload,
                                         .lora_ops = backend_lora_ops, .info = backend_info, .close = backend_close};
        rc = engine_start(&c, &backend, model_config(b->model), version, n_pages, b->page_bytes, NULL, out, e);
    }
    if (rc) {
        backend_close(b);
        if (file)
            model_file_close(file);
        return rc;
    }
    (*out)->file = file;
    struct device_info info;
    b->ops->info(b->device, &info);
    log_line(LOG_INFO, "engine", "%s on %s (%s, %d threads), %d pages of 16 tokens", model_file_config(file)->arch,
             info.backend, info.isa, info.threads, (int)n_pages);
    return 0;
}
