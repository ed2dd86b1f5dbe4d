/* The worker process: loads a model on a device and computes the steps that the engine puts into shared memory, until
 * the socket ends. */
#define MODULE "worker"
#include "engine/model_backend.h"
#include "engine/worker_main.h"
#include "engine/worker_wire.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

struct worker {
    struct model_file *file;
    struct model_backend *model;
    struct engine_backend backend;
    struct step_limits limits;
    struct memory_plan plan;
    struct worker_memory at;
    unsigned char *memory; /* NULL until WORKER_MAP */
};

/* ---- loading */

static int load(struct worker *w, const struct worker_open *o, const struct device_choice *device, struct err *e)
{
    struct engine_config c = {.model_path = o->model_path,
                              .device = {.threads = o->threads, .fast = o->fast, .isa = o->isa[0] ? o->isa : NULL},
                              .max_context = o->max_context, .max_seqs = o->max_seqs, .max_rows = o->max_rows,
                              .pool_bytes = (size_t)o->pool_bytes};
    char version[65];
    int rc = model_file_open(o->model_path, &w->file, e);
    if (!rc)
        rc = model_file_version(w->file, version, e);
    if (!rc && strcmp(version, o->version) != 0)
        rc = err_set(e, OL_EFORMAT, MODULE, "the model's files have changed since they were opened: %.120s",
                     o->model_path);
    if (!rc)
        rc = model_backend_open(&c, device, w->file, o->n_pages, &w->model, &w->plan, e);
    if (rc)
        return rc;
    w->backend = model_backend_table(w->model);
    w->limits = *model_backend_limits(w->model);
    w->at = worker_memory_layout(&w->limits, w->plan.page_bytes);
    return 0;
}

static void describe(const struct worker *w, struct worker_reply *r)
{
    struct worker_device *d = &r->device;
    w->backend.info(w->backend.ctx, &d->info);
    snprintf(d->backend, sizeof d->backend, "%s", d->info.backend);
    snprintf(d->isa, sizeof d->isa, "%s", d->info.isa);
    snprintf(d->numerics, sizeof d->numerics, "%s", d->info.numerics);
    r->plan = w->plan;
    r->limits = w->limits;
}

/* ---- commands */

static int map_memory(struct worker *w, struct err *e)
{
    void *p = mmap(NULL, w->at.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, WORKER_MEMORY_FD, 0);
    if (p == MAP_FAILED)
        return err_set(e, OL_ENOMEM, MODULE, "mapping %zu bytes of shared memory: %s", w->at.bytes, strerror(errno));
    w->memory = p;
    return 0;
}

/* The parts of a step that are in use; both blocks have the same limits. */
static void copy_step(struct step *to, const struct step *from)
{
    const struct step_layout at = step_layout(&to->limits);
    memcpy(to, from, at.history);
    memcpy(step_history(to), step_history(from), (size_t)from->n_history * sizeof(struct step_history));
    memcpy(step_bias(to), step_bias(from), (size_t)from->n_bias * sizeof(struct step_bias));
    memcpy(step_pages(to), step_pages(from), (size_t)from->n_pages * sizeof(int32_t));
}

static int run(struct worker *w, struct err *e)
{
    copy_step(w->backend.step(w->backend.ctx), (const struct step *)(const void *)w->memory);
    return w->backend.run(w->backend.ctx, (struct step_result *)(void *)(w->memory + w->at.results), e);
}

static int upload(struct worker *w, const struct worker_command *c, struct err *e)
{
    if (c->page < 0 || c->page >= w->plan.n_pages || c->bytes > w->plan.page_bytes)
        return err_set(e, OL_EINVAL, MODULE, "no page %d of %llu bytes", (int)c->page, (unsigned long long)c->bytes);
    return w->backend.upload(w->backend.ctx, c->page, w->memory + w->at.page, (size_t)c->bytes, e);
}

static int execute(struct worker *w, const struct worker_command *c, struct err *e)
{
    if (c->kind == WORKER_MAP && !w->memory)
        return map_memory(w, e);
    if (w->memory && c->kind == WORKER_RUN)
        return run(w, e);
    if (w->memory && c->kind == WORKER_UPLOAD)
        return upload(w, c, e);
    return err_set(e, OL_EINVAL, MODULE, "unknown command %d", (int)c->kind);
}

static int answer(struct worker_reply *r, int rc, const struct err *why, struct err *e)
{
    r->code = rc;
    if (rc)
        snprintf(r->message, sizeof r->message, "%s", why->message);
    return worker_send(WORKER_SOCKET_FD, r, sizeof *r, e);
}

/* Until the other end closes. Nothing here allocates. */
static void serve(struct worker *w)
{
    struct worker_command c;
    struct err e;
    while (worker_receive(WORKER_SOCKET_FD, &c, sizeof c, -1, &e) == 0) {
        struct worker_reply r = {0};
        struct err why = {0};
        int rc = execute(w, &c, &why);
        r.lora_ops = w->backend.lora_ops(w->backend.ctx);
        if (answer(&r, rc, &why, &e) != 0)
            break;
    }
}

/* Chooses the device and tells; what follows may take long. */
static int choose(const struct worker_open *o, struct device_choice *device)
{
    struct worker_reply r = {0};
    struct err why = {0}, e;
    int rc = device_choose(o->device, device, &why);
    if (!rc) {
        snprintf(r.device.backend, sizeof r.device.backend, "%s", device->ops == device_cpu() ? "cpu" : "cuda");
        snprintf(r.message, sizeof r.message, "%s", device->reason);
        r.device.info.index = device->index;
    }
    return answer(&r, rc, &why, &e) ? OL_EIO : rc;
}

bool worker_wanted(int argc, char **argv) { return argc == 2 && strcmp(argv[1], "--compute-worker") == 0; }

int worker_main(void)
{
    struct worker w = {0};
    struct worker_open o;
    struct err why = {0}, e = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* A signal to the whole group or service is for our parent, which ends us when it has finished. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (worker_receive(WORKER_SOCKET_FD, &o, sizeof o, -1, &e) != 0) {
        fprintf(stderr, "openlorad: --compute-worker is for openlorad's own use: %s\n", e.message);
        return 2;
    }
    if (getppid() != o.parent) /* it died before we asked to be told */
        return 1;
    struct device_choice device;
    if (choose(&o, &device) != 0)
        return 1;
    struct worker_reply r = {0};
    int rc = load(&w, &o, &device, &why);
    if (!rc)
        describe(&w, &r);
    if (answer(&r, rc, &why, &e) == 0 && !rc)
        serve(&w);
    if (w.memory)
        munmap(w.memory, w.at.bytes);
    model_backend_close(w.model);
    if (w.file)
        model_file_close(w.file);
    return 0;
}
