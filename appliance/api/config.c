#include "api/config.h"

#include "api/config_table.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct config, field)

const struct setting settings[] = {
    {"server", "port", "port", S_INT, AT(port), 0, 65535, "N", "port on 127.0.0.1; 0 takes any free one", "8080"},
    {"server", "port_file", "port-file", S_TEXT, AT(port_file), 0, 0, "PATH", "write the port here once it is open", NULL},
    {"server", "threads", "http-threads", S_INT, AT(http_threads), 1, 64, "N", "threads that read and write connections", "2"},
    {"server", "max_connections", "max-connections", S_INT, AT(max_connections), 8, 65536, "N", "open connections", "2048"},
    {"server", "timeout_s", "timeout-s", S_INT, AT(timeout_s), 1, 3600, "S", "close connections without progress, slow readers too", "30"},
    {"server", "request_s", "request-s", S_INT, AT(request_s), 1, 3600, "S", "a request must have arrived whole in this time", "30"},
    {"server", "max_body_mb", "max-body-mb", S_INT, AT(max_body_mb), 1, 1024, "MB", "largest request body", "8"},
    {"server", "drain_s", "drain-s", S_INT, AT(drain_s), 0, 86400, "S", "after SIGTERM, finish running requests for this long", "30"},
    {"server", "host", "host", S_LIST, AT(hosts), 0, 0, "NAME", "accept this name in the Host header (repeatable)", NULL},
    {"model", "path", "model", S_TEXT, AT(model), 0, 0, "PATH", "GGUF file or safetensors directory (required)", NULL},
    {"model", "name", "name", S_TEXT, AT(model_name), 0, 0, "NAME", "the model's name in the API (default: its file name)", NULL},
    {"model", "threads", "threads", S_INT, AT(threads), 0, 256, "N", "compute threads; 0 is one per core", "0"},
    {"model", "isa", "isa", S_TEXT, AT(isa), 0, 0, "NAME", "instruction set: auto, ref, avx2, avx512", "auto"},
    {"model", "pool_mb", "pool-mb", S_INT, AT(pool_mb), 0, 1 << 20, "MB", "page pool for KV and adapters; 0: 1 GiB or a quarter of memory", "0"},
    {"model", "max_context", "max-context", S_INT, AT(max_context), 0, 1 << 20, "N", "tokens per sequence; 0: 8192 or the model's", "0"},
    {"model", "max_seqs", "max-seqs", S_INT, AT(max_seqs), 0, 1024, "N", "sequences running together; 0: 64", "0"},
    {"model", "max_rows", "max-rows", S_INT, AT(max_rows), 0, 8192, "N", "tokens per step; 0: 512", "0"},
    {"model", "max_queue", "max-queue", S_INT, AT(max_queue), 0, 1 << 20, "N", "requests waiting beyond those; 0: 256", "0"},
    {"model", "prefix_cache", "prefix-cache", S_BOOL, AT(prefix_cache), 0, 0, "yes|no", "reuse KV of shared beginnings", "yes"},
    {"lora", "enabled", "lora", S_BOOL, AT(lora), 0, 0, "yes|no", "serve LoRA adapters", "yes"},
    {"lora", "host_mb", "adapter-host-mb", S_INT, AT(adapter_host_mb), 0, 1 << 20, "MB", "memory for adapters read from disk; 0: 512", "0"},
    {"lora", "root", "adapter-root", S_LIST, AT(adapter_roots), 0, 0, "DIR", "adapters may be loaded from below here (repeatable)", NULL},
    {"lora", "dir", "adapter-dir", S_LIST, AT(adapter_dirs), 0, 0, "DIR", "a root whose every entry is registered under its name (repeatable)", NULL},
    {"adapters", NULL, "adapter", S_PAIR, AT(adapters), 0, 0, "NAME=PATH", "register an adapter (repeatable)", NULL},
    {"log", "level", "log-level", S_TEXT, AT(log_level), 0, 0, "LEVEL", "debug, info, warn, error, quiet", "info"},
};
const int n_settings = sizeof settings / sizeof *settings;

static int no_memory(struct err *e) { return err_set(e, OL_ENOMEM, "config", "no memory for the configuration"); }

static int set_int(const struct setting *s, const char *value, int64_t *to, struct err *e)
{
    char *end;
    errno = 0;
    long long x = strtoll(value, &end, 10);
    if (end == value || *end || errno || x < s->min || x > s->max)
        return err_set(e, OL_EINVAL, "config", "'%.60s' is not a number from %" PRId64 " to %" PRId64, value, s->min, s->max);
    *to = x;
    return 0;
}

static int set_bool(const char *value, bool *to, struct err *e)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(value, words[i]) == 0) {
            *to = i % 2;
            return 0;
        }
    return err_set(e, OL_EINVAL, "config", "'%.60s' is neither yes nor no", value);
}

static int set_text(const char *value, char **to, struct err *e)
{
    char *copy = strdup(value);
    if (!copy)
        return no_memory(e);
    free(*to);
    *to = copy;
    return 0;
}

static int add_item(struct config_list *list, const char *value, struct err *e)
{
    char **grown = realloc(list->items, (size_t)(list->n + 1) * sizeof *grown);
    if (!grown)
        return no_memory(e);
    list->items = grown;
    grown[list->n] = strdup(value);
    return grown[list->n] ? list->n++, 0 : no_memory(e);
}

static int add_pair(struct config_pairs *pairs, const char *name, size_t name_len, const char *value, struct err *e)
{
    struct config_pair *grown = realloc(pairs->items, (size_t)(pairs->n + 1) * sizeof *grown);
    if (!grown)
        return no_memory(e);
    pairs->items = grown;
    struct config_pair *p = &grown[pairs->n++];
    *p = (struct config_pair){strndup(name, name_len), strdup(value)};
    return p->name && p->value ? 0 : no_memory(e);
}

int setting_apply(const struct setting *s, const char *name, const char *value, struct config *c, struct err *e)
{
    void *to = (char *)c + s->offset;
    if (!*value)
        return err_set(e, OL_EINVAL, "config", "the value is empty");
    switch (s->kind) {
    case S_INT:
        return set_int(s, value, to, e);
    case S_BOOL:
        return set_bool(value, to, e);
    case S_TEXT:
        return set_text(value, to, e);
    case S_LIST:
        return add_item(to, value, e);
    case S_PAIR:
        break;
    }
    if (name)
        return add_pair(to, name, strlen(name), value, e);
    const char *equals = strchr(value, '=');
    if (!equals || equals == value || !equals[1])
        return err_set(e, OL_EINVAL, "config", "'%.60s' is not NAME=PATH", value);
    return add_pair(to, value, (size_t)(equals - value), equals + 1, e);
}

static int apply_defaults(struct config *c, struct err *e)
{
    *c = (struct config){0};
    for (int i = 0; i < n_settings; i++)
        if (settings[i].fallback && setting_apply(&settings[i], NULL, settings[i].fallback, c, e) != 0)
            return e->code;
    return 0;
}

/* What the parts cannot see alone. */
static int check_whole(const struct config *c, struct err *e)
{
    if (!c->model)
        return err_set(e, OL_EINVAL, "config", "no model: give --model PATH, or path in [model]; see --help");
    if (!c->lora && (c->adapters.n || c->adapter_dirs.n))
        return err_set(e, OL_EINVAL, "config", "adapters are configured but [lora] enabled is no");
    return 0;
}

int config_load(int argc, char **argv, char *const *environment, struct config *out, struct err *e)
{
    struct err own = {0};
    e = e ? e : &own;
    const char *file = NULL;
    int rc = apply_defaults(out, e);
    if (rc == 0)
        rc = config_find_file(argc, argv, environment, &file, e);
    if (rc == 0 && file)
        rc = config_read_file(file, out, e);
    if (rc == 0)
        rc = config_read_environment(environment, out, e);
    if (rc == 0)
        rc = config_read_flags(argc, argv, out, e);
    if (rc == 0 && !out->help && !out->version)
        rc = check_whole(out, e);
    return rc;
}

void config_deinit(struct config *c)
{
    for (int i = 0; i < n_settings; i++) {
        void *at = (char *)c + settings[i].offset;
        struct config_list *list = at;
        struct config_pairs *pairs = at;
        if (settings[i].kind == S_TEXT)
            free(*(char **)at);
        for (int k = 0; settings[i].kind == S_LIST && k < list->n; k++)
            free(list->items[k]);
        for (int k = 0; settings[i].kind == S_PAIR && k < pairs->n; k++) {
            free(pairs->items[k].name);
            free(pairs->items[k].value);
        }
        if (settings[i].kind == S_LIST)
            free(list->items);
        if (settings[i].kind == S_PAIR)
            free(pairs->items);
    }
    *c = (struct config){0};
}
