#define MODULE "worker"
#include "engine/worker_process.h"

#include "engine/worker_spawn.h"
#include "engine/worker_wire.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPEN_S = 600, END_MS = 5000 };

struct worker_process {
    struct worker_open open;
    int step_timeout_ms;
    struct worker_child child;
    bool chosen;             /* it has told its device */
    bool ready;              /* loaded and mapped: takes steps */
    bool only_gpu, no_gpu;   /* wanted; and not found */
    char reason[ERR_MESSAGE_BYTES]; /* why the CPU was chosen, or empty */
    int64_t open_until_ns;   /* while loading */
    int memory_fd;
    unsigned char *memory;   /* NULL until the first child has told its limits */
    struct worker_memory at;
    struct step_limits limits;
    struct memory_plan plan;
    struct worker_device device;
    uint64_t lora_ops, lora_ops_before; /* of this child; of those before it */
};

/* Ends the child and puts the reason into *e: what we saw of it, and how it ended. */
static int lose(struct worker_process *w, int wait_ms, const char *seen, struct err *e)
{
    char how[200];
    worker_child_end(&w->child, wait_ms, how, sizeof how);
    w->ready = false;
    w->lora_ops_before += w->lora_ops;
    w->lora_ops = 0;
    return err_set(e, OL_EDEVICE, MODULE, "%.100s: %.130s", seen, how);
}

/* A message whose end came without an answer: the child is dying, or cannot be talked to. */
static int lose_silent(struct worker_process *w, struct err *e)
{
    const int dying_ms = 1000;
    return lose(w, dying_ms, "the compute worker has died", e);
}

/* Sends a command and takes the answer. On failure the child is gone. */
static int call(struct worker_process *w, const void *message, size_t bytes, struct worker_reply *reply, int timeout_ms,
                struct err *e)
{
    struct err why;
    char text[120];
    if (!w->child.pid)
        return err_set(e, OL_EDEVICE, MODULE, "the compute worker is not running");
    int rc = worker_send(w->child.socket, message, bytes, &why);
    if (!rc)
        rc = worker_receive(w->child.socket, reply, sizeof *reply, timeout_ms, &why);
    if (rc == OL_EBUSY) {
        snprintf(text, sizeof text, "the compute worker did not finish within %d ms", timeout_ms);
        return lose(w, 0, text, e);
    }
    if (rc)
        return lose_silent(w, e);
    if (reply->code) {
        reply->message[sizeof reply->message - 1] = 0;
        (void)lose(w, 0, "", NULL);
        return err_set(e, OL_EDEVICE, MODULE, "the compute worker failed: %.200s", reply->message);
    }
    w->lora_ops = reply->lora_ops;
    return 0;
}

/* ---- starting */

/* Memory for the step, the results and a page. Its size is sealed: a child cannot take it away under us. */
static int map_memory(struct worker_process *w, struct err *e)
{
    w->at = worker_memory_layout(&w->limits, w->plan.page_bytes);
    if (ftruncate(w->memory_fd, (off_t)w->at.bytes) != 0 ||
        fcntl(w->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return err_set(e, OL_ENOMEM, MODULE, "shared memory of %zu bytes: %s", w->at.bytes, strerror(errno));
    void *p = mmap(NULL, w->at.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, w->memory_fd, 0);
    if (p == MAP_FAILED)
        return err_set(e, OL_ENOMEM, MODULE, "mapping %zu bytes of shared memory: %s", w->at.bytes, strerror(errno));
    w->memory = p;
    ((struct step *)p)->limits = w->limits;
    return 0;
}

static int begin_open(struct worker_process *w, struct err *e)
{
    struct err why;
    int rc = worker_child_start(&w->child, w->memory_fd, e);
    if (rc)
        return rc;
    w->chosen = false;
    w->open_until_ns = clock_mono_ns() + (int64_t)OPEN_S * 1000000000;
    return worker_send(w->child.socket, &w->open, sizeof w->open, &why) ? lose_silent(w, e) : 0;
}

/* The child is the same as the one before, so that all that was planned for that one still holds. */
static bool same_as_before(const struct worker_process *w, const struct worker_reply *r)
{
    return r->plan.n_pages == w->plan.n_pages && r->plan.page_bytes == w->plan.page_bytes &&
           memcmp(&r->limits, &w->limits, sizeof w->limits) == 0 &&
           strcmp(r->device.numerics, w->device.numerics) == 0;
}

/* What is wrong with the model or device is told as it is. */
static int refused(struct worker_process *w, const struct worker_reply *r, struct err *e)
{
    (void)lose(w, 0, "", NULL);
    return err_set(e, r->code, MODULE, "%.*s", (int)sizeof r->message - 1, r->message);
}

/* What the child says once it has chosen. From now on it is this device. */
static void note_device(struct worker_process *w, const struct worker_reply *r)
{
    bool gpu = strcmp(r->device.backend, "cpu") != 0;
    w->chosen = true;
    w->no_gpu = w->only_gpu && !gpu;
    if (!w->memory)
        snprintf(w->reason, sizeof w->reason, "%.*s", (int)sizeof r->message - 1, r->message);
    if (gpu)
        snprintf(w->open.device, sizeof w->open.device, "cuda:%d", r->device.info.index);
    else
        snprintf(w->open.device, sizeof w->open.device, "cpu");
}

/* What the child says once it has loaded; then it maps the shared memory. */
static int finish_open(struct worker_process *w, const struct worker_reply *loaded, struct err *e)
{
    const struct worker_command map = {.kind = WORKER_MAP};
    struct worker_reply reply;
    int rc = 0;
    if (!w->memory) {
        w->limits = loaded->limits;
        w->plan = loaded->plan;
        w->device = loaded->device;
        w->open.n_pages = w->plan.n_pages; /* from now on */
        rc = map_memory(w, e);
    } else if (!same_as_before(w, loaded)) {
        rc = err_set(e, OL_EDEVICE, MODULE, "the new worker found another device or size than the one before");
    }
    if (rc) {
        (void)lose(w, 0, "", NULL);
        return rc;
    }
    rc = call(w, &map, sizeof map, &reply, END_MS, e);
    w->ready = !rc;
    return rc;
}

/* 0: loaded, or no_gpu; OL_EBUSY: not yet. */
static int poll_open(struct worker_process *w, int timeout_ms, struct err *e)
{
    struct worker_reply r;
    int rc = worker_receive(w->child.socket, &r, sizeof r, timeout_ms, e);
    if (rc == OL_EBUSY && clock_mono_ns() >= w->open_until_ns)
        return lose(w, 0, "the compute worker did not load the model in time", e);
    if (rc == OL_EBUSY)
        return rc;
    if (rc)
        return lose_silent(w, e);
    if (r.code)
        return refused(w, &r, e);
    if (w->chosen)
        return finish_open(w, &r, e);
    note_device(w, &r);
    return w->no_gpu ? 0 : err_set(e, OL_EBUSY, MODULE, "the model is being loaded");
}

static int describe(struct worker_process *w, const struct engine_config *c, const char *version, struct err *e)
{
    const char *device = c->device_name ? c->device_name : "auto";
    struct worker_open *o = &w->open;
    *o = (struct worker_open){.parent = getpid(), .threads = c->device.threads, .fast = c->device.fast,
                              .max_context = c->max_context,
                              .max_seqs = c->max_seqs, .max_rows = c->max_rows, .pool_bytes = c->pool_bytes};
    const char *isa = c->device.isa ? c->device.isa : "";
    if (strlen(c->model_path) >= sizeof o->model_path)
        return err_set(e, OL_ELIMIT, MODULE, "the model's path is too long");
    snprintf(o->model_path, sizeof o->model_path, "%s", c->model_path);
    snprintf(o->version, sizeof o->version, "%s", version);
    snprintf(o->device, sizeof o->device, "%s", device);
    snprintf(o->isa, sizeof o->isa, "%s", isa);
    w->memory_fd = memfd_create("openlora-step", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (w->memory_fd < 0)
        return err_set(e, OL_EIO, MODULE, "no shared memory: %s", strerror(errno));
    int high = fcntl(w->memory_fd, F_DUPFD_CLOEXEC, 16); /* clear of the numbers that the child wants */
    close(w->memory_fd);
    w->memory_fd = high;
    return high >= 0 ? 0 : err_set(e, OL_EIO, MODULE, "no descriptor for shared memory: %s", strerror(errno));
}

int worker_process_open(const struct engine_config *c, const char *version, bool only_gpu, struct worker_process **out,
                        struct memory_plan *plan, struct err *why_not, struct err *e)
{
    *out = NULL;
    struct worker_process *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for a worker");
    w->memory_fd = -1;
    w->step_timeout_ms = c->step_timeout_ms;
    w->only_gpu = only_gpu;
    int rc = describe(w, c, version, e);
    if (!rc)
        rc = begin_open(w, e);
    while (!rc && (rc = poll_open(w, 1000, e)) == OL_EBUSY)
        rc = 0;
    if (!rc && w->reason[0])
        err_set(why_not, OL_EUNSUPPORTED, MODULE, "%s", w->reason);
    if (rc || w->no_gpu) {
        if (!rc)
            (void)lose(w, 0, "", NULL); /* it would go on and load the model */
        worker_process_close(w);
        return rc;
    }
    *plan = w->plan;
    *out = w;
    return 0;
}

void worker_process_close(struct worker_process *w)
{
    char how[200];
    if (!w)
        return;
    if (w->child.pid)
        shutdown(w->child.socket, SHUT_RDWR);
    worker_child_end(&w->child, END_MS, how, sizeof how);
    if (w->memory)
        munmap(w->memory, w->at.bytes);
    if (w->memory_fd >= 0)
        close(w->memory_fd);
    free(w);
}

/* ---- the engine's calls */

static struct step *worker_step(void *ctx)
{
    struct worker_process *w = ctx;
    return (struct step *)(void *)w->memory;
}

static int worker_run(void *ctx, struct step_result *results, struct err *e)
{
    struct worker_process *w = ctx;
    const struct worker_command run = {.kind = WORKER_RUN};
    struct worker_reply reply;
    int rc = call(w, &run, sizeof run, &reply, w->step_timeout_ms, e);
    if (!rc)
        memcpy(results, w->memory + w->at.results, (size_t)worker_step(w)->n_logits * sizeof *results);
    return rc;
}

static int worker_upload(void *ctx, int32_t page, const void *data, size_t bytes, struct err *e)
{
    struct worker_process *w = ctx;
    const struct worker_command upload = {.kind = WORKER_UPLOAD, .page = page, .bytes = bytes};
    struct worker_reply reply;
    CHECK(bytes <= w->plan.page_bytes);
    memcpy(w->memory + w->at.page, data, bytes);
    return call(w, &upload, sizeof upload, &reply, w->step_timeout_ms, e);
}

static uint64_t worker_lora_ops(void *ctx)
{
    const struct worker_process *w = ctx;
    return w->lora_ops_before + w->lora_ops;
}

/* The texts are those of the first child, which every later one repeats. */
static void worker_info(void *ctx, struct device_info *out)
{
    const struct worker_process *w = ctx;
    *out = w->device.info;
    out->backend = w->device.backend;
    out->isa = w->device.isa;
    out->numerics = w->device.numerics;
}

static int worker_check(void *ctx, struct err *e)
{
    struct worker_process *w = ctx;
    struct pollfd p = {.fd = w->child.socket, .events = POLLIN};
    return poll(&p, 1, 0) > 0 ? lose_silent(w, e) : 0; /* it speaks only when asked: this is its end */
}

static int worker_restart(void *ctx, struct err *e)
{
    struct worker_process *w = ctx;
    if (w->child.pid && !w->ready)
        return poll_open(w, 0, e);
    int rc = begin_open(w, e);
    return rc ? rc : err_set(e, OL_EBUSY, MODULE, "the model is being loaded");
}

static void worker_close(void *ctx) { worker_process_close(ctx); }

struct engine_backend worker_process_table(struct worker_process *w)
{
    return (struct engine_backend){.ctx = w, .step = worker_step, .run = worker_run, .upload = worker_upload,
                                   .lora_ops = worker_lora_ops, .info = worker_info, .check = worker_check,
                                   .restart = worker_restart, .close = worker_close};
}
