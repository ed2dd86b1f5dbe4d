/* GET /v1/models and /v1/models/{name}: the base model, and every adapter with the base as its parent. */
#include "api/adapter_list.h"
#include "api/app.h"
#include "api/errors.h"
#include "api/json_text.h"

#include <stdlib.h>
#include <string.h>

static json_t *model_json(const struct app *app, const char *name, const char *root, const char *parent)
{
    return json_pack("{ss ss sI ss ss ss? si s[]}", "id", name, "object", "model", "created", (json_int_t)app->started,
                     "owned_by", "openlora", "root", root, "parent", parent, "max_model_len",
                     (int)engine_max_context(app->engine), "permission");
}

static json_t *base_json(const struct app *app)
{
    return model_json(app, app->model_name, app->config->model, NULL);
}

static json_t *adapter_model_json(const struct app *app, const struct adapter_info *info)
{
    return model_json(app, info->name, info->path, app->model_name);
}

void models_list(void *user, struct http_request *r)
{
    struct app *app = user;
    json_t *data = json_array();
    if (json_array_append_new(data, base_json(app)) != 0 || adapter_list_add(app, data, adapter_model_json) != 0) {
        json_decref(data);
        data = NULL;
    }
    json_respond(r, 200, data ? json_pack("{ss so}", "object", "list", "data", data) : NULL);
}

void models_get(void *user, struct http_request *r)
{
    struct app *app = user;
    const char *name = http_request_rest(r);
    struct adapter_info *info = malloc(sizeof *info);
    if (strcmp(name, app->model_name) == 0) {
        json_respond(r, 200, base_json(app));
    } else if (info && adapter_store_info(engine_adapters(app->engine), name, info)) {
        json_respond(r, 200, adapter_model_json(app, info));
    } else {
        struct api_error e;
        api_fail(&e, 404, "model", "model_not_found", "the model '%.128s' does not exist; see /v1/models", name);
        api_error_respond(&e, r);
    }
    free(info);
}
