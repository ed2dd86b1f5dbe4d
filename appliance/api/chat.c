/* POST /v1/chat/completions: messages through the model's own chat template. */
#include "api/app.h"
#include "api/generation.h"
#include "api/messages.h"
#include "api/request_body.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RENDERED_BYTES = 32 << 20 };

static json_t *special(const struct app *app, int32_t id)
{
    struct text bytes = id >= 0 ? tokenizer_bytes(app->tokenizer, id) : (struct text){"", 0};
    return json_stringn(bytes.data, bytes.len);
}

static int render(const struct app *app, json_t *messages, const json_t *tools, struct buf *out, struct api_error *e)
{
    struct err why = {0};
    json_t *variables = json_pack("{sO sb so so sO?}", "messages", messages, "add_generation_prompt", 1, "bos_token",
                                  special(app, tokenizer_bos(app->tokenizer)), "eos_token",
                                  special(app, tokenizer_eos(app->tokenizer)), "tools", tools);
    if (!variables)
        return api_fail(e, 503, "messages", "no_memory", "no memory for the messages");
    int rc = chat_template_render(app->chat_template, variables, out, &why);
    json_decref(variables);
    return rc == 0 ? 0 : api_fail_err(e, &why, "messages");
}

static int check_tools(const struct app *app, const json_t *body, struct params *p, struct api_error *e)
{
    const char *choice = json_string_value(json_object_get(body, "tool_choice"));
    if (!p->tools)
        return 0;
    if (!json_is_array(p->tools))
        return api_fail(e, 400, "tools", NULL, "'tools' must be an array");
    if (json_array_size(p->tools) > 0 && !app->template_has_tools)
        return api_fail(e, 400, "tools", "unsupported_value",
                        "'tools' is not supported: this model's chat template knows none");
    if (json_array_size(p->tools) == 0 || (choice && strcmp(choice, "none") == 0))
        p->tools = NULL;
    return 0;
}

/* The prompt of a chat: one sequence of ids. */
static int read_messages(const struct app *app, const json_t *body, struct params *p, struct prompts *out,
                         struct api_error *e)
{
    struct buf text;
    if (!app->chat_template)
        return api_fail(e, 400, "messages", NULL, "this model has no chat template; use /v1/completions");
    if (check_tools(app, body, p, e) != 0)
        return -1;
    json_t *messages = messages_normalise(p->messages, e);
    if (!messages)
        return -1;
    out->list = calloc(1, sizeof *out->list);
    if (!out->list) {
        json_decref(messages);
        return api_fail(e, 503, "messages", "no_memory", "no memory for the messages");
    }
    out->n = 1;
    buf_init(&text, MAX_RENDERED_BYTES);
    int rc = render(app, messages, p->tools, &text, e);
    if (rc == 0) /* the template writes special tokens as text */
        rc = prompt_encode(app, buf_str(&text), text.len, &out->list[0], "messages", e);
    if (rc == 0 && out->list[0].n == 0)
        rc = api_fail(e, 400, "messages", NULL, "the messages give an empty prompt");
    buf_deinit(&text);
    json_decref(messages);
    return rc;
}

static int answer(struct app *app, struct http_request *r, const json_t *body, const struct caller *caller,
                  struct api_error *e)
{
    struct params params;
    struct prompts prompts = {0};
    if (params_parse(body, ROUTE_CHAT, tokenizer_vocab(app->tokenizer), &params, e) != 0)
        return -1;
    if (model_check(app, params.model, e) != 0 || read_messages(app, body, &params, &prompts, e) != 0) {
        params_deinit(&params);
        prompts_deinit(&prompts);
        return -1;
    }
    return generation_answer(app, r, ROUTE_CHAT, &params, &prompts, caller, e);
}

void chat_completions(void *user, struct http_request *r) { paid_answer(user, r, answer); }
