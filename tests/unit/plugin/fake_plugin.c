/* A device plugin for tests of finding, refusing and choosing: it describes what the variable FAKE_GPUS says and computes
 * nothing. FAKE_GPUS: one letter per GPU, u usable, o too old; "version": built as another version; "driver": no driver. */
#include "kernels/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *gpus(void)
{
    const char *text = getenv("FAKE_GPUS");
    return text ? text : "";
}

static int list(struct device_description *out, int max, int *n, struct err *e)
{
    if (strcmp(gpus(), "driver") == 0) {
        snprintf(e->message, sizeof e->message, "no NVIDIA driver: install one of 580 or newer");
        return e->code = OL_ENOTFOUND;
    }
    *n = (int)strlen(gpus());
    for (int i = 0; i < *n && i < max; i++) {
        out[i] = (struct device_description){.backend = "cuda", .index = i, .name = "Fake", .isa = "sm_90"};
        if (gpus()[i] == 'o')
            snprintf(out[i].why_not, sizeof out[i].why_not, "capability 7.5: sm_80 or newer is needed");
    }
    return 0;
}

static const struct device_ops *ops(void) { return (const struct device_ops *)(const void *)"a table"; }

const struct device_plugin *openlora_device_plugin(void)
{
    static struct device_plugin plugin = {.ops = ops, .list = list};
    plugin.version = strcmp(gpus(), "version") == 0 ? "0.0.0-other" : OPENLORA_VERSION;
    return &plugin;
}
