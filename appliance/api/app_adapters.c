/* Adapters of the configuration: where they may come from, and those that are registered at the start. They are read at
 * their first use, so that a broken file costs its own requests and not the start. */
#include "api/app_adapters.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int app_adapter_roots(const struct config *c, struct config_list *out, struct err *e)
{
    int n = c->adapter_roots.n + c->adapter_dirs.n + c->adapters.n;
    out->items = calloc((size_t)n + 1, sizeof *out->items);
    if (!out->items)
        return err_set(e, OL_ENOMEM, "api", "no memory for the adapter folders");
    for (int i = 0; i < c->adapter_roots.n; i++)
        out->items[out->n++] = c->adapter_roots.items[i];
    for (int i = 0; i < c->adapter_dirs.n; i++)
        out->items[out->n++] = c->adapter_dirs.items[i];
    for (int i = 0; i < c->adapters.n; i++)
        out->items[out->n++] = c->adapters.items[i].value;
    return 0;
}

void app_adapter_roots_free(struct config_list *roots) { free(roots->items); }

static int add(struct app *app, const char *name, const char *path, struct err *e)
{
    if (strcmp(name, app->model_name) == 0)
        return err_set(e, OL_EEXIST, "api", "adapter '%.127s' has the base model's name; choose another with --name",
                       name);
    int rc = adapter_register(engine_adapters(app->engine), name, path, false, e);
    return rc == 0 ? 0 : err_prefix(e, "adapter '%.60s'", name);
}

/* Is this a name we give to an entry of an adapter directory? Files that are no adapter are left alone. */
static bool entry_name(const char *entry, unsigned char type, char out[ADAPTER_NAME_BYTES])
{
    size_t n = strlen(entry);
    bool gguf = n > 5 && strcmp(entry + n - 5, ".gguf") == 0;
    if (entry[0] == '.' || (type == DT_REG && !gguf))
        return false;
    n -= gguf ? 5 : 0;
    if (n >= ADAPTER_NAME_BYTES)
        return false;
    memcpy(out, entry, n);
    out[n] = 0;
    return true;
}

static int add_directory(struct app *app, const char *folder, struct err *e)
{
    DIR *dir = opendir(folder);
    int n = 0, rc = 0;
    if (!dir)
        return err_set(e, OL_EIO, "api", "opening adapter folder %.160s: %s", folder, strerror(errno));
    for (struct dirent *d; rc == 0 && (d = readdir(dir));) {
        char name[ADAPTER_NAME_BYTES], path[PATH_MAX];
        if (!entry_name(d->d_name, d->d_type, name))
            continue;
        int len = snprintf(path, sizeof path, "%s/%s", folder, d->d_name);
        if (len < 0 || (size_t)len >= sizeof path)
            rc = err_set(e, OL_ELIMIT, "api", "adapter folder %.160s: a path is too long", folder);
        else
            rc = add(app, name, path, e);
        n++;
    }
    closedir(dir);
    if (rc == 0)
        log_line(LOG_INFO, "api", "%d adapters registered from %s", n, folder);
    return rc;
}

int app_adapters_register(struct app *app, struct err *e)
{
    const struct config *c = app->config;
    for (int i = 0; i < c->adapters.n; i++)
        if (add(app, c->adapters.items[i].name, c->adapters.items[i].value, e) != 0)
            return e->code;
    for (int i = 0; i < c->adapter_dirs.n; i++)
        if (add_directory(app, c->adapter_dirs.items[i], e) != 0)
            return e->code;
    return 0;
}
