/* A model to talk to in this process; see local_chat.h. */
#include "cli/local_chat.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE "chat"

static int open_text(struct local_chat *c, struct err *e)
{
    const struct model_file *file = engine_model_file(c->engine);
    const struct gguf *gguf = model_file_gguf(file);
    int rc =
        gguf ? tokenizer_open_gguf(gguf, &c->tokenizer, e) : tokenizer_open_dir(model_file_dir(file), &c->tokenizer, e);
    const char *source = rc ? NULL : tokenizer_chat_template(c->tokenizer);
    return source ? chat_template_compile(source, &c->template, e) : rc;
}

int local_chat_open(const struct local_chat_config *config, struct local_chat *c, struct err *e)
{
    char path[PATH_MAX] = "", root[PATH_MAX] = "";
    const char *roots[] = {root};
    memset(c, 0, sizeof *c);
    if (config->adapter) {
        if (!realpath(config->adapter, path))
            return err_set(e, OL_ENOTFOUND, MODULE, "%s: no such file or directory", config->adapter);
        snprintf(root, sizeof root, "%.*s", (int)(strrchr(path, '/') - path) + 1, path);
    }
    struct engine_config engine = {.model_path = config->model, .adapter_roots = roots, .device_name = config->device,
                                   .device = {.threads = config->threads, .isa = config->isa,
                                              .fast = config->fast},
                                   .n_adapter_roots = config->adapter ? 1 : 0, .max_seqs = config->max_seqs};
    int rc = engine_open(&engine, &c->engine, e);
    if (!rc)
        rc = open_text(c, e);
    if (!rc && config->adapter)
        rc = adapter_load(engine_adapters(c->engine), LOCAL_ADAPTER, path, false, true, e);
    return rc;
}

void local_chat_close(struct local_chat *c)
{
    chat_template_free(c->template);
    tokenizer_close(c->tokenizer);
    if (c->engine)
        engine_close(c->engine);
    memset(c, 0, sizeof *c);
}

static void set_token_text(json_t *variables, const char *name, const struct tokenizer *t, int32_t id)
{
    struct text text = id >= 0 ? tokenizer_bytes(t, id) : (struct text){"", 0};
    json_object_set_new(variables, name, json_stringn(text.data, text.len));
}

static int render(const struct local_chat *c, const json_t *messages, struct buf *out, struct err *e)
{
    json_t *message;
    size_t i;
    if (!c->template) {
        json_array_foreach((json_t *)(uintptr_t)messages, i, message)
            buf_add_str(out, json_string_value(json_object_get(message, "content")));
        return OL_OK;
    }
    json_t *variables = json_pack("{sO sb}", "messages", (json_t *)(uintptr_t)messages, "add_generation_prompt", 1);
    if (!variables)
        return err_set(e, OL_ENOMEM, MODULE, "no memory for the prompt");
    set_token_text(variables, "bos_token", c->tokenizer, tokenizer_bos(c->tokenizer));
    set_token_text(variables, "eos_token", c->tokenizer, tokenizer_eos(c->tokenizer));
    int rc = chat_template_render(c->template, variables, out, e);
    json_decref(variables);
    return rc;
}

int local_chat_encode(const struct local_chat *c, const json_t *messages, int32_t **ids, size_t *n, struct err *e)
{
    struct buf text;
    size_t cap = 0, limit = (size_t)engine_max_context(c->engine);
    buf_init(&text, 64 << 20);
    if (!c->template && tokenizer_adds_bos(c->tokenizer)) {
        struct text bos = tokenizer_bytes(c->tokenizer, tokenizer_bos(c->tokenizer));
        buf_add(&text, bos.data, bos.len);
    }
    int rc = render(c, messages, &text, e);
    if (!rc)
        rc = tokenizer_encode(c->tokenizer, buf_str(&text), text.len, true, limit, ids, n, &cap, e);
    buf_deinit(&text);
    return rc;
}
