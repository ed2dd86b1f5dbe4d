/* Opening a model on a device. The order in which memory is taken:
 *
 *   weights, then activations and workspaces, then what the driver takes when every shape of step has been run once
 *   (modules, graphs), then the page pool; nothing is allocated after that.
 *
 * On a GPU whose pool has no given size, all but the pool is opened twice: first beside a pool of a few pages, to
 * measure what is left; then the pool gets that, less a reserve, and the forward pass is opened again on it. */
#include "engine/model_backend.h"

#include "engine/forward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "engine"

enum { TRIAL_PAGES = 64, PLAN_RANK = 16 };

struct model_backend {
    const struct device_ops *ops;
    struct device *device;
    struct model *model;
    struct forward *forward;
    struct step_limits limits;
    dptr pool;
    size_t page_bytes, work_bytes; /* of a page; of all that the forward pass took */
};

/* ---- the engine's calls */

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

static void close_pool(struct model_backend *b)
{
    forward_close(b->forward);
    b->forward = NULL;
    b->ops->free(b->device, b->pool);
    b->pool = 0;
}

void model_backend_close(struct model_backend *b)
{
    if (!b)
        return;
    if (b->device) {
        close_pool(b);
        model_unload(b->model);
        b->ops->close(b->device);
    }
    free(b);
}

static void backend_close(void *ctx) { model_backend_close(ctx); }

struct engine_backend model_backend_table(struct model_backend *b)
{
    return (struct engine_backend){.ctx = b, .step = backend_step, .run = backend_run, .upload = backend_upload,
                                   .lora_ops = backend_lora_ops, .info = backend_info, .close = backend_close};
}

const struct step_limits *model_backend_limits(const struct model_backend *b) { return &b->limits; }

/* ---- how large the pool is */

/* On the CPU: the smaller of 1 GiB and a quarter of the machine's memory. */
static size_t default_pool_bytes(void)
{
    const size_t most = (size_t)1 << 30;
    uint64_t all, idle;
    device_host_memory(&all, &idle);
    return all && all / 4 < most ? (size_t)all / 4 : most;
}

/* Left free on a GPU: for fragmentation, and for what its driver allocates when something fails. */
static size_t gpu_reserve_bytes(const struct device_info *info)
{
    const size_t least = (size_t)256 << 20;
    size_t share = info->memory_bytes / 64;
    return share > least ? share : least;
}

static int count_pages(size_t pool_bytes, size_t page_bytes, int32_t *n_pages, struct err *e)
{
    size_t n = pool_bytes / page_bytes;
    if (n < 2)
        return err_set(e, OL_EINVAL, MODULE, "a pool of %zu bytes holds no two pages of %zu bytes; give it more",
                       pool_bytes, page_bytes);
    if (n > INT32_MAX / 2)
        return err_set(e, OL_ELIMIT, MODULE, "a pool of %zu bytes has more pages than can be counted", pool_bytes);
    *n_pages = (int32_t)n;
    return 0;
}

static bool on_gpu(const struct device_info *info) { return strcmp(info->backend, "cpu") != 0; }

/* The pool and the forward pass on it, whose page lists may name most_pages: in a trial as many as the pool may have. */
static int open_pool(struct model_backend *b, const struct engine_config *c, int32_t n_pages, int32_t most_pages,
                     struct err *e)
{
    struct device_info before, after;
    b->limits = engine_step_limits(c, most_pages);
    int rc = b->ops->alloc(b->device, (size_t)n_pages * b->page_bytes, &b->pool, e);
    b->ops->info(b->device, &before);
    if (!rc)
        rc = forward_open(b->model, b->pool, &b->limits, &b->forward, e);
    b->ops->info(b->device, &after);
    b->work_bytes = after.allocated_bytes - before.allocated_bytes;
    return rc ? rc : forward_warm(b->forward, c->max_seqs, c->max_context, e);
}

/* What a GPU has left for the pool once everything else is there. */
static int measure_pool(struct model_backend *b, const struct engine_config *c, int32_t most_pages,
                        struct memory_plan *plan, struct err *e)
{
    int32_t trial = most_pages < TRIAL_PAGES ? most_pages : TRIAL_PAGES;
    struct device_info info;
    int rc = open_pool(b, c, trial, most_pages, e);
    b->ops->info(b->device, &info);
    close_pool(b);
    if (rc)
        return rc;
    size_t left = info.free_bytes + (size_t)trial * b->page_bytes;
    plan->reserve_bytes = gpu_reserve_bytes(&info);
    if (left < plan->reserve_bytes + 2 * b->page_bytes)
        return err_set(e, OL_ENOMEM, MODULE, "weights (%zu MB) and workspaces leave %zu MB of %s, less than a page pool and "
                       "a reserve of %zu MB need: lower max_rows or max_seqs, free its memory, or take a smaller model",
                       plan->weights_bytes >> 20, left >> 20, info.name[0] ? info.name : info.backend,
                       plan->reserve_bytes >> 20);
    plan->pool_bytes = left - plan->reserve_bytes;
    return 0;
}

static int size_pool(struct model_backend *b, const struct engine_config *c, struct memory_plan *plan, struct err *e)
{
    struct device_info info;
    int32_t most_pages;
    b->ops->info(b->device, &info);
    plan->pool_bytes = c->pool_bytes;
    if (!plan->pool_bytes && !on_gpu(&info))
        plan->pool_bytes = default_pool_bytes();
    int rc = 0;
    if (!plan->pool_bytes) {
        rc = count_pages(info.free_bytes, b->page_bytes, &most_pages, e);
        if (!rc)
            rc = measure_pool(b, c, most_pages, plan, e);
    }
    if (!rc)
        rc = count_pages(plan->pool_bytes, b->page_bytes, &plan->n_pages, e);
    return rc;
}

/* ---- opening */

/* Total and free memory before anything is loaded. */
static void look_at_memory(struct model_backend *b, struct memory_plan *plan)
{
    struct device_info info;
    b->ops->info(b->device, &info);
    uint64_t all = info.memory_bytes, idle = info.free_bytes;
    if (!on_gpu(&info))
        device_host_memory(&all, &idle);
    plan->total_bytes = (size_t)all;
    plan->free_bytes = (size_t)idle;
}

static int finish_plan(struct model_backend *b, const struct model_file *file, struct memory_plan *plan, struct err *e)
{
    struct device_info info;
    b->ops->info(b->device, &info);
    plan->pool_bytes = (size_t)plan->n_pages * b->page_bytes;
    plan->page_bytes = b->page_bytes;
    plan->work_bytes = b->work_bytes;
    size_t ours = memory_plan_taken(plan);
    if (on_gpu(&info) && plan->free_bytes > info.free_bytes + ours)
        plan->driver_bytes = plan->free_bytes - info.free_bytes - ours;
    return adapter_pages_of_rank(model_file_config(file), PLAN_RANK, b->page_bytes, &plan->adapter_pages, e);
}

int model_backend_open(const struct engine_config *c, const struct device_choice *choice, struct model_file *file,
                       int32_t n_pages, struct model_backend **out, struct memory_plan *plan, struct err *e)
{
    struct device_config device = c->device;
    struct device_info info = {0};
    device.index = choice->index;
    *plan = (struct memory_plan){.n_pages = n_pages};
    *out = NULL;
    struct model_backend *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the engine");
    b->ops = choice->ops;
    int rc = b->ops->open(&device, &b->device, e);
    if (!rc) {
        look_at_memory(b, plan);
        rc = model_load(file, b->ops, b->device, &b->model, e);
    }
    if (!rc) {
        model_file_drop_pages(file); /* packed: memory holds one copy of the weights */
        b->ops->info(b->device, &info);
        plan->weights_bytes = info.allocated_bytes;
        b->page_bytes = model_kv_shape(b->model).page_bytes;
    }
    if (!rc && !n_pages)
        rc = size_pool(b, c, plan, e);
    if (!rc)
        rc = open_pool(b, c, plan->n_pages, plan->n_pages, e);
    if (!rc)
        rc = finish_plan(b, file, plan, e);
    if (rc) {
        model_backend_close(b);
        return rc;
    }
    *out = b;
    return 0;
}
