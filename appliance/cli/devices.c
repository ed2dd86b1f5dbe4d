/* openlora devices: what can compute here, which one `auto` takes, and what a model would take of it. */
#include "cli/commands.h"

#include "engine/engine.h"
#include "kernels/device.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct devices_args {
    const char *model, *device;
    int64_t max_context, max_seqs, max_rows;
    bool json;
};

struct findings {
    struct device_list list;
    struct device_choice automatic;
    bool planned;
    struct memory_plan plan;
};

static double gib(uint64_t bytes) { return (double)bytes / (double)(1 << 30); }

static bool is_gpu(const struct device_description *d) { return strcmp(d->backend, "cpu") != 0; }

/* "cpu", "cuda:0" */
static void device_label(const struct device_description *d, char *out, size_t bytes)
{
    if (is_gpu(d))
        snprintf(out, bytes, "%s:%d", d->backend, d->index);
    else
        snprintf(out, bytes, "%s", d->backend);
}

static bool taken_by_auto(const struct findings *f, const struct device_description *d)
{
    bool cpu = f->automatic.ops == device_cpu();
    return is_gpu(d) ? !cpu && d->index == f->automatic.index : cpu;
}

static json_t *device_json(const struct findings *f, const struct device_description *d)
{
    char label[24];
    device_label(d, label, sizeof label);
    json_t *o = json_pack("{ss ss ss sI sI sb}", "device", label, "name", d->name, "isa", d->isa, "memory_bytes",
                          (json_int_t)d->memory_bytes, "free_bytes", (json_int_t)d->free_bytes, "auto",
                          taken_by_auto(f, d));
    if (is_gpu(d))
        json_object_update_new(o, json_pack("{ss ss ss}", "uuid", d->uuid, "pci", d->pci, "driver", d->driver));
    else
        json_object_set_new(o, "threads", json_integer(d->threads));
    json_object_set_new(o, "why_not", d->why_not[0] ? json_string(d->why_not) : json_null());
    return o;
}

static json_t *plan_json(const struct memory_plan *p)
{
    return json_pack("{sI sI sI sI sI sI sI sI si sI si}", "total_bytes", (json_int_t)p->total_bytes, "free_bytes",
                     (json_int_t)p->free_bytes, "weights_bytes", (json_int_t)p->weights_bytes, "work_bytes",
                     (json_int_t)p->work_bytes, "driver_bytes", (json_int_t)p->driver_bytes, "reserve_bytes",
                     (json_int_t)p->reserve_bytes, "pool_bytes", (json_int_t)p->pool_bytes, "page_bytes",
                     (json_int_t)p->page_bytes, "pages", (int)p->n_pages, "tokens",
                     (json_int_t)p->n_pages * STEP_PAGE_TOKENS, "rank16_adapters",
                     p->adapter_pages ? (int)(p->n_pages / p->adapter_pages) : 0);
}

static void print_json(const struct findings *f)
{
    json_t *devices = json_array();
    for (int i = 0; i < f->list.n; i++)
        json_array_append_new(devices, device_json(f, &f->list.items[i]));
    const char *none = f->list.why_no_gpu;
    json_t *o = json_pack("{so ss? so*}", "devices", devices, "why_no_gpu", none[0] ? none : NULL, "plan",
                          f->planned ? plan_json(&f->plan) : NULL);
    json_dumpf(o, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(o);
}

static void print_plan(const struct memory_plan *p)
{
    const struct {
        const char *what;
        size_t bytes;
    } rows[] = {{"weights", p->weights_bytes}, {"activations, workspaces", p->work_bytes},
                {"driver, modules, graphs", p->driver_bytes}, {"reserve", p->reserve_bytes},
                {"page pool", p->pool_bytes}};
    size_t sum = 0;
    printf("\nmemory plan\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sum += rows[i].bytes;
        if (rows[i].bytes)
            printf("  %-26s %9.2f GiB\n", rows[i].what, gib(rows[i].bytes));
    }
    printf("  %-26s %9.2f GiB of %.2f, of which %.2f are free\n", "together", gib(sum), gib(p->total_bytes),
           gib(p->free_bytes));
    printf("  the pool's %d pages of %zu KiB hold %lld tokens, or %d adapters of rank 16 on every linear layer\n",
           (int)p->n_pages, p->page_bytes >> 10, (long long)p->n_pages * STEP_PAGE_TOKENS,
           p->adapter_pages ? (int)(p->n_pages / p->adapter_pages) : 0);
}

static void print_table(const struct findings *f)
{
    printf("%-8s %-40s %-10s %10s %10s  %s\n", "device", "name", "isa", "GiB", "GiB free", "");
    for (int i = 0; i < f->list.n; i++) {
        const struct device_description *d = &f->list.items[i];
        char label[24], threads[24] = "";
        device_label(d, label, sizeof label);
        if (d->threads)
            snprintf(threads, sizeof threads, "%d cores", d->threads);
        printf("%-8s %-40.40s %-10s %10.1f %10.1f  %s%s\n", label, d->name, d->isa, gib(d->memory_bytes),
               gib(d->free_bytes), d->why_not[0] ? d->why_not : d->driver[0] ? d->driver : threads,
               taken_by_auto(f, d) ? "  <- auto" : "");
    }
    if (f->list.why_no_gpu[0])
        printf("no GPU: %s\n", f->list.why_no_gpu);
    if (f->planned)
        print_plan(&f->plan);
}

static int find(const struct devices_args *a, struct findings *f, struct err *e)
{
    device_list(&f->list);
    int rc = device_choose("auto", &f->automatic, e);
    if (rc || !a->model)
        return rc;
    const struct engine_config config = {.model_path = a->model, .device_name = a->device,
                                         .max_context = (int32_t)a->max_context, .max_seqs = (int32_t)a->max_seqs,
                                         .max_rows = (int32_t)a->max_rows};
    f->planned = true;
    return engine_plan(&config, &f->plan, e);
}

int command_devices(const struct command *command, int argc, char **argv)
{
    struct devices_args a = {.device = "auto"};
    const struct option options[] = {
        TEXT("model", &a.model, "PATH", "also load this model and tell what it takes"),
        TEXT("device", &a.device, "NAME", "of that plan: auto, cpu, cuda or cuda:N"),
        INT("max-context", &a.max_context, "N", "tokens per sequence, 0: 8192 or the model's", 0, 1 << 20),
        INT("max-seqs", &a.max_seqs, "N", "sequences running together, 0: 64", 0, 1024),
        INT("max-rows", &a.max_rows, "N", "tokens per step, 0: 512", 0, 8192),
        FLAG("json", &a.json, "print one JSON object"),
        OPTIONS_END};
    int words = options_parse(command, options, argc, argv, 0);
    if (words < 0)
        return options_exit(words);
    struct err e = {0};
    struct findings *f = calloc(1, sizeof *f);
    int rc = f ? find(&a, f, &e) : err_set(&e, OL_ENOMEM, "devices", "no memory");
    if (!rc && a.json)
        print_json(f);
    else if (!rc)
        print_table(f);
    free(f);
    return rc ? fail(command, EXIT_FAILED, "%s", e.message) : EXIT_OK;
}
