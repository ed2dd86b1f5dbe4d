/* Two devices side by side: the CPU's reference and a CUDA plugin. Tests put the same data on both, run the same
 * operation on both and compare every byte of what they say they compare.
 *
 *   struct pair p;
 *   pair_open(&p);
 *   struct both x = pair_alloc(&p, bytes);           one address on each; filled with 0xff (NaN in F32 and F16)
 *   pair_fill(&p, x, data, bytes);
 *   for (int d = 0; d < 2; d++) {
 *       pair_begin(&p, d, step);                     also copies the step to where pair_step(&p, d) points
 *       p.ops[d]->add_norm(p.stream[d], &(struct op_add_norm){.x = x.at[d], … .step = p.step.at[d]});
 *       pair_finish(&p, d);
 *   }
 *   pair_equal(&p, x, bytes, "x");
 *   pair_close(&p);
 *
 * The plugin: the file named by OPENLORA_CUDA_PLUGIN, else libopenlora_cuda_simt.so in the build folder. */
#ifndef OPENLORA_TESTS_GPU_PAIR_H
#define OPENLORA_TESTS_GPU_PAIR_H

#include "kernels/ops.h"
#include "kernels/plugin.h"

#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_THREAD__ /* it makes a lane's every turn a hundred times longer: the first of each loop must do */
#undef tcase_add_loop_test
#define tcase_add_loop_test(tests, test, first, end) _tcase_add_test((tests), (test), 0, 0, (first), (first) + 1)
#endif

enum { CPU, GPU, PAIR_MAX_BUFFERS = 64, PAIR_GUARD_BYTES = 256, PAIR_MAX_STEP_BYTES = 1 << 20 };

struct both {
    dptr at[2];
};

struct pair_buffer {
    struct both base;
    size_t bytes; /* between the guards */
};

struct pair {
    const struct device_ops *ops[2];
    struct device *device[2];
    struct stream *stream[2];
    struct both step;
    struct pair_buffer buffers[PAIR_MAX_BUFFERS];
    int n_buffers;
};

static inline const struct device_ops *pair_plugin(void)
{
    char path[4096];
    const char *given = getenv("OPENLORA_CUDA_PLUGIN");
    if (given)
        snprintf(path, sizeof path, "%s", given);
    else { /* tests lie in BUILD/tests, the plugin in BUILD */
        ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
        ck_assert_int_gt(n, 0);
        path[n] = '\0';
        for (int up = 0; up < 2; up++)
            *strrchr(path, '/') = '\0';
        strncat(path, "/libopenlora_cuda_simt.so", 40);
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library != NULL, "%s", dlerror());
    void *symbol = dlsym(library, "openlora_device_plugin");
    ck_assert_msg(symbol != NULL, "%s is no device plugin", path);
    const struct device_plugin *(*plugin)(void);
    memcpy(&plugin, &symbol, sizeof plugin);
    return plugin()->ops();
}

/* Allocates on both devices; the bytes and a guard before and after them are 0xff. */
static inline struct both pair_alloc(struct pair *p, size_t bytes)
{
    ck_assert_int_lt(p->n_buffers, PAIR_MAX_BUFFERS);
    struct pair_buffer *b = &p->buffers[p->n_buffers++];
    struct err e;
    size_t whole = (bytes + 63) / 64 * 64 + 2 * PAIR_GUARD_BYTES;
    unsigned char *nan = malloc(whole);
    memset(nan, 0xff, whole);
    b->bytes = bytes;
    for (int d = 0; d < 2; d++) {
        ck_assert_msg(!p->ops[d]->alloc(p->device[d], whole, &b->base.at[d], &e), "%s", e.message);
        ck_assert_msg(!p->ops[d]->upload(p->device[d], b->base.at[d], nan, whole, &e), "%s", e.message);
    }
    free(nan);
    return (struct both){{b->base.at[CPU] + PAIR_GUARD_BYTES, b->base.at[GPU] + PAIR_GUARD_BYTES}};
}

static inline void pair_fill(struct pair *p, struct both to, const void *data, size_t bytes)
{
    struct err e;
    for (int d = 0; d < 2; d++)
        ck_assert_msg(!p->ops[d]->upload(p->device[d], to.at[d], data, bytes, &e), "%s", e.message);
}

static inline void pair_read(struct pair *p, int device, void *to, struct both from, size_t bytes)
{
    struct err e;
    ck_assert_msg(!p->ops[device]->download(p->device[device], to, from.at[device], bytes, &e), "%s", e.message);
}

/* The GPU by a configuration of its own. */
static inline void pair_open_config(struct pair *p, const struct device_config *gpu)
{
    struct err e;
    memset(p, 0, sizeof *p);
    p->ops[CPU] = device_cpu();
    p->ops[GPU] = pair_plugin();
    const struct device_config config[2] = {{.threads = 1, .isa = "ref"}, *gpu};
    for (int d = 0; d < 2; d++) {
        ck_assert_msg(!p->ops[d]->open(&config[d], &p->device[d], &e), "%s", e.message);
        ck_assert_msg(!p->ops[d]->stream_open(p->device[d], &p->stream[d], &e), "%s", e.message);
    }
    p->step = pair_alloc(p, PAIR_MAX_STEP_BYTES);
}

static inline void pair_open(struct pair *p) { pair_open_config(p, &(struct device_config){.index = 0}); }

/* Begins a step on one device and copies it there whole; `step` stays as it is until pair_finish. */
static inline void pair_begin(struct pair *p, int d, const struct step *step)
{
    size_t bytes = step_layout(&step->limits).bytes;
    ck_assert_uint_le(bytes, PAIR_MAX_STEP_BYTES);
    p->ops[d]->begin(p->stream[d], step, false);
    p->ops[d]->copy_in(p->stream[d], p->step.at[d], step, bytes);
}

static inline void pair_finish(struct pair *p, int d)
{
    uint64_t ticket;
    struct err e;
    ck_assert_msg(!p->ops[d]->submit(p->stream[d], &ticket, &e), "%s", e.message);
    ck_assert_msg(!p->ops[d]->wait(p->stream[d], ticket, &e), "%s", e.message);
}

/* The first byte that differs is named by its offset; as floats, too. */
static inline void pair_equal(struct pair *p, struct both x, size_t bytes, const char *what)
{
    unsigned char *is[2] = {malloc(bytes), malloc(bytes)};
    for (int d = 0; d < 2; d++)
        pair_read(p, d, is[d], x, bytes);
    for (size_t i = 0; i < bytes; i++)
        if (is[CPU][i] != is[GPU][i]) {
            float f[2] = {0, 0};
            if (i / 4 * 4 + 4 <= bytes)
                for (int d = 0; d < 2; d++)
                    memcpy(&f[d], is[d] + i / 4 * 4, sizeof f[d]);
            ck_abort_msg("%s: byte %zu (float %zu): %.9g on the CPU, %.9g on the GPU", what, i, i / 4, (double)f[CPU],
                         (double)f[GPU]);
        }
    free(is[CPU]);
    free(is[GPU]);
}

/* Frees all buffers but the first n, after a look at their guards. */
static inline void pair_release_after(struct pair *p, int n)
{
    unsigned char guard[PAIR_GUARD_BYTES];
    for (; p->n_buffers > n; p->n_buffers--) {
        const struct pair_buffer *b = &p->buffers[p->n_buffers - 1];
        for (int d = 0; d < 2; d++) {
            const size_t at[2] = {0, PAIR_GUARD_BYTES + b->bytes};
            for (int g = 0; g < 2; g++) {
                pair_read(p, d, guard, (struct both){{b->base.at[CPU] + at[g], b->base.at[GPU] + at[g]}}, sizeof guard);
                for (size_t i = 0; i < sizeof guard; i++)
                    ck_assert_msg(guard[i] == 0xff, "buffer %d on device %d: a write %s it", p->n_buffers - 1, d,
                                  g ? "behind" : "before");
            }
            p->ops[d]->free(p->device[d], b->base.at[d]);
        }
    }
}

/* Frees what the test has allocated; the place of its steps stays. */
static inline void pair_release(struct pair *p) { pair_release_after(p, 1); }

static inline void pair_close(struct pair *p)
{
    pair_release_after(p, 0);
    for (int d = 0; d < 2; d++) {
        p->ops[d]->stream_close(p->stream[d]);
        p->ops[d]->close(p->device[d]);
    }
}

#endif
