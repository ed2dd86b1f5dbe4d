#include "kernels/device.h"

#include "kernels/cpu/device.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "device"
#define PLUGIN_FILE "libopenlora_cuda.so"

/* ---- the plugin */

/* The folder of the running program, without a slash at its end; false where /proc is not there. */
static bool program_folder(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n <= 0)
        return false;
    out[n] = 0;
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = 0;
    return slash;
}

/* Path of the plugin to load. */
static int find_plugin(char path[PATH_MAX], struct err *e)
{
    static const char *const folders[] = {"", "/../lib/openlora"};
    char program[PATH_MAX];
    const char *named = secure_getenv("OPENLORA_CUDA_PLUGIN");
    if (named) {
        int n = snprintf(path, PATH_MAX, "%s", named);
        bool there = n > 0 && n < PATH_MAX && access(path, R_OK) == 0;
        return there ? 0 : err_set(e, OL_ENOTFOUND, MODULE, "no CUDA plugin: OPENLORA_CUDA_PLUGIN names %.120s, which "
                                   "cannot be read", named);
    }
    for (size_t i = 0; program_folder(program) && i < sizeof folders / sizeof *folders; i++) {
        int n = snprintf(path, PATH_MAX, "%s%s/%s", program, folders[i], PLUGIN_FILE);
        if (n > 0 && n < PATH_MAX && access(path, R_OK) == 0)
            return 0;
    }
    return err_set(e, OL_ENOTFOUND, MODULE, "no CUDA plugin: %s is not beside the program; build it with "
                   "-DOPENLORA_CUDA=ON or ./appliance/up --cuda", PLUGIN_FILE);
}

bool device_plugin_there(void)
{
    char path[PATH_MAX];
    return find_plugin(path, NULL) == 0;
}

/* Never closed: CUDA does not survive being unloaded. Loading a second time gives the same library. */
static int load_plugin(const struct device_plugin **out, struct err *e)
{
    char path[PATH_MAX];
    int rc = find_plugin(path, e);
    if (rc)
        return rc;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return err_set(e, OL_EUNSUPPORTED, MODULE, "the CUDA plugin cannot be loaded: %.180s", dlerror());
    const struct device_plugin *(*get)(void);
    *(void **)&get = dlsym(library, "openlora_device_plugin");
    if (!get)
        return err_set(e, OL_EFORMAT, MODULE, "%.160s is no device plugin: it has no openlora_device_plugin", path);
    *out = get();
    if (strcmp((*out)->version, OPENLORA_VERSION) != 0)
        return err_set(e, OL_EUNSUPPORTED, MODULE, "the CUDA plugin is of version %.20s, this program of %s: build "
                       "both together", (*out)->version, OPENLORA_VERSION);
    return 0;
}

/* ---- what there is */

/* "model name : X" of the first processor. */
static void cpu_name(char *out, size_t bytes)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "model name", 10) != 0)
            continue;
        snprintf(out, bytes, "%.*s", (int)strcspn(colon + 1, "\n") - 1, colon + 2);
        break;
    }
    if (f)
        fclose(f);
}

void device_host_memory(uint64_t *total_bytes, uint64_t *free_bytes)
{
    char line[128];
    unsigned long long kib;
    FILE *f = fopen("/proc/meminfo", "re");
    *total_bytes = *free_bytes = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "MemTotal: %llu", &kib) == 1)
            *total_bytes = (uint64_t)kib << 10;
        else if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
            *free_bytes = (uint64_t)kib << 10;
    }
    if (f)
        fclose(f);
}

static void describe_cpu(struct device_description *d)
{
    *d = (struct device_description){.backend = "cpu"};
    device_host_memory(&d->memory_bytes, &d->free_bytes);
    cpu_name(d->name, sizeof d->name);
    const struct device_ops *ops = device_cpu();
    struct device *device;
    struct err e;
    if (ops->open(&(struct device_config){0}, &device, &e) != 0) {
        snprintf(d->why_not, sizeof d->why_not, "%s", e.message);
        return;
    }
    struct device_info info;
    ops->info(device, &info);
    snprintf(d->isa, sizeof d->isa, "%s", info.isa);
    d->threads = info.threads;
    ops->close(device);
}

/* Appends the GPUs that the plugin sees. */
static int list_gpus(struct device_list *l, const struct device_ops **ops, struct err *e)
{
    const struct device_plugin *plugin;
    int n = 0, rc = load_plugin(&plugin, e);
    if (!rc)
        rc = plugin->list(l->items + l->n, MAX_DEVICES, &n, e);
    if (rc)
        return rc;
    if (n < 1)
        return err_set(e, OL_ENOTFOUND, MODULE, "there is a CUDA driver, but no GPU; is one visible to this process "
                       "(CUDA_VISIBLE_DEVICES, container options)?");
    l->n += n < MAX_DEVICES ? n : MAX_DEVICES;
    *ops = plugin->ops();
    return 0;
}

void device_list(struct device_list *out)
{
    const struct device_ops *ops;
    struct err e;
    *out = (struct device_list){.n = 1};
    describe_cpu(out->items);
    if (list_gpus(out, &ops, &e) != 0)
        snprintf(out->why_no_gpu, sizeof out->why_no_gpu, "%s", e.message);
}

/* ---- which one */

/* wanted: an index, or −1 for the first usable. */
static int choose_gpu(struct device_list *l, long wanted, struct device_choice *out, struct err *e)
{
    const struct device_description *first_bad = NULL;
    int rc = list_gpus(l, &out->ops, e);
    if (rc)
        return rc;
    for (int i = 0; i < l->n; i++) {
        const struct device_description *d = &l->items[i];
        if (wanted >= 0 && d->index != wanted)
            continue;
        if (!d->why_not[0]) {
            out->index = d->index;
            return 0;
        }
        first_bad = first_bad ? first_bad : d;
    }
    if (first_bad)
        return err_set(e, OL_EUNSUPPORTED, MODULE, "cuda:%d: %.200s", first_bad->index, first_bad->why_not);
    return err_set(e, OL_ENOTFOUND, MODULE, "there is no cuda:%ld: the driver shows %d GPUs, counted from 0",
                   wanted, l->n);
}

/* The N of "cuda:N"; −1 for "cuda"; −2 for anything else. */
static long gpu_wanted(const char *spec)
{
    if (strncmp(spec, "cuda", 4) != 0)
        return -2;
    if (!spec[4])
        return -1;
    size_t digits = strspn(spec + 5, "0123456789");
    bool number = spec[4] == ':' && digits >= 1 && digits <= 3 && !spec[5 + digits];
    return number ? strtol(spec + 5, NULL, 10) : -2;
}

int device_choose(const char *spec, struct device_choice *out, struct err *e)
{
    bool automatic = !spec || strcmp(spec, "auto") == 0;
    long wanted = automatic ? -1 : gpu_wanted(spec);
    *out = (struct device_choice){.ops = device_cpu()};
    if (!automatic && strcmp(spec, "cpu") == 0)
        return 0;
    if (wanted == -2)
        return err_set(e, OL_EINVAL, MODULE, "unknown device '%.40s': auto, cpu, cuda and cuda:N (a GPU's number) are "
                       "possible", spec);
    struct device_list *l = calloc(1, sizeof *l);
    struct err why = {0};
    int rc = l ? choose_gpu(l, wanted, out, &why) : err_set(&why, OL_ENOMEM, MODULE, "no memory to list devices");
    free(l);
    if (!rc)
        return 0;
    if (!automatic)
        return err_set(e, rc, MODULE, "%s", why.message);
    *out = (struct device_choice){.ops = device_cpu()};
    snprintf(out->reason, sizeof out->reason, "%s", why.message);
    return 0;
}
