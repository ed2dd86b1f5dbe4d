/* Which devices there are, and which one to compute on. The CPU is always there; GPUs come with a plugin (plugin.h),
 * looked for as libopenlora_cuda.so in the folder of the running program, then in ../lib/openlora beside it; or exactly
 * the file that OPENLORA_CUDA_PLUGIN names. Safe from any thread. */
#ifndef OPENLORA_KERNELS_DEVICE_H
#define OPENLORA_KERNELS_DEVICE_H

#include "kernels/ops.h"
#include "kernels/plugin.h"

enum { MAX_DEVICES = 64 };

struct device_list {
    struct device_description items[1 + MAX_DEVICES]; /* (n) the CPU first, then GPUs by index */
    int n;
    char why_no_gpu[ERR_MESSAGE_BYTES]; /* set while no GPU is listed */
};
void device_list(struct device_list *out);

/* This machine's memory, and what a program can have of it without swapping; 0 where /proc does not tell. */
void device_host_memory(uint64_t *total_bytes, uint64_t *free_bytes);

struct device_choice {
    const struct device_ops *ops;
    int index;                   /* for device_config */
    char reason[ERR_MESSAGE_BYTES]; /* "auto" took the CPU: why no GPU; else empty */
};

bool device_plugin_there(void); /* whether there is a plugin to load; nothing is loaded */

/* "auto" (the first usable GPU, else the CPU), "cpu", "cuda" (the first usable GPU), "cuda:N". NULL is "auto". */
int device_choose(const char *spec, struct device_choice *out, struct err *e) __attribute__((warn_unused_result));

#endif
