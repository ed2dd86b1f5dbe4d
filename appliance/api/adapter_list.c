#include "api/adapter_list.h"

#include <stdlib.h>

enum { BATCH = 64 };

int adapter_list_walk(const struct app *app, bool (*each)(void *user, const struct adapter_info *), void *user)
{
    struct adapter_info *infos = malloc(BATCH * sizeof *infos);
    if (!infos)
        return -1;
    bool go_on = true;
    /* Adapters that come or go between two batches may be missed or seen twice: the list is a picture, not a lock. */
    for (int from = 0, n = BATCH; go_on && n == BATCH; from += n) {
        n = adapter_store_list(engine_adapters(app->engine), from, infos, BATCH);
        for (int i = 0; i < n && go_on; i++)
            go_on = each(user, &infos[i]);
    }
    free(infos);
    return 0;
}

struct adding {
    const struct app *app;
    json_t *array;
    json_t *(*to_json)(const struct app *, const struct adapter_info *);
    bool failed;
};

static bool add(void *user, const struct adapter_info *info)
{
    struct adding *a = user;
    a->failed = json_array_append_new(a->array, a->to_json(a->app, info)) != 0;
    return !a->failed;
}

int adapter_list_add(const struct app *app, json_t *array,
                     json_t *(*to_json)(const struct app *, const struct adapter_info *))
{
    struct adding a = {app, array, to_json, false};
    return adapter_list_walk(app, add, &a) != 0 || a.failed ? -1 : 0;
}
