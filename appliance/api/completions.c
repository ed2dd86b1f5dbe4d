/* POST /v1/completions: text (or token ids) goes on. */
#include "api/app.h"
#include "api/generation.h"
#include "api/request_body.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PROMPTS = 128 };

static int add_ids(const struct app *app, const json_t *ids, struct prompt *to, struct api_error *e)
{
    int32_t vocab = tokenizer_vocab(app->tokenizer);
    size_t n = json_array_size(ids);
    to->ids = malloc((n + 1) * sizeof *to->ids);
    if (!to->ids)
        return api_fail(e, 503, "prompt", "no_memory", "no memory for the prompt");
    for (size_t i = 0; i < n; i++) {
        json_int_t id = json_is_integer(json_array_get(ids, i)) ? json_integer_value(json_array_get(ids, i)) : -1;
        if (id < 0 || id >= vocab)
            return api_fail(e, 400, "prompt", NULL, "'prompt' has a token that is not an id from 0 to %d", vocab - 1);
        to->ids[to->n++] = (int32_t)id;
    }
    return n > 0 ? 0 : api_fail(e, 400, "prompt", NULL, "'prompt' must not be empty");
}

static int add_text(const struct app *app, const json_t *text, struct prompt *to, struct api_error *e)
{
    if (tokenizer_adds_bos(app->tokenizer) && tokenizer_bos(app->tokenizer) >= 0) {
        to->ids = malloc(sizeof *to->ids);
        if (!to->ids)
            return api_fail(e, 503, "prompt", "no_memory", "no memory for the prompt");
        to->ids[0] = tokenizer_bos(app->tokenizer);
        to->n = to->cap = 1;
    }
    if (prompt_encode(app, json_string_value(text), json_string_length(text), to, "prompt", e) != 0)
        return -1;
    return to->n > 0 ? 0 : api_fail(e, 400, "prompt", NULL, "'prompt' must not be empty");
}

/* A string, an array of strings, an array of ids, or an array of arrays of ids. */
static int read_prompts(const struct app *app, const json_t *v, struct prompts *out, struct api_error *e)
{
    bool several = json_is_array(v) && !json_is_integer(json_array_get(v, 0));
    size_t n = several ? json_array_size(v) : 1;
    if (!(json_is_string(v) || json_is_array(v)) || n == 0 || n > MAX_PROMPTS)
        return api_fail(e, 400, "prompt", NULL, "'prompt' must be a string, an array of token ids, or an array of 1 to "
                        "%d of either", MAX_PROMPTS);
    out->list = calloc(n, sizeof *out->list);
    if (!out->list)
        return api_fail(e, 503, "prompt", "no_memory", "no memory for the prompt");
    for (size_t i = 0; i < n; i++) {
        const json_t *one = several ? json_array_get(v, i) : v;
        int rc = json_is_string(one)  ? add_text(app, one, &out->list[out->n++], e)
                 : json_is_array(one) ? add_ids(app, one, &out->list[out->n++], e)
                                      : api_fail(e, 400, "prompt", NULL, "'prompt[%zu]' is neither text nor ids", i);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int answer(struct app *app, struct http_request *r, const json_t *body, const struct caller *caller,
                  struct api_error *e)
{
    struct params params;
    struct prompts prompts = {0};
    if (params_parse(body, ROUTE_COMPLETIONS, tokenizer_vocab(app->tokenizer), &params, e) != 0)
        return -1;
    if (model_check(app, params.model, e) != 0 || read_prompts(app, params.prompt, &prompts, e) != 0) {
        params_deinit(&params);
        prompts_deinit(&prompts);
        return -1;
    }
    return generation_answer(app, r, ROUTE_COMPLETIONS, &params, &prompts, caller, e);
}

void completions(void *user, struct http_request *r) { paid_answer(user, r, answer); }
