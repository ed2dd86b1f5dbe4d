/* The CPU device: opening, memory, and the table of operations. */
#include "kernels/cpu/device.h"
#include "kernels/cpu/phases.h"
#include "kernels/cpu/workspace.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Cores this process may run on. */
static int usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set))
        return 1;
    return CPU_COUNT(&set);
}

static int cpu_open(const struct device_config *config, struct device **out, struct err *e)
{
    static const struct cpu_candidate candidates[] = { /* best first */
        {&cpu_kernels_avx512, cpu_has_avx512}, {&cpu_kernels_avx2, cpu_has_avx2}, {&cpu_kernels_ref, NULL},
    };
    *out = NULL;
    if (config->threads < 0 || config->threads > MAX_DEVICE_THREADS)
        return err_set(e, OL_EINVAL, "cpu", "%d compute threads: 0 (one per core) to %d are possible",
                       config->threads, MAX_DEVICE_THREADS);
    int threads = config->threads ? config->threads : usable_cores();
    if (threads > MAX_DEVICE_THREADS)
        threads = MAX_DEVICE_THREADS;
    struct device *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, OL_ENOMEM, "cpu", "no memory for the device");
    int n = (int)(sizeof candidates / sizeof *candidates);
    int rc = cpu_select(config->isa, candidates, n, &d->kernels, e);
    if (rc == 0)
        rc = pool_open(threads, &d->pool, e);
    if (rc) {
        free(d);
        return rc;
    }
    memory_init(&d->memory, config->protect);
    *out = d;
    return 0;
}

static void cpu_close(struct device *d)
{
    if (!d)
        return;
    pool_close(d->pool);
    memory_deinit(&d->memory);
    free(d);
}

static void cpu_info(struct device *d, struct device_info *out)
{
    *out = (struct device_info){
        .backend = "cpu", .isa = d->kernels->isa, .threads = pool_threads(d->pool),
        .numerics = NUMERICS_ID, .allocated_bytes = memory_allocated(&d->memory),
    };
}

static int cpu_alloc(struct device *d, size_t bytes, dptr *out, struct err *e)
{
    void *p;
    int rc = memory_alloc(&d->memory, bytes, &p, e);
    *out = (dptr)(uintptr_t)p;
    return rc;
}

static void cpu_free(struct device *d, dptr p) { memory_free(&d->memory, host(p)); }

static int cpu_host_alloc(struct device *d, size_t bytes, void **out, struct err *e)
{
    (void)d;
    *out = calloc(1, bytes ? bytes : 1);
    return *out ? 0 : err_set(e, OL_ENOMEM, "cpu", "no memory for %zu bytes", bytes);
}

static void cpu_host_free(struct device *d, void *p)
{
    (void)d;
    free(p);
}

static int copy(struct device *d, void *dst, const void *src, size_t bytes, struct err *e)
{
    if (bytes && (!dst || !src))
        return err_set(e, OL_EINVAL, "cpu", "copy of %zu bytes: source or destination is null", bytes);
    memory_use(&d->memory);
    if (bytes)
        memcpy(dst, src, bytes);
    memory_unuse(&d->memory);
    return 0;
}

static int cpu_upload(struct device *d, dptr dst, const void *src, size_t bytes, struct err *e)
{
    return copy(d, host(dst), src, bytes, e);
}

static int cpu_download(struct device *d, void *dst, dptr src, size_t bytes, struct err *e)
{
    return copy(d, dst, host(src), bytes, e);
}

static size_t attention_workspace(struct device *d, const struct kv_shape *kv, const struct step_limits *limits)
{
    return cpu_attention_workspace(kv, limits, pool_threads(d->pool));
}

static size_t sample_workspace(struct device *d, int32_t vocab, const struct step_limits *limits)
{
    return cpu_sample_workspace(vocab, limits, pool_threads(d->pool));
}

const struct device_ops *device_cpu(void)
{
    static const struct device_ops ops = {
        .name = "cpu",
        .open = cpu_open,
        .close = cpu_close,
        .info = cpu_info,
        .alloc = cpu_alloc,
        .free = cpu_free,
        .host_alloc = cpu_host_alloc,
        .host_free = cpu_host_free,
        .upload = cpu_upload,
        .download = cpu_download,
        .weight_load = cpu_weight_load,
        .weight_free = cpu_weight_free,
        .attention_workspace = attention_workspace,
        .sample_workspace = sample_workspace,
        .stream_open = cpu_stream_open,
        .stream_close = cpu_stream_close,
        .begin = cpu_begin,
        .copy_in = cpu_copy_in,
        .copy_out = cpu_copy_out,
        .copy_pages = cpu_copy_pages,
        .embed = cpu_embed,
        .rope_table = cpu_rope_table,
        .add_norm = cpu_add_norm,
        .matmul = cpu_matmul,
        .lora = cpu_lora,
        .rope_kv = cpu_rope_kv,
        .attention = cpu_attention,
        .silu_mul = cpu_silu_mul,
        .sample = cpu_sample,
        .submit = cpu_submit,
        .wait = cpu_wait,
    };
    return &ops;
}
