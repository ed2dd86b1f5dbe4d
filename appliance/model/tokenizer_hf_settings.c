/* tokenizer_config.json, special_tokens_map.json, generation_config.json, config.json and the chat template's files:
 * each of them is optional. */
#include "model/tokenizer_hf.h"

#include "base/file_map.h"
#include "model/hf_dir.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SETTINGS_BYTES = 16 << 20 };

/* *out stays NULL if there is no such file. */
static int read_optional(const char *dir, const char *name, json_t **out, struct err *e)
{
    char *path = hf_dir_join(dir, name);
    *out = NULL;
    if (!path)
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for a path");
    int rc = access(path, F_OK) ? 0 : json_file_read(path, MAX_SETTINGS_BYTES, out, e);
    free(path);
    return rc;
}

/* A token given by name: "text" or {"content": "text"}. Unknown names leave *id. */
static void read_token_name(const struct tokenizer *t, const json_t *settings, const char *key, int32_t *id)
{
    const json_t *value = json_object_get(settings, key);
    const json_t *content = json_is_object(value) ? json_object_get(value, "content") : value;
    if (!json_is_string(content))
        return;
    int32_t found = tokenizer_find(t, json_string_value(content), json_string_length(content));
    if (found >= 0)
        *id = found;
}

/* "eos_token_id": 2, or a list of them. */
static void read_end_ids(struct tokenizer *t, const json_t *settings)
{
    const json_t *value = json_object_get(settings, "eos_token_id");
    if (json_is_integer(value))
        tokenizer_set_end(t, json_integer_value(value));
    size_t i;
    json_t *id;
    json_array_foreach(value, i, id)
        if (json_is_integer(id))
            tokenizer_set_end(t, json_integer_value(id));
}

/* "chat_template": text, or [{"name": "default", "template": text}, …]. */
static int read_template_member(struct tokenizer *t, const json_t *settings, struct err *e)
{
    const json_t *value = json_object_get(settings, "chat_template");
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name && !strcmp(name, "default"))
            value = json_object_get(item, "template");
    }
    if (!json_is_string(value))
        return 0;
    return tokenizer_set_template(t, (struct text){json_string_value(value), json_string_length(value)}, e);
}

static int read_template_file(struct tokenizer *t, const char *dir, struct err *e)
{
    char *path = hf_dir_join(dir, "chat_template.jinja");
    if (!path)
        return err_set(e, OL_ENOMEM, "tokenizer", "no memory for a path");
    int rc = 0;
    struct file_map map;
    if (!access(path, F_OK) && !(rc = file_map_init(&map, path, e))) {
        rc = tokenizer_set_template(t, (struct text){(const char *)map.data, map.len}, e);
        file_map_deinit(&map);
    }
    free(path);
    return rc;
}

static int read_names(struct tokenizer *t, const char *dir, const char *file, struct err *e)
{
    json_t *settings;
    int rc = read_optional(dir, file, &settings, e);
    read_token_name(t, settings, "bos_token", &t->bos);
    read_token_name(t, settings, "eos_token", &t->eos);
    if (!rc)
        rc = json_get_bool(settings, "add_bos_token", &t->adds_bos, e);
    if (!rc)
        rc = read_template_member(t, settings, e);
    json_decref(settings);
    return rc;
}

static int read_ends(struct tokenizer *t, const char *dir, const char *file, struct err *e)
{
    json_t *settings;
    int rc = read_optional(dir, file, &settings, e);
    read_end_ids(t, settings);
    json_decref(settings);
    return rc;
}

int tokenizer_hf_settings(struct tokenizer *t, const char *dir, struct err *e)
{
    /* Later files win, as in transformers; chat_template.jinja is the newest form. */
    int rc = read_names(t, dir, "special_tokens_map.json", e);
    if (!rc)
        rc = read_names(t, dir, "chat_template.json", e);
    if (!rc)
        rc = read_names(t, dir, "tokenizer_config.json", e);
    if (!rc)
        rc = read_template_file(t, dir, e);
    if (!rc)
        rc = read_ends(t, dir, "config.json", e);
    if (!rc)
        rc = read_ends(t, dir, "generation_config.json", e);
    if (rc)
        return rc;
    tokenizer_set_end(t, t->eos);
    tokenizer_set_known_ends(t);
    return 0;
}
