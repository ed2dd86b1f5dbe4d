/* What a device plugin exports. A plugin is a shared library that brings one backend: libopenlora_cuda.so. Programs find
 * it at run time (kernels/device.h), so that the same program runs where no CUDA is installed.
 *
 * The library exports one function, openlora_device_plugin. It is loaded once and
 * never unloaded. */
#ifndef OPENLORA_KERNELS_PLUGIN_H
#define OPENLORA_KERNELS_PLUGIN_H

#include "base/err.h"

#include <stdint.h>

struct device_ops;

/* A device, whether it can be used or not. Texts are empty where nothing is known. */
struct device_description {
    char backend[8]; /* "cpu", "cuda" */
    int index;       /* as device_config.index */
    char name[64];
    char isa[16];    /* "avx512", "sm_90" */
    char uuid[48];   /* "GPU-8f6c…": the same whatever the order */
    char pci[24];    /* "0000:65:00.0" */
    char driver[32]; /* its version */
    int threads;     /* CPU: cores this process may use; 0 on a GPU */
    uint64_t memory_bytes, free_bytes; /* all there is, and what nobody uses now */
    char why_not[ERR_MESSAGE_BYTES];   /* empty: usable; else one sentence with cause and next step */
};

struct device_plugin {
    const char *version; /* OPENLORA_VERSION it was built as: must equal the program's */
    const struct device_ops *(*ops)(void);
    /* Describes up to `max` devices; *n gets how many there are. Fails with cause and next step where there can be none: no
     * driver, or one that is too old. Leaves nothing behind on any device. */
    int (*list)(struct device_description *out, int max, int *n, struct err *e);
};

const struct device_plugin *openlora_device_plugin(void);

#endif
