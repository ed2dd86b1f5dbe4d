/* A chat's messages as the model's template wants them: roles it knows, content as one text. What a template could not
 * show (images, other keys) is refused by name rather than dropped. */
#include "api/messages.h"

#include <stdio.h>
#include <stdint.h>
#include <string.h>

enum { PARAM_BYTES = 64 };

static const char *role_of(const json_t *message)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    const char *role = json_string_value(json_object_get(message, "role"));
    if (!role)
        return NULL;
    if (strcmp(role, "developer") == 0) /* the newer name; templates know the older one */
        return "system";
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(role, roles[i]) == 0)
            return roles[i];
    return NULL;
}

/* Appends one content part's text. */
static int add_part(struct buf *text, const json_t *part, const char *where, struct api_error *e)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    const json_t *content = json_object_get(part, "text");
    if (!type)
        return api_fail(e, 400, where, NULL, "'%s' must be an object with a 'type'", where);
    if (strcmp(type, "text") != 0)
        return api_fail(e, 400, where, "unsupported_value", "'%s' is of type '%.40s': only 'text' is supported", where,
                        type);
    if (!json_is_string(content) || json_object_size(part) != 2)
        return api_fail(e, 400, where, NULL, "'%s' must have a string 'text' and nothing else", where);
    buf_add(text, json_string_value(content), json_string_length(content));
    return 0;
}

static json_t *joined(const json_t *parts, size_t index, struct api_error *e)
{
    struct buf text;
    json_t *s = NULL;
    buf_init(&text, (size_t)64 << 20);
    for (size_t i = 0; i < json_array_size(parts); i++) {
        char where[PARAM_BYTES];
        snprintf(where, sizeof where, "messages[%zu].content[%zu]", index, i);
        if (add_part(&text, json_array_get(parts, i), where, e) != 0)
            goto out;
    }
    s = buf_failed(&text) ? NULL : json_stringn(buf_str(&text), text.len);
    if (!s)
        api_fail(e, 503, "messages", "no_memory", "no memory for the messages");
out:
    buf_deinit(&text);
    return s;
}

/* New reference; an assistant that only calls tools may have no content. */
static json_t *content_of(const json_t *message, size_t index, struct api_error *e)
{
    json_t *content = json_object_get(message, "content");
    char where[PARAM_BYTES];
    if (json_is_string(content))
        return json_incref(content);
    if (json_is_array(content))
        return joined(content, index, e);
    if ((!content || json_is_null(content)) && json_is_array(json_object_get(message, "tool_calls")))
        return json_string("");
    snprintf(where, sizeof where, "messages[%zu].content", index);
    api_fail(e, 400, where, NULL, "'%s' must be a string or an array of text parts", where);
    return NULL;
}

/* The other keys of a message: passed on to the template, refused, or of no effect. */
static int copy_rest(const json_t *message, size_t index, json_t *to, struct api_error *e)
{
    static const char *const passed[] = {"name", "tool_calls", "tool_call_id"};
    static const char *const known[] = {"role", "content", "refusal"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)message, key, value) {
        bool ok = json_is_null(value);
        for (size_t i = 0; i < sizeof known / sizeof *known && !ok; i++)
            ok = strcmp(key, known[i]) == 0;
        for (size_t i = 0; i < sizeof passed / sizeof *passed && !ok; i++)
            if (strcmp(key, passed[i]) == 0)
                ok = json_object_set(to, key, value) == 0;
        if (!ok) {
            char where[PARAM_BYTES];
            snprintf(where, sizeof where, "messages[%zu].%.32s", index, key);
            return api_fail(e, 400, where, "unknown_parameter", "unknown or unsupported parameter: '%s'", where);
        }
    }
    return 0;
}

static json_t *normalise_one(const json_t *message, size_t index, struct api_error *e)
{
    char where[PARAM_BYTES];
    const char *role = role_of(message);
    if (!role) {
        snprintf(where, sizeof where, "messages[%zu].role", index);
        api_fail(e, 400, where, NULL, "'%s' must be one of system, developer, user, assistant, tool", where);
        return NULL;
    }
    json_t *content = content_of(message, index, e);
    if (!content)
        return NULL;
    json_t *out = json_pack("{ss so}", "role", role, "content", content); /* takes content over, even on failure */
    if (!out) {
        api_fail(e, 503, "messages", "no_memory", "no memory for the messages");
        return NULL;
    }
    if (copy_rest(message, index, out, e) != 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}

json_t *messages_normalise(const json_t *messages, struct api_error *e)
{
    if (!json_is_array(messages) || json_array_size(messages) == 0) {
        api_fail(e, 400, "messages", NULL, "'messages' must be an array of at least one message");
        return NULL;
    }
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *one = normalise_one(json_array_get(messages, i), i, e);
        if (!one || json_array_append_new(out, one) != 0) {
            if (one)
                api_fail(e, 503, "messages", "no_memory", "no memory for the messages");
            json_decref(out);
            return NULL;
        }
    }
    return out;
}
