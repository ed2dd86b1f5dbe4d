#include "api/request_body.h"

#include <stdlib.h>
#include <string.h>

void body_answer(struct app *app, struct http_request *r, body_handler answer)
{
    struct api_error e = {0};
    json_error_t where;
    size_t len;
    const char *text = http_request_body(r, &len);
    json_t *body = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    int rc = body ? answer(app, r, body, &e)
                  : api_fail(&e, 400, NULL, "invalid_json", "the body is not valid JSON: line %d, column %d: %s",
                             where.line, where.column, where.text);
    json_decref(body);
    if (rc != 0)
        api_error_respond(&e, r);
}

int model_check(const struct app *app, const char *model, struct api_error *e)
{
    if (!model || strcmp(model, app->model_name) == 0)
        return 0;
    struct adapter_info *info = malloc(sizeof *info);
    bool known = info && adapter_store_info(engine_adapters(app->engine), model, info);
    free(info);
    if (known)
        return 0;
    return api_fail(e, 404, "model", "model_not_found",
                    "the model '%.128s' does not exist: neither the base model '%s' "
                    "nor a registered adapter (see /v1/models)",
                    model, app->model_name);
}

int prompt_encode(const struct app *app, const char *text, size_t len, struct prompt *to, const char *param,
                  struct api_error *e)
{
    struct err why = {0};
    size_t context = (size_t)engine_max_context(app->engine);
    int rc = tokenizer_encode(app->tokenizer, text, len, true, context, &to->ids, &to->n, &to->cap, &why);
    if (rc == OL_ELIMIT)
        return api_fail(e, 400, param, "context_length_exceeded", "this model's maximum context length is %zu tokens, "
                        "and the prompt alone is longer", context);
    return rc == 0 ? 0 : api_fail_err(e, &why, param);
}
