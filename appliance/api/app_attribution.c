#include "api/app_attribution.h"

#include "chainlite/core/hex.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 64 };

/* Content hash of a registered version. */
static bool content_of(struct billing *billing, const uint8_t version[32], char hash[65])
{
    struct catalog *catalog = billing_catalog(billing);
    const struct catalogued_version *v = catalog ? chain_catalog_version(&catalog->served.rows, version) : NULL;
    if (v)
        hex_encode(v->row.content_hash, 32, hash);
    catalog_release(catalog);
    return v != NULL;
}

/* Where the files of an adapter version lie: gradients need its exact parameters, which the engine has packed away. */
static bool adapter_path(void *user, const uint8_t version[32], char hash[65], char *path, size_t room)
{
    struct app *app = user;
    struct adapter_store *store = engine_adapters(app->engine);
    struct adapter_info *page = calloc(PAGE, sizeof *page);
    bool found = false;
    if (page && content_of(app->billing, version, hash))
        for (int from = 0, n; !found && (n = adapter_store_list(store, from, page, PAGE)) > 0; from += n)
            for (int i = 0; i < n && !found; i++)
                if (strcmp(page[i].hash, hash) == 0)
                    found = (size_t)snprintf(path, room, "%s", page[i].path) < room;
    free(page);
    return found;
}

static bool busy(void *user)
{
    struct engine_stats s;
    engine_stats(((struct app *)user)->engine, &s);
    return s.running + s.waiting > 0;
}

int app_attribution_open(struct app *app, struct err *e)
{
    const struct config *c = app->config;
    struct attributor_config config = {.folders = (const char *const *)c->policies.items, .n_folders = c->policies.n,
                                       .billing = app->billing, .model = engine_model_file(app->engine),
                                       .gradients = c->gradients, .busy = busy, .adapter_path = adapter_path, .user = app};
    if (c->policies.n == 0)
        return 0;
    if (!app->billing)
        return err_set(e, OL_EINVAL, "config", "[attribution] policy needs [billing] socket: attribution divides bills");
    return attributor_open(&config, &app->attributor, e);
}
