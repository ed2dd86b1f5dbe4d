/* What both completion routes have in common before their parameters: who pays, JSON, the model's name, text to ids. */
#include "api/request_body.h"

#include "api/auth.h"

#include <stdlib.h>
#include <string.h>

static json_t *parse(struct http_request *r, struct api_error *e)
{
    json_error_t where;
    size_t len;
    const char *text = http_request_body(r, &len);
    json_t *body = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!body)
        api_fail(e, 400, NULL, "invalid_json", "the body is not valid JSON: line %d, column %d: %s", where.line,
                 where.column, where.text);
    return body;
}

void body_answer(struct app *app, struct http_request *r, body_handler answer)
{
    struct api_error e = {0};
    json_t *body = parse(r, &e);
    if (!body || answer(app, r, body, &e) != 0)
        api_error_respond(&e, r);
    json_decref(body);
}

void paid_answer(struct app *app, struct http_request *r, paid_handler answer)
{
    struct api_error e = {0};
    struct refusal refused = {0};
    struct caller caller;
    uint8_t hash[HASH_BYTES];
    size_t len;
    const char *text = http_request_body(r, &len);
    if (app->billing)
        keccak256(text, len, hash);
    if (auth_payer(app, r, hash, &caller, &refused) != 0) {
        refusal_respond(app, &refused, r);
        return;
    }
    json_t *body = parse(r, &e);
    if (!body || answer(app, r, body, &caller, &e) != 0)
        api_error_respond(&e, r);
    json_decref(body);
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
